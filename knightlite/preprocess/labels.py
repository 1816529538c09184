"""Files of labels: the classes in the order of a network's scores."""

from __future__ import annotations

from pathlib import Path

from knightlite import limits
from knightlite.errors import DataError, UsageError, unreadable
from knightlite.preprocess.folder import ImageFolder
from knightlite.reading import read_text


def read_labels(path: Path) -> tuple[str, ...]:
    """One class a line, by index; or on every line ``idx:name``, as Knight's files have it.

    A class that numbers leave out is called by its index. UsageError where there is no such file,
    DataError for what is none.
    """
    try:
        lines = [line.strip() for line in read_text(path).removeprefix("\ufeff").splitlines()]
    except OSError as error:
        raise unreadable("labels file", path, error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"labels file {path} cannot be read: it is not UTF-8 text.") from error
    pairs = [line.partition(":") for line in lines if line]
    if not pairs:
        raise DataError(f"labels file {path} is empty.", "one class a line, or idx:name")
    numbers = [_number(text) if sign else None for text, sign, _ in pairs]
    if None in numbers:
        while not lines[-1]:
            lines.pop()
        return tuple(line or str(index) for index, line in enumerate(lines))
    named = {number: name.strip() for number, (*_, name) in zip(numbers, pairs, strict=True)}
    count = max(number for number in named if number is not None) + 1
    if count > limits.LABELS:  # a list is as long as its largest number
        raise DataError(
            f"labels file {path} numbers a class {count - 1}, more than {limits.LABELS - 1}."
        )
    return tuple(named.get(index, str(index)) for index in range(count))


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
