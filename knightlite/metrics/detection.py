"""Ready measures of detectors. What makes boxes of a network's outputs is the user's function.

It is called with the outputs by name and the picture, and returns boxes in the picture's pixels:
``(boxes, scores, classes)``, ``(boxes, scores)`` or ``boxes`` alone. Boxes are [n, 4], left, top,
right, bottom, of text also [n, 4, 2], corners; classes are places in the list of categories.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError, UsageError
from knightlite.metrics.annotations import NOTHING, Annotations, read_annotations
from knightlite.metrics.overlap import box_overlaps, matches, quad_overlaps

Array = NDArray[Any]
MISSING = "coco_map is counted by pycocotools, which is not installed."


class Located(Protocol):
    """What is known of a picture: at least its file."""

    @property
    def path(self) -> Path | None:
        """The picture's file."""


Decode = Callable[[Mapping[str, Array], Any], Any]


@dataclass(frozen=True, slots=True)
class Boxes:
    """What a decode function gave, the best first: [n, 4] or [n, 4, 2], [n], [n]."""

    places: Array
    scores: Array
    classes: Array


def boxes_of(given: Any, corners: bool = False) -> Boxes:
    """What a decode function returned; DataError where it is no boxes. ``corners``: [n, 4, 2]."""
    parts = given if isinstance(given, tuple) else (given,)
    if not 1 <= len(parts) <= 3:
        raise DataError(f"it returned {len(parts)} arrays where boxes, scores, classes belong.")
    try:
        places = np.asarray(parts[0], np.float64)
        count = len(places)
        scores, classes = (
            np.asarray(parts[at], kind).reshape(-1) if len(parts) > at else np.zeros(count, kind)
            for at, kind in ((1, np.float64), (2, np.int64))
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"it returned no boxes: {' '.join(str(error).split())}.") from None
    if not count:
        places = places.reshape(0, 4)
    if places.shape[1:] not in ((4,), (4, 2)) or (places.ndim == 3 and not corners):
        wanted = "[n, 4] or [n, 4, 2]" if corners else "[n, 4]"
        raise DataError(f"it returned boxes of shape {places.shape}, not {wanted}.")
    if not len(scores) == len(classes) == count:
        raise DataError(
            f"it returned {count} boxes, {len(scores)} scores and {len(classes)} classes."
        )
    if not (np.isfinite(places).all() and np.isfinite(scores).all()):
        raise DataError("it returned a box or a score that is not finite.")
    order = np.argsort(-scores, kind="stable")
    return Boxes(places[order], scores[order], classes[order])


class Detection:
    """What the ready measures share: the user's ``decode`` and the annotations."""

    def __init__(self, decode: Decode, annotations: Path) -> None:
        """Reads the file: DataError where it is not in COCO's format."""
        self._decode = decode
        self._annotations: Annotations = read_annotations(annotations)

    def _found(
        self, outputs: Mapping[str, Array], picture: Located, corners: bool = False
    ) -> tuple[int, Boxes]:
        """The picture's number and what the user's function finds in it."""
        if picture.path is None:
            raise DataError("the data name no picture files, which the annotations go by.",
                            "give a folder of pictures")  # fmt: skip
        number = self._annotations.number_of(picture.path)
        return number, boxes_of(self._decode(outputs, picture), corners)


class _Matched(Detection):
    """Of each picture three counts: boxes that are right, that were found, that were wanted."""

    def total(self, values: Sequence[Sequence[int]]) -> float:
        """Harmonic mean of precision and recall over all pictures; 1 where there is no box."""
        right, found, wanted = np.asarray(values).reshape(-1, 3).sum(axis=0).tolist()
        return 2 * right / (found + wanted) if found + wanted else 1.0


class BoxF1(_Matched):
    """F1 of boxes of the same class that overlap by half, over all pictures. See ``_Matched``."""

    name = "F1"

    def picture(self, outputs: Mapping[str, Array], picture: Located) -> list[int]:
        """Right, found and wanted boxes."""
        number, found = self._found(outputs, picture)
        truth = self._annotations.truths.get(number, NOTHING)
        categories = np.array([self._annotations.category(place) for place in found.classes])
        right = 0
        for kind in np.unique(categories):
            mine, theirs = categories == kind, truth.categories == kind
            right += matches(box_overlaps(found.places[mine], truth.boxes[theirs]))
        return [right, len(categories), len(truth.categories)]


class TextHmean(_Matched):
    """Hmean of text lines, as ICDAR 2015 counts them: quadrangles that overlap by half."""

    name = "hmean"

    def picture(self, outputs: Mapping[str, Array], picture: Located) -> list[int]:
        """Right, found and wanted lines; classes say nothing."""
        number, found = self._found(outputs, picture, corners=True)
        truth = self._annotations.truths.get(number, NOTHING)
        quads = found.places
        if quads.ndim == 2:
            quads = quads[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        right = matches(quad_overlaps(quads, truth.quads))
        return [right, len(quads), len(truth.quads)]


class CocoMap(Detection):
    """COCO's mean average precision, IoU 0.50:0.05:0.95, by pycocotools."""

    name = "mAP"

    def __init__(self, decode: Decode, annotations: Path) -> None:
        """UsageError where pycocotools is not installed."""
        try:
            import pycocotools.cocoeval  # noqa: F401
        except ImportError:
            raise UsageError(MISSING, "pip install 'knightlite[detection]'") from None
        super().__init__(decode, annotations)

    def picture(self, outputs: Mapping[str, Array], picture: Located) -> dict[str, Any]:
        """COCO's results of the picture: boxes are left, top, width, height."""
        number, found = self._found(outputs, picture)
        rows = [
            {
                "image_id": number,
                "category_id": self._annotations.category(place),
                "bbox": [left, top, right - left, bottom - top],
                "score": score,
            }
            for (left, top, right, bottom), score, place in zip(
                found.places.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
            )
        ]
        return {"image": number, "found": rows}

    def total(self, values: Sequence[Mapping[str, Any]]) -> float:
        """0..1 over the pictures that were run."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        rows = [row for value in values for row in value["found"]]
        if not rows:
            return 0.0
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            truth = COCO()
            truth.dataset = dict(self._annotations.content)
            truth.createIndex()
            truth.dataset.setdefault("info", {})
            evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
            evaluation.params.imgIds = sorted(value["image"] for value in values)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        found = float(evaluation.stats[0])
        if math.isnan(found) or found < 0:  # pycocotools says -1
            raise DataError(f"{self._annotations.path} annotates no box in these pictures.")
        return found
