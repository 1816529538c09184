"""A compiled network as its files hold it, found by name, through the manifest, or in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import workspace
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.finding import find_file, resolved
from knightlite.api.models.stage_files import COMPILE_FILES, weights_beside
from knightlite.contents import content_of
from knightlite.errors import (
    FormatError,
    UsageError,
    joined_hints,
    near_path,
    not_there,
    unreadable,
)
from knightlite.reading import read_bytes
from knightlite.talk import SILENT, Talk
from knightlite.workspace import Produced

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.container import Program

File = str | Path | bytes


@dataclass(frozen=True, slots=True)
class Binary:
    """A compiled network, and the two files it came from (or whose place a ``.tsmodel`` takes).

    ``sources``: the files that were found and read, for the record of a stage.
    """

    cfg: Path
    weight: Path
    program: Program
    sources: Mapping[str, Produced] = field(default_factory=dict)

    def target(self, asked: str | None) -> ChipFamily | None:
        """The chip asked for, or else the one compiled for; UsageError where they differ.

        None where it was compiled for a chip file of the user's: its facts are in the ``.cfg``.
        """
        from knightlite import chip_files

        compiled_for = self.program.meta.chip
        if asked is None:
            own = compiled_for.endswith(chip_files.FILE_SUFFIX)
            return None if own else chip_files.find(compiled_for)
        target = chip_files.find(asked)
        if asked != compiled_for and target.digest != self.program.meta.chip_digest:
            raise UsageError(
                f"{self.cfg.name} was compiled for chip {compiled_for}, not for {asked}.",
                f"leave --chip out, or compile for {asked}",
            )
        return target


def find_binary(
    directory: Path,
    cfg: Path | None,
    weight: Path | None,
    talk: Talk = SILENT,
    model: Path | None = None,
) -> Binary:
    """The files as named and beside one that is named, or what ``compile`` left last.

    ``model``: a ``.tsmodel`` instead of the pair.
    """
    from knightlite import container

    if model is not None:
        if cfg is not None or weight is not None:
            raise UsageError(f"{model} holds both files: --config and --weight are unused.")
        path = resolved(directory, model, talk, "tsmodel")
        data = _read(path)
        _require_kind(container.MODEL_MAGIC, path, data)
        found = _both(path, data)
        return replace(found, sources=workspace.hashed(directory, {"tsmodel": path}))
    one, other = _pair(directory, cfg, weight, talk)
    cfg_data, constants = _read(one), _read(other)
    _require_kind(container.CFG_MAGIC, one, cfg_data)
    _require_kind(container.WEIGHT_MAGIC, other, constants)
    program = container.decode_program(cfg_data, constants, one.name, other.name)
    return Binary(one, other, program, workspace.hashed(directory, {"cfg": one, "weight": other}))


def _pair(directory: Path, cfg: Path | None, weight: Path | None, talk: Talk) -> tuple[Path, Path]:
    """The two files; of a pair of which one is named the other is the one beside it."""
    named = {"cfg": cfg, "weight": weight}
    found = {
        key: find_file(directory, "compile", key, path, talk)
        for key, path in named.items()
        if path is not None or cfg is weight
    }
    for key, suffix, option in (("cfg", ".cfg", "--config"), ("weight", ".weight", "--weight")):
        if key not in found:
            (given,) = found.values()
            beside = given.with_suffix(suffix)
            if not beside.is_file():
                _require_whole(given, option)  # a damaged one needs no partner
                raise UsageError(
                    f"{beside} is not there, which belongs to {given}.",
                    joined_hints(
                        near_path(beside, endings=(suffix,)), f"name it with {option} FILE"
                    ),
                )
            found[key] = beside
    return found["cfg"], found["weight"]


def _require_whole(given: Path, missing: str) -> None:
    """FormatError for one file of a pair that is cut off or damaged; ``missing``: the other's."""
    from knightlite import container

    magic = container.WEIGHT_MAGIC if missing == "--config" else container.CFG_MAGIC
    data = _read(given)
    _require_kind(magic, given, data)
    container.read_sections(magic, data, given.name)


def _require_kind(magic: bytes, path: Path, data: bytes) -> None:
    """UsageError for a sound file of another kind: it was named in the wrong place."""
    from knightlite.container.sections import KINDS
    from knightlite.frontend.model_files import SUFFIXES

    found = data[: len(magic)]
    if found == magic:
        return
    if found in KINDS:
        raise UsageError(
            f"{path} is a {KINDS[found]} file, not a {KINDS[magic]} file.",
            "sim, profile and deploy take the pair with --config and --weight, a .tsmodel with "
            "--model",
        )
    what = "" if magic.startswith(data[:8]) and data else content_of(data)
    if what:
        sentence = f"{path} is {what}, not a {KINDS[magic]} file."
        if not data:
            raise FormatError(sentence, "compile the model again")
        raise UsageError(sentence, "compile writes such a file")
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(
            f"{path} holds a network that is not compiled: it is no {KINDS[magic]} file.",
            f"`knightlite compile --onnx {path}` leaves X_r.cfg and X_r.weight of a quantized one",
        )


def open_binary(compiled: File | CompiledModel, weight: File | None = None) -> Binary:
    """The two files of a compiled network: paths, their bytes, or what compiling gave.

    A ``.tsmodel`` holds both. ``weight`` None: beside a ``.cfg`` path, under the same name.
    UsageError, FormatError.
    """
    from knightlite import container

    if isinstance(compiled, CompiledModel):
        if weight is not None:
            raise UsageError("a compiled model brings its own weights: leave weight out.")
        cfg_path, cfg = Path(COMPILE_FILES["cfg"].format(compiled.name)), compiled.cfg
        weight_path, constants = weights_beside(cfg_path), compiled.weight
    else:
        cfg_path, cfg = _content(compiled, "network.cfg")
        if not cfg.startswith(container.MODEL_MAGIC):
            _require_kind(container.CFG_MAGIC, cfg_path, cfg)
        if cfg.startswith(container.MODEL_MAGIC):
            if weight is not None:
                raise UsageError(
                    f"{cfg_path.name} is a .tsmodel, which holds both files: leave weight out."
                )
            return _both(cfg_path, cfg)
        if weight is None:
            if isinstance(compiled, bytes):
                raise UsageError("the bytes of a .cfg need those of its .weight.")
            weight = weights_beside(Path(compiled))
        weight_path, constants = _content(weight, "network.weight")
    program = container.decode_program(cfg, constants, cfg_path.name, weight_path.name)
    return Binary(cfg_path, weight_path, program)


def _both(path: Path, data: bytes) -> Binary:
    """A ``.tsmodel``, which holds the pair."""
    from knightlite import container

    cfg = path.with_suffix(".cfg")
    return Binary(cfg, weights_beside(cfg), container.decode_model(data, path.name))


def _content(file: File, name: str) -> tuple[Path, bytes]:
    if isinstance(file, bytes):
        return Path(name), file
    path = Path(file)
    if not path.is_file():
        raise not_there("file", path, "compile writes X_r.cfg and X_r.weight")
    return path, _read(path)


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise unreadable("file", path, error) from error
