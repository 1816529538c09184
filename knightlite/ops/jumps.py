"""Where the function of a table jumps: between which inputs its codes cannot follow it."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Attribute, Node
from knightlite.ops.table_functions import evaluate

Float64 = NDArray[np.float64]

LARGE = 0.5  # of the largest difference between neighbouring codes: what may be a jump
LEFT = 0.5  # of such a difference: what is left of it at a jump
PLACED = 1e-3  # of a code: how exactly a jump between two codes lies
NARROWING = 12  # halvings of the interval in which one is looked for


def jumps(node: Node, scale: float, lowest: int, highest: int) -> tuple[float, ...]:
    """Inputs at which the function of a Table jumps, the largest first.

    Looked for between the codes ``lowest`` to ``highest``, of ``scale`` each. A large difference of
    neighbours is narrowed down: that of a slope shrinks with the interval, that of a jump stays.
    """
    return _jumps(tuple(sorted(node.attributes.items())), scale, lowest, highest)


@lru_cache(maxsize=1024)  # a search over widths asks again and again
def _jumps(
    attributes: tuple[tuple[str, Attribute], ...], scale: float, lowest: int, highest: int
) -> tuple[float, ...]:
    node = Node("", "Table", (), (), dict(attributes))
    ends: Float64 = np.arange(lowest, highest + 1, dtype=np.float64) * scale
    with np.errstate(all="ignore"):
        apart = _differences(node, ends)
        (at,) = np.nonzero((apart >= LARGE * apart.max(initial=0)) & (apart > 0))
        low, high = ends[at], ends[at + 1]
        for _ in range(NARROWING):
            middle = (low + high) / 2
            points = np.stack([low, middle, high], axis=1).ravel()
            halves = _differences(node, points).reshape(-1)
            left, right = halves[0::3], halves[1::3]
            first = left >= right
            low, high = np.where(first, low, middle), np.where(first, middle, high)
        rest = np.maximum(left, right) if at.size else apart[at]
    order = np.argsort(-apart[at], kind="stable")
    return tuple(float(high[place]) for place in order if rest[place] > LEFT * apart[at[place]])


def between_codes(place: float, scale: float) -> bool:
    """True where a jump lies halfway between two codes: rounding puts every input on its side."""
    return abs(place / scale % 1 - 0.5) < PLACED


def scale_between(place: float, scale: float) -> float:
    """The least scale from ``scale`` on with which ``place``, not 0, lies between two codes."""
    return abs(place) / (math.floor(abs(place) / scale - 0.5) + 0.5)


def _differences(node: Node, x: Float64) -> Float64:
    """How far the function's values at neighbouring ``x`` are apart; 0 where that is no number."""
    y = evaluate(node, x.astype(np.float32)).astype(np.float64)
    found: Float64 = np.nan_to_num(np.abs(np.diff(y)), nan=0.0, posinf=0.0)
    return found
