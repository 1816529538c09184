"""Where the function of a table is steep: which errors of its input it passes on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Attribute, Node
from knightlite.ops.table_functions import evaluate

Array = NDArray[Any]

FURTHEST = 8  # from 0, where activations bend; beyond, they are as they are there
PLACES = 16  # to a unit of the input, at which the slope is known
STEEP = 1 / 3  # of the steepest slope, or more


def is_steep(node: Node, x: Array) -> NDArray[np.bool_]:
    """At which of the inputs ``x`` of a Table its function has a third of its steepest slope.

    Slopes are those over a unit of the input: what a function does to an error of some size, so
    that one with steps is as steep as a line.
    """
    known = _steep_places(tuple(sorted(node.attributes.items())))
    places = np.clip(x, -FURTHEST, FURTHEST) * PLACES + FURTHEST * PLACES
    return np.asarray(known[np.rint(places).astype(np.int16)])


@lru_cache(maxsize=256)
def _steep_places(attributes: tuple[tuple[str, Attribute], ...]) -> NDArray[np.bool_]:
    """Whether the function is steep, from -``FURTHEST`` to ``FURTHEST``."""
    node = Node("", "Table", (), (), dict(attributes))
    places = np.arange(-FURTHEST * PLACES, FURTHEST * PLACES + 1) / PLACES
    with np.errstate(all="ignore"):
        ends = [evaluate(node, (places + side).astype(np.float32)) for side in (-0.5, 0.5)]
        slopes = np.abs(ends[1] - ends[0])
    slopes = np.nan_to_num(slopes, nan=0.0, posinf=0.0)
    return np.asarray(slopes >= STEEP * slopes.max())
