"""Scales of 8-bit weights with the least squared rounding error, per output channel.

Hardly by clipping: with 127 codes on a side, weights gain at most 0.1 dB from it, and a kernel of
one spike and noise no more. What pays is where the codes fall. A channel of few weights finds a
scale on whose multiples most of them happen to lie: 3 dB for the 9 weights of a depthwise 3x3
kernel, 0.6 for 64 weights, 0.2 for 288 (normal ones). The search is that of Sung, Shin, Hwang,
"Resiliency of Deep Neural Networks under Quantization", 2015, over scales around the largest
magnitude's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

LOWEST, HIGHEST = 0.9, 1.2  # candidates, against the scale of the largest magnitude
MOST_CANDIDATES = 301  # 0.1 percent apart: the largest code moves by a tenth of a step
FEWEST_CANDIDATES = 31
TRIALS = 1 << 14  # candidates times weights of a channel, about
MOST_WEIGHTS = 512  # of a channel: more average out, and their search would take long
CHUNK = 1 << 15  # weights rounded at a time: scratch that stays in the cache


def least_error_scales(weights: NDArray[Any], scale: Float64, largest: int) -> Float64:
    """Per output channel of ``weights`` [Co, ...] the best scale near ``scale`` (Co,), or itself.

    The error is that of ``rne(weight / scale)`` saturated to [-largest, largest]. Every scale but
    ``scale`` itself is a float32.
    """
    count = len(weights)
    flat = weights.reshape(count, -1).astype(np.float64)
    found = scale.copy()
    if not 0 < flat.shape[1] <= MOST_WEIGHTS:
        return found
    step = max(1, CHUNK // flat.shape[1])
    for first in range(0, count, step):
        some = slice(first, first + step)
        found[some] = _search(flat[some], scale[some], largest)
    return found


def candidate_factors(size: int) -> Float64:
    """Factors to try for a channel of ``size`` weights: the fewer weights, the more."""
    return np.linspace(
        LOWEST, HIGHEST, int(np.clip(TRIALS // size, FEWEST_CANDIDATES, MOST_CANDIDATES))
    )


def _search(rows: Float64, scale: Float64, largest: int) -> Float64:
    best, least = scale.copy(), _errors(rows, scale, largest)
    for factor in candidate_factors(rows.shape[1]):
        tried = (scale * factor).astype(np.float32).astype(np.float64)
        errors = _errors(rows, tried, largest, clips=factor < 1)
        better = errors < least
        best[better], least[better] = tried[better], errors[better]
    return best


def _errors(rows: Float64, scale: Float64, largest: int, *, clips: bool = True) -> Float64:
    codes = rows / scale[:, None]
    np.rint(codes, out=codes)
    if clips:
        np.clip(codes, -largest, largest, out=codes)
    codes *= scale[:, None]
    codes -= rows
    return np.asarray(np.einsum("ij,ij->i", codes, codes))
