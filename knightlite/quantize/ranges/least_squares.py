"""Ranges by their error: ``min_max``, which clips nothing, and ``mse``, the least squares.

The other methods are in ``methods`` and ``divergence``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from knightlite.dtypes import DType
from knightlite.quantize.ranges.densities import Density, Float64
from knightlite.quantize.ranges.scale_errors import errors_between, squared_error

SMALLEST_SHARE = 1 / 32  # of the min-max scale: below, clipping always costs more
CANDIDATE_RATIO = 1.01  # between neighbouring scales of the coarse search
FINE_CANDIDATES = 41  # of the fine search: 0.05 percent apart
FINE_TURNS = CANDIDATE_RATIO ** np.linspace(-1, 1, FINE_CANDIDATES)
SMALL_TABLE = 1 << 16  # entries
CHUNK = 1 << 14  # entries of an error table made at a time
FAR_RATIO = 1.1  # between neighbouring scales of the search over their wide range
VALLEYS = 3  # in which it looks more closely
WORTH = 0.95  # times the error: what it must save to clip a loud member to next to nothing


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
    return best([*(near[1] * FINE_TURNS).tolist(), near[1]])[0]


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


@lru_cache(maxsize=4)  # of 13.8 MB, for tensors
def _coarse_table(bins: int, largest: int, codes: int) -> Float64:
    return _error_table(bins, largest, _coarse_steps(bins, codes))


def _fine_steps(middle: float) -> Float64:
    return np.asarray(middle * FINE_TURNS)


def _fine_table(bins: int, largest: int, middle: float) -> Float64:
    """Kept, as tensors and channels have few coarse scales in units of their bins."""
    kept = _small_table if bins * FINE_CANDIDATES <= SMALL_TABLE else _large_table
    return kept(bins, largest, middle)


@lru_cache(maxsize=128)  # of 0.3 MB, for channels
def _small_table(bins: int, largest: int, middle: float) -> Float64:
    return _error_table(bins, largest, _fine_steps(middle))


@lru_cache(maxsize=8)  # of 1.3 MB: seldom the same again
def _large_table(bins: int, largest: int, middle: float) -> Float64:
    return _error_table(bins, largest, _fine_steps(middle))


def _error_table(bins: int, largest: int, steps: Float64) -> Float64:
    """Expected squared error, in bin widths, of one value in each bin [bins, candidates].

    Some bins at a time: in scratch that stays in the cache it takes a sixth of the time.
    """
    table = np.empty((bins, steps.size))
    count = max(1, CHUNK // steps.size)
    for first in range(0, bins, count):
        some = table[first : first + count]
        edges = np.arange(first, first + len(some) + 1)[:, None] * steps
        np.divide(errors_between(edges, steps, largest), steps**2, out=some)
    return table
