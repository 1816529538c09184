"""Histograms as densities: weighted counts over magnitude bins, joined, clipped, told apart.

Several tensors that share a scale are one density, each with its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.quantize.statistics.observers import Histogram, Statistics

Float64 = NDArray[np.float64]

FAR = 128  # times wider bins: what has so much finer ones than the widest keeps its own
FAR_BINS = 512  # of these


@dataclass(frozen=True, slots=True, eq=False)
class Density:
    """Weighted counts of magnitudes: ``positive`` and ``negative`` [bins], bins ``width`` wide.

    ``zeros`` is the weighted count of exact zeros, ``minimum`` and ``maximum`` the extreme values.
    """

    positive: Float64
    negative: Float64
    zeros: float
    width: float
    minimum: float
    maximum: float

    @property
    def energy(self) -> float:
        """Sum of squares, values taken as uniform inside their bin."""
        squares = _cubes(self.positive.size) * (self.width**2 / 3)
        return float(np.dot(self.positive + self.negative, np.diff(squares)))


@lru_cache(maxsize=8)
def _cubes(bins: int) -> NDArray[np.int64]:
    return np.arange(bins + 1) ** 3


def density(statistics: Statistics, row: int = 0) -> Density:
    """The density of one tensor, or of channel ``row``."""
    return row_densities(statistics)[row]


def row_densities(statistics: Statistics) -> list[Density]:
    """Of one tensor, or of each channel."""
    return _rows(statistics, statistics.histogram)


def even_row_densities(statistics: Statistics) -> list[Density]:
    """What scales are chosen on: densities in which few loud pictures count less."""
    return _rows(statistics, statistics.even or statistics.histogram)


def foreseen_row_densities(statistics: Statistics, row: int | None = None) -> list[Density]:
    """What scales per channel are chosen on: each channel with a picture that is yet to come.

    ``row``: of this channel alone.
    """
    rows = even_row_densities(statistics)
    if statistics.second is None:
        return rows
    parts = list(zip(rows, statistics.second.tolist(), strict=True))
    if row is not None:
        parts = parts[row : row + 1]
    return [foreseen(part, second) for part, second in parts]


def foreseen_reach(statistics: Statistics) -> Float64:
    """How far each channel [C] reaches then: as far beyond the loudest as that beyond the second.

    ``statistics``: of a tensor with a scale per channel.
    """
    assert statistics.second is not None
    spoke = (statistics.second > 0) & (statistics.second < statistics.absmax)
    stretched = 2 * statistics.absmax - statistics.second
    return np.where(spoke, stretched, statistics.absmax)


def foreseen(part: Density, second: float) -> Density:
    """The density with one more picture, louder than all, as ``part`` is of few pictures.

    ``second``: the largest magnitude of the second loudest. What lies beyond it is the loudest
    picture's alone. The new one has as much, stretched so that it reaches as far beyond the loudest
    as that does beyond the second: where tails fall off exponentially, as they do of most
    distributions, that distance is what one record can be expected to exceed the other by (Renyi,
    "On the theory of order statistics", 1953). Where it reaches beyond the bins these merge by two.
    """
    largest, bins = max(part.maximum, -part.minimum), part.positive.size
    if not 0 < second < largest:
        return part
    stretch = 2 - second / largest
    first = int(second / part.width) + 1
    merged = 1 if largest * stretch < bins * part.width else 2

    def side(counts: Float64) -> Float64:
        places = first + np.flatnonzero(counts[first:])
        grown = np.zeros(merged * bins)
        grown[:bins] = counts
        moved = np.minimum(((places + 0.5) * stretch).astype(np.int64), grown.size - 1)
        np.add.at(grown, moved, counts[places])
        return grown if merged == 1 else np.asarray(grown.reshape(bins, merged).sum(axis=1))

    return replace(
        part,
        positive=side(part.positive),
        negative=side(part.negative),
        width=part.width * merged,
        minimum=part.minimum * stretch,
        maximum=part.maximum * stretch,
    )


def _rows(statistics: Statistics, counted: Histogram) -> list[Density]:
    """All at once: a network has thousands of channels, and every step asks for them again."""
    histogram = statistics.histogram
    columns = (
        _real(counted.positive),
        _real(counted.negative),
        histogram.zeros.astype(np.float64).tolist(),
        np.ldexp(1.0 / histogram.bins, histogram.exponent).tolist(),
        statistics.minimum.tolist(),
        statistics.maximum.tolist(),
    )
    return [Density(*row) for row in zip(*columns, strict=True)]


def _real(counts: NDArray[Any]) -> Float64:
    """Counts [rows, bins] in float64; those of a side that has none take no memory here either."""
    if counts.strides == (0, 0):
        return np.broadcast_to(np.float64(counts.flat[0]), counts.shape)
    return counts.astype(np.float64)


def mix(parts: Sequence[Density], weights: Sequence[float]) -> Density:
    """The weighted sum of densities; bins of a finer one merge into the widest one's.

    Widths are powers of two apart and bin counts equal, so each bin falls into exactly one.
    """
    width = max(part.width for part in parts)
    bins = parts[0].positive.size
    positive, negative, zeros = np.zeros(bins), np.zeros(bins), 0.0
    for part, weight in zip(parts, weights, strict=True):
        merged = min(round(width / part.width), bins)
        kept = bins // merged
        positive[:kept] += weight * part.positive.reshape(-1, merged).sum(axis=1)
        negative[:kept] += weight * part.negative.reshape(-1, merged).sum(axis=1)
        zeros += weight * part.zeros
    return Density(
        positive,
        negative,
        zeros,
        width,
        min(part.minimum for part in parts),
        max(part.maximum for part in parts),
    )


def merged(rows: Sequence[Density]) -> Density:
    """One density of all channels of a tensor: their sum. Those of one width are added first."""
    if len(rows) == 1:
        return rows[0]
    alike: dict[float, list[Density]] = {}
    for row in rows:
        alike.setdefault(row.width, []).append(row)

    def added(parts: Sequence[Density]) -> Density:
        positive, negative = np.zeros_like(parts[0].positive), np.zeros_like(parts[0].negative)
        for part in parts:
            positive += part.positive
            negative += part.negative
        return Density(
            positive,
            negative,
            sum(part.zeros for part in parts),
            parts[0].width,
            min(part.minimum for part in parts),
            max(part.maximum for part in parts),
        )

    return mix([added(parts) for parts in alike.values()], [1.0] * len(alike))


def apart(parts: Sequence[Density], weights: Sequence[float]) -> tuple[Density, ...]:
    """What ``mix`` puts together, members with far finer bins by themselves; () if there are none.

    All values of such a member would lie in a few bins of the widest one, taken as uniform there.
    """
    width = max(part.width for part in parts)
    classes: dict[float, list[int]] = {}
    for place, part in enumerate(parts):
        far = part.width * FAR <= width
        classes.setdefault(part.width if far else width, []).append(place)
    if len(classes) == 1:
        return ()

    def mixed(places: list[int]) -> Density:
        return mix([parts[place] for place in places], [weights[place] for place in places])

    return tuple(
        mixed(places) if own == width else _folded(mixed(places), FAR_BINS)
        for own, places in classes.items()
    )


def _folded(part: Density, bins: int) -> Density:
    """The density in so many bins of the same range."""
    merged = part.positive.size // bins
    return replace(
        part,
        positive=part.positive.reshape(bins, -1).sum(axis=1),
        negative=part.negative.reshape(bins, -1).sum(axis=1),
        width=part.width * merged,
    )


def clip(part: Density, low: float, high: float) -> Density:
    """The density of min(max(v, low), high), low <= 0 <= high: what lies beyond moves to the edge.

    The bin that holds an edge is kept whole.
    """

    def side(counts: Float64, bound: float) -> Float64:
        if bound >= counts.size * part.width:
            return counts
        last = int(bound / part.width)
        kept = np.zeros_like(counts)
        kept[:last] = counts[:last]
        kept[last] = counts[last:].sum()
        return kept

    return Density(
        side(part.positive, high),
        side(part.negative, -low),
        part.zeros,
        part.width,
        min(max(part.minimum, low), high),
        min(max(part.maximum, low), high),
    )
