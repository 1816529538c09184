"""Windows of a depthwise convolution as long runs, whatever its stride.

Columns of x that a stride apart belong to one phase are put side by side, so that a tap of all
pixels of an output row is one run of ``columns * channels`` values; the factors are repeated to its
length. The taps of a phase are evenly spaced, so einsum adds them all up in one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from knightlite.isa import Matrix

Array = NDArray[Any]


class Phases:
    """The stage of a depthwise instruction: [rows, phases, columns of a phase, channels]."""

    def __init__(self, item: Matrix) -> None:
        self._item = item
        high, wide = item.covered()
        self.shape = (high, item.stride_width, -(-wide // item.stride_width), item.x_channels)

    @property
    def elements(self) -> int:
        """Values of one picture."""
        return int(np.prod(self.shape))

    def _columns(self, phase: int) -> tuple[int, int, int]:
        """Of a phase: the first column of x, its place, and how many there are."""
        item, wide = self._item, self.shape[2]
        _, covered = item.covered()
        first = (phase - item.pad_left) % item.stride_width
        columns = max(0, min(item.x_width, covered - item.pad_left))
        count = len(range(first, columns, item.stride_width))
        return first, min(wide, (item.pad_left + first) // item.stride_width), count

    def _rows(self) -> slice:
        """Where the rows of x lie."""
        top, high = self._item.pad_top, self.shape[0]
        return slice(top, top + max(0, min(self._item.x_height, high - top)))

    def placed(self, x: Array, stage: Array) -> Iterator[tuple[Array, Array]]:
        """Parts of x [pictures, rows, columns, channels] and their places in the stage."""
        inside = self._rows()
        rows, apart = inside.stop - inside.start, self._item.stride_width
        for phase in range(self.shape[1]):
            first, at, count = self._columns(phase)
            if rows and count:
                source = x[:, :rows, first : first + (count - 1) * apart + 1 : apart]
                yield source, stage[:, inside, phase, at : at + count]

    def borders(self, stage: Array) -> Iterator[Array]:
        """What of the stage is not x."""
        inside = self._rows()
        bands = [stage[:, : inside.start], stage[:, inside.stop :]]
        for phase in range(self.shape[1]):
            _, at, count = self._columns(phase)
            bands += [stage[:, inside, phase, :at], stage[:, inside, phase, at + count :]]
        return (band for band in bands if band.size)

    def taps(self, stage: Array, factors: Array) -> list[tuple[Array, Array]]:
        """Per phase windows [pictures, rows, taps down, taps right, run] and factors of each."""
        item = self._item
        by_picture, by_row, _, by_column, by_channel = stage.strides
        columns = np.arange(item.kernel_width) * item.dilation_width
        kernel = factors.reshape(item.kernel_height, item.kernel_width, -1)
        found = []
        for phase in np.unique(columns % item.stride_width):
            chosen = np.flatnonzero(columns % item.stride_width == phase)
            places = columns[chosen] // item.stride_width
            apart = int(places[1] - places[0]) if len(places) > 1 else 0
            first = stage[:, :, phase, places[0] :]
            windows = as_strided(
                first,
                (
                    len(stage), item.y_height, item.kernel_height, len(places),
                    item.y_width * item.y_channels,
                ),
                (
                    by_picture, by_row * item.stride_height, by_row * item.dilation_height,
                    by_column * apart, by_channel,
                ),
            )  # fmt: skip
            found.append((windows, np.tile(kernel[:, chosen], item.y_width)))
        return found
