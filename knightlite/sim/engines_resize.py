"""The vector engine's resize: nearest and linear, positions by integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.isa import TYPES, Resize, ResizeMode, Space
from knightlite.sim.memory import Bytes, Scratch, tile_view
from knightlite.sim.rounding import Calls, bounds, round_into

Array = NDArray[Any]
BAND_ELEMENTS = 1 << 16  # results of one band of output rows: its work fits the caches


class ResizeStep:
    """Rows first, then columns: the weights of the two axes multiply.

    Exact in float64: the weights of an axis add up to its unit, so the sum of all four terms is at
    most unit_height * unit_width * |x| <= 2^23 * 2^15, and times the multiplier at most 2^53.
    """

    def __init__(self, item: Resize, memories: Mapping[Space, Bytes], scratch: Scratch) -> None:
        self._item, self._fspm, self._scratch = item, memories[Space.FSPM], scratch
        outputs = np.arange(max(item.y_height, item.y_width), dtype=np.int64)
        self._rows = outputs[: item.y_height] * item.step_height + item.offset_height
        self._columns = outputs[: item.y_width] * item.step_width + item.offset_width
        self._low, self._high = bounds(item.y_type, item.y_low, item.y_high)
        self._factor = float(np.ldexp(item.multiplier, -item.shift))
        row = max(item.x_width, item.y_width) * item.y_channels
        self._band = max(1, BAND_ELEMENTS // row)
        for role in ("stage", "wide", "columns"):
            scratch.reserve(role, min(self._band, item.y_height) * row)

    def bind(self) -> None:
        """Build the views."""
        item = self._item
        self._x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        self._y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return [self.run]

    def run(self) -> int:
        """Execute; the sums cannot leave the accumulator, so nothing saturates."""
        if self._item.mode == ResizeMode.NEAREST:
            self._nearest()
        else:
            for x, y in zip(self._x, self._y, strict=True):
                self._linear(x, y)
        return 0

    def _nearest(self) -> None:
        item = self._item
        rows = np.clip(self._rows // item.unit_height, 0, item.x_height - 1)
        columns = np.clip(self._columns // item.unit_width, 0, item.x_width - 1)
        for place, row in enumerate(rows):
            np.clip(self._x[:, row, columns], self._low, self._high, out=self._y[:, place])

    def _linear(self, x: Array, y: Array) -> None:
        """One picture."""
        item = self._item
        above, below, down = _neighbours(self._rows, item.unit_height, item.x_height)
        left, right, across = _neighbours(self._columns, item.unit_width, item.x_width)
        down, across = down[:, np.newaxis, np.newaxis], across[:, np.newaxis]
        for first in range(0, item.y_height, self._band):
            band = slice(first, min(first + self._band, item.y_height))
            count = band.stop - first
            blended = self._take("stage", count, item.x_width)
            other = self._take("wide", count, item.x_width)
            np.multiply(x[above[band]], item.unit_height - down[band], out=blended)
            np.multiply(x[below[band]], down[band], out=other)
            np.add(blended, other, out=blended)
            total = self._take("columns", count, item.y_width)
            other = self._take("wide", count, item.y_width)
            np.multiply(blended[:, left], item.unit_width - across, out=total)
            np.multiply(blended[:, right], across, out=other)
            np.add(total, other, out=total)
            np.multiply(total, self._factor, out=total)
            round_into(total, self._low, self._high, y[band])

    def _take(self, role: str, rows: int, columns: int) -> Array:
        return self._scratch.take(role, (rows, columns, self._item.y_channels), np.float64)


def _neighbours(positions: Array, unit: int, size: int) -> tuple[Array, Array, Array]:
    """Both neighbours of every position and the weight of the second, as float64."""
    inside = np.clip(positions, 0, (size - 1) * unit)
    first = inside // unit
    weight: Array = (inside % unit).astype(np.float64)
    return first, np.minimum(first + 1, size - 1), weight
