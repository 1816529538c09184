"""What the host does around the chip: quantize inputs, dequantize outputs, last float operators.

Everything is float32, as ONNX Runtime computes QuantizeLinear, DequantizeLinear and what follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.container import Description, GeneralLayer, HostOperator, StoredTensor
from knightlite.errors import DataError, FormatError
from knightlite.sim import host_functions

# what numpy raises for attributes and operands that an operator cannot have
UNFIT = (IndexError, KeyError, OverflowError, TypeError, ValueError)
MAX_ELEMENTS = 1 << 28  # of what a host operator computes

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Kind = Callable[[Sequence[Array], Attributes], Array]


def tensor_scale(entry: StoredTensor) -> Array:
    """The scale of a tensor of the .cfg as float32, shaped to multiply [1, C, H, W]."""
    scale = np.asarray(entry.scale, np.float32)
    return scale if scale.ndim == 0 else scale.reshape(1, -1, 1, 1)


def quantize(values: Array, entry: StoredTensor, frame: int | None = None) -> Array:
    """Integers of a float [1, C, H, W] input, of whatever precision; ``frame``: of several, which.

    DataError where it has another shape, or holds NaN or what float32 cannot hold.
    """
    name = f"input {entry.name}" if frame is None else f"frame {frame} of input {entry.name}"
    if values.shape != entry.shape:
        raise DataError(f"{name} must have shape {entry.shape}, not {values.shape}.")
    if np.isnan(values).any():
        raise DataError(f"{name} must hold numbers, not NaN.")
    try:
        known = numerics.real_numbers(values)
    except ValueError as error:
        raise DataError(f"{name} does not fit: {error}.") from None
    return numerics.quantize_input(known, tensor_scale(entry), entry.dtype)


def dequantize(values: Array, entry: StoredTensor) -> Array:
    """float32 values of an integer [1, C, H, W] tensor."""
    result: Array = values.astype(np.float32) * tensor_scale(entry)
    return result


def finish(meta: Description, outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs, from the chip's integer outputs: dequantize, then the host operators.

    FormatError for an operator that only ONNX Runtime can do (it is in the .cfg's host model), and
    for attributes or operands that an operator cannot have.
    """
    values = {entry.name: dequantize(outputs[entry.name], entry) for entry in meta.outputs}
    for step in meta.host:
        if step.op not in KINDS:
            raise FormatError(
                f"host operator {step.name} must be one of {', '.join(KINDS)}, not {step.op}."
            )
        values[step.outputs[0]] = _sound(step, values)
    return {name: values[name] for name in meta.graph_outputs}


EXACT = frozenset(
    {
        "Abs", "Add", "ArgMax", "Clip", "Concat", "Div", "Exp", "Log", "LogSoftmax", "Max", "Min",
        "Mul", "Neg", "Pad", "Pow", "ReduceMax", "ReduceSum", "Relu", "Reshape", "Sigmoid", "Slice",
        "Softmax", "Sqrt", "Sub", "Tanh", "Transpose",
    }
)  # fmt: skip
"""The kinds whose every result has the same bits on every processor."""

Real = Callable[[Mapping[str, Array]], Array]
"""What a general layer makes of the real values that it reads, by name."""


def exactly(layer: GeneralLayer) -> Real:
    """A general layer with numpy; FormatError where ONNX Runtime may round otherwise."""
    odd = [step.op for step in layer.operators if step.op not in EXACT]
    if odd:
        raise FormatError(
            f"general layer {layer.name} has {odd[0]}, which only ONNX Runtime computes.",
            "run it with knightlite sim, or knightlite.Session",
        )

    def compute(values: Mapping[str, Array]) -> Array:
        known = dict(values)
        for step in layer.operators:
            known[step.outputs[0]] = _sound(step, known)
        return known[layer.output]

    return compute


def requantized(values: Array, layer: GeneralLayer, entry: StoredTensor) -> Array:
    """The integers of what a general layer computed; what is not a number becomes 0.

    FormatError where it is not what the tensor holds.
    """
    if values.shape != entry.shape or values.dtype != np.float32:
        raise FormatError(
            f"general layer {layer.name} must make float32 of shape {entry.shape}, not "
            f"{values.dtype} of shape {values.shape}.",
            "compile the model again",
        )
    known = np.where(np.isnan(values), np.float32(0), values)
    return numerics.quantize_input(known, tensor_scale(entry), entry.dtype)


def _sound(step: HostOperator, values: Mapping[str, Array]) -> Array:
    """What an operator computes; FormatError where it cannot, or its shape is not as declared."""
    try:
        found = _compute(step, values)
        odd = step.misfit([(str(found.dtype), found.shape)])
        if odd:
            raise ValueError(odd)
        return found
    except UNFIT as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise FormatError(
            f"host operator {step.name} ({step.op}) does not fit what it reads ({reason}).",
            "compile the model again",
        ) from error


def _compute(step: HostOperator, values: Mapping[str, Array]) -> Array:
    """What an operator computes; one of ``UNFIT`` where it cannot."""
    operands = [
        step.constants[name].array if name in step.constants else values[name]
        for name in step.inputs
    ]
    elements = _elements(step, operands)
    if len(step.outputs) != 1 or elements > MAX_ELEMENTS:
        raise ValueError(f"{elements} elements for {len(step.outputs)} outputs")
    with np.errstate(all="ignore"):  # Log(0) is -inf and 0 / 0 is NaN, as in ONNX Runtime
        return np.asarray(KINDS[step.op](operands, step.attributes))


def _elements(step: HostOperator, operands: Sequence[Array]) -> int:
    """How many the result has at most, known before it is made."""
    if step.op == "Pad":
        pads: Any = step.attributes["pads"]
        shape = operands[0].shape
        ends = zip(shape, pads[: len(shape)], pads[len(shape) :], strict=True)
        return math.prod(max(0, size + before + after) for size, before, after in ends)
    if step.op == "Concat":
        return sum(operand.size for operand in operands)
    return math.prod(np.broadcast_shapes(*(operand.shape for operand in operands)))


def _reshape(x: Array, shape: list[int]) -> Array:
    """ONNX Reshape: 0 keeps a dimension, -1 takes what is left."""
    return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(shape)])


def _pad(x: Array, pads: list[int]) -> Array:
    """ONNX Pad with zeros: all begins, then all ends."""
    return np.pad(x, list(zip(pads[: x.ndim], pads[x.ndim :], strict=True)))


def _slice(x: Array, attributes: Attributes) -> Array:
    """ONNX Slice: ends beyond the start or the end of an axis are cut there."""
    index = [slice(None)] * x.ndim
    names = ("starts", "ends", "axes", "steps")
    for start, end, axis, step in zip(*(attributes[name] for name in names), strict=True):
        # numpy reads end = -1 as "last" for a negative step, as ONNX does; below that: "past 0"
        last = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, last, step)
    return x[tuple(index)]


def _cast(x: Array, name: Any) -> Array:
    """To a type of ``CASTS``: towards zero, as C does."""
    if name not in CASTS:
        raise ValueError(f"a cast to {name}")
    return x.astype(np.dtype(name))


def _clip(x: Array, attributes: Attributes) -> Array:
    """Below ``min`` it is that, then above ``max`` that: where they cross, ``max`` wins."""
    if "min" in attributes:
        x = np.maximum(x, np.float32(attributes["min"]))
    if "max" in attributes:
        x = np.minimum(x, np.float32(attributes["max"]))
    return x


def _reducing(function: Any) -> Kind:
    def reduce(operands: Sequence[Array], attributes: Attributes) -> Array:
        axes, kept = tuple(attributes["axes"]), bool(attributes["keepdims"])
        return np.asarray(function(operands[0], axes, kept))

    return reduce


def _argmax(x: Array, attributes: Attributes) -> Array:
    return np.asarray(np.argmax(x, attributes["axis"], keepdims=bool(attributes["keepdims"])))


def _unary(function: Callable[[Array], Array]) -> Kind:
    return lambda operands, attributes: function(operands[0])


def _binary(function: Callable[[Array, Array], Array]) -> Kind:
    return lambda operands, attributes: function(operands[0], operands[1])


# what numpy calls the types that a Cast on the host may make
CASTS = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
)  # fmt: skip
KINDS: dict[str, Kind] = {
    "ArgMax": lambda operands, attributes: _argmax(operands[0], attributes),
    "Cast": lambda operands, attributes: _cast(operands[0], attributes["to"]),
    "Clip": lambda operands, attributes: _clip(operands[0], attributes),
    "Concat": lambda operands, attributes: np.concatenate(operands, attributes["axis"]),
    "Pad": lambda operands, attributes: _pad(operands[0], attributes["pads"]),
    "Reshape": lambda operands, attributes: _reshape(operands[0], attributes["shape"]),
    "Slice": lambda operands, attributes: _slice(operands[0], attributes),
    "Softmax": lambda operands, attributes: host_functions.softmax(operands[0], attributes["axis"]),
    "Transpose": lambda operands, attributes: operands[0].transpose(attributes["perm"]),
    "LogSoftmax": lambda operands, attributes: host_functions.log_softmax(
        operands[0], attributes["axis"]
    ),
    "ReduceMax": _reducing(lambda x, axes, kept: x.max(axes, keepdims=kept)),
    "ReduceSum": _reducing(host_functions.reduce_sum),
    "Abs": _unary(np.abs),
    "Exp": _unary(host_functions.exp),
    "Log": _unary(host_functions.log),
    "Neg": _unary(np.negative),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "Sigmoid": _unary(host_functions.sigmoid),
    "Sqrt": _unary(np.sqrt),
    "Tanh": _unary(host_functions.tanh),
    "Add": _binary(np.add),
    "Div": _binary(np.divide),
    "Max": _binary(np.maximum),
    "Min": _binary(np.minimum),
    "Mul": _binary(np.multiply),
    "Pow": _binary(host_functions.power),
    "Sub": _binary(np.subtract),
}
