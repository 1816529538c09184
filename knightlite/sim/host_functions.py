"""exp, log and what follows from them, operation by operation: the same bytes as the C library.

In float64 with nothing but + - * / and powers of two, in the order of docs/numerics.md; results
are rounded to float32 once. Arguments are float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
ROOT_HALF = 0.7071067811865476
LAST_TERM = 13  # of exp's series
LAST_DIVISOR = 23  # of that of log
HIGHEST, LOWEST = 709.0, -708.0  # beyond: infinite, 0


def _exp(x: Float64) -> Float64:
    inside = np.clip(x, LOWEST, HIGHEST)
    whole = np.rint(inside * LOG2_E)
    rest = inside - whole * LN2_HIGH
    rest = rest - whole * LN2_LOW
    found = np.full_like(rest, 1.0 / math.factorial(LAST_TERM))
    for term in range(LAST_TERM - 1, -1, -1):
        found = found * rest
        found = found + 1.0 / math.factorial(term)
    scaled = np.ldexp(found, np.nan_to_num(whole).astype(np.int32))
    picked = np.where(x > HIGHEST, np.inf, np.where(x < LOWEST, 0.0, scaled))
    return np.where(np.isnan(x), np.nan, picked)


def _log(x: Float64) -> Float64:
    sound = np.where((x > 0) & np.isfinite(x), x, 1.0)
    mantissa, exponent = np.frexp(sound)
    small = mantissa < ROOT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    power = np.where(small, exponent - 1, exponent).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    z = s * s
    found = np.full_like(z, 1.0 / LAST_DIVISOR)
    for divisor in range(LAST_DIVISOR - 2, 0, -2):
        found = found * z
        found = found + 1.0 / divisor
    found = found * (2.0 * s)
    found = power * LN2_HIGH + (found + power * LN2_LOW)
    found = np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, found))
    return np.where(np.isnan(x) | (x < 0), np.nan, found)


def _single(values: Float64) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(values).astype(np.float32)


def _double(x: Array) -> Float64:
    return np.asarray(x).astype(np.float64)


def exp(x: Array) -> Array:
    """``exp(x)``."""
    return _single(_exp(_double(x)))


def log(x: Array) -> Array:
    """``ln(x)``."""
    return _single(_log(_double(x)))


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _single(1.0 / (1.0 + _exp(-_double(x))))


def tanh(x: Array) -> Array:
    """Near 0 its series, else ``1 - 2 / (exp(2 |x|) + 1)`` with the sign of x."""
    wide = _double(x)
    size, z = np.abs(wide), wide * wide
    series = z * (-17.0 / 315.0) + 2.0 / 15.0
    series = series * z - 1.0 / 3.0
    near = wide * (series * z + 1.0)
    far = 1.0 - 2.0 / (_exp(size * 2.0) + 1.0)
    return _single(np.where(size < 0.015625, near, np.where(wide < 0, -far, far)))


def power(x: Array, y: Array) -> Array:
    """``exp(y ln |x|)``; negative where x is and y is odd."""
    base, exponent = np.broadcast_arrays(_double(x), _double(y))
    size = np.abs(base)
    odd = np.fmod(np.abs(exponent), 2.0) == 1.0
    whole = np.rint(exponent) == exponent
    found = _exp(exponent * _log(size))
    found = np.where(odd & np.signbit(base), -found, found)
    found = np.where(size == 1.0, np.where(odd & (base < 0), -1.0, 1.0), found)
    endless = np.isinf(exponent)
    found = np.where((base < 0) & ~np.isinf(base) & ~whole & ~endless, np.nan, found)
    found = np.where(np.isnan(base) | np.isnan(exponent), np.nan, found)
    found = np.where((exponent == 0) | (base == 1.0), 1.0, found)
    return _single(np.asarray(found, np.float64))


def softmax(x: Array, axis: int) -> Array:
    """``exp(x - max)`` over its sum, which is added up in float64 from the first element on."""
    shares = _exp(_double(x - x.max(axis=axis, keepdims=True)))
    return _single(shares / _total(shares, axis))


def log_softmax(x: Array, axis: int) -> Array:
    """``x - max - ln(sum(exp(x - max)))``."""
    shifted = _double(x - x.max(axis=axis, keepdims=True))
    return _single(shifted - _log(_total(_exp(shifted), axis)))


def _total(values: Float64, axis: int) -> Float64:
    if not values.shape[axis]:
        return np.asarray(values.sum(axis, keepdims=True))
    return np.asarray(np.take(np.add.accumulate(values, axis), [-1], axis))


def reduce_sum(x: Array, axes: tuple[int, ...], kept: bool) -> Array:
    """Sums over axes: real numbers in float64, in the order in which they lie; others whole."""
    if x.dtype.kind != "f":
        return np.asarray(x.sum(axes, x.dtype, keepdims=kept))
    gone = sorted({axis % x.ndim for axis in axes})
    moved = np.moveaxis(_double(x), gone, range(x.ndim - len(gone), x.ndim))
    left = moved.shape[: x.ndim - len(gone)]
    total = np.zeros(left)
    if moved.size:
        total = np.add.accumulate(moved.reshape(*left, -1), -1)[..., -1] + 0.0
    if kept:
        total = total.reshape([1 if axis in gone else size for axis, size in enumerate(x.shape)])
    return total.astype(x.dtype)
