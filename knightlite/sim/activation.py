"""An activation behind the matrix engine: a table, or an affine with two sides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.isa import PARAMETER_BYTES, TYPES, Activation, Matrix
from knightlite.sim.engines_vector import table_results
from knightlite.sim.memory import Bytes, Scratch, flat_view
from knightlite.sim.rounding import ChannelMap, apply_map, bounds, channel_map

Array = NDArray[Any]


class ActivationStep:
    """What :class:`~knightlite.isa.Activation` does to a block of requantized values."""

    def __init__(self, item: Matrix, mspm: Bytes, scratch: Scratch) -> None:
        """Decode the table or the records, which lie in ``mspm`` now."""
        self._scratch = scratch
        self._minimum = TYPES[item.middle_type].minimum
        stored = flat_view(mspm, item.activation_constants())
        self._table: Array | None = None
        self._sides: list[ChannelMap] = []
        if item.activation == Activation.TABLE:
            ends = bounds(item.y_type, item.y_low, item.y_high)
            shape = (item.activation_intervals, item.activation_fraction, item.y_type)
            self._table = table_results(stored.tobytes(), *shape, ends)
            return
        size = item.y_channels * PARAMETER_BYTES
        self._sides = [
            channel_map(part.tobytes(), item.middle_type, item.y_type, item.y_low, item.y_high)
            for part in (stored[:size], stored[size:])
        ]

    def reserve(self, elements: int) -> None:
        """Ask for room for blocks of at most ``elements`` values."""
        self._scratch.reserve("index", elements)
        if self._sides:
            self._scratch.reserve("below", elements)
            self._scratch.reserve("negative", elements, 1)

    def run(self, values: Array, target: Array) -> None:
        """Both are [rows, columns, channels]; ``values``: float64 integers of the middle type."""
        if self._table is not None:
            index = self._scratch.take("index", values.shape, np.intp)
            np.subtract(values, self._minimum, out=index, casting="unsafe")
            target[...] = self._table[index]
            return
        above, below = (self._mapped(side, role, values) for side, role in
                        zip(self._sides, ("index", "below"), strict=True))  # fmt: skip
        negative = self._scratch.take("negative", values.shape, np.bool_)
        np.less(values, 0, out=negative)
        np.copyto(above, below, where=negative, casting="unsafe")
        np.copyto(target, above, casting="unsafe")

    def _mapped(self, side: ChannelMap, role: str, values: Array) -> Array:
        return apply_map(side, values, self._scratch.take(role, values.shape, side.gain.dtype.type))
