"""An annotation file in COCO's format: which boxes lie in which picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError, unreadable
from knightlite.reading import json_value, read_text

Array = NDArray[Any]
HINT = "an object with the lists images, annotations and categories, as COCO's instances_*.json"


@dataclass(frozen=True, slots=True)
class Truth:
    """The boxes of one picture.

    ``boxes`` [n, 4] are left, top, right, bottom in pixels, ``quads`` [n, 4, 2] the corners in
    their order (of a segmentation of four, else the box's), ``categories`` [n] COCO's numbers.
    """

    boxes: Array
    quads: Array
    categories: Array


@dataclass(frozen=True, slots=True)
class Annotations:
    """A file that is read. ``categories``: COCO's numbers of the classes, in rising order."""

    path: Path
    content: Mapping[str, Any] = field(repr=False)
    categories: tuple[int, ...]
    numbers: Mapping[str, tuple[tuple[str, int], ...]] = field(repr=False)
    truths: Mapping[int, Truth] = field(repr=False)

    def number_of(self, picture: Path) -> int:
        """The picture's number: by its file name, by its folders where several share that.

        DataError where the file does not name it, or cannot tell it from another.
        """
        found = self.numbers.get(picture.name, ())
        what = "names several pictures like" if found else "does not name"
        if len(found) > 1:
            place = picture.resolve().as_posix()
            found = tuple(item for item in found if place.endswith(f"/{item[0].lstrip('./')}"))
        if len(found) == 1:
            return found[0][1]
        raise DataError(
            f"{self.path} {what} {picture}.", "evaluate a folder of the pictures that it annotates"
        )

    def category(self, place: int) -> int:
        """COCO's number of the class at a place of the network's list; DataError beyond it."""
        if 0 <= place < len(self.categories):
            return self.categories[place]
        raise DataError(
            f"it returned class {place}, but {self.path} has {len(self.categories)} categories.",
            "give places from 0 up in the list of categories, by rising id",
        )


def read_annotations(path: Path) -> Annotations:
    """A file in COCO's format. DataError where it is not one.

    Boxes that COCO marks as crowds are left out, as they stand for no single object.
    """
    try:
        content = json_value(read_text(path))
    except OSError as error:
        raise unreadable("annotation file", path, error, HINT) from None
    except ValueError as error:
        raise DataError(f"the annotations {path} cannot be read: {error}.", HINT) from None
    try:
        numbers: dict[str, list[tuple[str, int]]] = {}
        for entry in content["images"]:
            name = str(entry["file_name"])
            numbers.setdefault(Path(name).name, []).append((name, int(entry["id"])))
        categories = sorted(int(entry["id"]) for entry in content["categories"])
        rows: dict[int, list[tuple[list[float], list[list[float]], int]]] = {}
        for entry in content["annotations"]:
            if not entry.get("iscrowd"):
                left, top, width, height = map(float, entry["bbox"])
                box = [left, top, left + width, top + height]
                rows.setdefault(int(entry["image_id"]), []).append(
                    (box, _quad(entry, box), int(entry["category_id"]))
                )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        told = f"has no {error}" if isinstance(error, KeyError) else f"is damaged: {error}"
        raise DataError(f"{path}, which should hold annotations, {told}.", HINT) from None
    return Annotations(
        path,
        content,
        tuple(categories),
        {name: tuple(found) for name, found in numbers.items()},
        {number: _truth(found) for number, found in rows.items()},
    )


def _quad(entry: Mapping[str, Any], box: list[float]) -> list[list[float]]:
    """The corners of a segmentation of four, else those of the box."""
    shapes = entry.get("segmentation")
    if isinstance(shapes, list) and len(shapes) == 1 and len(shapes[0]) == 8:
        flat = [float(value) for value in shapes[0]]
        return [flat[at : at + 2] for at in range(0, 8, 2)]
    left, top, right, bottom = box
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def _truth(rows: list[tuple[list[float], list[list[float]], int]]) -> Truth:
    boxes, quads, categories = zip(*rows, strict=True)
    return Truth(np.array(boxes), np.array(quads), np.array(categories))


NOTHING = Truth(np.zeros((0, 4)), np.zeros((0, 4, 2)), np.zeros(0, np.int64))
"""Of a picture in which nothing is annotated."""
