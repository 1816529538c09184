"""Histograms as densities, the error of a scale, and the ranges ``min_max`` and ``mse``.

A :class:`Density` holds weighted counts over magnitude bins. Several tensors that share a scale are
one density, each with its weight. The other methods are in ``methods`` and ``divergence``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.quantize.statistics.observers import Histogram, Statistics

Float64 = NDArray[np.float64]

SMALLEST_SHARE = 1 / 32  # of the min-max scale: below, clipping always costs more
CANDIDATE_RATIO = 1.01  # between neighbouring scales of the coarse search
FINE_CANDIDATES = 41  # of the fine search: 0.05 percent apart
FAR = 128  # times wider bins: what has so much finer ones than the widest keeps its own
FAR_BINS = 512  # of these
FAR_RATIO = 1.1  # between neighbouring scales of the search over their wide range
VALLEYS = 3  # in which it looks more closely
WORTH = 0.95  # times the error: what it must save to clip a loud member to next to nothing


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
        edges = np.arange(self.positive.size + 1) ** 3 * (self.width**2 / 3)
        return float(np.dot(self.positive + self.negative, np.diff(edges)))


def density(statistics: Statistics, row: int = 0) -> Density:
    """The density of one tensor, or of channel ``row``."""
    histogram = statistics.histogram
    return Density(
        histogram.positive[row].astype(np.float64),
        histogram.negative[row].astype(np.float64),
        float(histogram.zeros[row]),
        _width(histogram, row),
        float(statistics.minimum[row]),
        float(statistics.maximum[row]),
    )


def even_density(statistics: Statistics, row: int = 0) -> Density:
    """What a scale is chosen on: the density in which few loud pictures count less."""
    whole = density(statistics, row)
    if statistics.even is None:
        return whole
    positive, negative = statistics.even.positive[row], statistics.even.negative[row]
    return replace(
        whole, positive=positive.astype(np.float64), negative=negative.astype(np.float64)
    )


def _width(histogram: Histogram, row: int) -> float:
    return float(np.ldexp(1.0 / histogram.bins, int(histogram.exponent[row])))


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


# ------------------------------------------------------------------ errors of a scale


def squared_error(part: Density, scale: float, dtype: DType) -> float:
    """Expected sum of squared quantization errors at ``scale``, rounding and clipping.

    The integral of (v - q(v))^2 over each bin, values taken as uniform inside it, in closed form:
    in steps, with n = min(rne(v), largest code), the integral from 0 to v is
    n / 12 + (v - n)^3 / 3, inside the range and beyond it alike.
    """
    step = part.width / scale
    error = float(np.dot(part.positive, _bin_errors(part.positive.size, step, dtype.maximum)))
    if part.negative.any():
        codes = -dtype.minimum
        error += float(np.dot(part.negative, _bin_errors(part.negative.size, step, codes)))
    return error * scale**2


def clipped_share(part: Density, scale: float, dtype: DType) -> float:
    """Share of the values beyond the range: more than half a step past the last code."""
    clipped, count = 0.0, part.zeros
    for counts, largest in ((part.positive, dtype.maximum), (part.negative, -dtype.minimum)):
        last = (largest + 0.5) * scale / part.width  # in bins
        covered = np.clip(last - np.arange(counts.size), 0.0, 1.0)
        clipped += float(np.dot(counts, 1.0 - covered))
        count += float(counts.sum())
    return clipped / count if count else 0.0


def signal_to_noise_db(part: Density, scale: float, dtype: DType) -> float | None:
    """SQNR in dB of quantizing the tensor alone; None where it has no energy or no error."""
    energy, error = part.energy, squared_error(part, scale, dtype)
    if energy <= 0 or error <= 0:
        return None
    return float(10 * np.log10(energy / error))


# ------------------------------------------------------------------ methods


def min_max(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density the smallest scale that clips nothing; 0 for an all-zero tensor."""
    highest = np.asarray([part.maximum for part in parts])
    scales = np.maximum(highest, 0.0) / dtype.maximum
    if dtype.minimum:
        lowest = np.asarray([part.minimum for part in parts])
        scales = np.maximum(scales, np.maximum(-lowest, 0.0) / -dtype.minimum)
    return np.asarray(scales)


def mse(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density the scale with the least expected squared error; 0 for an all-zero tensor.

    Sung, Shin, Hwang, "Resiliency of Deep Neural Networks under Quantization", 2015; Banner et al.,
    "Post training 4-bit quantization", 2019, minimise it for a parametric density, here it is the
    histogram's.

    In units of the bin width the error depends on width / scale only, so that one table per type
    serves every tensor, and all candidates of all tensors are one matrix product. A coarse search
    from the min-max scale downwards, then a fine one around the best: real tensors have spikes
    (flat background, saturated pixels), and it pays to lay codes on them.
    """
    largest = min_max(parts, dtype)
    counts = _sides(parts, dtype)
    bins = parts[0].positive.size
    widths = np.asarray([part.width for part in parts])
    most = np.divide(widths, largest, out=np.full(len(parts), np.inf), where=largest > 0)
    coarse = _coarse_steps(bins, dtype.maximum)
    errors = sum(side @ _coarse_table(bins, codes, dtype.maximum) for side, codes in counts)
    best = np.argmin(np.where(coarse >= most[:, None], errors, np.inf), axis=1)
    steps = np.empty(len(parts))
    for index in np.unique(best):
        rows = np.flatnonzero(best == index)
        fine = _fine_steps(float(coarse[index]))
        errors = sum(
            side[rows] @ _fine_table(bins, codes, float(coarse[index])) for side, codes in counts
        )
        allowed = np.where(fine >= most[rows, None], errors, np.inf)
        steps[rows] = fine[np.argmin(allowed, axis=1)]
    return np.where(largest > 0, widths / steps, 0.0)


def common_scale(parts: Sequence[Density], dtype: DType, known: float) -> float:
    """The scale with the least sum of squared errors over ``parts``, each on its own bins.

    ``known``: a scale to improve on. Where one member is a thousand times as large as another no
    scale serves both, and the least error may clip the larger one to a fraction of its range: below
    ``SMALLEST_SHARE`` a scale must have ``WORTH`` times the error of all above.
    """

    def error(scale: float) -> float:
        return sum(squared_error(part, scale, dtype) for part in parts)

    covering = min_max(parts, dtype)
    largest, smallest = float(covering.max()), float(covering.min()) * SMALLEST_SHARE
    middle = largest * SMALLEST_SHARE
    usual = min(_deepest(error, middle, largest), (error(known), known))
    below = _deepest(error, min(smallest, middle), middle)
    return below[1] if below[0] < WORTH * usual[0] else usual[1]


def _deepest(error: Callable[[float], float], low: float, high: float) -> tuple[float, float]:
    """The least error from ``low`` to ``high`` and its scale, in steps that grow smaller."""

    def best(scales: Sequence[float], count: int = 1) -> list[tuple[float, float]]:
        return sorted((error(scale), scale) for scale in scales if scale <= high)[:count]

    count = int(np.ceil(np.log(high / low) / np.log(FAR_RATIO))) + 1
    valleys = best((high * FAR_RATIO ** -np.arange(count)).tolist(), VALLEYS)
    turns = round(np.log(FAR_RATIO) / np.log(CANDIDATE_RATIO))
    around = CANDIDATE_RATIO ** np.arange(-turns, turns + 1)
    (near,) = best([scale * turn for _, scale in valleys for turn in around.tolist()])
    fine = CANDIDATE_RATIO ** np.linspace(-1, 1, FINE_CANDIDATES)
    return best([*(near[1] * fine).tolist(), near[1]])[0]


def _sides(parts: Sequence[Density], dtype: DType) -> list[tuple[Float64, int]]:
    """Counts [parts, bins] of each side of zero with the number of codes on that side."""
    sides = [(np.stack([part.positive for part in parts]), dtype.maximum)]
    if dtype.minimum:
        sides.append((np.stack([part.negative for part in parts]), -dtype.minimum))
    return sides


def _coarse_steps(bins: int, codes: int) -> Float64:
    """The candidates as width / scale, ascending: from a scale that covers all bins downwards.

    The min-max scale covers more than half the bins, since the range is the next power of two.
    """
    count = int(np.ceil(np.log(2 / SMALLEST_SHARE) / np.log(CANDIDATE_RATIO))) + 1
    return np.asarray(codes / bins * CANDIDATE_RATIO ** np.arange(count))


@lru_cache(maxsize=8)
def _coarse_table(bins: int, largest: int, codes: int) -> Float64:
    return _error_table(bins, largest, _coarse_steps(bins, codes))


def _fine_steps(middle: float) -> Float64:
    return np.asarray(middle * CANDIDATE_RATIO ** np.linspace(-1, 1, FINE_CANDIDATES))


@lru_cache(maxsize=32)  # tensors of one network have few coarse scales, in units of their bins
def _fine_table(bins: int, largest: int, middle: float) -> Float64:
    return _error_table(bins, largest, _fine_steps(middle))


def _error_table(bins: int, largest: int, steps: Float64) -> Float64:
    """Expected squared error, in bin widths, of one value in each bin [bins, candidates]."""
    edges = np.arange(bins + 1)[:, None] * steps
    return _errors_between(edges, steps, largest) / steps**2


def _bin_errors(bins: int, steps_per_bin: float, largest: int) -> Float64:
    """Expected squared error in steps of one value in each bin; see ``squared_error``."""
    edges = np.arange(bins + 1, dtype=np.float64) * steps_per_bin
    return _errors_between(edges, steps_per_bin, largest)


def _errors_between(edges: Float64, steps_per_bin: Float64 | float, largest: int) -> Float64:
    """The same from the bins' edges in steps, along the first axis; ``edges`` are overwritten."""
    codes = np.rint(edges)
    np.minimum(codes, largest, out=codes)
    edges -= codes
    cubes = edges * edges
    cubes *= edges
    cubes /= 3
    codes /= 12
    codes += cubes
    return np.asarray((codes[1:] - codes[:-1]) / steps_per_bin)
