"""The only fixed-point code: rounding, saturation, multipliers and tables.

One integer specification for quantizer, golden model, compiler and machine (docs/numerics.md).
Everything is exact: at 8 bit ``acc * m`` < 2^47 and scaling by a power of two is exact in float64,
so ``np.rint`` (half to even, as ONNX QuantizeLinear) on float64 is the specified rounding. At
16 bit it may reach 2^62: then int64, in which the rounding term still has room.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import DType

Array = NDArray[Any]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

MULTIPLIER_BITS = 15  # m in [2^14, 2^15)
MAX_SHIFT = 31
MIN_RATIO = 2.0**-17
MAX_RATIO = 2.0**15
MAX_BIAS = 1 << 30  # |bias| the quantizer may produce; the accumulator adds to it
WEIGHT_MAXIMUM = 127  # of 8-bit weights, which are symmetric
WIDE_WEIGHT_MAXIMUM = 32639  # 127 * 257: both bytes of a 16-bit weight then fit 8 signed bits
WIDE_MULTIPLIER_BITS = 23  # of the factors of two operands where one, or the result, has 16 bits
INPUT_BITS = 16  # of an interpolated table's input
LUT_LENGTHS = (8, 9, 10, 11, 12)  # log2 of such a table's intervals
LUT_LENGTH = 10
MAX_FRACTION = 15  # extra bits of such a table's entries
WHOLE_SHIFT = 63  # beyond it every int64 of magnitude up to 2^62 rounds to 0


@dataclass(frozen=True, slots=True)
class Accumulator:
    """What a convolution adds up in: signed ``bits``, requantized by shifts up to ``max_shift``."""

    bits: int
    max_shift: int

    @property
    def minimum(self) -> int:
        """Smallest sum; smaller ones saturate."""
        return -(1 << (self.bits - 1))

    @property
    def maximum(self) -> int:
        """Largest sum; larger ones saturate."""
        return (1 << (self.bits - 1)) - 1

    @property
    def min_ratio(self) -> float:
        """The smallest ratio that m / 2^q can express."""
        return math.ldexp(1.0, MULTIPLIER_BITS - 1 - self.max_shift)


NARROW = Accumulator(32, MAX_SHIFT)  # both operands have 8 bits
WIDE = Accumulator(48, 47)  # an operand has 16


def accumulator(*operand_bits: int) -> Accumulator:
    """The accumulator of products of operands of so many bits. Numerics 2."""
    return NARROW if max(operand_bits) <= 8 else WIDE


@dataclass(frozen=True, slots=True)
class Multiplier:
    """``ratio ~ m / 2^q`` per channel: ``m`` int64 in [2^14, 2^15), ``q`` int64 in [0, 31].

    ``q`` reaches 47 behind a wide accumulator.
    """

    m: Int64
    q: Int64


@dataclass(frozen=True, slots=True)
class AffineParameters:
    """``y = clamp(rne((x * m + b) / 2^q))``: m signed 16 bit, b signed 32 bit, q in [0, 31]."""

    m: Int64
    b: Int64
    q: Int64


@dataclass(frozen=True, slots=True)
class AddParameters:
    """``y = clamp(rne((a * ma + b * mb) / 2^q))``: ma, mb signed, one common q."""

    ma: int
    mb: int
    q: int


def saturate(values: Array, dtype: DType, low: int | None = None, high: int | None = None) -> Array:
    """Clip integers or float64 integers to ``dtype`` (and to [low, high] where given)."""
    lower = dtype.minimum if low is None else max(low, dtype.minimum)
    upper = dtype.maximum if high is None else min(high, dtype.maximum)
    return np.clip(values, lower, upper).astype(dtype.numpy)


def round_shift(values: Array, q: Array | int) -> Float64:
    """``rne(values / 2^q)`` exactly, for |values| < 2^53."""
    scaled = np.asarray(values, dtype=np.float64) * np.ldexp(1.0, -np.asarray(q, dtype=np.int64))
    return np.rint(scaled)


def round_shift_whole(values: Int64, q: Array | int) -> Int64:
    """``rne(values / 2^q)`` in int64, for |values| <= 2^62 and any q >= 0."""
    shift = np.minimum(np.asarray(q, dtype=np.int64), WHOLE_SHIFT)
    odd = (values >> shift) & 1
    half = np.left_shift(np.int64(1), np.maximum(shift - 1, 0))
    # half - 1 rounds up what is above a tie; at a tie an odd quotient goes on to the even one
    return np.where(shift > 0, (values + (half - 1 + odd)) >> shift, values)


def multiplier(
    ratio: Array | float, bits: int = MULTIPLIER_BITS, sums: Accumulator = NARROW
) -> Multiplier:
    """The (m, q) nearest to ``ratio`` (any shape, real, in [2^-17, 2^15)); ValueError outside.

    ``bits``: m lies in [2^(bits-1), 2^bits). Behind a wide accumulator the range begins at 2^-33.
    Source: numerics section 3. At the upper end m saturates at 2^15 - 1 with q = 0.
    """
    values = np.atleast_1d(np.asarray(ratio, dtype=np.float64))
    if not np.all((values >= sums.min_ratio) & (values < MAX_RATIO)):
        raise ValueError(f"ratio must lie in [2^{math.frexp(sums.min_ratio)[1] - 1}, 2^15)")
    _, exponent = np.frexp(values)  # values = f * 2^exponent, f in [0.5, 1)
    q = bits - exponent.astype(np.int64)
    m = np.rint(np.ldexp(values, q)).astype(np.int64)
    carry = m == (1 << bits)  # rounding reached the end: halve, or saturate at q = 0
    m = np.where(carry, np.where(q > 0, 1 << (bits - 1), m - 1), m)
    q = np.where(carry & (q > 0), q - 1, q)
    return Multiplier(m, q)


def finest_scale(product: float) -> float:
    """The finest scale that values in steps of ``product`` are requantized to: twice the limit.

    Source: numerics section 3; of a ratio just below the limit the factor would saturate.
    """
    return product / (MAX_RATIO / 2)


def requantize(
    acc: Array, params: Multiplier, dtype: DType, low: int | None = None, high: int | None = None
) -> Array:
    """``saturate(rne(acc * m / 2^q))``; channels are the last axis of ``acc``. Numerics 3."""
    return saturate(
        round_shift(np.asarray(acc, dtype=np.float64) * params.m, params.q), dtype, low, high
    )


def requantize_wide(
    acc: Int64, params: Multiplier, dtype: DType, low: int | None = None, high: int | None = None
) -> Array:
    """:func:`requantize` of a 48-bit accumulator, in int64: the product may reach 2^62."""
    return saturate(round_shift_whole(acc * params.m, params.q), dtype, low, high)


def affine_parameters(gain: Array, offset: Array) -> AffineParameters:
    """Integers for ``y_int = gain * x_int + offset`` per channel (float64 arrays of one shape).

    The shift is the largest with |m| < 2^15, |b| <= 2^30 (so x*m + b stays inside 32 bits) and
    q <= 31. ValueError where even q = 0 does not fit.
    """
    gain = np.atleast_1d(np.asarray(gain, dtype=np.float64))
    offset = np.atleast_1d(np.asarray(offset, dtype=np.float64))
    _, gain_exponent = np.frexp(gain)
    _, offset_exponent = np.frexp(offset)
    gain_room = np.where(gain == 0, MAX_SHIFT, MULTIPLIER_BITS - gain_exponent)
    offset_room = np.where(offset == 0, MAX_SHIFT, 30 - offset_exponent)
    q = np.minimum(np.minimum(gain_room, offset_room), MAX_SHIFT).astype(np.int64)
    m = np.rint(np.ldexp(gain, q))
    overflow = np.abs(m) >= (1 << MULTIPLIER_BITS)
    q = np.where(overflow, q - 1, q)
    if np.any(q < 0):
        raise ValueError("gain must be below 2^15 and offset below 2^30 in output steps")
    m = np.rint(np.ldexp(gain, q)).astype(np.int64)
    b = np.rint(np.ldexp(offset, q)).astype(np.int64)
    return AffineParameters(m, b, q)


def affine(
    x: Array,
    params: AffineParameters,
    dtype: DType,
    low: int | None = None,
    high: int | None = None,
) -> Array:
    """``clamp(rne((x * m + b) / 2^q))``; channels are the last axis of ``x``. Numerics 5."""
    total = np.asarray(x, dtype=np.float64) * params.m + params.b
    return saturate(round_shift(total, params.q), dtype, low, high)


def add_parameters(ratio_a: float, ratio_b: float, bits: int = MULTIPLIER_BITS) -> AddParameters:
    """One common shift chosen by the larger ratio; a ratio may be negative (Sub). Numerics 5.

    ``bits`` of the larger factor's magnitude, as in :func:`multiplier`.
    """
    larger = max(abs(ratio_a), abs(ratio_b))
    if not MIN_RATIO <= larger < MAX_RATIO:
        raise ValueError("the larger ratio must lie in [2^-17, 2^15)")
    q = min(bits - math.frexp(larger)[1], MAX_SHIFT + bits - MULTIPLIER_BITS)
    if round(math.ldexp(larger, q)) >= (1 << bits) and q > 0:
        q -= 1
    limit = (1 << bits) - 1
    ma, mb = (max(-limit, min(limit, round(math.ldexp(ratio, q)))) for ratio in (ratio_a, ratio_b))
    return AddParameters(ma, mb, q)


def pair(
    combine: Callable[[Array, Array], Array],
    a: Array,
    b: Array,
    params: AddParameters,
    dtype: DType,
    low: int | None = None,
    high: int | None = None,
) -> Array:
    """``clamp(rne(combine(a * ma, b * mb) / 2^q))``: a sum, a maximum or a minimum. Numerics 5."""
    total = combine(np.asarray(a, np.float64) * params.ma, np.asarray(b, np.float64) * params.mb)
    return saturate(round_shift(total, params.q), dtype, low, high)


def clamp_bounds(low: float, high: float, scale: float, dtype: DType) -> tuple[int, int]:
    """Integer bounds of a real clamp [low, high] (infinite = open) on a tensor of ``scale``.

    Because rounding is monotonic, clamping after rounding with rounded bounds equals rounding
    after clamping: exactly what Clip -> QuantizeLinear computes (division in float32).
    """

    def bound(value: float, default: int) -> int:
        if math.isinf(value):
            return default
        return int(quantize_input(np.float32(value), scale, dtype))

    return bound(low, dtype.minimum), bound(high, dtype.maximum)


def real_numbers(x: Array) -> NDArray[np.float32]:
    """Numbers of any float type as float32, what the host computes with. Numerics 8.

    ValueError where one is finite and float32 cannot hold it.
    """
    with np.errstate(over="ignore"):
        found = np.asarray(x, dtype=np.float32)
    if found.dtype != x.dtype and np.any(np.isinf(found) & np.isfinite(x)):
        largest = np.max(np.abs(x[np.isfinite(x)]))
        raise ValueError(f"float32 holds numbers up to 3.4e+38, not {largest:.4g}")
    return found


def quantize_input(x: Array | np.float32, scale: Array | float, dtype: DType) -> Array:
    """``saturate(rne(float32(x) / float32(scale)))``, the host boundary. Numerics 8.

    The division is done in float32 because that is what ONNX Runtime's QuantizeLinear computes.
    """
    with np.errstate(over="ignore"):  # infinity saturates as any large number does
        ratio = np.asarray(x, dtype=np.float32) / np.asarray(scale, dtype=np.float32)
    return saturate(np.rint(ratio), dtype)


SOFTMAX_ONE = 65535  # exp(0) in the table of a softmax


def softmax_table(scale: float) -> Array:
    """256 entries u16: ``rne(exp(-d * scale) * 65535)`` for d steps below the largest input."""
    steps = np.arange(256, dtype=np.float64)
    entries: Array = np.rint(np.exp(-steps * scale) * SOFTMAX_ONE).astype(np.uint16)
    return entries


def softmax(x: Array, entries: Array, numerator: int) -> Float64:
    """``rne(e * n / sum(e))`` over axis 1, ``e = entries[max - x]``; docs/numerics.md: exact."""
    steps = x.max(axis=1, keepdims=True).astype(np.int64) - x
    shares = entries[steps].astype(np.int64)
    rounded: Float64 = np.rint(shares * numerator / shares.sum(axis=1, keepdims=True))
    return rounded


SOFTMAX_CHANNELS = 256  # with the table above a share of 255 steps is within one step
FINE_ONE = 1 << 30  # exp(0) in the tables of a fine softmax


def fine_softmax_tables(scale: float, bits: int) -> list[Int64]:
    """``rne(exp(-d * scale) * 2^30)`` for d = 0..255; for 16 bits also for d = 0, 256, .. 65280."""
    steps = np.arange(256, dtype=np.float64)
    return [
        np.rint(np.exp(-steps * unit * scale) * FINE_ONE).astype(np.int64)
        for unit in ((1, 256) if bits == 16 else (1,))
    ]


def fine_softmax(x: Array, tables: Sequence[Int64], numerator: int) -> Int64:
    """``rne(e * n / sum(e))`` over axis 1 in int64, e as in docs/numerics.md."""
    steps = x.max(axis=1, keepdims=True).astype(np.int64) - x
    shares = tables[0][steps % 256]
    if len(tables) > 1:
        shares = shares * tables[1][steps // 256] >> 30
    return rounded_quotient(shares * numerator, shares.sum(axis=1, keepdims=True))


def rounded_quotient(values: Int64, divisors: Int64) -> Int64:
    """``rne(values / divisors)``, none negative; 0 where the divisor is."""
    whole, rest = np.divmod(values, np.maximum(divisors, 1))
    # above a half, or at it where that makes an odd quotient even
    rounded: Int64 = whole + (2 * rest + (whole & 1) > divisors)
    return np.where(divisors > 0, rounded, 0)


def table(
    function: Callable[[Array], Array],
    scale_in: float,
    dtype_in: DType,
    scale_out: float,
    dtype_out: DType,
) -> Array:
    """256 entries of an 8-bit unary function, indexed by ``x - dtype_in.minimum``. Numerics 5.

    An infinite value saturates, and one that is not a number is 0.
    """
    codes = np.arange(dtype_in.minimum, dtype_in.maximum + 1)
    x = codes.astype(np.float32) * np.float32(scale_in)
    y = function(x).astype(np.float32)
    with np.errstate(over="ignore"):  # a quotient beyond float32 saturates like any other
        return quantize_input(np.where(np.isnan(y), np.float32(0), y), scale_out, dtype_out)


def interpolated_entries(y: Array, scale_out: float, dtype_out: DType) -> tuple[Array, int]:
    """Entries s16 of an interpolated table, and how many of their bits are fraction.

    ``y``: the function's real values at the ends of the intervals. Infinite values saturate, what
    is not a number is 0. The fraction is the largest (at most 15 bits) with which every entry fits
    s16.
    """
    real = np.where(np.isnan(y), 0, y).astype(np.float64) / scale_out
    steps = np.clip(real, dtype_out.minimum, dtype_out.maximum)
    for fraction in range(MAX_FRACTION, -1, -1):
        entries = np.rint(np.ldexp(steps, fraction))
        if entries.min() >= -(1 << 15) and entries.max() < 1 << 15:
            return entries.astype(np.int16), fraction
    raise AssertionError("an s16 fits s16")


def interpolate(
    x: Array, entries: Array, fraction: int, dtype: DType, low: int | None = None,
    high: int | None = None,
) -> Array:  # fmt: skip
    """``clamp(rne((e_i * (F - f) + e_{i+1} * f) / (F * 2^fraction)))`` for s16 ``x``. Numerics 5.

    F = 2^16 / intervals, i = (x + 32768) div F, f its rest: sums stay below 2^23, one rounding.
    """
    shift = INPUT_BITS - (entries.size - 1).bit_length() + 1
    position = x.astype(np.int64) + (1 << (INPUT_BITS - 1))
    index, rest = position >> shift, position & ((1 << shift) - 1)
    wide = entries.astype(np.int64)
    total = wide[index] * ((1 << shift) - rest) + wide[index + 1] * rest
    return saturate(round_shift(total, shift + fraction), dtype, low, high)
