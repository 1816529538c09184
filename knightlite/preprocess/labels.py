"""Files of labels: the classes in the order of a network's scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from knightlite import limits
from knightlite.errors import DataError, UsageError, unreadable
from knightlite.preprocess.folder import ImageFolder
from knightlite.reading import read_text


class _Entry(NamedTuple):
    line: int  # from 1
    place: int  # among the scores
    name: str


def read_labels(path: Path) -> tuple[str, ...]:
    """One class a line, by index; or on every line ``idx:name``, as Knight's files have it.

    A class that numbers leave out is called by its index. UsageError where there is no such file,
    DataError for what is none.
    """
    named = {index: name for _, index, name in _entries(path)}
    return tuple(named.get(index, str(index)) for index in range(max(named) + 1))


def counted_from_one(path: Path) -> int:
    """How many classes a file of ``idx:name`` numbers from 1 without a gap, else 0."""
    indices = sorted(index for _, index, _ in _entries(path))
    return len(indices) if indices == [*range(1, len(indices) + 1)] else 0


def misfit(path: Path, scores: int) -> tuple[str, str]:
    """Why a file has not one class for each of the scores: a sentence's end, and a hint."""
    if counted_from_one(path) == scores:
        return "the file counts classes from 1, scores from 0", "the first class has the index 0"
    twice = _twice(_entries(path))
    if twice and len(read_labels(path)) > scores:
        return f"{twice} of the file", "one line for each class"
    return (
        "the names may be those of another network",
        "name a file of as many lines as there are scores",
    )


def _entries(path: Path) -> list[_Entry]:
    """The classes that a file names. Errors: as ``read_labels`` raises."""
    try:
        lines = [line.strip() for line in read_text(path).removeprefix("\ufeff").splitlines()]
    except OSError as error:
        raise unreadable("labels file", path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"labels file {path} cannot be read: it is not UTF-8 text.") from error
    parts = [(place, *line.partition(":")) for place, line in enumerate(lines, 1) if line]
    if not parts:
        raise DataError(f"labels file {path} is empty.", "one class a line, or idx:name")
    found: dict[int, _Entry] = {}
    for line, text, sign, name in parts:
        index = _number(text) if sign else None
        if index is None:
            last = parts[-1][0]
            return [
                _Entry(place + 1, place, name or str(place))
                for place, name in enumerate(lines[:last])
            ]
        entry = _Entry(line, index, name.strip())
        found.setdefault(index, entry)
    for line, text, _, name in parts:
        first = found[int(text)]
        if first.name != name.strip():
            raise DataError(
                f"lines {first.line} and {line} of labels file {path} give one number, "
                f"{first.place}, to {first.name} and to {name.strip()}.",
                "idx:name, with an index of its own for each class, from 0 up",
            )
    if max(found) >= limits.LABELS:  # a list is as long as its largest number
        raise DataError(
            f"labels file {path} numbers a class {max(found)}, more than {limits.LABELS - 1}."
        )
    return list(found.values())


def _twice(entries: Sequence[_Entry]) -> str:
    """The first name that stands twice, and where; "" where none does."""
    seen: dict[str, int] = {}
    for line, _, name in entries:
        if seen.setdefault(name, line) != line:
            return f"{name} stands on lines {seen[name]} and {line}"
    return ""


def class_places(folder: ImageFolder, path: Path | None) -> tuple[int, ...]:
    """The place among the scores of every class folder: the line that is, or begins with, its name.

    Without a file of labels: their own order. UsageError where there are labels, but no folders of
    classes; DataError where a folder is on no line.
    """
    classes = folder.classes
    if path is None:
        return tuple(range(len(classes)))
    if not classes:
        raise UsageError(
            f"{folder.directory} has no folders of classes, which --labels would order.",
            "one sub-folder per class, called as a line of the labels begins",
        )
    places: dict[str, int] = {}
    labels = read_labels(path)
    twice = _twice([entry for entry in _entries(path) if entry.name in classes])
    if twice:
        raise DataError(
            f"{twice} of labels file {path}: which score is that class's is not known.",
            "one line for each class, in the order of the scores",
        )
    for place, label in enumerate(labels):
        places.setdefault(label.split()[0] if label else "", place)
    places.update({label: place for place, label in enumerate(labels)})
    unknown = [name for name in classes if name not in places]
    if unknown:
        raise DataError(
            f"{len(unknown)} of {len(classes)} class folders are not in {path}, such as "
            f"{unknown[0]}.",
            "one class a line, in the order of the scores, beginning with its folder's name",
        )
    return tuple(places[name] for name in classes)


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
