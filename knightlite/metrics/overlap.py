"""How much boxes overlap, and which found one is which wanted one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
AS_ONE = 0.5  # intersection over union from which two boxes are the same object


def box_overlaps(found: Array, wanted: Array) -> Array:
    """Intersection over union [n, m] of boxes [n, 4] and [m, 4]: left, top, right, bottom."""
    low = np.maximum(found[:, None, :2], wanted[None, :, :2])
    high = np.minimum(found[:, None, 2:], wanted[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(np.maximum(item[:, 2:] - item[:, :2], 0), axis=1) for item in (found, wanted)]
    return _over(shared, areas[0][:, None] + areas[1][None, :] - shared)


def quad_overlaps(found: Array, wanted: Array) -> Array:
    """The same of convex quadrangles [n, 4, 2] and [m, 4, 2]; their corners go round either way."""
    shared = np.zeros((len(found), len(wanted)))
    low, high = (getattr(found, side)(axis=1) for side in ("min", "max"))
    for column, other in enumerate(wanted):
        near = np.all((low < other.max(axis=0)) & (high > other.min(axis=0)), axis=1)
        for row in np.flatnonzero(near):
            shared[row, column] = abs(_area(_clipped(found[row], other)))
    areas = [np.array([abs(_area(item)) for item in items]) for items in (found, wanted)]
    return _over(shared, areas[0][:, None] + areas[1][None, :] - shared)


def matches(overlaps: Array, least: float = AS_ONE) -> int:
    """How many of n found boxes [n, m], the best first, are one of m wanted ones, each once.

    As COCO and VOC count: a found box takes the free wanted one that it overlaps most.
    """
    free = np.ones(overlaps.shape[1], bool)
    for row in overlaps:
        open_to = np.where(free, row, -1.0)
        if open_to.size and open_to.max() >= least:
            free[int(open_to.argmax())] = False
    return int(np.count_nonzero(~free))


def _over(shared: Array, union: Array) -> Array:
    return shared / np.maximum(union, np.finfo(np.float64).tiny)


def _area(corners: Array) -> float:
    """Shoelace formula: positive where the corners go round as x goes to y."""
    if len(corners) < 3:
        return 0.0
    x, y = corners[:, 0], corners[:, 1]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def _clipped(polygon: Array, window: Array) -> Array:
    """What of ``polygon`` lies in the convex ``window``.

    Sutherland and Hodgman, "Reentrant Polygon Clipping", 1974: cut along one edge after another.
    """
    if _area(window) < 0:
        window = window[::-1]
    for start, end in zip(window, np.roll(window, -1, axis=0), strict=True):
        edge = end - start
        side = edge[0] * (polygon[:, 1] - start[1]) - edge[1] * (polygon[:, 0] - start[0])
        kept = []
        for at in range(len(polygon)):
            after = (at + 1) % len(polygon)
            if side[at] >= 0:
                kept.append(polygon[at])
            if side[at] * side[after] < 0:
                share = side[at] / (side[at] - side[after])
                kept.append(polygon[at] + share * (polygon[after] - polygon[at]))
        polygon = np.array(kept).reshape(-1, 2)
    return polygon
