"""Where the outputs of a Resize read, along one axis: exact positions, and ONNX Runtime's.

A position is an affine function of the output index o with rational coefficients, so it is
``(o * step + offset) / unit`` with integers: a :class:`Line`. ONNX Runtime computes it in float32;
for nearest that decides which element is taken where the exact position is a tie.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
HALF = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a Resize: sizes, the coordinate mode and the scale (a float32's value)."""

    inputs: int
    outputs: int
    mode: str
    scale: float

    @property
    def exact_scale(self) -> Fraction:
        """The ratio that the float32 stands for: of the sizes, else the simplest one near it."""
        ratio = Fraction(self.outputs, self.inputs)
        return ratio if np.float32(ratio) == np.float32(self.scale) else simplest(self.scale)


@dataclass(frozen=True, slots=True)
class Line:
    """``(o * step + offset) / unit`` in lowest terms."""

    step: int
    offset: int
    unit: int

    def numerators(self, outputs: int) -> Indices:
        """``o * step + offset`` for every output."""
        return np.arange(outputs, dtype=np.int64) * self.step + self.offset

    def floors(self, axis: Axis) -> Indices:
        """The element at or below every position, inside the axis."""
        return np.clip(self.numerators(axis.outputs) // self.unit, 0, axis.inputs - 1)


@lru_cache(maxsize=1024)
def simplest(scale: float) -> Fraction:
    """The fraction with the smallest denominator that rounds to the float32 ``scale``."""
    limit = 1
    while True:
        found = Fraction(scale).limit_denominator(limit)
        if np.float32(found) == np.float32(scale):
            return found
        limit *= 2


# ------------------------------------------------------------------ ONNX's coordinate modes


def _asymmetric(o: Any, s: Any, outputs: Any, inputs: Any, half: Any) -> Any:
    return o / s


def _half_pixel(o: Any, s: Any, outputs: Any, inputs: Any, half: Any) -> Any:
    return (o + half) / s - half


def _pytorch_half_pixel(o: Any, s: Any, outputs: Any, inputs: Any, half: Any) -> Any:
    return (o + half) / s - half if outputs > 1 else 0 * o


def _align_corners(o: Any, s: Any, outputs: Any, inputs: Any, half: Any) -> Any:
    return o * (inputs - 1) / (outputs - 1) if outputs > 1 else 0 * o


def _half_pixel_symmetric(o: Any, s: Any, outputs: Any, inputs: Any, half: Any) -> Any:
    return inputs * half * (1 - outputs / (s * inputs)) + (o + half) / s - half


# The same formulas serve fractions and, in ONNX Runtime's order of operations, float32. There
# half_pixel_symmetric has a float32 offset, but goes on in double precision.
COORDINATES: dict[str, Callable[[Any, Any, Any, Any, Any], Any]] = {
    "asymmetric": _asymmetric,
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "half_pixel_symmetric": _half_pixel_symmetric,
}


def position(axis: Axis, output: int) -> Fraction:
    """The exact position that ``output`` reads, in input elements; it may lie outside."""
    scale = axis.exact_scale
    if axis.scale == 1:
        return Fraction(output)
    formula = COORDINATES[axis.mode]
    return Fraction(
        formula(Fraction(output), scale, Fraction(axis.outputs), Fraction(axis.inputs), HALF)
    )


def line(axis: Axis) -> Line:
    """The exact positions as integers."""
    first = position(axis, 0)
    step = position(axis, 1) - first if axis.outputs > 1 else Fraction(0)
    unit = math.lcm(first.denominator, step.denominator)
    return Line(int(step * unit), int(first * unit), unit)


def float_positions(axis: Axis) -> Floats:
    """Every position as ONNX Runtime computes it, in float32."""
    outputs: Any = np.arange(axis.outputs, dtype=np.float32)
    if axis.scale == 1:
        return np.asarray(outputs)
    if axis.mode == "half_pixel_symmetric":
        outputs = outputs.astype(np.float64)
    numbers = (np.float32(item) for item in (axis.scale, axis.outputs, axis.inputs, 0.5))
    found: Floats = COORDINATES[axis.mode](outputs, *numbers).astype(np.float32)
    return found


# ------------------------------------------------------------------ nearest


def _away(x: Floats) -> Floats:
    """C's round: ties away from zero."""
    whole: Floats = np.trunc(x)
    return whole + np.where(np.abs(x - whole) >= 0.5, np.sign(x), 0).astype(np.float32)


def _prefer_floor(x: Floats) -> Floats:
    return np.where(x == np.trunc(x) + np.float32(0.5), np.floor(x), _away(x))


ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": _prefer_floor,
    "round_prefer_ceil": _away,
}


def nearest_indices(axis: Axis, rounding: str) -> Indices:
    """The element that every output takes, as ONNX Runtime decides it."""
    rounded = ROUNDINGS[rounding](float_positions(axis)).astype(np.int64)
    return np.clip(rounded, 0, axis.inputs - 1)


@lru_cache(maxsize=1024)
def nearest_line(axis: Axis, rounding: str) -> Line | None:
    """A line whose floors are what ONNX Runtime takes; None where there is none.

    At a tie the upper or the lower element may be taken: floor and round_prefer_ceil mean the
    upper, the others the lower. In float32 a tie may come out the other way. For floor and ceil
    that is followed where all ties of the axis do. For the rest it is not, since versions of ONNX
    Runtime differ there: newer ones take what is next to a tie for one.
    """
    exact = line(axis)
    shift = {"floor": 0, "ceil": 2 * exact.unit}.get(rounding, exact.unit)  # ceil: floor + 1
    upper = Line(2 * exact.step, 2 * exact.offset + shift, 2 * exact.unit)
    lower = Line(upper.step, upper.offset - 1, upper.unit)
    candidates = (upper, lower) if rounding in ("floor", "round_prefer_ceil") else (lower, upper)
    wanted = nearest_indices(axis, rounding)
    for candidate in candidates if rounding in ("floor", "ceil") else candidates[:1]:
        if np.array_equal(candidate.floors(axis), wanted):
            return candidate
    return None


def doubtful_output(axis: Axis, rounding: str) -> int:
    """The first output where ONNX Runtime does not take what exact arithmetic does."""
    taken = nearest_indices(axis, rounding)
    rules: dict[str, Callable[[Fraction], int]] = {
        "floor": math.floor,
        "ceil": math.ceil,
        "round_prefer_floor": lambda p: math.ceil(p - HALF),
        "round_prefer_ceil": lambda p: math.floor(p + HALF),
    }
    for output in range(axis.outputs):
        exact = min(max(rules[rounding](position(axis, output)), 0), axis.inputs - 1)
        if exact != taken[output]:
            return output
    raise ValueError("no output is in doubt")


# ------------------------------------------------------------------ linear


@dataclass(frozen=True, slots=True)
class Blend:
    """Per output: two elements and the weight of the second in steps of 1/unit."""

    first: Indices
    second: Indices
    weight: Indices
    unit: int


def blend(axis: Axis) -> Blend:
    """The two neighbours of every exact position, clamped to the axis, and their weights."""
    exact = line(axis)
    last = axis.inputs - 1
    numerators = np.clip(exact.numerators(axis.outputs), 0, last * exact.unit)
    first = numerators // exact.unit
    return Blend(first, np.minimum(first + 1, last), numerators % exact.unit, exact.unit)
