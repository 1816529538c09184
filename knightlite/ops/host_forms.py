"""Functions of the host in operators that every processor computes alike, in float64.

ONNX Runtime's own Exp, Softmax or ReduceSum round as the processor and their version like. Between
two segments of the chip the golden model and the simulator therefore put them to ONNX Runtime as
docs/numerics.md defines them: + - * / and powers of two from a table, sums by CumSum, rounded to
float32 once. The numbers are those of ``sim.host_functions`` and of the runtime in C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from knightlite.ir import HostOp
from knightlite.ops.onnx_io import OnnxWriter

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
ROOT_HALF = 0.7071067811865476
LAST_TERM, LAST_DIVISOR = 13, 23
HIGHEST, LOWEST = 709.0, -708.0
POWERS = 1100  # of two in the table, below 0 and above
NEAR = 0.015625  # below it tanh is its series

Shape = tuple[int, ...]


class _Form:
    """Nodes of one operator, on float64 values by name."""

    def __init__(self, writer: OnnxWriter, hint: str) -> None:
        self._writer, self._hint = writer, hint

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        return self._writer.temporary(op_type, list(inputs), f"{self._hint}/part", **attributes)

    def number(self, value: float) -> str:
        return self._writer.constant(f"{self._hint}/number", np.float64(value))

    def whole(self, *values: int) -> str:
        return self._writer.constant(f"{self._hint}/whole", np.asarray(values, np.int64))

    def add(self, x: str, y: str | float) -> str:
        return self.node("Add", x, self._operand(y))

    def sub(self, x: str | float, y: str | float) -> str:
        return self.node("Sub", self._operand(x), self._operand(y))

    def mul(self, x: str, y: str | float) -> str:
        return self.node("Mul", x, self._operand(y))

    def div(self, x: str | float, y: str) -> str:
        return self.node("Div", self._operand(x), y)

    def above(self, x: str, y: str | float) -> str:
        return self.node("Greater", x, self._operand(y))

    def below(self, x: str, y: str | float) -> str:
        return self.node("Less", x, self._operand(y))

    def is_equal(self, x: str, y: str | float) -> str:
        return self.node("Equal", x, self._operand(y))

    def pick(self, chosen: str, x: str | float, y: str | float) -> str:
        return self.node("Where", chosen, self._operand(x), self._operand(y))

    def double(self, x: str) -> str:
        return self._writer.cast(x, TensorProto.DOUBLE, f"{self._hint}/double")

    def single(self, x: str, output: str) -> None:
        self._writer.node("Cast", [x], output, to=TensorProto.FLOAT)

    def power_of_two(self, exponent: str) -> str:
        """2^n of whole numbers in float64."""
        with np.errstate(over="ignore"):
            table = np.ldexp(1.0, np.arange(-POWERS, POWERS + 1))
        known = self._writer.constant(f"{self._hint}/powers", table)
        place = self._writer.cast(
            self.add(exponent, float(POWERS)), TensorProto.INT64, f"{self._hint}/place"
        )
        return self.node("Gather", known, place)

    def _operand(self, x: str | float) -> str:
        return x if isinstance(x, str) else self.number(x)

    # ------------------------------------------------------------------ functions

    def exp(self, x: str) -> str:
        odd = self.node("IsNaN", x)
        sound = self.pick(odd, 0.0, x)
        inside = self.node("Min", self.node("Max", sound, self.number(LOWEST)),
                           self.number(HIGHEST))  # fmt: skip
        whole = self.node("Round", self.mul(inside, LOG2_E))
        rest = self.sub(inside, self.mul(whole, LN2_HIGH))
        rest = self.sub(rest, self.mul(whole, LN2_LOW))
        found = self.mul(rest, 1.0 / math.factorial(LAST_TERM))
        found = self.add(found, 1.0 / math.factorial(LAST_TERM - 1))
        for term in range(LAST_TERM - 2, -1, -1):
            found = self.add(self.mul(found, rest), 1.0 / math.factorial(term))
        scaled = self.mul(found, self.power_of_two(whole))
        picked = self.pick(self.below(sound, LOWEST), 0.0, scaled)
        picked = self.pick(self.above(sound, HIGHEST), math.inf, picked)
        return self.pick(odd, math.nan, picked)

    def log(self, x: str) -> str:
        """The exponent by ONNX Runtime's Log, which may be off by one and is put right."""
        positive = self.above(x, 0.0)
        finite = self.below(x, math.inf)
        sound = self.pick(self.node("And", positive, finite), x, 1.0)
        power = self.node("Floor", self.mul(self.node("Log", sound), LOG2_E))
        mantissa = self.mul(sound, self.power_of_two(self.sub(0.0, power)))
        for is_off, factor, more in ((self.below(mantissa, 1.0), 2.0, -1.0),
                                     (self.below(mantissa, 2.0), 0.5, 1.0)):  # fmt: skip
            if more > 0:
                is_off = self.node("Not", self.below(mantissa, 2.0))
            mantissa = self.pick(is_off, self.mul(mantissa, factor), mantissa)
            power = self.pick(is_off, self.add(power, more), power)
        mantissa, power = self.mul(mantissa, 0.5), self.add(power, 1.0)
        small = self.below(mantissa, ROOT_HALF)
        mantissa = self.pick(small, self.mul(mantissa, 2.0), mantissa)
        power = self.pick(small, self.sub(power, 1.0), power)
        s = self.div(self.sub(mantissa, 1.0), self.add(mantissa, 1.0))
        z = self.mul(s, s)
        found = self.add(self.mul(z, 1.0 / LAST_DIVISOR), 1.0 / (LAST_DIVISOR - 2))
        for divisor in range(LAST_DIVISOR - 4, 0, -2):
            found = self.add(self.mul(found, z), 1.0 / divisor)
        found = self.mul(found, self.mul(s, 2.0))
        high = self.mul(power, LN2_HIGH)
        found = self.add(high, self.add(found, self.mul(power, LN2_LOW)))
        found = self.pick(self.node("Not", finite), math.inf, found)
        found = self.pick(self.is_equal(x, 0.0), -math.inf, found)
        odd = self.node("Or", self.node("IsNaN", x), self.below(x, 0.0))
        return self.pick(odd, math.nan, found)

    def sigmoid(self, x: str) -> str:
        return self.div(1.0, self.add(self.exp(self.node("Neg", x)), 1.0))

    def tanh(self, x: str) -> str:
        size, z = self.node("Abs", x), self.mul(x, x)
        series = self.add(self.mul(z, -17.0 / 315.0), 2.0 / 15.0)
        series = self.sub(self.mul(series, z), 1.0 / 3.0)
        near = self.mul(x, self.add(self.mul(series, z), 1.0))
        far = self.sub(1.0, self.div(2.0, self.add(self.exp(self.mul(size, 2.0)), 1.0)))
        signed = self.pick(self.below(x, 0.0), self.node("Neg", far), far)
        return self.pick(self.below(size, NEAR), near, signed)

    def power(self, x: str, y: str) -> str:
        size, below = self.node("Abs", x), self.below(x, 0.0)
        odd = self.is_equal(self.node("Mod", self.node("Abs", y), self.number(2.0), fmod=1), 1.0)
        whole = self.is_equal(self.node("Round", y), y)
        found = self.exp(self.mul(y, self.log(size)))
        negative = self.node("Or", below, self.is_equal(self.div(1.0, x), -math.inf))
        found = self.pick(self.node("And", odd, negative), self.node("Neg", found), found)
        signed = self.pick(self.node("And", odd, below), -1.0, 1.0)
        found = self.pick(self.is_equal(size, 1.0), signed, found)
        for is_endless in (self.is_equal(size, math.inf),
                           self.is_equal(self.node("Abs", y), math.inf)):  # fmt: skip
            whole = self.node("Or", whole, is_endless)
        unreal = self.node("And", below, self.node("Not", whole))
        for name in (x, y):
            unreal = self.node("Or", unreal, self.node("IsNaN", name))
        found = self.pick(unreal, math.nan, found)
        one = self.node("Or", self.is_equal(y, 0.0), self.is_equal(x, 1.0))
        return self.pick(one, 1.0, found)

    def total(self, x: str, axis: int) -> str:
        """Along an axis, from the first element on; its size is 1 then."""
        along = self._writer.constant(f"{self._hint}/axis", np.int64(axis))
        running = self.node("CumSum", x, along)
        return self.node("Gather", running, self.whole(-1), axis=axis)

    def sum(self, x: str, shape: Shape, axes: Sequence[int], is_mean: bool) -> str:
        """Over axes, which stay with size 1, in the order in which the elements lie."""
        gone = sorted({axis % len(shape) for axis in axes})
        kept = [axis for axis in range(len(shape)) if axis not in gone]
        turned = self.node("Transpose", x, perm=[*kept, *gone])
        count = math.prod(shape[axis] for axis in gone)
        flat = self.node("Reshape", turned, self.whole(*(shape[axis] for axis in kept), count))
        found = self.total(flat, len(kept))
        return self.mul(found, 1.0) if not is_mean else self.div(found, self.number(float(count)))

    def shifted(self, x: str, axis: int) -> str:
        """What is subtracted is the maximum, in float32."""
        most = self.node("ReduceMax", x, self.whole(axis), keepdims=1)
        return self.double(self.node("Sub", x, most))


def _of_one(function: Callable[[_Form, str], str]) -> Callable[..., None]:
    def write(form: _Form, op: HostOp, inputs: Sequence[str], output: str, shape: Shape) -> None:
        form.single(function(form, form.double(inputs[0])), output)

    return write


def _power(form: _Form, op: HostOp, inputs: Sequence[str], output: str, shape: Shape) -> None:
    form.single(form.power(form.double(inputs[0]), form.double(inputs[1])), output)


def _soft(form: _Form, op: HostOp, inputs: Sequence[str], output: str, shape: Shape) -> None:
    axis = int(str(op.attributes.get("axis", -1))) % len(shape)
    shifted = form.shifted(inputs[0], axis)
    shares = form.exp(shifted)
    total = form.total(shares, axis)
    if op.op == "Softmax":
        form.single(form.div(shares, total), output)
    else:
        form.single(form.sub(shifted, form.log(total)), output)


def _sum(form: _Form, op: HostOp, inputs: Sequence[str], output: str, shape: Shape) -> None:
    axes = sum_axes(op, len(shape))
    assert axes is not None, "what is spelled has known axes"
    found = form.sum(form.double(inputs[0]), shape, axes, op.op == "ReduceMean")
    kept = bool(op.attributes.get("keepdims", 1))
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)
             if kept or axis not in axes]  # fmt: skip
    form.single(form.node("Reshape", found, form.whole(*sizes)), output)


def sum_axes(op: HostOp, rank: int) -> tuple[int, ...] | None:
    """Over which axes a sum goes; None where that is computed, or no axis means no sum."""
    axes: Any = op.attributes.get("axes")
    if len(op.inputs) > 1 and op.inputs[1]:
        if op.inputs[1] not in op.constants:
            return None
        axes = op.constants[op.inputs[1]].reshape(-1).tolist()
    if not axes:
        return None if op.attributes.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({int(axis) % rank for axis in axes}))


FORMS: Mapping[str, Callable[..., None]] = {
    "Exp": _of_one(_Form.exp),
    "Log": _of_one(_Form.log),
    "Sigmoid": _of_one(_Form.sigmoid),
    "Tanh": _of_one(_Form.tanh),
    "Pow": _power,
    "Softmax": _soft,
    "LogSoftmax": _soft,
    "ReduceSum": _sum,
    "ReduceMean": _sum,
}


def spell(
    op: HostOp,
    writer: OnnxWriter,
    inputs: Sequence[str],
    output: str,
    described: tuple[tuple[int | str | None, ...] | None, int],
) -> bool:
    """Write an operation in operators that are exact; False where it has no such form.

    ``described``: shape and element type of its first input.
    """
    shape, kind = described
    sizes = tuple(size for size in shape or () if isinstance(size, int))
    if op.op not in FORMS or kind != TensorProto.FLOAT or shape is None or len(sizes) != len(shape):
        return False
    if FORMS[op.op] is _sum and sum_axes(op, len(sizes)) is None:
        return False
    FORMS[op.op](_Form(writer, output), op, inputs, output, sizes)
    return True
