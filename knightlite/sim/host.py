"""What the host does around the chip: quantize inputs, dequantize outputs, last float operators.

Everything is float32, as ONNX Runtime computes QuantizeLinear, DequantizeLinear and what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.errors import DataError, FormatError

Array = NDArray[Any]


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
    """The graph's outputs, from the chip's integer outputs: dequantize, then the host operators."""
    values = {entry["name"]: dequantize(outputs[entry["name"]], entry) for entry in meta["outputs"]}
    for step in meta["host"]:
        values[step["output"]] = _run(step, values[step["input"]])
    return {name: values[name] for name in meta["graph_outputs"]}


def _run(step: Mapping[str, Any], x: Array) -> Array:
    attributes = step["attributes"]
    if step["op"] == "Reshape":
        return _reshape(x, attributes["shape"])
    if step["op"] == "Softmax":
        return softmax(x, attributes["axis"])
    if step["op"] == "ArgMax":
        return np.asarray(np.argmax(x, attributes["axis"], keepdims=bool(attributes["keepdims"])))
    raise FormatError(
        f"host operator {step['name']} must be Reshape, Softmax or ArgMax, not {step['op']}."
    )


def _reshape(x: Array, shape: list[int]) -> Array:
    """ONNX Reshape: 0 keeps a dimension, -1 takes what is left."""
    return x.reshape([x.shape[at] if size == 0 else size for at, size in enumerate(shape)])


def softmax(x: Array, axis: int) -> Array:
    """float32 softmax along one axis."""
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    result: Array = shifted / shifted.sum(axis=axis, keepdims=True)
    return result
