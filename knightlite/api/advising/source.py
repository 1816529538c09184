"""The quantized model that a program was compiled from, and how: what advice compiles again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from knightlite import workspace
from knightlite.api.models.binary import Binary
from knightlite.errors import KnightliteError, UsageError, not_there
from knightlite.workspace import Record, Workspace


@dataclass(frozen=True, slots=True)
class Source:
    """``path`` None: ``why`` there is none to compile again, a sentence; ``changed``: since then.

    ``compiled`` and ``quantized``: the records of the runs that made the program and its model,
    where there are such.
    """

    path: Path | None
    why: str = ""
    compiled: Record | None = None
    quantized: Record | None = None
    changed: bool = False


def source_of(binary: Binary, given: Path | None, directory: Path) -> Source:
    """Where the model is, by its hash in the ``.cfg``; UsageError where ``given`` is another."""
    from knightlite.frontend.model_kind import ModelKind, of_kind

    meta = binary.program.meta
    if given is not None:
        if not given.is_file():
            raise not_there(
                "quantized model",
                given,
                "quant leaves X_quantize.onnx",
                fits=of_kind(ModelKind.QDQ),
            )
        if workspace.sha256_of(given) != meta.model_sha256:
            raise UsageError(
                f"{given} is not the model that {binary.cfg.name} was compiled from: it has another"
                " SHA-256.",
                "leave --onnx out, or compile it first",
            )
    try:
        space = workspace.open_workspace(directory)
    except KnightliteError as error:
        return Source(given, "" if given is not None else error.sentence)
    compiled = _made(space, binary)
    known = list(dict.fromkeys(_recorded(space, meta.model_sha256)))
    quantized = next(
        (run for run in reversed(space.records) if run.stage == "quant" and _left(run, meta)), None
    )
    if given is not None:
        return Source(given.resolve(), "", compiled, quantized)
    for path in known:
        if path.is_file() and workspace.sha256_of(path) == meta.model_sha256:
            return Source(path.resolve(), "", compiled, quantized)
    name = "the model that it was compiled from"
    if known:
        if known[0].is_file():
            why = f"{known[0]}, {name}, has changed since: compile it again, or name the one of "
            why += "then with --onnx FILE"
            return Source(None, why, changed=True)
        return Source(None, f"{known[0]}, {name}, is gone: name it with --onnx FILE")
    return Source(None, f"no record says where {name} is: name it with --onnx FILE")


def _left(run: Record, meta: object) -> bool:
    sha256 = getattr(meta, "model_sha256", "")
    entry = run.files.get("onnx")
    return entry is not None and entry.sha256 == sha256


def _made(space: Workspace, binary: Binary) -> Record | None:
    """The last run of ``compile`` that left these files."""
    hashes = {entry.sha256 for entry in binary.sources.values()}
    runs = (run for run in reversed(space.records) if run.stage == "compile")
    return next((run for run in runs if hashes & {e.sha256 for e in run.files.values()}), None)


def _recorded(space: Workspace, sha256: str) -> Iterator[Path]:
    """Where records have a file with this content."""
    for run in reversed(space.records):
        for entry in (*run.sources.values(), *run.files.values()):
            if entry.sha256 == sha256:
                yield space.directory / entry.path


def without(words: Iterable[str], flags: Iterable[str]) -> list[str]:
    """Words of a command without these options and their values."""
    dropped, kept, skips = frozenset(flags), [], False
    for word in words:
        if word.startswith("-") and not word.lstrip("-").replace(".", "", 1).isdigit():
            skips = word in dropped
        if not skips:
            kept.append(word)
    return kept
