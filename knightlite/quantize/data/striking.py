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

from knightlite.quantize.data.sample import Sample

Array = NDArray[Any]

LEAST_VALUES = 256  # of a channel of a map
LEAST_APART = 1e-3  # of the median peak: what half of the pictures differ by, at least
KNOWN = 256  # pictures whose peaks say what is usual
MOST_BYTES = 32 << 20  # of the pictures that are kept


class Striking:
    """At most ``limit`` pictures of a stream; which ones depends on the stream alone.

    What is known of the others are the peaks of :data:`KNOWN` of them, spread evenly.
    """

    def __init__(self, limit: int) -> None:
        """``limit``: 0 keeps none."""
        self._limit = limit
        self._seen = 0
        self._known = Sample(KNOWN)
        self._kept: dict[int, tuple[tuple[Array, ...], Array]] = {}  # by number: arrays, peaks

    def add(self, inputs: tuple[Array, ...], outputs: Mapping[str, Array]) -> None:
        """A batch: one array [N, C, H, W] per network input, and the outputs [N, ...] by name."""
        maps = [values for values in outputs.values() if is_map(values)]
        if not maps or not self._limit:
            return
        peaks = np.concatenate(
            [item.reshape(*item.shape[:2], -1).max(axis=2) for item in maps], axis=1
        )
        each = max(1, sum(item[:1].nbytes for item in inputs))
        most = max(2, min(2 * self._limit, MOST_BYTES // each))
        for place in range(len(peaks)):
            one = slice(place, place + 1)
            arrays = tuple(np.array(item[one], np.float32) for item in inputs)
            self._kept[self._seen] = arrays, peaks[place].astype(np.float32)
            self._known.add((peaks[one],))
            self._seen += 1
            if len(self._kept) > most:
                self._drop_to(most // 2)  # to half: so that they are compared seldom

    def pictures(self) -> tuple[Array, ...]:
        """One array [n, C, H, W] per network input, the most striking first; () for none."""
        self._drop_to(self._limit)
        if not self._kept:
            return ()
        kept = [self._kept[number][0] for number in reversed(self._order())]
        return tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))

    def _drop_to(self, most: int) -> None:
        if len(self._kept) > most:
            for number in self._order()[: len(self._kept) - most]:
                del self._kept[number]

    def _order(self) -> list[int]:
        """The kept pictures, the most striking last; of two alike the earlier one."""
        (known,) = self._known.pictures()
        middle = np.median(known, axis=0)
        apart = np.median(np.abs(known - middle), axis=0)
        apart += LEAST_APART * np.abs(middle) + np.finfo(np.float32).tiny

        def outstanding(number: int) -> tuple[float, int]:
            return float(((self._kept[number][1] - middle) / apart).max()), -number

        return sorted(self._kept, key=outstanding)


def is_map(values: Array) -> bool:
    """Whether the channels of an output [N, C, ...] hold enough values to have a tail."""
    return values.ndim > 2 and int(np.prod(values.shape[2:])) >= LEAST_VALUES
