"""A golden model and the ``.cfg`` it goes with find each other by hash: names say nothing."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from knightlite.api.models.notes import pair_of
from knightlite.api.models.stage_files import COMPILE_FILES, sibling
from knightlite.errors import KnightliteError, UsageError

LISTED = 8  # files that a sentence names


def golden_beside(cfg: Path, pair: str) -> Path:
    """The golden model of a ``.cfg``, in the folder of it; UsageError where none is there."""
    from knightlite.frontend import onnx_file

    usual = sibling(cfg, COMPILE_FILES["cfg"], COMPILE_FILES["golden"])
    looked = _in_order(cfg.parent, "*.onnx", usual)
    for path in _naming(looked, pair):
        try:
            model = onnx_file.parse(path.read_bytes(), str(path))
        except KnightliteError:
            continue  # not one of ours, whatever it holds
        if pair_of(model) == pair:
            return path
    if usual is not None and usual.is_file():
        return usual  # whoever reads it says what is wrong with it
    raise UsageError(
        f"the golden model of {cfg} is not beside it: {_looked_at(looked, '.onnx')}.",
        "compile writes it; or name it with --golden",
    )


def cfg_beside(golden: Path, pair: str) -> Path:
    """The ``.cfg`` of a golden model, in the folder of it; UsageError where none is there."""
    from knightlite import container

    usual = sibling(golden, COMPILE_FILES["golden"], COMPILE_FILES["cfg"])
    looked = _in_order(golden.parent, "*.cfg", usual)
    for path in _naming(looked, pair):
        try:
            sections = container.read_sections(container.CFG_MAGIC, path.read_bytes(), path.name)
            meta = container.cfg_description(sections, path.name)
        except KnightliteError:
            continue
        if meta.pair == pair:
            return path
    if usual is not None and usual.is_file():
        return usual
    raise UsageError(
        f"the golden model {golden} reads and writes integers, and its .cfg, which tells their "
        f"scales, is not beside it: {_looked_at(looked, '.cfg')}.",
        "keep X_golden.onnx, X_r.cfg and X_r.weight together, as compile leaves them",
    )


def _in_order(folder: Path, pattern: str, usual: Path | None) -> list[Path]:
    """The files of a kind, the one with the usual name first."""
    return sorted(folder.glob(pattern), key=lambda path: (path != usual, path.name))


def _naming(paths: list[Path], pair: str) -> Iterator[Path]:
    """Those whose bytes hold the hash: a search costs little, reading a network does not."""
    for path in paths:
        if not path.is_file() or path.stat().st_size == 0:
            continue
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            found = content.find(pair.encode()) >= 0
        if found:
            yield path


def _looked_at(paths: list[Path], ending: str) -> str:
    if not paths:
        return f"no {ending} file is there"
    more = ", ..." if len(paths) > LISTED else ""
    listed = ", ".join(path.name for path in paths[:LISTED])
    return f"none of the {ending} files there carries its hash ({listed}{more})"
