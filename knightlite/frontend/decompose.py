"""Operators that become several of the canonical ones: Div, LRN and reductions.

::

    Div(a, b)            =>  Mul(a, Reciprocal(b))
    LRN(x)               =>  Mul(x, Table(Conv(x^2)))   with a banded 1x1 convolution of ones
    ReduceMean over H, W =>  AveragePool; ReduceSum: the same with a gain; ReduceMax: MaxPool
    ReduceMean over C    =>  Conv 1x1 with equal weights; ReduceSum: with ones
    ReduceL2             =>  Sqrt(ReduceSum(x^2)); ReduceL1: ReduceSum(Abs(x))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import pointwise
from knightlite.frontend.compute import compute
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ops.expressions import Step

Array = NDArray[Any]
CHANNELS, ROWS, COLUMNS = 1, 2, 3
REDUCTIONS = (
    "GlobalMaxPool", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare",
)  # fmt: skip
DECOMPOSED = ("Div", "LRN", *REDUCTIONS)


def decompose(state: Importer, node: SourceNode) -> None:
    """Div, LRN, or a reduction."""
    if node.op_type == "Div":
        _divide(state, node)
    elif node.op_type == "LRN":
        _normalize(state, node)
    else:
        _reduce(state, node)


# ------------------------------------------------------------------ what they are made of


def _append(
    state: Importer,
    node: SourceNode,
    op: str,
    inputs: Sequence[str],
    output: str,
    shape: Shape,
    attributes: Mapping[str, Any] | None = None,
) -> str:
    """Compute ``op``, that the file does not have, into a value ``output`` of ``shape``."""
    state.model = replace(state.model, shapes={**state.model.shapes, output: shape})
    made = replace(
        node, op_type=op, inputs=tuple(inputs), outputs=(output,), attributes=attributes or {}
    )
    compute(state, made)
    return output


def _constant(state: Importer, name: str, values: Array | np.generic) -> str:
    """A constant that the file does not have."""
    state.model = replace(
        state.model, constants={**state.model.constants, name: np.asarray(values)}
    )
    return name


# ------------------------------------------------------------------ Div


def _divide(state: Importer, node: SourceNode) -> None:
    """By a constant: a Mul. By features: a Mul by their reciprocal, and a word about it."""
    (dividend, divisor), output = node.inputs, node.outputs[0]
    operand = state.model.constants.get(divisor)
    if operand is None:
        if dividend in state.model.constants:
            raise UnsupportedError(f"Div {node.name} must divide features or a scalar by features.")
        shape = state.seen(divisor)
        inverse = _append(state, node, "Reciprocal", [divisor], f"{output}.reciprocal", shape)
        sentence = (
            f"Div {node.name} by features is a Mul by their reciprocal, both in 8 bits: about 30 "
            "dB where the divisor stays within a factor of 20, useless where it comes near 0."
        )
        hint = "look at this layer's SQNR, or clip the divisor from below"
        state.findings.append(Finding(node.name, sentence, hint, "warning"))
    elif not np.all(operand):
        raise UnsupportedError(f"Div {node.name} must not divide by zero.")
    else:
        inverse = _constant(state, f"{divisor}/{node.name}", 1.0 / operand.astype(np.float64))
    compute(state, replace(node, op_type="Mul", inputs=(dividend, inverse)))


# ------------------------------------------------------------------ LRN


def _normalize(state: Importer, node: SourceNode) -> None:
    """x * (bias + alpha / size * sum of squares over ``size`` neighbouring channels) ^ -beta."""
    x, output, attributes = node.inputs[0], node.outputs[0], node.attributes
    shape = state.seen(x)
    if shape != state.shape(x):
        raise UnsupportedError(f"LRN {node.name} must read [N, C, H, W] features, not {shape}.")
    size = int(attributes["size"])
    squares = _square(state, node, x, output)
    channels = np.arange(shape[1])
    apart = channels[None, :] - channels[:, None]  # [output channel, input channel]
    near = (apart >= -((size - 1) // 2)) & (apart <= size // 2)
    band = _constant(state, f"{output}.band", near.astype(np.float32)[:, :, None, None])
    sums = _append(state, node, "Conv", [squares, band], f"{output}.sums", shape)
    alpha, bias = attributes.get("alpha", 1e-4) / size, attributes.get("bias", 1.0)
    steps = (
        Step("Mul", (0, float(np.float32(alpha))), {}),
        Step("Add", (1, float(np.float32(bias))), {}),
        Step("Pow", (2,), {"exponent": -float(np.float32(attributes.get("beta", 0.75)))}),
    )
    factor = f"{output}.factor"
    state.model = replace(state.model, shapes={**state.model.shapes, factor: shape})
    made = replace(node, outputs=(factor,))
    pointwise.compute(state, made, pointwise.Region(sums, (node.name,), steps))
    _append(state, node, "Mul", [x, factor], output, shape)


def _square(state: Importer, node: SourceNode, x: str, stem: str) -> str:
    two = _constant(state, f"{stem}.two", np.float32(2))
    return _append(state, node, "Pow", [x, two], f"{stem}.squares", state.seen(x))


# ------------------------------------------------------------------ reductions


def _reduce(state: Importer, node: SourceNode) -> None:
    """Reduce over height and width, one of them, or channels; then drop the axes if told so."""
    x, output = node.inputs[0], node.outputs[0]
    seen = _seen_axes(state, node)
    axes = sorted({axis for item in _axes(state, node) for axis in seen.get(item, (0,))})
    if not axes and node.op_type != "GlobalMaxPool":
        state.values[output] = state.value(x)  # noop_with_empty_axes
        return
    shape = state.shape(x)
    if 0 in axes or (CHANNELS in axes and len(axes) > 1):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must reduce channels, or height and width, "
            f"not axes {axes} of {state.seen(x)}."
        )
    source = f"{output}.nchw"
    state.model = replace(state.model, shapes={**state.model.shapes, source: shape})
    state.values[source] = state.value(x)
    reduced = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    is_view = state.seen(output) != reduced
    target = f"{output}.kept" if is_view else output
    kind = node.op_type
    if kind in ("ReduceL2", "ReduceSumSquare"):
        source = _square(state, node, source, output)
    elif kind == "ReduceL1":
        source = _append(state, node, "Abs", [source], f"{output}.absolute", shape)
    inner = f"{target}.sum" if kind == "ReduceL2" else target
    if CHANNELS in axes:
        _over_channels(state, node, source, inner, reduced)
    else:
        _over_picture(state, node, source, inner, axes, reduced)
    if kind == "ReduceL2":
        _append(state, node, "Sqrt", [inner], target, reduced)
    state.values[output] = state.value(target)


def _seen_axes(state: Importer, node: SourceNode) -> Mapping[int, Sequence[int]]:
    """Axes of the shape in the file -> canonical axes; UnsupportedError where none fit."""
    x = node.inputs[0]
    seen, (_, _, height, width) = state.seen(x), state.shape(x)
    if seen == state.shape(x):
        return {axis: (axis,) for axis in (CHANNELS, ROWS, COLUMNS)}
    if state.by_channel(x) and seen[2:] in ((), (height * width,)):
        return {CHANNELS: (CHANNELS,), 2: (ROWS, COLUMNS)}
    raise UnsupportedError(
        f"{node.op_type} {node.name} must read [N, C, H, W] features, not {seen} made from "
        f"{state.shape(x)}."
    )


def _axes(state: Importer, node: SourceNode) -> list[int]:
    """The axes of the file's shape that are reduced, from 0; none: as the file says."""
    rank = len(state.seen(node.inputs[0]))
    if node.op_type == "GlobalMaxPool":
        return list(range(2, rank))
    axes = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = state.model.constants.get(node.inputs[1])
        if given is None:
            raise UnsupportedError(f"{node.op_type} {node.name} must have constant axes.")
        axes = given.reshape(-1)
    if axes is None or len(axes) == 0:
        return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return [int(axis) % rank for axis in axes]


def _over_channels(state: Importer, node: SourceNode, x: str, output: str, shape: Shape) -> None:
    """A 1x1 convolution with equal weights."""
    kind, channels = node.op_type, state.shape(x)[1]
    if kind in ("ReduceMax", "ReduceMin"):
        raise UnsupportedError(
            f"{kind} {node.name} over channels has no instruction: they lie in one vector word.",
            "end the network before it, or reduce with Max and Min of split channels",
        )
    value = 1 / channels if kind == "ReduceMean" else 1.0
    weight = _constant(state, f"{output}.ones", np.full((1, channels, 1, 1), value, np.float32))
    _append(state, node, "Conv", [x, weight], output, shape)


def _over_picture(
    state: Importer, node: SourceNode, x: str, output: str, axes: Sequence[int], shape: Shape
) -> None:
    """A pool whose window covers the reduced axes."""
    kind, full = node.op_type, state.shape(x)
    kernel = [full[axis] if axis in axes else 1 for axis in (ROWS, COLUMNS)]
    attributes = {"kernel_shape": kernel, "strides": [1, 1]}
    if kind == "ReduceMean":
        _append(state, node, "AveragePool", [x], output, shape, attributes)
    elif kind in ("ReduceMax", "GlobalMaxPool"):
        _append(state, node, "MaxPool", [x], output, shape, attributes)
    elif kind == "ReduceMin":
        minus = _constant(state, f"{output}.minus", np.float32(-1))
        turned = _append(state, node, "Mul", [x, minus], f"{output}.turned", full)
        top = _append(state, node, "MaxPool", [turned], f"{output}.largest", shape, attributes)
        _append(state, node, "Mul", [top, minus], output, shape)
    else:
        mean = _append(state, node, "AveragePool", [x], f"{output}.mean", shape, attributes)
        count = _constant(state, f"{output}.count", np.float32(kernel[0] * kernel[1]))
        _append(state, node, "Mul", [mean, count], output, shape)
