"""Which pictures excite a tensor many times as much as all others do, and what they count.

Pictures are told by their peaks, the largest magnitude in each. Two are of one kind where the peaks
are at most ``LOUD`` times apart, and where others lead from one to the other in such steps (single
linkage). A picture more never takes one out of a kind; it may join two. So the kinds are the same
in whatever order the pictures come, and the counts of each are all that must be kept of them. Usual
is the kind of the median picture. What is in louder kinds counts less, as if it were ``LOUD`` times
as loud as usual. All-zero pictures tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.signedinteger[Any]]

LOUD = 3.0  # times the peak of other pictures: beyond it a picture is of another kind
LOG_UNIT = 2.0**40  # logarithms are added up in whole numbers: exactly, whatever the order


@dataclass(slots=True, eq=False)
class Kind:
    """Pictures with peaks from ``low`` to ``high``; ``logs``: sum of log2(peak) * LOG_UNIT."""

    low: float
    high: float
    pictures: int
    logs: int
    counts: Counts

    def take(self, other: Kind) -> None:
        """Become the two of them."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.pictures += other.pictures
        self.logs += other.logs
        self.counts += other.counts

    @property
    def loudness(self) -> float:
        """Logarithm (base 2) of the geometric mean of the peaks."""
        return self.logs / self.pictures / LOG_UNIT


class Kinds:
    """The counts of the pictures that have come, by kind: any shape, the same for all."""

    __slots__ = ("_kinds", "_silent")

    def __init__(self, counts: Counts) -> None:
        """``counts``: zeros to begin with."""
        self._kinds: list[Kind] = []
        self._silent = counts  # of all-zero pictures before any other; the first kind takes it over

    def of(self, peak: float) -> Counts:
        """Where a picture with this peak is to be counted."""
        kinds = self._kinds
        if peak == 0:
            return kinds[0].counts if kinds else self._silent
        kind = kinds[0] if len(kinds) == 1 else None
        if kind is None or peak > LOUD * kind.high or kind.low > LOUD * peak:
            kind = self._kind_for(peak)
        if peak < kind.low:  # no min and max: this is done for every tensor of every picture
            kind.low = peak
        if peak > kind.high:
            kind.high = peak
        kind.pictures += 1
        kind.logs += int(math.log2(peak) * LOG_UNIT)
        return kind.counts

    def _kind_for(self, peak: float) -> Kind:
        """The kind that a picture belongs to: a new one, or two of before that it joins."""
        kinds = self._kinds
        near = [kind for kind in kinds if peak <= LOUD * kind.high and kind.low <= LOUD * peak]
        if not near:
            counts = np.zeros_like(self._silent) if kinds else self._silent
            kinds.append(Kind(peak, peak, 0, 0, counts))
            return kinds[-1]
        for other in near[1:]:
            near[0].take(other)
            kinds.remove(other)
        return near[0]

    def arrays(self) -> Iterator[Counts]:
        """The counts of every kind, to be changed in place."""
        yield from [kind.counts for kind in self._kinds] or [self._silent]

    def widen(self) -> None:
        """Count with 64 bits from now on."""
        if self._silent.dtype == np.int64:
            return
        for kind in self._kinds:
            kind.counts = kind.counts.astype(np.int64)
        self._silent = self._kinds[0].counts if self._kinds else self._silent.astype(np.int64)

    @property
    def whole(self) -> Counts:
        """The counts of all pictures, not to be changed."""
        first, *others = self.arrays()
        return np.asarray(np.sum([first, *others], axis=0)) if others else first

    def loud(self) -> list[tuple[Counts, float]]:
        """The counts of the kinds that are louder than usual, with what a value of theirs counts.

        Quiet ones first. At half of the pictures they are no exception, and there is none.
        """
        kinds = sorted(self._kinds, key=lambda kind: kind.low)
        half = sum(kind.pictures for kind in kinds) / 2
        before = 0
        for place, kind in enumerate(kinds):
            before += kind.pictures
            if before > half:
                known = math.log2(LOUD) + kind.loudness
                louder = kinds[place + 1 :]
                return [(item.counts, min(1.0, 4.0 ** (known - item.loudness))) for item in louder]
        return []
