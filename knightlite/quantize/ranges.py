"""From a histogram to a scale: ``min_max``, ``mse`` and ``kl``.

All three work on a :class:`Density`: weighted counts over magnitude bins. Several tensors that
share a scale are one density, each with its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.quantize.observers import Histogram, Statistics

Float64 = NDArray[np.float64]

COARSE_CANDIDATES = 96
SMALLEST_SHARE = 1 / 32  # of the min-max scale: below, clipping always costs more
FINE_CANDIDATES = 33
KL_BINS = 2048  # TensorRT's number of magnitude bins
KL_EPSILON = 1e-9


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
    total = 0.0
    sides = ((part.positive, dtype.maximum), (part.negative, -dtype.minimum))
    for counts, largest in sides:
        filled = np.flatnonzero(counts)
        if not filled.size:
            continue
        edges = np.arange(filled[-1] + 2) * (part.width / scale)  # in steps
        codes = np.minimum(np.rint(edges), largest)
        rest = edges - codes
        integral = codes / 12 + rest * rest * rest / 3
        total += float(np.dot(counts[: filled[-1] + 1], np.diff(integral)))
    return total * scale**3 / part.width


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


def min_max(part: Density, dtype: DType) -> float:
    """The smallest scale that clips nothing; 0 for an all-zero tensor."""
    positive = max(part.maximum, 0.0) / dtype.maximum
    negative = max(-part.minimum, 0.0) / -dtype.minimum if dtype.minimum else 0.0
    return max(positive, negative)


def mse(part: Density, dtype: DType) -> float:
    """The scale with the least expected squared error (Sung, Shin, Hwang, "Resiliency of Deep
    Neural Networks under Quantization", 2015; Banner et al., "Post training 4-bit quantization",
    2019, use a parametric density, here it is the histogram).

    A coarse logarithmic search over shares of the min-max scale, then a fine one around the best.
    """
    largest = min_max(part, dtype)
    if largest == 0.0:
        return 0.0
    shares = np.geomspace(1.0, SMALLEST_SHARE, COARSE_CANDIDATES)
    best = _best(part, dtype, largest * shares)
    ratio = shares[0] / shares[1]
    around = best * np.geomspace(ratio, 1 / ratio, FINE_CANDIDATES)
    return _best(part, dtype, np.minimum(around, largest))


def _best(part: Density, dtype: DType, scales: Float64) -> float:
    errors = [squared_error(part, float(scale), dtype) for scale in scales]
    return float(scales[int(np.argmin(errors))])


def kl(part: Density, dtype: DType) -> float:
    """The clip value that loses least information (Migacz, "8-bit Inference with TensorRT", GTC
    2017): for each number i of the magnitude bins, the Kullback-Leibler divergence from the
    clipped distribution (outliers added to the last bin) to its version in as many levels as the
    type has positive codes, spread over the bins that are not empty. The least one's i-th edge is
    the clip value.
    """
    largest = min_max(part, dtype)
    if largest == 0.0:
        return 0.0
    counts, width = _kl_counts(part)
    levels = dtype.maximum + 1
    if counts.size <= levels:
        return largest
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    filled = np.concatenate([[0], np.cumsum(counts > 0)])
    logs = np.where(counts > 0, counts * np.log(np.maximum(counts, KL_EPSILON)), 0.0)
    entropy = np.concatenate([[0.0], np.cumsum(logs)])
    total = sums[-1]
    best, best_divergence = counts.size, np.inf
    for used in range(levels, counts.size + 1):
        divergence = _divergence(counts, sums, filled, entropy, total, used, levels)
        if divergence < best_divergence:
            best, best_divergence = used, divergence
    return min(best * width / dtype.maximum, largest)


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


def _divergence(
    counts: Float64,
    sums: Float64,
    filled: NDArray[np.int64],
    entropy: Float64,
    total: float,
    used: int,
    levels: int,
) -> float:
    """KL divergence of the first ``used`` bins (the rest clipped into the last) in ``levels``.

    Inside a level the coarse distribution is constant over the filled bins, so prefix sums over
    the bins give everything.
    """
    outliers = total - sums[used]
    last = counts[used - 1] + outliers
    p_log_p = entropy[used - 1] + (last * np.log(last) if last > 0 else 0.0)
    edges = np.arange(levels + 1) * used // levels
    level_sums = np.diff(sums[edges])
    level_filled = np.diff(filled[edges]).astype(np.float64)
    p_sums = level_sums.copy()
    p_sums[-1] += outliers
    if counts[used - 1] == 0 and outliers > 0:
        level_filled[-1] += 1  # the last bin is filled in P, hence in Q
    q = level_sums / np.maximum(level_filled, 1) / max(sums[used], KL_EPSILON)
    cross = float(np.dot(p_sums, np.log(np.maximum(q, KL_EPSILON))))
    return float((p_log_p - total * np.log(total) - cross) / total)


METHODS: dict[str, Callable[[Density, DType], float]] = {"min_max": min_max, "mse": mse, "kl": kl}
