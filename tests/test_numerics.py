"""The fixed-point arithmetic against Python's integers and fractions.

Python's ``round`` of a Fraction rounds half to even, exactly: it is the specification here.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from knightlite import dtypes, numerics
from knightlite.dtypes import DType
from knightlite.numerics import AddParameters, AffineParameters, Multiplier

SMALL = (dtypes.U8, dtypes.S8, dtypes.S16)
ratios = st.floats(numerics.MIN_RATIO, numerics.MAX_RATIO, exclude_max=True)
scales = st.floats(2.0**-20, 2.0**10, width=32)
accumulators = st.integers(numerics.NARROW.minimum, numerics.NARROW.maximum)
types = st.sampled_from(SMALL)
multipliers = st.integers(1 << 14, (1 << 15) - 1)
shifts = st.integers(0, numerics.MAX_SHIFT)


def clamp(value: int, dtype: DType, low: int | None = None, high: int | None = None) -> int:
    """Into the type and, where given, into [low, high]."""
    lower = dtype.minimum if low is None else max(low, dtype.minimum)
    upper = dtype.maximum if high is None else min(high, dtype.maximum)
    return max(lower, min(upper, value))


def one(value: int, q: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.array([value], np.int64)


# ------------------------------------------------------------------ rounding and saturation


def test_round_shift_exhaustively() -> None:
    values = np.arange(-200, 201)
    for q in range(7):
        wanted = [round(Fraction(int(value), 1 << q)) for value in values]
        assert numerics.round_shift(values, q).tolist() == wanted
    assert numerics.round_shift(np.array([1, 3, 5, -1, -3]), 1).tolist() == [0, 2, 2, 0, -2]


@given(st.integers(-(2**52), 2**52), shifts)
def test_round_shift_of_large_values(value: int, q: int) -> None:
    assert int(numerics.round_shift(one(value), q)[0]) == round(Fraction(value, 1 << q))


@given(st.integers(-(2**40), 2**40), types, st.integers(-300, 300), st.integers(-300, 300))
def test_saturate(value: int, dtype: DType, a: int, b: int) -> None:
    assert numerics.saturate(one(value), dtype).tolist() == [clamp(value, dtype)]
    low, high = clamp(min(a, b), dtype), clamp(max(a, b), dtype)
    found = numerics.saturate(one(value), dtype, low, high)
    assert found.tolist() == [clamp(value, dtype, low, high)]
    assert found.dtype == dtype.numpy


# ------------------------------------------------------------------ requantize


@given(ratios)
@example(2.0**-17)
@example(math.nextafter(2.0**15, 0))
@example(32767.5)
@example(math.nextafter(1.0, 0))
@example(1.0)
def test_multiplier_is_the_nearest_there_is(ratio: float) -> None:
    found = numerics.multiplier(ratio)
    m, q = int(found.m[0]), int(found.q[0])
    assert 1 << 14 <= m < 1 << 15
    assert 0 <= q <= numerics.MAX_SHIFT
    exact = Fraction(ratio)
    error = abs(Fraction(m, 1 << q) - exact)
    for other in range(numerics.MAX_SHIFT + 1):
        nearest = max(1 << 14, min((1 << 15) - 1, round(exact * (1 << other))))
        assert error <= abs(Fraction(nearest, 1 << other) - exact)


@pytest.mark.parametrize(
    ("ratio", "m", "q"),
    [(1.0, 1 << 14, 14), (0.5, 1 << 14, 15), (2.0**-17, 1 << 14, 31), (0.1, 26214, 18)],
)
def test_multiplier_examples(ratio: float, m: int, q: int) -> None:
    found = numerics.multiplier(ratio)
    assert (found.m.tolist(), found.q.tolist()) == ([m], [q])


@pytest.mark.parametrize(
    "ratio", [0.0, -1.0, math.nextafter(2.0**-17, 0), 2.0**15, math.inf, math.nan]
)
def test_ratios_out_of_range(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"ratio must lie in \[2\^-17, 2\^15\)"):
        numerics.multiplier(np.array([1.0, ratio]))


@given(accumulators, multipliers, shifts, types)
@example(numerics.NARROW.minimum, (1 << 15) - 1, 31, dtypes.S16)
@example(3, 1 << 14, 15, dtypes.S8)
@example(-3, 1 << 14, 15, dtypes.S8)
def test_requantize(acc: int, m: int, q: int, dtype: DType) -> None:
    params = Multiplier(one(m), one(q))
    wanted = clamp(round(Fraction(acc * m, 1 << q)), dtype)
    assert numerics.requantize(one(acc), params, dtype).tolist() == [wanted]


@given(st.lists(st.tuples(accumulators, ratios), min_size=1, max_size=5), types)
def test_requantize_per_channel(pairs: list[tuple[int, float]], dtype: DType) -> None:
    params = numerics.multiplier(np.array([ratio for _, ratio in pairs]))
    acc = np.array([[value for value, _ in pairs]] * 2)
    wanted = [
        clamp(round(Fraction(value * int(m), 1 << int(q))), dtype, 0, 100)
        for (value, _), m, q in zip(pairs, params.m, params.q, strict=True)
    ]
    assert numerics.requantize(acc, params, dtype, 0, 100).tolist() == [wanted] * 2


@given(st.integers(-(1 << 62), 1 << 62), st.integers(0, 255))
@example(-(1 << 62), 63)
@example((1 << 62) - (1 << 46), 47)
@example(3 << 20, 21)
@example(-1 << 20, 21)
def test_round_shift_whole(value: int, q: int) -> None:
    wanted = round(Fraction(value, 1 << q))
    assert numerics.round_shift_whole(one(value), one(q)).tolist() == [wanted]


@given(
    st.integers(numerics.WIDE.minimum, numerics.WIDE.maximum),
    multipliers,
    st.integers(0, 47),
    types,
)
@example(numerics.WIDE.minimum, (1 << 15) - 1, 47, dtypes.S16)
@example(numerics.WIDE.maximum, (1 << 15) - 1, 46, dtypes.S16)
def test_requantize_wide(acc: int, m: int, q: int, dtype: DType) -> None:
    params = Multiplier(one(m), one(q))
    wanted = clamp(round(Fraction(acc * m, 1 << q)), dtype)
    assert numerics.requantize_wide(one(acc), params, dtype).tolist() == [wanted]


@given(st.floats(2.0**-33, numerics.MAX_RATIO, exclude_max=True))
def test_wide_multiplier(ratio: float) -> None:
    found = numerics.multiplier(ratio, sums=numerics.WIDE)
    assert 1 << 14 <= found.m[0] < 1 << 15
    assert 0 <= found.q[0] <= 47
    error = abs(Fraction(int(found.m[0]), 1 << int(found.q[0])) / Fraction(ratio) - 1)
    assert error <= Fraction(1, 1 << 15)
    with pytest.raises(ValueError, match=r"ratio must lie in \[2\^-33, 2\^15\)"):
        numerics.multiplier(math.nextafter(2.0**-33, 0), sums=numerics.WIDE)


def test_both_bytes_of_the_largest_wide_weight_fit_eight_signed_bits() -> None:
    """w = 256 * high + low with both in [-128, 127]; one more would need a high byte of 128."""
    largest = numerics.WIDE_WEIGHT_MAXIMUM
    assert [(value + 128) >> 8 for value in (largest, largest + 1)] == [127, 128]


# ------------------------------------------------------------------ affine


@given(st.floats(-3e4, 3e4), st.floats(-1e9, 1e9))
@example(0.0, 0.0)
@example(1.0, 0.0)
@example(1 - 2.0**-17, 0.0)
@example(0.0, 1.0)
def test_affine_parameters(gain: float, offset: float) -> None:
    found = numerics.affine_parameters(np.array([gain]), np.array([offset]))
    m, b, q = int(found.m[0]), int(found.b[0]), int(found.q[0])
    assert (m, b) == (round(Fraction(gain) * (1 << q)), round(Fraction(offset) * (1 << q)))
    assert abs(m) < 1 << 15
    assert abs(b) <= 1 << 30
    assert 0 <= q <= numerics.MAX_SHIFT
    if q < numerics.MAX_SHIFT:  # one bit more would not fit
        more_m, more_b = (Fraction(value) * (2 << q) for value in (gain, offset))
        assert abs(round(more_m)) >= 1 << 15 or abs(more_b) >= 1 << 30


@pytest.mark.parametrize(("gain", "offset"), [(32768.0, 0.0), (32767.9, 0.0), (1.0, 2.0**31)])
def test_affine_parameters_out_of_range(gain: float, offset: float) -> None:
    with pytest.raises(ValueError, match="gain must be below 2\\^15 and offset below 2\\^30"):
        numerics.affine_parameters(np.array([0.5, gain]), np.array([0.0, offset]))


@given(
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**15) + 1, 2**15 - 1),
    st.integers(-(2**30), 2**30),
    shifts,
    types,
)
def test_affine(x: int, m: int, b: int, q: int, dtype: DType) -> None:
    params = AffineParameters(one(m), one(b), one(q))
    exact = round(Fraction(x * m + b, 1 << q))
    assert numerics.affine(one(x), params, dtype).tolist() == [clamp(exact, dtype)]
    assert numerics.affine(one(x), params, dtype, 1, 9).tolist() == [clamp(exact, dtype, 1, 9)]


# ------------------------------------------------------------------ add


signed_ratios = st.builds(lambda ratio, sign: ratio * sign, ratios, st.sampled_from((1, -1)))


@given(signed_ratios, signed_ratios, st.sampled_from((15, 23)))
@example(1.0, 1.0, 15)
@example(2.0**-17, 0.0, 15)
@example(2.0**-17, 0.0, 23)
@example(1 - 2.0**-17, -1 + 2.0**-17, 15)
@example(math.nextafter(2.0**15, 0), 1.0, 15)
def test_add_parameters(a: float, b: float, bits: int) -> None:
    found = numerics.add_parameters(a, b, bits)
    limit = (1 << bits) - 1
    for value, m in ((a, found.ma), (b, found.mb)):
        exact = round(Fraction(value) * (1 << found.q))
        assert m == (
            exact if found.q else max(-limit, min(limit, exact))
        )  # cut off at the end only
    assert 0 <= found.q <= numerics.MAX_SHIFT + bits - 15
    assert max(abs(found.ma), abs(found.mb)) >= 1 << (bits - 1)  # the larger uses all its bits


@pytest.mark.parametrize("pair", [(0.0, 0.0), (2.0**15, 1.0), (1e-6, -1e-6)])
def test_add_parameters_out_of_range(pair: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"the larger ratio must lie in \[2\^-17, 2\^15\)"):
        numerics.add_parameters(*pair)


@pytest.mark.parametrize(
    "params", [AddParameters(16384, 16384, 15), AddParameters(-20000, 32767, 17)]
)
def test_add_exhaustively(params: AddParameters) -> None:
    codes = np.arange(-128, 128)
    found = numerics.pair(np.add, codes[:, None], codes[None, :], params, dtypes.S8)
    wanted = [
        [clamp(round(Fraction(a * params.ma + b * params.mb, 1 << params.q)), dtypes.S8)
         for b in range(-128, 128)]
        for a in range(-128, 128)
    ]  # fmt: skip
    assert found.tolist() == wanted


@given(
    st.integers(-(2**15), 2**15 - 1),
    st.integers(-(2**15), 2**15 - 1),
    signed_ratios,
    signed_ratios,
    types,
)
def test_add(a: int, b: int, ratio_a: float, ratio_b: float, dtype: DType) -> None:
    params = numerics.add_parameters(ratio_a, ratio_b)
    exact = round(Fraction(a * params.ma + b * params.mb, 1 << params.q))
    found = numerics.pair(np.add, one(a), one(b), params, dtype, 0, 7)
    assert found.tolist() == [clamp(exact, dtype, 0, 7)]


# ------------------------------------------------------------------ host boundary, clamp, tables


@pytest.mark.parametrize(
    ("x", "scale", "code"),
    [(2.5, 1.0, 2), (3.5, 1.0, 4), (-2.5, 1.0, -2), (1e9, 1.0, 127), (-math.inf, 1.0, -128)],
)
def test_quantize_input_examples(x: float, scale: float, code: int) -> None:
    assert int(numerics.quantize_input(np.float32(x), scale, dtypes.S8)) == code


def test_quantize_input_divides_in_float32() -> None:
    """At a tie of the float32 quotient, float64 and a reciprocal answer otherwise."""
    scale = np.float32(0.1)
    x = np.float32(0.1) * np.arange(-500, 500, dtype=np.float32) * np.float32(0.5)
    found = numerics.quantize_input(x, float(scale), dtypes.S16)
    assert found.tolist() == np.rint(x / scale).astype(int).tolist()
    assert found.tolist() != np.rint(x.astype(np.float64) / np.float64(scale)).tolist()


@given(st.floats(-1e5, 1e5, width=32), st.floats(-50, 50), st.floats(-50, 50), scales, types)
def test_clamp_after_rounding_is_clamp_before(
    x: float, a: float, b: float, scale: float, dtype: DType
) -> None:
    low, high = min(a, b), max(a, b)
    bounds = numerics.clamp_bounds(low, high, scale, dtype)
    before = numerics.quantize_input(
        np.clip(np.float32(x), np.float32(low), np.float32(high)), scale, dtype
    )
    after = numerics.saturate(numerics.quantize_input(np.float32(x), scale, dtype), dtype, *bounds)
    assert int(before) == int(after)


def test_clamp_bounds_divide_in_float32() -> None:
    """As QuantizeLinear divides what Clip cut off: float64 rounds some of these ties elsewhere."""
    scale = np.float32(0.1)
    ends = scale * np.arange(-500, 500, dtype=np.float32) * np.float32(0.5)
    found = [numerics.clamp_bounds(-math.inf, float(x), float(scale), dtypes.S16)[1] for x in ends]
    assert found == numerics.quantize_input(ends, float(scale), dtypes.S16).tolist()
    assert found != np.rint(ends.astype(np.float64) / np.float64(scale)).tolist()


def test_open_clamp_is_the_type() -> None:
    assert numerics.clamp_bounds(-math.inf, math.inf, 0.1, dtypes.S8) == (-128, 127)
    assert numerics.clamp_bounds(0.0, math.inf, 0.1, dtypes.S8) == (0, 127)
    assert numerics.clamp_bounds(0.0, 6.0, 0.05, dtypes.U8) == (0, 120)


@pytest.mark.parametrize("dtype_in", [dtypes.U8, dtypes.S8])
def test_table_is_exact_for_every_code(dtype_in: DType) -> None:
    found = numerics.table(np.tanh, 0.03, dtype_in, 1 / 127, dtypes.S8)
    assert (found.shape, found.dtype) == ((256,), dtypes.S8.numpy)
    for index, code in enumerate(range(dtype_in.minimum, dtype_in.maximum + 1)):
        y = np.tanh(np.float32(code) * np.float32(0.03)) / np.float32(1 / 127)
        assert found[index] == clamp(round(Fraction(float(y))), dtypes.S8)
