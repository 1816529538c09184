"""What stands around a YOLOX network: letterbox before it, decoding and suppression behind it.

The network reads BGR pixels 0..255 [N, 3, H, W] and gives [N, cells, 5 + classes]: the centre's
offset in its cell, the logarithms of width and height in strides, and the probabilities of an
object and of each class (Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]

STRIDES = (8, 16, 32)
GREY = 114  # of the border
LOWEST_SCORE = 0.01
SURE_SCORE = 0.3  # of a box that is shown
OVERLAP = 0.65  # boxes of one class that overlap more are one object


@dataclass(frozen=True)
class Detections:
    """Of one picture, in its own pixels: ``boxes`` [n, 4] (left, top, right, bottom), best first.

    ``scores`` [n] are 0..1, ``classes`` [n] places in the network's list of classes.
    """

    boxes: Array
    scores: Array
    classes: Array


def letterbox(path: Path, size: tuple[int, int]) -> tuple[Array, float]:
    """A picture as the network reads it, float32 [3, *size], and the scale that was applied.

    ``size``: height and width in pixels. The picture keeps its proportions and lies at the top
    left; the rest is grey.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = min(size[0] / image.height, size[1] / image.width)
    width, height = int(image.width * scale), int(image.height * scale)
    canvas = np.full((*size, 3), GREY, np.uint8)
    canvas[:height, :width] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return canvas[:, :, ::-1].transpose(2, 0, 1).astype(np.float32), scale


def decode(output: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Boxes [cells, 4] in pixels of the input and the scores of all classes [cells, classes].

    ``output``: of one picture, [cells, 5 + classes]; ``size``: the input's height and width.
    """
    corners, strides = [], []
    for stride in STRIDES:
        height, width = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:height, :width]
        corners.append(np.stack([x, y], axis=-1).reshape(-1, 2))
        strides.append(np.full((height * width, 1), stride))
    cells, stride = np.concatenate(corners), np.concatenate(strides)
    values = output.astype(np.float64)
    centre = (values[:, :2] + cells) * stride
    half = np.exp(values[:, 2:4]) * stride / 2
    return np.concatenate([centre - half, centre + half], axis=1), values[:, 4:5] * values[:, 5:]


def suppress(boxes: Array, scores: Array, overlap: float = OVERLAP) -> Array:
    """Places of the boxes to keep, best first: greedy non-maximum suppression.

    A box goes where its intersection over union with a better one is above ``overlap``.
    """
    left, top, right, bottom = boxes.T
    area = (right - left) * (bottom - top)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, others = order[0], order[1:]
        kept.append(best)
        width = np.minimum(right[best], right[others]) - np.maximum(left[best], left[others])
        height = np.minimum(bottom[best], bottom[others]) - np.maximum(top[best], top[others])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        union = np.maximum(area[best] + area[others] - shared, np.finfo(np.float64).tiny)
        order = others[shared / union <= overlap]
    return np.asarray(kept, np.int64)


def detect(
    output: Array, size: tuple[int, int], scale: float, lowest_score: float = LOWEST_SCORE
) -> Detections:
    """The objects of one picture: class by class the cells above the score, suppressed.

    A cell may be several objects, as COCO's measure rewards. ``output``, ``size``: see ``decode``;
    ``scale``: what ``letterbox`` applied.
    """
    boxes, every_score = decode(output, size)
    boxes, parts = boxes / scale, []
    for kind in range(every_score.shape[1]):
        likely = np.flatnonzero(every_score[:, kind] > lowest_score)
        kept = likely[suppress(boxes[likely], every_score[likely, kind])]
        parts.append((kept, np.full(len(kept), kind)))
    cells, classes = (np.concatenate(items) for items in zip(*parts, strict=True))
    scores = every_score[cells, classes]
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[cells[order]], scores[order], classes[order])


def boxes(
    outputs: Mapping[str, Array], picture: Any, lowest_score: float = LOWEST_SCORE
) -> tuple[Array, Array, Array]:
    """For ``--metric coco_map:yolox.py:boxes``: what the network finds, in the picture's pixels.

    The picture went through a recipe that letterboxes as ``letterbox`` does.
    """
    (output,) = outputs.values()
    with Image.open(picture.path) as opened:
        scale = min(picture.size[0] / opened.height, picture.size[1] / opened.width)
    found = detect(output[0], picture.size, scale, lowest_score)
    return found.boxes, found.scores, found.classes


def sure_boxes(outputs: Mapping[str, Array], picture: Any) -> tuple[Array, Array, Array]:
    """For ``--metric f1:yolox.py:sure_boxes``, where every box counts."""
    return boxes(outputs, picture, SURE_SCORE)
