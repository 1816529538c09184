"""Files that a stage left: as named, by a bare name through the manifest, or the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from knightlite import workspace
from knightlite.errors import Fits, not_there
from knightlite.talk import Talk


def resolved(
    directory: Path, path: Path, talk: Talk, key: str = "", fits: Fits | None = None
) -> Path:
    """``path``; a bare name that is absent in ``directory`` through its manifest, which is said.

    ``key``: of the files that are meant, where only those are; ``fits``: as ``workspace.resolve``
    takes it. UsageError where it is nowhere.
    """
    space = workspace.open_workspace(directory)
    found, sentence = workspace.resolve(space, path, key, fits=fits)
    if sentence:
        talk.say(sentence)
    return found


def find_file(
    directory: Path,
    stage: str,
    key: str,
    named: Path | None,
    talk: Talk,
    fits: Fits | None = None,
) -> Path:
    """The file ``key`` of a stage: as named, through the manifest, or what the stage left last.

    UsageError where there is none.
    """
    if named is not None:
        path = resolved(directory, named, talk, key, fits)
    else:
        found = workspace.latest(workspace.open_workspace(directory), stage, key)
        path = found.path
        talk.say(found.sentence)
    if not path.is_file():
        raise not_there("file", path)
    return path


def find_last(directory: Path, keys: Mapping[str, str], talk: Talk) -> Path:
    """What the last run of any of these stages left, by the key of its file; which is said.

    UsageError where none of them has run here, of the first.
    """
    space = workspace.open_workspace(directory)
    stages = (run.stage for run in reversed(space.records) if run.stage in keys)
    stage = next(stages, next(iter(keys)))
    return find_file(directory, stage, keys[stage], None, talk)


def find_quantized(directory: Path, named: Path | None, talk: Talk) -> Path:
    """The quantized model: as named, through the manifest, or what ``quant`` left last."""
    from knightlite.frontend.model_kind import ModelKind, of_kind

    return find_file(directory, "quant", "onnx", named, talk, of_kind(ModelKind.QDQ))
