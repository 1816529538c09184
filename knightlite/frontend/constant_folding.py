"""Evaluate ONNX nodes whose inputs are all constant.

The operators that exporters put between Shape and Reshape or around weights are computed here, at
once: a detector has hundreds of them. All others run in ONNX Runtime, see constant_runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import constant_runs
from knightlite.frontend.constant_runs import Budget
from knightlite.frontend.source import Shape, SourceNode

Array = NDArray[Any]
Operands = Sequence[Array | None]
SMALL_ELEMENTS = 1 << 20  # of a result: beyond it ONNX Runtime computes it, within bounds


def values_of(
    node: SourceNode, operands: Operands, opset: int, budget: Budget
) -> tuple[Array, ...] | Finding:
    """What a node with constant ``operands`` (None: absent) makes, in order; or why it stays."""
    if node.op_type == "Range":  # bounds [1] are scalars to runtimes, and no tensor to inference
        operands = [
            item if item is None or item.size != 1 else item.reshape(()) for item in operands
        ]
    try:
        small = _is_small(node, operands)
        if not small:
            constant_runs.afford(node, operands, opset, budget)
        found = evaluate(node, operands, opset)
        if found is not None:
            return (found,)
        if small:  # it was not what it seemed
            constant_runs.afford(node, operands, opset, budget)
        return constant_runs.run(node, operands, opset)
    except UnsupportedError as error:
        return Finding(node.name, error.sentence, error.hint)


def _is_small(node: SourceNode, operands: Operands) -> bool:
    """True where the function below makes a view, or few elements whatever it does."""
    sizes = [item.size for item in operands if item is not None]
    many = math.prod(size or 1 for size in sizes) > SMALL_ELEMENTS
    return node.op_type in VIEWS or (node.op_type in FUNCTIONS and not many)


def evaluate(node: SourceNode, operands: Operands, opset: int) -> Array | None:
    """The value of a node with constant ``operands`` (None: absent), or None where unknown."""
    function = FUNCTIONS.get(node.op_type)
    if function is None or node.domain or len(node.outputs) != 1:
        return None
    try:
        return np.asarray(function(node, operands, opset))
    except (ValueError, IndexError, TypeError, KeyError, OverflowError, AttributeError):
        return None  # malformed: ONNX Runtime will say why


def evaluate_shape(node: SourceNode, shape: Shape) -> Array:
    """Shape (with start and end) or Size of a tensor of static ``shape``."""
    if node.op_type == "Size":
        return np.asarray(int(np.prod(shape, dtype=np.int64)), np.int64)
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
    return np.asarray(shape[start:end], np.int64)


def cast_like(
    node: SourceNode, constants: Mapping[str, Array], types: Mapping[str, int]
) -> tuple[Array] | None:
    """A constant as the type that features have; None for features and where that is unknown."""
    from onnx import helper

    (source, like), output = node.inputs, node.outputs[0]
    element = types.get(output, types.get(like, 0))
    if source not in constants or not element:
        return None
    return (constants[source].astype(helper.tensor_dtype_to_np_dtype(element)),)


def axes_of(node: SourceNode, operands: Operands) -> tuple[int, ...] | None:
    """``axes`` as attribute (older opsets) or second input."""
    if "axes" in node.attributes:
        return tuple(int(item) for item in node.attributes["axes"])
    if len(operands) > 1 and operands[1] is not None:
        return tuple(int(item) for item in operands[1].reshape(-1))
    return None


def _given(operands: Operands, index: int) -> Array:
    value = operands[index]
    if value is None:
        raise ValueError("an operand is absent")
    return value


def _cast(node: SourceNode, operands: Operands, opset: int) -> Array:
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    return np.asarray(_given(operands, 0).astype(dtype))


def _identity(node: SourceNode, operands: Operands, opset: int) -> Array:
    return _given(operands, 0)


def _slice(node: SourceNode, operands: Operands, opset: int) -> Array:
    data = _given(operands, 0)
    axes: Any
    steps: Any
    if "starts" in node.attributes:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes.get("axes", range(len(starts))), [1] * len(starts)
    else:
        starts, ends = _given(operands, 1), _given(operands, 2)
        axes, steps = range(len(starts)), [1] * len(starts)
        if len(operands) > 3 and operands[3] is not None:
            axes = operands[3]
        if len(operands) > 4 and operands[4] is not None:
            steps = operands[4]
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # for a negative step numpy reads end = -1 as "last", as ONNX does; INT_MIN means "past 0"
        last = None if step < 0 and end < -data.shape[axis] else int(end)
        index[int(axis)] = slice(int(start), last, int(step))
    return data[tuple(index)]


def _gather(node: SourceNode, operands: Operands, opset: int) -> Array:
    axis = node.attributes.get("axis", 0)
    return np.take(_given(operands, 0), _given(operands, 1).astype(np.int64), axis=axis)


def _concat(node: SourceNode, operands: Operands, opset: int) -> Array:
    parts = [_given(operands, index) for index in range(len(operands))]
    return np.concatenate(parts, axis=node.attributes["axis"])


def _reshape(node: SourceNode, operands: Operands, opset: int) -> Array:
    data = _given(operands, 0)
    target = [int(item) for item in _given(operands, 1).reshape(-1)]
    if not node.attributes.get("allowzero", 0):
        target = [data.shape[i] if item == 0 else item for i, item in enumerate(target)]
    return data.reshape(target)


def _squeeze(node: SourceNode, operands: Operands, opset: int) -> Array:
    return np.squeeze(_given(operands, 0), axis=axes_of(node, operands))


def _unsqueeze(node: SourceNode, operands: Operands, opset: int) -> Array:
    axes = axes_of(node, operands)
    if axes is None:
        raise ValueError("Unsqueeze without axes")
    return np.expand_dims(_given(operands, 0), axes)


def _transpose(node: SourceNode, operands: Operands, opset: int) -> Array:
    return np.transpose(_given(operands, 0), node.attributes.get("perm"))


def _constant_of_shape(node: SourceNode, operands: Operands, opset: int) -> Array:
    shape = [int(item) for item in _given(operands, 0).reshape(-1)]
    if np.prod(shape, dtype=np.float64) > SMALL_ELEMENTS:
        raise ValueError("the constant is too large")
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.asarray(np.full(shape, value.reshape(-1)[0], value.dtype))


def _expand(node: SourceNode, operands: Operands, opset: int) -> Array:
    data = _given(operands, 0)
    shape = np.broadcast_shapes(data.shape, tuple(int(item) for item in _given(operands, 1)))
    if np.prod(shape, dtype=np.float64) > SMALL_ELEMENTS:
        raise ValueError("the constant is too large")
    return np.broadcast_to(data, shape)


def _divide(node: SourceNode, operands: Operands, opset: int) -> Array:
    a, b = _given(operands, 0), _given(operands, 1)
    if np.issubdtype(a.dtype, np.integer):
        if not np.all(b):
            raise ValueError("division by zero")
        return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), dtype=a.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):  # the result is checked where it is used
        return np.asarray(a / b, dtype=a.dtype)


def _sqrt(node: SourceNode, operands: Operands, opset: int) -> Array:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(_given(operands, 0)))


def _binary(function: Callable[[Array, Array], Array]) -> Function:
    def apply(node: SourceNode, operands: Operands, opset: int) -> Array:
        return np.asarray(function(_given(operands, 0), _given(operands, 1)))

    return apply


VIEWS = ("Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
Function = Callable[[SourceNode, Operands, int], Array]
FUNCTIONS: Mapping[str, Function] = {
    "Add": _binary(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Div": _divide,
    "Expand": _expand,
    "Gather": _gather,
    "Identity": _identity,
    "Mul": _binary(np.multiply),
    "Reshape": _reshape,
    "Slice": _slice,
    "Sqrt": _sqrt,
    "Squeeze": _squeeze,
    "Sub": _binary(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
