"""The vector engine's pick: the channel of the largest or smallest value of every pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from knightlite.isa import TYPES, Pick, Space
from knightlite.sim.memory import Bytes, tile_view
from knightlite.sim.rounding import Calls, bounds


class PickStep:
    """``y = clamp(c)``: whole numbers, nothing is rounded."""

    def __init__(self, item: Pick, memories: Mapping[Space, Bytes]) -> None:
        self._item, self._fspm = item, memories[Space.FSPM]
        self._find = np.argmin if item.least else np.argmax  # of equals the first
        self._low, self._high = bounds(item.y_type, item.y_low, item.y_high)

    def bind(self) -> None:
        """Build the views; the channels backwards where the last of equals is picked."""
        x = tile_view(self._fspm, self._item.x_tile(), TYPES[self._item.x_type])
        self._x = x[..., ::-1] if self._item.last else x
        self._y = tile_view(self._fspm, self._item.y_tile(), TYPES[self._item.y_type])

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return [self.run]

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        found = self._find(self._x, axis=3)
        if self._item.last:
            found = self._item.x_channels - 1 - found
        self._y[..., 0] = np.clip(found, self._low, self._high)
        return 0
