"""Expressions: several pointwise operators on one feature tensor and numbers, held by one Table.

A Table with ``function`` = "Expression" has ``steps``, a tuple of texts, one ONNX operator each and
in the order of the file: ``("Sigmoid x", "Mul x %1")`` is SiLU. Operands are ``x``, ``%k`` (the
result of step k, from 1) or a number; parameters follow as ``name=value``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ops import functions
from knightlite.ops.functions import INFINITY
from knightlite.ops.onnx_io import OnnxWriter

Array = NDArray[Any]
Operand = int | float  # an int names a value: 0 is x, k the result of step k; a float is a number

BINARY: dict[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
}
AFFINE = ("Add", "Sub", "Mul", "Div")


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: an entry of BINARY with two operands, or of FUNCTIONS with one."""

    op: str
    operands: tuple[Operand, ...]
    parameters: Mapping[str, float | str]

    @property
    def is_affine(self) -> bool:
        """True for gain * value + offset, which convolutions take over for free."""
        if self.op not in AFFINE or not any(isinstance(item, float) for item in self.operands):
            return False
        return self.op != "Div" or isinstance(self.operands[1], float)

    @property
    def is_clip(self) -> bool:
        """True for a Relu or Clip, which clampable operators take over for free."""
        return self.op == "Clip"

    def text(self) -> str:
        """The canonical text."""
        words = [self.op]
        for item in self.operands:
            words.append(repr(item) if isinstance(item, float) else f"%{item}" if item else "x")
        words += [f"{key}={value}" for key, value in self.parameters.items()]
        return " ".join(words)


def parse(text: str) -> Step:
    """The step that :meth:`Step.text` wrote."""
    op, *words = text.split()
    operands: list[Operand] = []
    parameters: dict[str, float | str] = {}
    for word in words:
        key, is_parameter, value = word.partition("=")
        if is_parameter:
            default = functions.FUNCTIONS[op].parameters[key]
            parameters[key] = value if isinstance(default, str) else float(value)
        elif word == "x":
            operands.append(0)
        else:
            operands.append(int(word[1:]) if word.startswith("%") else float(word))
    return Step(op, tuple(operands), parameters)


def composed(first: Sequence[Step], second: Sequence[Step]) -> list[Step]:
    """The steps of ``second`` applied to the result of ``first``."""
    count = len(first)
    moved = [
        replace(
            step,
            operands=tuple(
                item if isinstance(item, float) else item + count for item in step.operands
            ),
        )
        for step in second
    ]
    return [*first, *moved]


def gain_and_offset(steps: Sequence[Step]) -> tuple[float, float] | None:
    """Gain and offset of a first step that is no more than these, where no other reads the input.

    A gain of 0 is none: the input would be lost.
    """
    first, *others = steps
    reads = any(isinstance(item, int) and item == 0 for step in others for item in step.operands)
    if reads or not first.is_affine:
        return None
    left, right = first.operands
    number = float(left if isinstance(left, float) else right)
    found = {
        "Add": (1.0, number),
        "Sub": (-1.0, number) if isinstance(left, float) else (1.0, -number),
        "Mul": (number, 0.0),
        "Div": (1 / number if number else 0.0, 0.0),
    }[first.op]
    return found if found[0] and np.all(np.isfinite(found)) else None


def without_first(steps: Sequence[Step]) -> list[Step]:
    """The others, of the first one's result."""
    return [
        replace(
            step,
            operands=tuple(item if isinstance(item, float) else item - 1 for item in step.operands),
        )
        for step in steps[1:]
    ]


def evaluate(steps: Sequence[Step], x: Array) -> Array:
    """The expression's float32 values, step by step as ONNX's operators round them."""
    return all_values(steps, x)[-1]


def all_values(steps: Sequence[Step], x: Array) -> list[Array]:
    """The float32 values of every step."""
    values = [x]
    for step in steps:
        operands = [
            np.asarray(item, np.float32) if isinstance(item, float) else values[item]
            for item in step.operands
        ]
        with np.errstate(all="ignore"):
            if step.op in BINARY:
                made = BINARY[step.op](*operands)
            else:
                made = functions.evaluate(step.op, operands[0], step.parameters)
        values.append(np.broadcast_to(made, x.shape).astype(np.float32))
    return values[1:]


def nonnegative(steps: Sequence[Step], x_is: bool) -> bool:
    """Whether no value is below 0, by the signs of the steps; ``x_is``: no input is."""
    signs = [x_is]
    for step in steps:
        parts = [item >= 0 if isinstance(item, float) else signs[item] for item in step.operands]
        values = [item for item in step.operands if isinstance(item, int)]  # 2 is none of 2.0
        if step.op in ("Mul", "Div") and len(values) == 2 and values[0] == values[1]:
            signs.append(True)
        elif step.op in ("Add", "Mul", "Div", "Min"):
            signs.append(all(parts))
        elif step.op == "Max":
            signs.append(any(parts))
        elif step.op == "Sub":
            signs.append(False)
        else:
            signs.append(functions.FUNCTIONS[step.op].nonnegative(step.parameters, parts[0]))
    return signs[-1]


def to_onnx(steps: Sequence[Step], writer: OnnxWriter, x: str, output: str) -> None:
    """One ONNX node for each step."""
    values = [x]
    for index, step in enumerate(steps, start=1):
        name = output if index == len(steps) else writer.fresh(f"{output}/step{index}")
        operands = [
            writer.constant(f"{output}/number", np.float32(item))
            if isinstance(item, float)
            else values[item]
            for item in step.operands
        ]
        if step.op in BINARY:
            writer.node(step.op, operands, name)
        else:
            write_function(writer, step.op, step.parameters, operands[0], name)
        values.append(name)


def write_function(
    writer: OnnxWriter, name: str, parameters: Mapping[str, Any], x: str, output: str
) -> None:
    """The ONNX operator of the function's name."""
    if name == "Clip":
        write_clip(writer, x, float(parameters["alpha"]), float(parameters["beta"]), output)
    elif name == "Pow":
        exponent = writer.constant(f"{output}/exponent", np.float32(parameters["exponent"]))
        writer.node("Pow", [x, exponent], output)
    else:
        chosen = {key: parameters[key] for key in functions.FUNCTIONS[name].parameters}
        writer.node(name, [x], output, **chosen)


def write_clip(writer: OnnxWriter, value: str, low: float, high: float, output: str) -> None:
    """Relu where the clip is [0, inf), else Clip with the finite bounds."""
    if low == 0 and high == INFINITY:
        writer.node("Relu", [value], output)
        return
    bounds = [
        writer.constant(f"{output}/low", np.float32(low)) if low > -INFINITY else "",
        writer.constant(f"{output}/high", np.float32(high)) if high < INFINITY else "",
    ]
    writer.node("Clip", [value, *bounds], output)


# ------------------------------------------------------------------ known functions


FAR = np.asarray([16, 20, 32, 48, 64, 80, 100, 1e3, 1e4], np.float32)
PROBES = np.concatenate([np.linspace(-12, 12, 385, dtype=np.float32), FAR, -FAR])  # with 0, 3, 6
SAFE = 80.0  # beyond it exp overflows float32 where a function spells itself out with it
TOLERANCE = 1e-5  # relative to max(1, |y|): exporters write constants with 7 digits
SIXTH = float(np.float32(1 / 6))
KNOWN: tuple[tuple[str, Mapping[str, float | str]], ...] = (
    ("Clip", {"alpha": 0.0, "beta": INFINITY}),
    ("HardSwish", {}),
    ("HardSigmoid", {"alpha": SIXTH, "beta": 0.5}),
    ("HardSigmoid", {"alpha": float(np.float32(0.2)), "beta": 0.5}),
    ("Gelu", {"approximate": "none"}),
    ("Gelu", {"approximate": "tanh"}),
    ("Mish", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("Abs", {}),
    ("Pow", {"exponent": 2.0}),
)


def recognised(steps: Sequence[Step]) -> tuple[str, Mapping[str, float | str]] | None:
    """The function of FUNCTIONS that the expression spells out, where there is one."""
    y = evaluate(steps, PROBES)
    finite = np.isfinite(y)
    if not np.all(finite[np.abs(PROBES) <= SAFE]):
        return None
    slope = float(np.float32(-y[np.flatnonzero(PROBES == -1)[0]]))
    for name, parameters in (*KNOWN, ("LeakyRelu", {"alpha": slope})):
        wanted = functions.evaluate(name, PROBES, parameters)
        allowed = TOLERANCE * np.maximum(1, np.abs(wanted[finite]))
        if np.all(np.abs(y[finite] - wanted[finite]) <= allowed):
            return name, parameters
    return None
