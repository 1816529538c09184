"""Where float32 is enough to requantize sums: proved at the sums where the result changes.

``clamp(rne(s * m / 2^q))`` grows with s in steps, of which there are as many as results. Rounding
is monotonic in float32 too, so ``clamp(rint((s + c) * g))`` with a float32 g and a small c is the
same function where it is right on both sides of every step. Only near a tie can it be wrong, so few
sums are tried. Where g = m / 2^q is wrong at one, another g next to it, with a c that brings the
steps back to where they belong, has other sums next to ties: most channels have one that is right.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite.sim.memory import Parameters, parameters

Array = NDArray[Any]

EXACT_FLOAT32 = 1 << 24
MOST_STEPS = 1 << 9  # results of 16 bits have too many steps to look at
# Of the largest result, what a product may be off by: float32 holds it to 2^-24. A tried g moves
# it by at most 3 * 2^-23, a tried c by 2 * 2^-23, and both roundings by 2^-23 together.
NEAR = 2.0**-20
TRIES = (  # last places of g, and of the largest sum for c
    (0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (1, -1), (-1, 1), (2, -1), (-2, 1), (3, -2), (-3, 2),
    (2, -2), (-2, 2), (2, 0), (-2, 0), (1, 1), (-1, -1), (1, -2), (-1, 2), (0, 2), (0, -2),
)  # fmt: skip
# Of channels that come out wrong twice over, however they are tried, at one expected wrong sum each
# (and of others in proportion to the square). Where one such channel is expected, nothing is tried.
STUBBORN = 0.1


class Float32(NamedTuple):
    """Per channel: ``clamp(rint((sum + bias) * gain))`` in float32 is the requantized sum."""

    gain: NDArray[np.float32]
    bias: NDArray[np.float32]


def float32_factors(
    records: bytes, lowest: Array, highest: Array, low: int, high: int
) -> Float32 | None:
    """What requantizes in float32 as the parameter records say, or None.

    Right for every whole sum whose value with its bias lies in [lowest, highest] of the channel
    (int64); [low, high] is the clamp. The bias is that of the record but for a fraction, c.
    """
    return _factors(records, lowest.tobytes(), highest.tobytes(), low, high)


@lru_cache(maxsize=1024)
def _factors(records: bytes, lowest: bytes, highest: bytes, low: int, high: int) -> Float32 | None:
    params = parameters(np.frombuffer(records, np.uint8))
    first, last = np.frombuffer(lowest, np.int64), np.frombuffer(highest, np.int64)
    reach = np.maximum(np.abs(first), np.abs(last))
    alone = np.maximum(np.abs(first - params.b), np.abs(last - params.b))  # without the bias
    if high - low > MOST_STEPS or max(reach.max(), alone.max()) > EXACT_FLOAT32:
        return None
    if params.m.min() < 0:  # results that fall
        return None
    if _stubborn(params.scale, low, high) > 1:
        return None
    channels, biased = _critical(params, first, last, low, high)
    wanted = np.rint(biased * params.scale[channels][:, np.newaxis]).clip(low, high)
    sums = (biased - params.b[channels][:, np.newaxis]).astype(np.float32)
    exact = params.scale.astype(np.float32)
    unit = _last_place(params, reach, max(-low, high) + 1)
    found = Float32(exact.copy(), params.b.astype(np.float32))
    left = np.ones(len(exact), np.bool_)
    for places, more in TRIES:
        gain, bias = _nudged(exact, places), (params.b + more * unit).astype(np.float32)
        work = sums + bias[channels][:, np.newaxis]
        work *= gain[channels][:, np.newaxis]
        missed = np.any(np.rint(work).clip(low, high) != wanted, axis=1)
        right = left.copy()
        right[channels[missed]] = False
        found.gain[right], found.bias[right] = gain[right], bias[right]
        left &= ~right
        if not left.any():
            return found
        kept = left[channels]
        channels, sums, wanted = channels[kept], sums[kept], wanted[kept]
    return None


def _stubborn(scale: Array, low: int, high: int) -> float:
    """How many channels no try is expected to get right.

    A float32 next to a tie is the tie itself for half a last place on either side; of sums there,
    which lie a factor apart, half round the wrong way.
    """
    ties = np.abs(np.arange(low, high) + 0.5).astype(np.float32)
    wrong = float(np.spacing(ties).sum()) / 2 / scale[scale > 0]
    return STUBBORN * float(np.square(wrong).clip(0, 1).sum())


def _last_place(params: Parameters, reach: Array, results: int) -> Array:
    """Of a float32 as large as the largest sum that is not clamped; 0 where c would be lost."""
    with np.errstate(divide="ignore"):
        largest = np.minimum(results / params.scale, reach)
    unit = np.spacing(largest.astype(np.float32)).astype(np.float64)
    lost = (params.b + unit).astype(np.float32) != params.b + unit
    return np.where(lost, 0, unit)


def _critical(
    params: Parameters, first: Array, last: Array, low: int, high: int
) -> tuple[Array, Array]:
    """Channels and three biased sums of each: around a step that lies near a tie, and both ends.

    What is not here is right: where the exact product is further from a tie than float32 can be
    off, it rounds to the same side.
    """
    scale = params.scale[:, np.newaxis]
    ties = np.arange(low + 1, high + 1) - 0.5
    with np.errstate(divide="ignore", invalid="ignore"):  # a factor of 0 has no steps
        at = np.ceil(ties / scale)
    reached = (at >= first[:, np.newaxis]) & (at <= last[:, np.newaxis] + 1)
    at = np.where(reached, at, 0)
    beyond = at * scale - ties
    near = NEAR * (max(abs(low), abs(high)) + 1)
    found, steps = np.nonzero(reached & ((beyond < near) | (scale - beyond < near)))
    sums = at[found, steps][:, np.newaxis] + np.array([-1, 0, 1])
    sums = sums.clip(first[found][:, np.newaxis], last[found][:, np.newaxis])
    ends = np.stack([first, first, last], axis=1)  # beyond them lie steps that are not reached
    return np.concatenate([found, np.arange(len(first))]), np.concatenate([sums, ends])


def _nudged(values: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """Numbers moved by so many last places away from 0, which stays."""
    moved = (values.view(np.int32) + np.int32(places)).view(np.float32)
    return np.where(values > 0, moved, values)
