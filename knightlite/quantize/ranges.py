"""From a histogram to a scale: ``min_max``, ``mse`` and ``kl``.

All three work on a :class:`Density`: weighted counts over magnitude bins. Several tensors that
share a scale are one density, each with its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.quantize.observers import Histogram, Statistics

Float64 = NDArray[np.float64]

SMALLEST_SHARE = 1 / 32  # of the min-max scale: below, clipping always costs more
CANDIDATE_RATIO = 1.01  # between neighbouring scales of the coarse search
FINE_CANDIDATES = 41  # of the fine search: 0.05 percent apart
KL_BINS = 2048  # TensorRT's number of magnitude bins
KL_EPSILON = 1e-9
KL_CLIPPED_SHARE = 1e-3
KL_CANDIDATES = 512  # at most: one in four of 2048 bins is 0.2 % of the range apart


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
        fine = coarse[index] * CANDIDATE_RATIO ** np.linspace(-1, 1, FINE_CANDIDATES)
        errors = sum(side[rows] @ _error_table(bins, codes, fine) for side, codes in counts)
        allowed = np.where(fine >= most[rows, None], errors, np.inf)
        steps[rows] = fine[np.argmin(allowed, axis=1)]
    return np.where(largest > 0, widths / steps, 0.0)


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


def _error_table(bins: int, largest: int, steps: Float64) -> Float64:
    """Expected squared error, in bin widths, of one value in each bin [bins, candidates]."""
    return np.stack([_bin_errors(bins, step, largest) / step**2 for step in steps], axis=1)


def _bin_errors(bins: int, steps_per_bin: float, largest: int) -> Float64:
    """Expected squared error in steps of one value in each bin; see ``squared_error``."""
    edges = np.arange(bins + 1) * steps_per_bin
    codes = np.minimum(np.rint(edges), largest)
    rest = edges - codes
    return np.asarray(np.diff(codes / 12 + rest * rest * rest / 3) / steps_per_bin)


def kl(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density the scale whose clip value loses least information; 0 for an all-zero tensor.

    Migacz, "8-bit Inference with TensorRT", GTC 2017: for a number of the magnitude bins, the
    Kullback-Leibler divergence from the clipped distribution (outliers added to the last bin) to
    its version in as many levels as the type has codes from 0 up, spread over the bins that are not
    empty. The least one's edge is the clip value.

    Candidates that clip more than KL_CLIPPED_SHARE of the values are left out: where a distribution
    lies away from zero, clipping all of it into one bin would look perfect.
    """
    return np.asarray([_kl_scale(part, dtype) for part in parts])


def _kl_scale(part: Density, dtype: DType) -> float:
    largest = float(min_max([part], dtype)[0])
    counts, width = _kl_counts(part)
    levels = dtype.maximum + 1
    if largest == 0.0 or counts.size <= levels:
        return largest
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    kept = int(np.searchsorted(sums, (1 - KL_CLIPPED_SHARE) * sums[-1]))
    first = min(max(levels, kept), counts.size)
    tried = np.unique(np.linspace(first, counts.size, KL_CANDIDATES).astype(np.int64))
    best = tried[int(np.argmin(_divergences(counts, sums, tried, levels)))]
    return min(float(best) * width / dtype.maximum, largest)


def _kl_counts(part: Density) -> tuple[Float64, float]:
    """At most 2048 magnitude bins up to the largest magnitude, and their width.

    Exact zeros are left out and bin 0 is taken as full as bin 1 (as NVIDIA's pytorch-quantization
    does): any scale represents zero, and its spike would drown the rest of the distribution.
    """
    counts = part.positive + part.negative
    counts[0] = counts[1]
    if not counts.any():
        return counts[:1], part.width
    used = int(np.flatnonzero(counts)[-1]) + 1
    merged = 2 if used > KL_BINS else 1
    used += used % merged
    return counts[:used].reshape(-1, merged).sum(axis=1), part.width * merged


def _divergences(counts: Float64, sums: Float64, used: NDArray[np.int64], levels: int) -> Float64:
    """KL divergence for each number of bins ``used`` (the rest clipped into the last of them).

    Inside a level the coarse distribution is constant over the filled bins, so prefix sums over
    the bins give everything: p log p up to the last bin, and per level the sums of P and of Q.
    """
    filled = np.concatenate([[0], np.cumsum(counts > 0)])
    entropy = np.concatenate([[0.0], np.cumsum(counts * np.log(np.maximum(counts, 1e-300)))])
    total = sums[-1]
    outliers = total - sums[used]
    last = counts[used - 1] + outliers
    p_log_p = entropy[used - 1] + last * np.log(np.maximum(last, 1e-300))
    edges = np.arange(levels + 1)[None, :] * used[:, None] // levels
    level_sums = np.diff(sums[edges], axis=1)
    level_filled = np.diff(filled[edges], axis=1).astype(np.float64)
    level_filled[:, -1] += (counts[used - 1] == 0) & (outliers > 0)  # filled in P, hence in Q
    q = level_sums / np.maximum(level_filled, 1) / np.maximum(sums[used], KL_EPSILON)[:, None]
    p_sums = level_sums
    p_sums[:, -1] += outliers
    cross = (p_sums * np.log(np.maximum(q, KL_EPSILON))).sum(axis=1)
    return np.asarray((p_log_p - total * np.log(total) - cross) / total)


Method = Callable[[Sequence[Density], DType], Float64]
METHODS: dict[str, Method] = {"min_max": min_max, "mse": mse, "kl": kl}
