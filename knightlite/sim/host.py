"""What the host does around the chip: quantize inputs, dequantize outputs, last float operators.

Everything is float32, as ONNX Runtime computes QuantizeLinear, DequantizeLinear and what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.container import entry_array
from knightlite.errors import DataError, FormatError

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Kind = Callable[[Sequence[Array], Attributes], Array]


def tensor_scale(entry: Mapping[str, Any]) -> Array:
    """The scale of a tensor of the .cfg as float32, shaped to multiply [1, C, H, W]."""
    scale = np.asarray(entry["scale"], np.float32)
    return scale if scale.ndim == 0 else scale.reshape(1, -1, 1, 1)


def quantize(values: Array, entry: Mapping[str, Any]) -> Array:
    """Integers of a float [1, C, H, W] input; DataError where it holds NaN or has another shape."""
    shape = tuple(entry["shape"])
    if values.shape != shape:
        raise DataError(f"input {entry['name']} must have shape {shape}, not {values.shape}.")
    if np.isnan(values).any():
        raise DataError(f"input {entry['name']} must hold numbers, not NaN.")
    return numerics.quantize_input(values, tensor_scale(entry), dtypes.BY_NAME[entry["type"]])


def dequantize(values: Array, entry: Mapping[str, Any]) -> Array:
    """float32 values of an integer [1, C, H, W] tensor."""
    result: Array = values.astype(np.float32) * tensor_scale(entry)
    return result


def finish(meta: Mapping[str, Any], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """The graph's outputs, from the chip's integer outputs: dequantize, then the host operators.

    FormatError for an operator that only ONNX Runtime can do: it is in the .cfg's host model.
    """
    values = {entry["name"]: dequantize(outputs[entry["name"]], entry) for entry in meta["outputs"]}
    for step in meta["host"]:
        constants = {name: entry_array(entry) for name, entry in step["constants"].items()}
        if step["op"] not in KINDS:
            raise FormatError(
                f"host operator {step['name']} must be one of {', '.join(KINDS)}, not {step['op']}."
            )
        operands = [
            constants[name] if name in constants else values[name] for name in step["inputs"]
        ]
        (output,) = step["outputs"]
        values[output] = np.asarray(KINDS[step["op"]](operands, step["attributes"]))
    return {name: values[name] for name in meta["graph_outputs"]}


def softmax(x: Array, axis: int) -> Array:
    """float32 softmax along one axis."""
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = shifted / shifted.sum(axis=axis, keepdims=True)
    return result


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


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-x) is infinite where the result is 0
        return np.asarray(1 / (1 + np.exp(-x)))


def _argmax(x: Array, attributes: Attributes) -> Array:
    return np.asarray(np.argmax(x, attributes["axis"], keepdims=bool(attributes["keepdims"])))


def _unary(function: Callable[[Array], Array]) -> Kind:
    return lambda operands, attributes: function(operands[0])


def _binary(function: Callable[[Array, Array], Array]) -> Kind:
    return lambda operands, attributes: function(operands[0], operands[1])


KINDS: dict[str, Kind] = {
    "ArgMax": lambda operands, attributes: _argmax(operands[0], attributes),
    "Concat": lambda operands, attributes: np.concatenate(operands, attributes["axis"]),
    "Pad": lambda operands, attributes: _pad(operands[0], attributes["pads"]),
    "Reshape": lambda operands, attributes: _reshape(operands[0], attributes["shape"]),
    "Slice": lambda operands, attributes: _slice(operands[0], attributes),
    "Softmax": lambda operands, attributes: softmax(operands[0], attributes["axis"]),
    "Transpose": lambda operands, attributes: operands[0].transpose(attributes["perm"]),
    "Exp": _unary(np.exp),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "Sigmoid": _unary(_sigmoid),
    "Sqrt": _unary(np.sqrt),
    "Tanh": _unary(np.tanh),
    "Add": _binary(np.add),
    "Div": _binary(np.divide),
    "Mul": _binary(np.multiply),
    "Pow": _binary(np.power),
    "Sub": _binary(np.subtract),
}
