"""Scales of 8-bit weights with the least squared rounding error, per output channel.

Hardly by clipping: with 127 codes on a side, weights gain at most 0.1 dB from it, and a kernel of
one spike and noise no more. What pays is where the codes fall. A channel of few weights finds a
scale on whose multiples most of them happen to lie: 3 dB for the 9 weights of a depthwise 3x3
kernel, 0.6 for 64 weights, 0.2 for 288 (normal ones). The search is that of Sung, Shin, Hwang,
"Resiliency of Deep Neural Networks under Quantization", 2015, over scales around the largest
magnitude's.
"""

from __future__ import annotations

from hashlib import blake2b
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
TOGETHER = 1 << 14  # for so few, candidates are rounded together
MOST_KNOWN = 2048  # weights whose scales are remembered


def least_error_scales(weights: NDArray[Any], scale: Float64, largest: int) -> Float64:
    """Per output channel of ``weights`` [Co, ...] the best scale near ``scale`` (Co,), or itself.

    The error is that of ``rne(weight / scale)`` saturated to [-largest, largest]. Every scale but
    ``scale`` itself is a float32.
    """
    flat = weights.reshape(len(weights), -1)
    if not 0 < flat.shape[1] <= MOST_WEIGHTS:
        return scale.copy()
    asked = _digest(flat, scale, largest)
    found = _KNOWN.get(asked)
    if found is None:
        found = _search(flat.astype(np.float64), scale, largest)
        if len(_KNOWN) >= MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[asked] = found
    return found.copy()


# Every fold of a judgement, every step and every remedy asks for the same weights again: a network
# is searched once. By content; only the scales are kept.
_KNOWN: dict[bytes, Float64] = {}


def _digest(flat: NDArray[Any], scale: Float64, largest: int) -> bytes:
    found = blake2b(f"{flat.shape} {flat.dtype} {largest}".encode())
    found.update(flat.tobytes())
    found.update(scale.tobytes())
    return found.digest()


def candidate_factors(size: int) -> Float64:
    """Factors to try for a channel of ``size`` weights: the fewer weights, the more."""
    return np.linspace(
        LOWEST, HIGHEST, int(np.clip(TRIALS // size, FEWEST_CANDIDATES, MOST_CANDIDATES))
    )


def _search(rows: Float64, scale: Float64, largest: int) -> Float64:
    """Some channels at a time; of small ones many candidates at once."""
    found = scale.copy()
    factors = candidate_factors(rows.shape[1])
    step = max(1, CHUNK // rows.shape[1])
    for first in range(0, len(rows), step):
        part, best = rows[first : first + step], found[first : first + step]
        around = best.copy()
        least = _errors(part, around[None], largest)[0]
        at_once = max(1, TOGETHER // part.size)
        for place in range(0, len(factors), at_once):
            tried = around * factors[place : place + at_once, None]
            tried = tried.astype(np.float32).astype(np.float64)
            errors = _errors(part, tried, largest)
            for error, candidate in zip(errors, tried, strict=True):
                better = error < least
                best[better], least[better] = candidate[better], error[better]
    return found


def _errors(rows: Float64, scales: Float64, largest: int) -> Float64:
    """Squared errors [candidates, channels] of ``rows`` [channels, n]."""
    steps = scales[:, :, None]
    codes = rows / steps
    np.rint(codes, out=codes)
    np.minimum(codes, largest, out=codes)  # of so few values, np.clip takes longer to be called
    np.maximum(codes, -largest, out=codes)
    codes *= steps
    codes -= rows
    codes = codes.reshape(-1, rows.shape[1])
    return np.asarray(np.einsum("ij,ij->i", codes, codes)).reshape(scales.shape)
