"""The manifest ``knightlite.json`` of a working folder: what each stage left there, with hashes.

A stage records the files it made; the next stage, called without options, takes what the last one
left. A recorded file that has changed or is gone is refused, never taken silently. The manifest
holds no time and no absolute path below its folder: the same commands leave the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightlite import atomic_write
from knightlite.errors import FormatError, UsageError
from knightlite.version import __version__

MANIFEST = "knightlite.json"
FORMAT = 1
STAGES = ("quant", "compile", "sim", "profile")
Options = Mapping[str, Any]  # what JSON can hold


@dataclass(frozen=True, slots=True)
class Produced:
    """A file that a stage made: its path as recorded (relative below the folder) and its hash."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Record:
    """One run of a stage. ``files`` maps a key ("onnx", "cfg", "weight", ...) to the file."""

    stage: str
    chip: str
    version: str
    options: Options
    files: Mapping[str, Produced]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder and the records of its manifest, oldest first."""

    directory: Path
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A file taken from the manifest, the record it is in, and the sentence that says so."""

    path: Path
    record: Record
    sentence: str


def open_workspace(directory: str | Path = ".") -> Workspace:
    """The manifest of a folder; empty where there is none. FormatError where it is damaged."""
    directory = Path(directory)
    path = directory / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Workspace(directory, ())
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", _REMEDY) from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"{path} is damaged: {error}.", _REMEDY) from error
    if not isinstance(data, dict) or "format" not in data:
        raise FormatError(f"{path} is not a manifest of knightlite.", _REMEDY)
    if data["format"] != FORMAT:
        raise FormatError(f"{path} has format {data['format']}, not {FORMAT}.", _REMEDY)
    try:
        return Workspace(directory, tuple(_record(item) for item in data["records"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"{path} is damaged: a record is incomplete ({type(error).__name__}: {error}).", _REMEDY
        ) from error


def require_usable(directory: str | Path, out_dir: str | Path) -> Workspace:
    """The manifest, where a stage can leave its files in ``out_dir`` and a record in ``directory``.

    Asked before the work, so that none is done in vain. FormatError, UsageError.
    """
    for folder in (out_dir, directory):
        atomic_write.require_folder(folder)
    return open_workspace(directory)


_REMEDY = f"remove {MANIFEST} and run the stages again, or name each file with its option"


def record(
    directory: str | Path,
    stage: str,
    chip: str,
    options: Options,
    files: Mapping[str, str | Path],
) -> Record:
    """Note a finished stage and the files it made; the manifest is replaced as a whole.

    A run that made the same files as an earlier one of the same stage takes its place.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {STAGES}, not {stage}")
    workspace = open_workspace(directory)
    produced = {
        key: Produced(_recorded_path(workspace.directory, Path(path)), sha256_of(path))
        for key, path in sorted(files.items())
    }
    new = Record(stage, chip, __version__, dict(options), produced)
    kept = [item for item in workspace.records if not _same_outcome(item, new)]
    text = json.dumps(
        {"format": FORMAT, "records": [_as_json(item) for item in [*kept, new]]},
        indent=2,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
    )
    atomic_write.write_text(workspace.directory / MANIFEST, text + "\n")
    return new


def latest(workspace: Workspace, stage: str, key: str) -> Found:
    """The file ``key`` of the last run of ``stage``; it must be as that run left it.

    UsageError where no such run is recorded, where the file is gone or where it has changed.
    """
    for item in reversed(workspace.records):
        if item.stage == stage and key in item.files:
            path = _checked(workspace, item, key)
            return Found(path, item, f"{path} is taken: {stage} left it here last.")
    raise UsageError(
        f"no file is named, and {workspace.directory / MANIFEST} records no {stage} run.",
        f"name the file with its option, or run {stage} here first",
    )


def resolve(workspace: Workspace, path: str | Path) -> tuple[Path, str]:
    """An existing path as it is; a bare file name that is absent here, through the manifest.

    Returns the path and the sentence that says where it was found ("" where it was simply there).
    UsageError where it is nowhere, or where the recorded file is gone or has changed.
    """
    path = Path(path)
    if (workspace.directory / path).is_dir():
        raise UsageError(f"{path} is a folder, not a file.", "name the file inside it")
    if (workspace.directory / path).exists():
        return workspace.directory / path, ""
    if path.name == str(path):
        for item in reversed(workspace.records):
            for key, produced in item.files.items():
                if Path(produced.path).name == path.name:
                    found = _checked(workspace, item, key)
                    return found, f"{path} is not here; {found} is taken, which {item.stage} left."
    known = sorted(
        {Path(entry.path).name for item in workspace.records for entry in item.files.values()}
    )
    near = [name for name in known if Path(name).suffix == path.suffix]
    raise UsageError(
        f"file {path} does not exist.",
        f"the stages run here left {', '.join(near)}" if near else "",
    )


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _checked(workspace: Workspace, item: Record, key: str) -> Path:
    """The file's path, its hash compared with the recorded one."""
    produced = item.files[key]
    path = workspace.directory / produced.path
    if not path.is_file():
        raise UsageError(
            f"{path}, which {item.stage} left, is gone.", f"run {item.stage} again, or name a file"
        )
    if sha256_of(path) != produced.sha256:
        raise UsageError(
            f"{path} has changed since {item.stage} left it.",
            f"run {item.stage} again, or name the file with its path to take it as it is",
        )
    return path


def _recorded_path(directory: Path, path: Path) -> str:
    """Relative below the folder, absolute elsewhere; with forward slashes."""
    home, target = directory.resolve(), path.resolve()
    if target.is_relative_to(home):
        return target.relative_to(home).as_posix()
    return Path(os.path.abspath(target)).as_posix()


def _same_outcome(old: Record, new: Record) -> bool:
    return old.stage == new.stage and _paths(old) == _paths(new)


def _paths(item: Record) -> set[str]:
    return {produced.path for produced in item.files.values()}


def _record(data: Mapping[str, Any]) -> Record:
    files = {
        key: Produced(_text(value["path"]), _text(value["sha256"]))
        for key, value in data["files"].items()
    }
    options = dict(data["options"])
    return Record(_text(data["stage"]), _text(data["chip"]), _text(data["version"]), options, files)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {value!r}")
    return value


def _as_json(item: Record) -> dict[str, Any]:
    return {
        "stage": item.stage,
        "chip": item.chip,
        "version": item.version,
        "options": item.options,
        "files": {
            key: {"path": produced.path, "sha256": produced.sha256}
            for key, produced in item.files.items()
        },
    }
