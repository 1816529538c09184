"""From the sums of a matrix instruction to what it stores: bias, requantize, what follows.

Which float type holds every number on the way is decided once, from what the weights can reach.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.isa import TYPES, Matrix
from knightlite.sim.activation import ActivationStep
from knightlite.sim.memory import Bytes, Parameters, Scratch, flat_view, parameters
from knightlite.sim.rounding import SHORT, Calls, bounds, copied, lane_calls, stored_calls
from knightlite.sim.thresholds import EXACT_FLOAT32, Float32, float32_factors
from knightlite.sim.weights import Weights

Array = NDArray[Any]

EXACT_SUM = 1 << 38  # times a multiplier of 15 bits: 2^53, the last that float64 counts to


class Counter:
    """How many accumulators saturated."""

    def __init__(self) -> None:
        self.count = 0


class Results:
    """What one matrix instruction does to its sums. ``counter``: of what saturates.

    ``kept``: it runs more than once, so that a proof pays.
    """

    def __init__(
        self, item: Matrix, mspm: Bytes, scratch: Scratch, weights: Weights, kept: bool
    ) -> None:
        self._item, self._scratch = item, scratch
        self.counter = Counter()
        self._sums_in = numerics.WIDE if item.wide else numerics.NARROW
        self._params: Parameters | None = None
        self._activation: ActivationStep | None = None
        bias: Array = np.zeros(1)
        if not item.accumulate_out:
            records = flat_view(mspm, item.parameters())
            self._params = parameters(records)
            bias = self._params.b
            if item.activation:
                self._activation = ActivationStep(item, mspm, scratch)
        self._guards(weights, int(np.abs(bias).max()))
        lowest, highest = weights.lowest + bias, weights.highest + bias
        most = max(weights.reach, int(highest.max()), -int(lowest.min()))
        # all that is added up, the bias too, is exact in float32
        single = len(weights.parts) == 1 and weights.dtype == np.float32 and most <= EXACT_FLOAT32
        self.small = single and not item.accumulate_in
        self._proved = self.small and kept
        self._single: Float32 | None = None
        if self._params is not None:
            self._bounds(records.tobytes(), lowest.astype(np.int64), highest.astype(np.int64))

    def _guards(self, weights: Weights, bias: int) -> None:
        """Whether the sums, and the sums with their bias, could leave the accumulator.

        And whether these times a multiplier could leave what float64 holds exactly.
        """
        largest = self._sums_in.maximum
        before = -self._sums_in.minimum if self._item.accumulate_in else 0
        most = before + weights.reach
        biased = min(most, largest) + bias
        self._guard_sums, self._guard_bias = most > largest, biased > largest
        self._whole = min(biased, largest + 1) > EXACT_SUM

    def _bounds(self, records: bytes, lowest: Array, highest: Array) -> None:
        """The clamps, the float32 factors where they are enough, and what fits 16 bits."""
        item = self._item
        assert self._params is not None
        self._low, self._top = bounds(item.y_type, item.y_low, item.y_high)
        self._middle: tuple[int, int] | None = None
        if item.residual or item.activation:
            self._middle = bounds(item.middle_type, item.middle_low, item.middle_high)
        if self._proved:
            ends = self._middle or (self._low, self._top)
            self._single = float32_factors(records, lowest, highest, *ends)
        reached = np.maximum(np.abs(lowest), np.abs(highest)) * np.abs(self._params.scale)
        self._short = self.small and float(reached.max()) < SHORT
        if item.residual and self._middle:
            kept = TYPES[item.residual_type]
            terms = (
                max(map(abs, self._middle)) * abs(item.multiplier)
                + max(-kept.minimum, kept.maximum) * abs(item.residual_multiplier)
            )  # fmt: skip
            if terms > EXACT_FLOAT32:
                self._single = None
            self._short = np.ldexp(float(terms), -item.shift) < SHORT

    def reserve(self, elements: int) -> None:
        """Ask for room for blocks of at most ``elements`` sums."""
        for role in ("sums", "wide", "residual"):
            self._scratch.reserve(role, elements)
        self._scratch.reserve("short", elements, 2)
        if self._activation is not None:
            self._activation.reserve(elements)

    def calls(
        self, sums: Array, y: Array, residual: Array | None, partial_sums: Array | None
    ) -> Calls:
        """What is to be done with the sums of a block, [pixels, channels].

        They are float32 where they are ``small``, else float64; y and the others are tiles.
        """
        if self.small:
            return self._small_calls(sums, y, residual)
        wide, found = sums.reshape(y.shape), list[Any]()
        if partial_sums is not None:
            found.append(partial(np.add, wide, partial_sums, wide))
        saturate = partial(_saturate, wide, self._sums_in, self.counter)
        if self._guard_sums:
            found.append(saturate)
        if self._params is None:
            return [*found, copied(y, wide)]
        scale, bias = self._params.scale, self._params.b
        if self._guard_bias or self._whole:
            found += lane_calls(np.add, sums, bias)
        if self._guard_bias:
            found.append(saturate)
        if self._whole:
            found.append(partial(_requantize_whole, sums, self._params))
        else:
            found += lane_calls(np.multiply, sums, scale)
            if not self._guard_bias:
                found += lane_calls(np.add, sums, bias * scale)
        return found + self._rounded(wide, y, residual)

    def _small_calls(self, sums: Array, y: Array, residual: Array | None) -> Calls:
        """All sums, with their bias, are exact in float32."""
        if self._params is None:
            return [copied(y, sums.reshape(y.shape))]
        found: Calls = []
        if self._single is not None:
            if self._single.bias.any():
                found += lane_calls(np.add, sums, self._single.bias)
            found += lane_calls(np.multiply, sums, self._single.gain)
            return found + self._rounded(sums.reshape(y.shape), y, residual)
        if self._params.b.any():
            found += lane_calls(np.add, sums, self._params.b.astype(np.float32))
        wide = self._scratch.take("wide", sums.shape, np.float64)
        found.append(copied(wide, sums))
        found += lane_calls(np.multiply, wide, self._params.scale)
        return found + self._rounded(wide.reshape(y.shape), y, residual)

    def _rounded(self, work: Array, y: Array, residual: Array | None) -> Calls:
        """From requantized values, not rounded yet, to y."""
        found: Calls = []
        if self._middle is not None:  # what follows works on integers of the middle type
            low, high = (np.array(end, work.dtype) for end in self._middle)
            found += [partial(np.rint, work, work), partial(work.clip, low, high, work)]
        if self._activation is not None:
            return [*found, partial(self._activation.run, work, y)]
        if residual is not None:
            item = self._item
            kind = work.dtype.type
            extra = self._scratch.take("residual", work.shape, kind)
            factor, other = (
                kind(np.ldexp(value, -item.shift))
                for value in (item.multiplier, item.residual_multiplier)
            )
            found += [
                partial(np.multiply, work, factor, work),
                copied(extra, residual),
                partial(np.multiply, extra, other, extra),
                partial(np.add, work, extra, work),
            ]
        short = self._scratch.take("short", work.shape, np.int16) if self._short else None
        return found + stored_calls(work, self._low, self._top, y, short)


def _requantize_whole(wide: Array, params: Parameters) -> None:
    """Biased sums [pixels, channels] to rounded values in place, in int64.

    What they become is clamped to 16 bits or fewer: float64 need not hold larger ones exactly.
    """
    product = wide.astype(np.int64) * params.m.astype(np.int64)
    wide[...] = numerics.round_shift_whole(product, params.q)


def _saturate(wide: Array, sums: numerics.Accumulator, counter: Counter) -> None:
    """Clip to the accumulator in place and count the values that it changed."""
    low, high = sums.minimum, sums.maximum
    if wide.max() <= high and wide.min() >= low:
        return
    counter.count += int(np.count_nonzero((wide > high) | (wide < low)))
    np.clip(wide, low, high, out=wide)
