"""The manifest ``knightlite.json`` of a working folder: what each stage left there, with hashes.

A stage records the files it made and those it made them from; the next stage, called without
options, takes what the last one left. A recorded file that has changed or is gone is refused, and
so is one whose sources have changed since: never is one taken silently. The manifest holds no time
and no absolute path below its folder: the same commands leave the same bytes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from knightlite import atomic_write, json_records
from knightlite.errors import (
    Fits,
    FormatError,
    UsageError,
    listed_beside,
    near_names,
    near_path,
    not_there,
    nothing_beside,
)
from knightlite.json_records import Hexadecimal
from knightlite.reading import open_regular, read_text
from knightlite.version import __version__

MANIFEST = atomic_write.MANIFEST
FORMAT: Literal[2] = 2
Stage = Literal["quant", "compile", "sim", "profile"]
STAGES: tuple[Stage, ...] = get_args(Stage)
ABOVE, INSIDE = 2, 50  # folders in which a manifest is looked for that is not here
QUANT = "knightlite quant -m MODEL -d PICTURES --recipe NAME"
FEEDS = {"compile": ("quant", "onnx")}  # a stage, the one before it, and the file it takes of it
SOURCE_OPTIONS = {  # the option that names a stage's first source, and that source
    "quant": ("-m", "model"),
    "compile": ("--onnx", "onnx"),
    "sim": ("--config", "cfg"),
    "profile": ("--config", "cfg"),
}
DATA_OPTIONS = {  # of quant: what names its data again, as its records keep them below "source"
    "script": "-uds",
    "function": "-if",
    "data": "-d",
    "recipe": "--recipe",
    "labels": "--labels",
    "iteration": "-i",
}
Options = Mapping[str, Any]  # what JSON can hold


@dataclass(frozen=True, slots=True)
class Produced:
    """A file that a stage made or read."""

    path: str = json_records.key(
        "relative below the folder, absolute elsewhere; with forward slashes"
    )
    sha256: Annotated[str, Hexadecimal(64)] = json_records.key("of its bytes")


@dataclass(frozen=True, slots=True)
class Record:
    """One run of a stage."""

    stage: Stage = json_records.key("which")
    chip: str = json_records.key("chip name")
    version: str = json_records.key("of knightlite")
    options: Options = json_records.key("what was asked for")
    files: Mapping[str, Produced] = json_records.key("files that it made")
    sources: Mapping[str, Produced] = json_records.key("files that it made them from")
    tensors: Mapping[str, str] | None = json_records.key(
        "of files that hold a tensor: its name, by the keys of `files`", default=None
    )
    kernels: str | None = json_records.key(
        "of `quant`: ONNX Runtime's version and the processor whose float kernels it chose",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder's ``knightlite.json`` holds; it holds no time."""

    format: Literal[2] = json_records.key("of the manifest")
    records: tuple[Record, ...] = json_records.key("oldest first")


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
        text = read_text(path)
    except FileNotFoundError:
        return Workspace(directory, ())
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", _REMEDY) from error
    data = json_records.parse_json(text, str(path), _REMEDY)
    if not isinstance(data, dict) or "format" not in data:
        raise FormatError(f"{path} is not a manifest of knightlite.", _REMEDY)
    if data["format"] != FORMAT:
        found = json_records.shown(data["format"])
        raise FormatError(f"{path} has format {found}, not {FORMAT}.", _REMEDY)
    return Workspace(directory, json_records.from_json(Manifest, data, str(path), _REMEDY).records)


def require_usable(directory: str | Path, out_dir: str | Path) -> Workspace:
    """The manifest, where a stage can leave its files in ``out_dir`` and a record in ``directory``.

    Asked before the work, so that none is done in vain. FormatError, UsageError.
    """
    for folder in (out_dir, directory):
        atomic_write.require_folder(folder)
    return open_workspace(directory)


_REMEDY = f"remove {MANIFEST}; without it run the stages again, or name each file with its option"


def record(
    directory: str | Path,
    stage: Stage,
    chip: str,
    options: Options,
    files: Mapping[str, str | Path],
    sources: Mapping[str, Produced],
    tensors: Mapping[str, str] | None = None,
    kernels: str | None = None,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Record:
    """Note a finished stage and the files it made; the manifest is replaced as a whole.

    ``sources``: what it made them from, as :func:`hashed` had it before the work; ``tensors``: what
    files hold, by their keys; ``kernels``: what computed floats. A run that made
    the same files as an earlier one of the same stage takes its place. ``warn`` is called where
    files were written over that were of another chip or another network.
    """
    if stage not in STAGES:
        raise ValueError(f"stage must be one of {STAGES}, not {stage}")
    produced = hashed(directory, files)
    new = Record(stage, chip, __version__, dict(options), produced, sources, tensors, kernels)
    with atomic_write.locked(directory):  # another run may be noting its own
        before = open_workspace(directory)
        _add(before, new)
    told = replaced(before, new)
    if told:
        warn(told)
    return new


def replaced(before: Workspace, new: Record) -> str:
    """What a run has written over that was not its own: of another chip, or another network.

    A sentence; "" where nothing was, or the files came out the same.
    """
    last = {entry.path: run for run in before.records for entry in run.files.values()}
    hashes = {entry.path: entry.sha256 for run in before.records for entry in run.files.values()}
    lost = [
        (entry.path, last[entry.path])
        for entry in new.files.values()
        if entry.path in last
        and hashes[entry.path] != entry.sha256
        and _made_for(last[entry.path]) != _made_for(new)
    ]
    if not lost:
        return ""
    paths, run = sorted(path for path, _ in lost), lost[-1][1]
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return (
        f"{before.directory / paths[0]}{more} held what {run.stage} had made of "
        f"{' for '.join(_made_for(run))}, and now what it makes of "
        f"{' for '.join(_made_for(new))}. Hint: -s DIR keeps both"
    )


def _made_for(run: Record) -> tuple[str, str]:
    """The network that a run was about, and the chip."""
    key = SOURCE_OPTIONS[run.stage][1]
    source = run.sources.get(key)
    return source.path if source else str(run.options.get(key, "a network")), run.chip


def _add(workspace: Workspace, new: Record) -> None:
    """Replace the manifest by one with ``new`` as its last record."""
    kept = [item for item in workspace.records if not _same_outcome(item, new)]
    text = json.dumps(
        json_records.to_json(Manifest(FORMAT, (*kept, new))),
        indent=2,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
    )
    atomic_write.write_manifest(workspace.directory, text + "\n")


def hashed(directory: str | Path, files: Mapping[str, str | Path]) -> dict[str, Produced]:
    """Files as they are now; what is not there is left out."""
    return {
        key: Produced(_recorded_path(Path(directory), Path(path)), sha256_of(path))
        for key, path in sorted(files.items())
        if Path(path).is_file()
    }


def latest(workspace: Workspace, stage: str, key: str) -> Found:
    """The file ``key`` of the last run of ``stage``; it must be as that run left it.

    UsageError where no such run is recorded, where the file is gone or has changed, and where what
    it was made from has changed, or the stage before it has left something else since.
    """
    for item in reversed(workspace.records):
        if item.stage == stage and key in item.files:
            path = recorded_file(workspace, item, key)
            old = stale(workspace, item) or _superseded(workspace, item)
            if old is not None:
                raise old.refusal(path)
            return Found(path, item, f"{path} is taken: {stage} left it here last.")
    raise UsageError(
        f"no file is named, and {unrecorded(workspace, stage)}.", first_run(workspace, stage)
    )


def unrecorded(workspace: Workspace, stage: str) -> str:
    """That no run of a stage is recorded, as a clause: by an absent manifest, or by what it has."""
    path = workspace.directory / MANIFEST
    if not path.is_file():
        return f"there is no {path}, where stages note their files"
    return f"{path} records no {stage} run"


def _manifest_near(directory: Path) -> Path | None:
    """The manifest of the nearest folder above, or else of the first one inside."""
    above = (folder / MANIFEST for folder in directory.absolute().parents[:ABOVE])
    inside = sorted(itertools.islice(directory.glob(f"*/{MANIFEST}"), INSIDE))
    return next((path for path in (*above, *inside) if os.path.isfile(path)), None)


def first_run(workspace: Workspace, stage: str) -> str:
    """The hint where no run of ``stage`` is recorded: those from ``quant`` on that are not."""
    commands = [] if any(item.stage == "quant" for item in workspace.records) else [QUANT]
    if stage != "quant":
        commands.append(f"knightlite {stage}")
    listed = " and then ".join(f"`{command}`" for command in commands or [QUANT])
    there = None if workspace.records else _manifest_near(workspace.directory)
    where = f"stages have run in {there.parent}: go there; or " if there is not None else ""
    return f"{where}name the file with its option, or run {listed} here first"


def of_content(workspace: Workspace, stage: str, key: str, sha256: str) -> Found | None:
    """The file ``key`` of the last run of ``stage`` that left it with this hash; else None.

    UsageError where it is gone, has changed or is out of date.
    """
    for at, item in reversed(list(enumerate(workspace.records))):
        if item.stage == stage and key in item.files and item.files[key].sha256 == sha256:
            path = recorded_file(workspace, item, key)
            old = stale(workspace, item)
            if old is not None:
                raise old.refusal(path)
            last = not any(run.stage == stage for run in workspace.records[at + 1 :])
            which = f"{stage} left it here last" if last else "what came of it is here"
            return Found(path, item, f"{path} is taken: {which}.")
    return None


def left_in(workspace: Workspace, stage: str, folder: Path) -> Record | None:
    """The last run of ``stage`` of which a file lies in ``folder`` as it was left; else None."""
    for item in reversed(workspace.records):
        for produced in item.files.values() if item.stage == stage else ():
            path = workspace.directory / produced.path
            own = path.resolve().parent == folder.resolve()
            if own and path.is_file() and sha256_of(path) == produced.sha256:
                return item
    return None


def resolve(
    workspace: Workspace,
    path: str | Path,
    wanted: str = "",
    with_sha256: str | None = None,
    fits: Fits | None = None,
) -> tuple[Path, str]:
    """An existing path as it is; a bare file name that is absent here, through the manifest.

    ``wanted``: the key of the files that are meant, where only those are; ``fits``: whether a file
    that no stage has left is such a one. ``with_sha256``: of
    several files of that name the one of a run that left a file with this hash too. Returns the
    path and the sentence that says where it was found ("" where it was simply there).
    UsageError where it is nowhere, or where the recorded file is gone, or has changed, or what it
    was made from has.
    """
    path = Path(path)
    if (workspace.directory / path).is_dir():
        raise not_there("file", path)
    if (workspace.directory / path).exists():
        return workspace.directory / path, _remark(workspace, workspace.directory / path)
    if path.name == str(path):
        newest = reversed(workspace.records)
        for item in sorted(newest, key=lambda run: not _left(run, with_sha256)):
            for key, produced in item.files.items():
                if Path(produced.path).name == path.name:
                    found = recorded_file(workspace, item, key)
                    old = stale(workspace, item)
                    if old is not None:
                        raise old.refusal(found)
                    return found, f"{path} is not here; {found} is taken, which {item.stage} left."
    raise UsageError(f"file {path} does not exist.", _nearest(workspace, path, wanted, fits))


def _left(run: Record, sha256: str | None) -> bool:
    """Whether a run left a file with this hash."""
    return any(produced.sha256 == sha256 for produced in run.files.values())


MAKERS = {  # by how its name ends, the first that fits: what leaves such a file
    "_quantize.onnx": f"`{QUANT}` leaves X_quantize.onnx",
    "_golden.onnx": "`knightlite compile` leaves X_golden.onnx",
    ".cfg": "`knightlite compile` leaves X_r.cfg and X_r.weight",
    ".weight": "`knightlite compile` leaves X_r.cfg and X_r.weight",
    ".tsmodel": "`knightlite compile --tsmodel` leaves X_r.tsmodel",
    ".bin": f"`{QUANT}` leaves inputs/NAME.bin",
}


KEPT_AS = {"onnx": "_quantize.onnx", "cfg": ".cfg", "weight": ".weight", "tsmodel": ".tsmodel"}


def _nearest(workspace: Workspace, path: Path, key: str, fits: Fits | None) -> str:
    """The hint where a file is nowhere: where its name lies, what is near, what leaves such."""
    every = [
        (item.stage, kept, Path(entry.path))
        for item in reversed(workspace.records)
        for kept, entry in item.files.items()
    ]
    left = [(stage, other) for stage, kept, other in every if key in ("", kept)]
    others = {workspace.directory / other for _, other in left}
    others = {workspace.directory / other for _, _, other in every} - others

    def good(found: Path) -> bool:
        return found not in others and (fits is None or fits(found))

    if known := left_elsewhere(workspace, path.name, key):
        return known
    ends = KEPT_AS.get(key, path.name)
    endings = () if key not in KEPT_AS else (Path(ends).suffix or ends,)
    near = near_path(workspace.directory / path, endings=endings, fits=good)
    if near:
        return near
    names = {other.name: str(workspace.directory / other) for _, other in reversed(left)}
    names = {name: found for name, found in names.items() if Path(found).is_file()}
    if found := near_names(path.name, names):
        return f"did you mean {' or '.join(names[name] for name in found)}?"
    alike = sorted({other.name for _, other in left if other.suffix == path.suffix})
    if alike:
        return f"the stages run here left {', '.join(alike)}"
    made = next((made for end, made in MAKERS.items() if ends.endswith(end)), "")
    there = workspace.directory / path
    return listed_beside(there, endings=endings, fits=good) or made or nothing_beside(there)


def left_elsewhere(workspace: Workspace, name: str, key: str = "") -> str:
    """Where a stage left a file of that name that is still there, as a hint; "" for nowhere.

    ``key``: of the files that are meant, where only those are.
    """
    left = (
        (run.stage, workspace.directory / entry.path)
        for run in reversed(workspace.records)
        for kept, entry in run.files.items()
        if key in ("", kept) and Path(entry.path).name == name
    )
    return next((f"{stage} left {found}" for stage, found in left if found.is_file()), "")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a regular file, read in pieces; OSError."""
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def recorded_file(workspace: Workspace, item: Record, key: str) -> Path:
    """The path of a run's file; UsageError where it is gone or has changed since."""
    produced = item.files[key]
    path = workspace.directory / produced.path
    if not path.is_file():
        raise UsageError(
            f"{path}, which {item.stage} left, is gone.",
            f"run {_again(workspace, (item,))}, or name a file",
        )
    if sha256_of(path) != produced.sha256:
        raise UsageError(
            f"{path} has changed since {item.stage} left it.",
            f"run {_again(workspace, (item,))}, or name {path} to take it as it is",
        )
    return path


# ------------------------------------------------------------------ what has been overtaken


@dataclass(frozen=True, slots=True)
class Stale:
    """Why what a run left does not hold any more: a clause, and the runs that make it anew."""

    reason: str
    again: str

    def refusal(self, path: Path, named: bool = False) -> UsageError:
        """The error that says so; ``named``: the user named it, and it is not taken even so."""
        rest = "" if named else f", or name {path} to take it as it is"
        return UsageError(f"{path} is out of date: {self.reason}.", f"run {self.again}{rest}")


def stale(workspace: Workspace, item: Record) -> Stale | None:
    """Whether something that a run's files were made from has changed since, however far back."""
    return _stale(workspace, item, ())


def _stale(workspace: Workspace, item: Record, behind: tuple[Record, ...]) -> Stale | None:
    if item in behind:
        return None
    chain = (item, *behind)
    for source in item.sources.values():
        path = workspace.directory / source.path
        if path.is_file() and sha256_of(path) != source.sha256:
            return Stale(f"{path} has changed since {item.stage} read it", _again(workspace, chain))
    for source in item.sources.values():
        for maker in workspace.records:
            found = _stale(workspace, maker, chain) if source in maker.files.values() else None
            if found is not None:
                return found
    return None


def _superseded(workspace: Workspace, item: Record) -> Stale | None:
    """Whether the stage before has left something else since: then this is of another network."""
    before, key = FEEDS.get(item.stage, ("", ""))
    if key not in item.sources:
        return None
    later = workspace.records[workspace.records.index(item) + 1 :]
    newest = next(
        (run for run in reversed(later) if run.stage == before and key in run.files), None
    )
    if newest is None or newest.files[key].sha256 == item.sources[key].sha256:
        return None
    left = newest.files[key]
    made = replace(item, sources={key: left})
    return Stale(
        f"{before} has left {workspace.directory / left.path} since", _again(workspace, (made,))
    )


def _remark(workspace: Workspace, path: Path) -> str:
    """What to say of a file that is named with its path though no stage left it so.

    It has changed since, or is out of date; "" where neither is, and where no stage left it.
    """
    recorded = _recorded_path(workspace.directory, path)
    runs = [
        (item, produced.sha256)
        for item in reversed(workspace.records)
        for produced in item.files.values()
        if produced.path == recorded
    ]
    if not runs:
        return ""
    digest = sha256_of(path)
    for item, left in runs:
        if left == digest:
            old = stale(workspace, item) or _superseded(workspace, item)
            return f"{path} is taken as it is, though {old.reason}." if old else ""
    return f"{path} is taken as it is, though it has changed since {runs[0][0].stage} left it."


def command_of(item: Record) -> str:
    """What to type for a run of a stage again: its sources, its data, and what else was asked."""
    flag, key = SOURCE_OPTIONS[item.stage]
    source = item.sources[key].path if key in item.sources else str(item.options.get(key, "..."))
    # else the file's; a chip that compile took of the quantized model it takes of it again
    asked = item.options.get("chip", item.chip) if item.stage in ("quant", "compile") else None
    chip = () if asked is None else ("--chip", str(asked))
    words = ["knightlite", *chip, item.stage, flag, source]
    named = item.options.get("source")
    if isinstance(named, dict):
        known = {option: named.get(key) for key, option in DATA_OPTIONS.items()}
        words += [str(word) for pair in known.items() if pair[1] is not None for word in pair]
    more = item.options.get("more")
    words += [str(word) for word in more] if isinstance(more, list) else []
    if item.stage == "sim":
        words += ["--input", str(item.options.get("input", "..."))]
        folder = next((Path(entry.path).parent for entry in item.files.values()), Path())
        words += [] if folder == Path() else ["-s", str(folder)]
    return shlex.join(words)


def _again(workspace: Workspace, runs: tuple[Record, ...]) -> str:
    """The commands of these runs, before them those that make what is gone; what nobody makes.

    A folder that was moved, or pictures that were, leave commands that name nothing any more.
    """
    chain = list(runs)
    while (maker := _maker(workspace, chain[0])) is not None and maker not in chain:
        chain.insert(0, maker)
    commands = " and then ".join(f"`{command_of(item)}`" for item in chain)
    made = {entry.path for item in chain for entry in item.files.values()}
    gone = [
        name
        for item in chain
        for name in _names(item)
        if name not in made and not (workspace.directory / name).exists()
    ]
    if not gone:
        return commands
    return f"{commands}, but with the place where {gone[0]} is now: there is none any more"


def _maker(workspace: Workspace, item: Record) -> Record | None:
    """The last run that left what this one reads, where it is gone."""
    source = item.sources.get(SOURCE_OPTIONS[item.stage][1])
    if source is None or (workspace.directory / source.path).is_file():
        return None
    makers = (run for run in reversed(workspace.records) if source in run.files.values())
    return next(makers, None)


def _names(item: Record) -> list[str]:
    """The files and folders that the command of a run names."""
    _, key = SOURCE_OPTIONS[item.stage]
    source = item.sources.get(key)
    named = [source.path if source is not None else item.options.get(key)]
    data = item.options.get("source")
    if isinstance(data, dict):
        named += [data.get(key) for key in ("script", "data", "labels")]
    return [str(name) for name in named if name is not None]


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
