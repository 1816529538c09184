"""Where the function of a table is constant, and where it bends: both found from its steps.

A bend is where the slope jumps (of a Clip within an expression at its bounds). Lines between the
entries of a table follow it only where it lies on one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Attribute, Node
from knightlite.ops.expressions import Step, all_values
from knightlite.ops.functions import FUNCTIONS, INFINITY
from knightlite.ops.opdef import View
from knightlite.ops.table_functions import steps_of

Float64 = NDArray[np.float64]

FAR = 2.0**14  # beyond it a function of features is only looked at where a step has a bound there
PER_OCTAVE = 16  # inputs that are looked at between a power of two and the next
NEAREST = 2.0**-10
HALVINGS = 40  # of the interval in which a place is looked for: to a float32's last digit
STILL = 2.0**-24  # of the largest magnitude up to UNIT: what counts as no change
UNIT = 8.0
SNAP = 1e-3  # of a place: so near to a bend it is the bend
AT_ZERO = ("Abs", "LeakyRelu", "Elu", "Celu", "Selu")


def _probes() -> Float64:
    octaves = int(np.log2(FAR / NEAREST))
    sizes = NEAREST * 2.0 ** (np.arange(octaves * PER_OCTAVE + 1) / PER_OCTAVE)
    return np.concatenate([-sizes[::-1], [0.0], sizes])


PROBES = _probes()
FURTHER: Float64 = np.exp2(np.arange(15, 128, dtype=np.float64))  # beyond FAR, in float32


def support(view: View) -> tuple[float, float]:
    """The interval of inputs outside which a Table's output is constant.

    That of a function by itself is exact, that of an expression up to ``STILL`` of its largest
    magnitude.
    """
    return _support(tuple(sorted(view.node.attributes.items())))


def bends(view: View) -> tuple[float, ...]:
    """The inputs, in order, at which the slope of a Table's function jumps."""
    return _bends(tuple(sorted(view.node.attributes.items())))


@lru_cache(maxsize=1024)  # asked for with every choice of scales
def _support(attributes: tuple[tuple[str, Attribute], ...]) -> tuple[float, float]:
    steps = _steps(attributes)
    if len(steps) == 1 and steps[0].op in FUNCTIONS:
        low, high = FUNCTIONS[steps[0].op].support(steps[0].parameters)
        return float(low), float(high)
    places = _bends(attributes)

    def end(sign: float) -> float:
        found = sign * _last_change(steps, sign)
        if not math.isfinite(found):
            return found
        # within what counts as no change, a bend is where the function becomes constant
        near = SNAP * max(abs(found), NEAREST)
        return next((place for place in places if abs(place - found) <= near), found)

    return end(-1.0), end(1.0)


def _last_change(steps: Sequence[Step], sign: float) -> float:
    """The magnitude beyond which nothing changes on the side of ``sign``; infinite: it does."""
    y = _values(steps, sign * PROBES)
    level, near = y[-1], y[np.abs(PROBES) <= UNIT]
    allowed = STILL * float(np.max(np.abs(near[np.isfinite(near)]), initial=0.0))
    if not np.isfinite(level) or not np.all(np.isfinite(y[PROBES >= 0])):
        return INFINITY
    if any(np.any(np.abs(_thresholds(step)) >= FAR) for step in steps):
        with np.errstate(invalid="ignore"):
            constant = np.abs(_values(steps, sign * FURTHER) - level) <= allowed
        if not np.all(constant):
            return INFINITY
    changed = np.abs(y - level) > allowed
    if not np.any(changed):
        return 0.0
    last = int(np.flatnonzero(changed)[-1])
    if PROBES[last] >= FAR / 2:
        return INFINITY
    low, high = PROBES[last], PROBES[last + 1]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        same = abs(_values(steps, np.asarray([sign * middle]))[0] - level) <= allowed
        low, high = (low, middle) if same else (middle, high)
    return float(np.float32(high))


@lru_cache(maxsize=1024)
def _bends(attributes: tuple[tuple[str, Attribute], ...]) -> tuple[float, ...]:
    steps, found = _steps(attributes), set[float]()
    for index, step in enumerate(steps):
        for number in range(_thresholds(step).size):
            found.update(_crossings(steps, index, number))
    return tuple(sorted(found))


def _thresholds(step: Step) -> Float64:
    """What an operand of the step passes where the step bends: of a Max and its kin the other."""
    if step.op in ("Max", "Min"):
        return np.zeros(1)
    if step.op in AT_ZERO:
        return np.zeros(1)
    if step.op == "HardSwish":
        return np.asarray([-3.0, 3.0])
    if step.op in ("Clip", "HardSigmoid"):
        bounds = np.asarray(FUNCTIONS[step.op].support(step.parameters), np.float64)
        return bounds[np.isfinite(bounds)]
    return np.empty(0)


def _crossings(steps: Sequence[Step], index: int, number: int) -> list[float]:
    """The inputs at which the step ``index`` passes its threshold of this number."""
    step = steps[index]
    threshold = _thresholds(step)[number]

    def over(x: Float64) -> Float64:
        values = [x.astype(np.float32), *all_values(steps[:index], x.astype(np.float32))]
        first, *others = (
            np.full(x.shape, item) if isinstance(item, float) else values[item].astype(np.float64)
            for item in step.operands
        )
        with np.errstate(all="ignore"):
            return first - (others[0] if others else threshold)

    signs = over(PROBES) >= 0
    found = []
    for place in np.flatnonzero(signs[1:] != signs[:-1]):
        low, high = PROBES[place], PROBES[place + 1]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            same = (over(np.asarray([middle]))[0] >= 0) == signs[place]
            low, high = (middle, high) if same else (low, middle)
        found.append(float(np.float32(high)))
    return found


def _values(steps: Sequence[Step], x: Float64) -> Float64:
    return all_values(steps, x.astype(np.float32))[-1].astype(np.float64)


def _steps(attributes: tuple[tuple[str, Attribute], ...]) -> list[Step]:
    return steps_of(Node("", "Table", (), (), dict(attributes)))
