"""Ranges by information: ``kl`` (TensorRT's) and ``kl_v2`` (both sides of zero, rounding cells)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType
from knightlite.quantize.ranges.densities import Density, Float64
from knightlite.quantize.ranges.least_squares import min_max

KL_BINS = 2048  # TensorRT's number of magnitude bins
KL_EPSILON = 1e-9
KL_CLIPPED_SHARE = 1e-3
KL_CANDIDATES = 512  # at most: one in four of 2048 bins is 0.2 % of the range apart


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
    tried = _tried(sums, levels)
    best = tried[int(np.argmin(_divergences(counts, sums, tried, levels)))]
    return min(float(best) * width / dtype.maximum, largest)


def _tried(sums: Float64, levels: int) -> NDArray[np.int64]:
    """Numbers of bins to keep, from prefix sums over the bins: ``levels`` at least, then all."""
    bins = sums.size - 1
    kept = int(np.searchsorted(sums, (1 - KL_CLIPPED_SHARE) * sums[-1]))
    first = min(max(levels, kept), bins)
    return np.unique(np.linspace(first, bins, KL_CANDIDATES).astype(np.int64))


def _kl_counts(part: Density) -> tuple[Float64, float]:
    """At most 2048 magnitude bins up to the largest magnitude, and their width.

    Exact zeros are left out and bin 0 is taken as full as bin 1 (as NVIDIA's pytorch-quantization
    does): any scale represents zero, and its spike would drown the rest of the distribution.
    """
    counts = part.positive + part.negative
    counts[0] = counts[1]
    used, merged = _used_bins(counts)
    return counts[:used].reshape(-1, merged).sum(axis=1), part.width * merged


def _used_bins(counts: Float64) -> tuple[int, int]:
    """Bins up to the last filled one, and how many merge into one so that 2048 are left."""
    filled = np.flatnonzero(counts)
    if not filled.size:
        return 1, 1
    used = int(filled[-1]) + 1
    merged = -(-used // KL_BINS)
    return min(used + -used % merged, counts.size - counts.size % merged), merged


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


def kl_v2(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density the scale that keeps most of the distribution that is really delivered.

    As ``kl``, with three changes. The two sides of zero stay apart, with codes on either side, as
    in MXNet's entropy calibration (mxnet.contrib.quantization, 2018): a sum of magnitudes hides a
    lopsided tensor. Levels are the cells that the arithmetic rounds to one code, centred on the
    codes, not counted from their lower edge. What is clipped counts in both distributions, since it
    is delivered as the last code, so that the divergence has the cost of saturation in it.
    """
    return np.asarray([_kl_v2_scale(part, dtype) for part in parts])


def _kl_v2_scale(part: Density, dtype: DType) -> float:
    largest = float(min_max([part], dtype)[0])
    used, merged = _used_bins(part.positive + part.negative)
    sides = [part.positive[:used].reshape(-1, merged).sum(axis=1)]
    if dtype.minimum:
        sides.append(part.negative[:used].reshape(-1, merged).sum(axis=1))
    magnitudes = np.sum(sides, axis=0)
    if largest == 0.0 or magnitudes.size <= dtype.maximum + 1:
        return largest
    tried = _tried(np.concatenate([[0.0], np.cumsum(magnitudes)]), dtype.maximum + 1)
    signed = np.concatenate([sides[1][::-1], sides[0]]) if dtype.minimum else sides[0]
    divergences = [_cell_divergence(signed, int(kept), dtype) for kept in tried]
    best = float(tried[int(np.argmin(divergences))])
    return min(best * part.width * merged / dtype.maximum, largest)


def _cell_divergence(signed: Float64, kept: int, dtype: DType) -> float:
    """Divergence of clipping counts at ``kept`` bins from zero and rounding, in nats per value.

    ``signed``: counts from the lowest to the highest value; for an unsigned type from zero up.
    """
    zero = signed.size // 2 if dtype.minimum else 0
    window = signed[max(zero - kept, 0) : zero + kept].copy()
    window[-1] += signed[zero + kept :].sum()
    window[0] += signed[: max(zero - kept, 0)].sum()
    upper = np.rint((np.arange(dtype.maximum) + 0.5) * (kept / dtype.maximum)).astype(np.int64)
    starts = np.concatenate([[0], upper])
    if dtype.minimum:
        starts = np.concatenate([[0], kept - upper[::-1], kept + upper])
    mass = np.add.reduceat(window, starts)
    filled = np.maximum(np.add.reduceat((window > 0).astype(np.float64), starts), 1.0)
    tiny = 1e-300
    p_log_p = np.dot(window, np.log(np.maximum(window, tiny)))
    p_log_q = np.dot(mass, np.log(np.maximum(mass / filled, tiny)))
    return float((p_log_p - p_log_q) / max(float(mass.sum()), tiny))
