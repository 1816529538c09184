"""The pictures in which an output holds what it seldom holds: a few, kept in memory.

A detector's score map is about the same on most pictures, but where an object is. An even sample
of calibration has few of those, or none, and what is judged on it says nothing of them. So pictures
are kept too whose largest value in some channel of a map stands out from the other pictures' in
that channel, by the median and the median deviation of all that have come. An output of few values
for a picture (scores of classes) is no map: there every picture says as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEAST_VALUES = 256  # of a channel of a map
MOST_BYTES = 32 << 20  # of the pictures that are kept


class Striking:
    """At most ``limit`` pictures of a stream; which ones depends on the stream alone."""

    def __init__(self, limit: int) -> None:
        """``limit``: 0 keeps none."""
        self._limit = limit
        self._peaks: list[Array] = []
        self._kept: dict[int, tuple[Array, ...]] = {}  # by number in the stream

    def add(self, inputs: tuple[Array, ...], outputs: Mapping[str, Array]) -> None:
        """A batch: one array [N, C, H, W] per network input, and the outputs [N, ...] by name."""
        maps = [values for values in outputs.values() if is_map(values)]
        if not maps or not self._limit:
            return
        count = len(inputs[0])
        peaks = [item.reshape(*item.shape[:2], -1).max(axis=2) for item in maps]
        for place, row in enumerate(np.concatenate(peaks, axis=1)):
            self._kept[len(self._peaks)] = tuple(
                np.array(item[place : place + 1], np.float32) for item in inputs
            )
            self._peaks.append(row.astype(np.float32))
        each = sum(item.nbytes // count for item in inputs)
        most = max(1, min(2 * self._limit, MOST_BYTES // max(1, each)))
        self._drop_to(most)

    def pictures(self) -> tuple[Array, ...]:
        """One array [n, C, H, W] per network input, the most striking first; () for none."""
        self._drop_to(self._limit)
        if not self._kept:
            return ()
        order = sorted(self._kept, key=self._order(), reverse=True)
        kept = [self._kept[number] for number in order]
        return tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))

    def _drop_to(self, most: int) -> None:
        if len(self._kept) > most:
            order = sorted(self._kept, key=self._order())
            for number in order[: len(order) - most]:
                del self._kept[number]

    def _order(self) -> Any:
        """How far a kept picture stands out, by its number; of two alike the earlier does."""
        peaks = np.asarray(self._peaks)
        middle = np.median(peaks, axis=0)
        apart = np.median(np.abs(peaks - middle), axis=0)
        floor = 1e-3 * np.abs(middle) + np.finfo(np.float32).tiny
        outstanding = ((peaks - middle) / (apart + floor)).max(axis=1)
        return lambda number: (float(outstanding[number]), -number)


def is_map(values: Array) -> bool:
    """Whether the channels of an output [N, C, ...] hold enough values to have a tail."""
    return values.ndim > 2 and int(np.prod(values.shape[2:])) >= LEAST_VALUES
