"""The vector engine's softmax over the channels of every pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.isa import EXPONENTIALS, TYPES, Softmax, Space
from knightlite.sim.memory import Bytes, flat_view, tile_view
from knightlite.sim.rounding import Calls, bounds, round_into

BLOCK_ELEMENTS = 1 << 16
FINE_BITS = 30  # behind the point of a fine exponential


class SoftmaxStep:
    """``y = clamp(rne(e * n / sum(e)))``.

    Fine exponentials in 64-bit integers: whatever the tables hold, e stays below 2^34 and a sum
    below 2^50. Others in float64, whose division rounds to the specified integer: e * n < 2^32 and
    the sum s < 2^32 are exact. A quotient that is no tie k + 1/2 is at least 1/(2s) > 2^-33 away
    from one; it is at most n < 2^16, so the division is off by less than 2^-37 and cannot reach it.
    Ties are exact.
    """

    def __init__(self, item: Softmax, memories: Mapping[Space, Bytes]) -> None:
        self._item, self._fspm = item, memories[Space.FSPM]
        table = flat_view(memories[Space.MSPM], item.table()).tobytes()
        if item.fine:
            self._fine = np.frombuffer(table, "<u4").astype(np.uint64).reshape(item.tables, -1)
        else:
            self._table = np.frombuffer(table, "<u2").astype(np.float64)
        self._low, self._high = bounds(item.y_type, item.y_low, item.y_high)
        self._rows = max(1, BLOCK_ELEMENTS // (item.y_width * item.y_channels))

    def bind(self) -> None:
        """Build the views."""
        self._x = tile_view(self._fspm, self._item.x_tile(), TYPES[self._item.x_type])
        self._y = tile_view(self._fspm, self._item.y_tile(), TYPES[self._item.y_type])

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return [self.run]

    def run(self) -> int:
        """Execute; the sum of at most 65535 entries cannot leave 32 bits."""
        for first in range(0, self._item.y_height, self._rows):
            rows = (slice(None), slice(first, first + self._rows))
            x = self._x[rows].astype(np.int64)
            steps = x.max(axis=3, keepdims=True) - x
            if self._item.fine:
                round_into(self._shares(steps), self._low, self._high, self._y[rows])
                continue
            entries = self._table[steps]
            sums = entries.sum(axis=3, keepdims=True)
            with np.errstate(invalid="ignore", divide="ignore"):  # a table of zeros: see below
                shares = entries * self._item.numerator / sums
            round_into(np.where(sums > 0, shares, 0), self._low, self._high, self._y[rows])
        return 0

    def _shares(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of exponentials in integers, rounded."""
        entries = self._fine[0][steps % EXPONENTIALS]
        if self._item.tables > 1:
            entries = entries * self._fine[1][steps // EXPONENTIALS] >> np.uint64(FINE_BITS)
        whole = entries.astype(np.int64)
        sums = whole.sum(axis=3, keepdims=True)
        shares = numerics.rounded_quotient(whole * self._item.numerator, sums)
        return shares.astype(np.float64)
