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
    """A folder of pictures, and the annotation file that names them.

    ``categories``: COCO's number of each of the network's classes, in their order.
    """

    annotations: Path
    photos: tuple[Photo, ...]
    categories: tuple[int, ...]


def open_coco(folder: Path, annotations: Path | None = None) -> Coco:
    """The pictures of a folder in the order of their file names.

    ``annotations``: any file in COCO's format, wherever it lies; None: the one below the folder. Of
    its pictures at least one must be below the folder; the others are left out. A picture lies at
    its ``file_name`` below the folder, or anywhere below it under the name alone.
    """
    path = _only_annotations(folder) if annotations is None else annotations
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        images = [(int(item["id"]), str(item["file_name"])) for item in content["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{path} is no annotation file in COCO's format: {error!r}.") from None
    places: dict[str, list[Path]] = {}
    for item in sorted(path for path in folder.rglob("*") if path.is_file()):
        places.setdefault(item.name, []).append(item)
    photos = []
    for number, name in images:
        alike = places.get(Path(name).name, [])
        exact = [item for item in alike if item == folder / name]
        if len(alike) > 1 and not exact:
            raise SystemExit(f"{folder} holds {len(alike)} pictures {Path(name).name}, and {path} "
                             f"does not say which is {name}.")  # fmt: skip
        photos += [Photo(number, item) for item in exact or alike]
    if not photos:
        example = f", such as {images[0][1]}" if images else ""
        raise SystemExit(f"none of {len(images)} pictures of {path} is below {folder}{example}.")
    return Coco(
        path,
        tuple(sorted(photos, key=lambda photo: photo.path.name)),
        tuple(sorted(entry["id"] for entry in content["categories"])),
    )


def _only_annotations(folder: Path) -> Path:
    found = sorted(folder.glob("annotations/instances_*.json"))
    if len(found) != 1:
        raise SystemExit(
            f"{folder} must hold one annotations/instances_*.json, not {len(found)} of them, or "
            "name the file with --annotations."
        )
    return found[0]


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
