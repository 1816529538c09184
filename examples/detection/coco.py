"""Pictures with boxes in COCO's format, and the average precision of detections on them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolox import Detections

MISSING = "pycocotools is missing: pip install pycocotools"


@dataclass(frozen=True)
class Photo:
    """One picture: COCO's number of it and its file."""

    number: int
    path: Path


@dataclass(frozen=True)
class Precision:
    """COCO's two usual figures, 0..1: mean over IoU 0.50:0.05:0.95, and at IoU 0.50 alone."""

    map: float
    ap50: float


@dataclass(frozen=True)
class Coco:
    """A folder with ``annotations/instances_*.json`` and the pictures it names.

    ``categories``: COCO's number of each of the network's classes, in their order.
    """

    annotations: Path
    photos: tuple[Photo, ...]
    categories: tuple[int, ...]


def open_coco(folder: Path) -> Coco:
    """The pictures of a folder in the order of their file names."""
    found = sorted(folder.glob("annotations/instances_*.json"))
    if len(found) != 1:
        raise SystemExit(
            f"{folder} must hold one annotations/instances_*.json, not {len(found)} of them."
        )
    content = json.loads(found[0].read_text(encoding="utf-8"))
    places = {path.name: path for path in sorted(folder.rglob("*.jpg"))}
    missing = [
        entry["file_name"] for entry in content["images"] if entry["file_name"] not in places
    ]
    if missing:
        raise SystemExit(
            f"{len(missing)} pictures of {found[0].name} are not below {folder}, "
            f"such as {missing[0]}."
        )
    photos = [Photo(entry["id"], places[entry["file_name"]]) for entry in content["images"]]
    return Coco(
        found[0],
        tuple(sorted(photos, key=lambda photo: photo.path.name)),
        tuple(sorted(entry["id"] for entry in content["categories"])),
    )


def split(
    photos: Sequence[Photo], count: int, seed: int = 0
) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    """``count`` pictures to calibrate with and the others to evaluate on, in order of their names.

    The choice is by the SHA-256 of seed and file name: the same on every machine, and a picture
    that joins or leaves the folder moves at most one other.
    """

    def key(photo: Photo) -> str:
        return hashlib.sha256(f"{seed} {photo.path.name}".encode()).hexdigest()

    if not 0 < count < len(photos):
        raise SystemExit(f"of {len(photos)} pictures, 1 to {len(photos) - 1} can be set aside, "
                         f"not {count}.")  # fmt: skip
    chosen = set(sorted(photos, key=key)[:count])
    return (
        tuple(photo for photo in photos if photo in chosen),
        tuple(photo for photo in photos if photo not in chosen),
    )


def read_list(photos: Sequence[Photo], path: Path) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    """As ``split``, with the file names to calibrate with in a text file, one a line."""
    names = path.read_text(encoding="utf-8").split()
    unknown = set(names) - {photo.path.name for photo in photos}
    if unknown:
        raise SystemExit(f"{path} names {min(unknown)}, which is not among the pictures.")
    return (
        tuple(photo for photo in photos if photo.path.name in names),
        tuple(photo for photo in photos if photo.path.name not in names),
    )


def average_precision(
    coco: Coco, photos: Iterable[Photo], found: Mapping[int, Detections]
) -> Precision:
    """COCO's average precision on ``photos``; ``found``: the objects by the picture's number."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise SystemExit(MISSING) from None
    rows = [row for photo in photos for row in _rows(photo.number, found[photo.number], coco)]
    if not rows:
        return Precision(0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        truth = COCO(str(coco.annotations))
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.imgIds = sorted(photo.number for photo in photos)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return Precision(float(evaluation.stats[0]), float(evaluation.stats[1]))


def _rows(number: int, found: Detections, coco: Coco) -> list[dict[str, Any]]:
    """COCO's result format: box as left, top, width, height."""
    return [
        {
            "image_id": number,
            "category_id": coco.categories[kind],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for box, score, kind in zip(
            found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True
        )
    ]
