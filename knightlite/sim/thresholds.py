"""Where float32 is enough to requantize sums: proved at the sums where the result changes.

``clamp(rne(s * m / 2^q))`` grows with s in steps, of which there are as many as results. Rounding
is monotonic in float32 too, so ``clamp(rint(s * g))`` with a float32 g is the same function where
it is right on both sides of every step. Only near a tie can it be wrong, so few sums are tried.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.sim.memory import Parameters, parameters

Array = NDArray[Any]

EXACT_FLOAT32 = 1 << 24
MOST_STEPS = 1 << 9  # results of 16 bits have too many steps to look at
NEAR = 2.0**-20  # of the largest result: what a product in float32 with a nudged g may be off by
NUDGES = (1, -1, 2, -2, 3, -3, 4, -4)  # last places of g that are tried where g itself is wrong
FINE = 1 / 150  # of a result: where sums are as close, one lies next to a tie in most channels
HOPELESS = 0.25  # share of channels with a wrong sum beyond which nudging is not worth its time


def float32_gains(
    records: bytes, lowest: Array, highest: Array, low: int, high: int
) -> NDArray[np.float32] | None:
    """Per channel g with ``clamp(rint(s * g)) = clamp(rne(s * m / 2^q))``, or None.

    For every whole s in [lowest, highest] of the channel (int64); [low, high] is the clamp.
    """
    return _gains(records, lowest.tobytes(), highest.tobytes(), low, high)


@lru_cache(maxsize=1024)
def _gains(
    records: bytes, lowest: bytes, highest: bytes, low: int, high: int
) -> NDArray[np.float32] | None:
    params = parameters(np.frombuffer(records, np.uint8))
    first, last = np.frombuffer(lowest, np.int64), np.frombuffer(highest, np.int64)
    reach = max(int(np.abs(first).max()), int(np.abs(last).max()))
    if high - low > MOST_STEPS or reach > EXACT_FLOAT32 or params.m.min() < 0:
        return None
    if np.median(params.scale) < FINE and len(first) > 1:
        return None
    channels, sums = _critical(params, first, last, low, high)
    gains = params.scale.astype(np.float32)
    wanted = np.rint(sums * params.scale[channels][:, np.newaxis]).clip(low, high)
    kept = gains
    for nudge in (0, *NUDGES):
        tried = _nudged(kept, nudge)
        products = sums.astype(np.float32) * tried[channels][:, np.newaxis]
        missed = np.any(np.rint(products).clip(low, high) != wanted, axis=1)
        wrong = np.zeros(len(gains), np.bool_)
        wrong[channels[missed]] = True
        right = np.zeros(len(gains), np.bool_)
        right[channels] = True
        right &= ~wrong
        gains = np.where(right, tried, gains)
        if not missed.any():
            return gains
        if wrong.sum() > HOPELESS * len(gains):
            return None
        left = wrong[channels]
        channels, sums, wanted = channels[left], sums[left], wanted[left]
    return None


def _critical(
    params: Parameters, first: Array, last: Array, low: int, high: int
) -> tuple[Array, Array]:
    """Channels and three sums of each: around a step that lies near a tie, and both ends.

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
