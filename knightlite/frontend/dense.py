"""Dense layers, and averages over channels, as 1x1 convolutions, whatever order the file has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import axis_orders, compute, padding
from knightlite.frontend.importer import IN_ORDER, Importer, Value
from knightlite.frontend.instruction_sizes import LONGEST
from knightlite.frontend.source import SourceNode

Array = NDArray[Any]


# ------------------------------------------------------------------ averages over channels


def averages_channels(state: Importer, node: SourceNode, name: str) -> bool:
    """A pool of volumes [1, 1, C, H, W] that averages neighbouring channels, as LRN is exported.

    It is a 1x1 convolution, dense with a band of equal weights.
    """
    found, attributes = axis_orders.groups_of(state, name), node.attributes
    kernel = tuple(attributes.get("kernel_shape", ()))
    strides = tuple(attributes.get("strides", (1, 1, 1)))
    pads = tuple(attributes.get("pads", (0,) * 6))
    plain = attributes.get("auto_pad", "NOTSET") == "NOTSET" and not attributes.get("ceil_mode", 0)
    if (
        node.op_type != "AveragePool"
        or found is None
        or found[2] != (1,)
        or (kernel[1:], strides[1:], pads[1:3], pads[4:]) != ((1, 1), (1, 1), (0, 0), (0, 0))
        or any(step != 1 for step in attributes.get("dilations", ()))
        or not plain
    ):
        return False
    padding.settle(state, name)
    channels, made = state.shape(name)[1], state.seen(node.outputs[0])[2]
    first = np.arange(made)[:, None] * strides[0] - pads[0]
    apart = np.arange(channels)[None, :] - first
    band = ((apart >= 0) & (apart < kernel[0])).astype(np.float64)
    whole = np.minimum(first + kernel[0], channels + pads[3]) - np.maximum(first, -pads[0])
    count = whole if attributes.get("count_include_pad", 0) else band.sum(axis=1, keepdims=True)
    _as_convolution(state, replace(node, inputs=(name, f"{name}.band"), attributes={}), name,
                    (band / count).T.astype(np.float32), state.value(name).order)  # fmt: skip
    return True


# ------------------------------------------------------------------ dense layers


def dense(state: Importer, node: SourceNode, name: str) -> bool:
    """Over the last axis it is a 1x1 convolution; of a flattened picture its weights move."""
    weights = state.model.constants.get(node.inputs[1])
    if weights is None or node.inputs[0] != name or node.attributes.get("transA", 0):
        axis_orders.straighten(state, name)
        return False
    seen, value = state.seen(name), state.value(name)
    if len(seen) == 2 and seen[0] == 1:
        value = _with_a_window_that_fits(state, name)
        if value.order == IN_ORDER:
            return False
        _flattened(state, node, name, weights)
        return True
    found = axis_orders.groups_of(state, name)
    one_matrix = weights.size == np.prod(weights.shape[-2:]) and weights.ndim > 1
    if found is None or not one_matrix or len(found[-1]) > 1:
        return False  # the reader says what it wants
    padding.settle(state, name)
    shape = state.shape(name)
    last = found[-1][0] if found[-1] else next(axis for axis in (1, 3, 2) if shape[axis] == 1)
    if last != 1:
        others = [axis for axis in IN_ORDER[1:] if axis != last]
        axis_orders.move(state, name, (0, last, *others))
    matrix = weights.reshape(weights.shape[-2:])
    if node.attributes.get("transB", 0):
        matrix = matrix.T
    # what is made is last also where a single feature, of which any axis of one stood, was not
    order = (*(axis for axis in state.value(name).order if axis != 1), 1)
    _as_convolution(state, node, name, matrix, order)
    return True


def _with_a_window_that_fits(state: Importer, name: str) -> Value:
    """Rows or columns that are longer than a window become the channels."""
    _, channels, *sizes = state.shape(name)
    long = [axis for axis, size in enumerate(sizes, start=2) if size > LONGEST]
    if len(long) == 1 and channels <= LONGEST:
        padding.settle(state, name)
        others = [axis for axis in IN_ORDER[1:] if axis not in (1, *long)]
        axis_orders.move(state, name, (0, long[0], *sorted((1, *others))))
    return state.value(name)


def _flattened(state: Importer, node: SourceNode, name: str, weights: Array) -> None:
    """Rows of the weights in the order of the canonical tensor."""
    value, shape = state.value(name), state.shape(name)
    sizes = [shape[axis] for axis in value.order]
    numbers = np.arange(int(np.prod(shape))).reshape(sizes)
    rows = numbers.transpose(np.argsort(value.order)).reshape(-1)
    by_output = bool(node.attributes.get("transB", 0))
    if np.array_equal(rows, np.arange(rows.size)):
        moved = weights  # not a copy: these are the largest of a network
    else:
        moved = weights[:, rows] if by_output else weights[rows]
    flat = f"{name}.flat"
    shapes = {**state.model.shapes, flat: state.seen(name)}
    state.model = replace(state.model, shapes=shapes)
    state.values[flat] = replace(value, order=IN_ORDER)
    inputs = (flat, axis_orders.constant(state, node, node.inputs[1], moved), *node.inputs[2:])
    compute.compute(state, replace(node, inputs=inputs))


def _as_convolution(
    state: Importer, node: SourceNode, name: str, matrix: Array, order: tuple[int, ...]
) -> None:
    """``matrix`` [K, M] over the channels; ``order``: that of the output's axes in the file."""
    output, shape = node.outputs[0], state.shape(name)
    alpha, beta = (float(node.attributes.get(key, 1.0)) for key in ("alpha", "beta"))
    kernel = np.ascontiguousarray(matrix.T, np.float32)
    if alpha != 1:
        kernel = (alpha * kernel.astype(np.float64)).astype(np.float32)
    kernel = kernel[:, :, None, None]
    inputs = [
        axis_orders.alias(state, name),
        axis_orders.constant(state, node, node.inputs[1], kernel),
    ]
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = axis_orders.operand(state, node, 2)
        assert bias is not None
        if bias.size not in (1, matrix.shape[1]):
            raise UnsupportedError(f"Gemm {node.name} must have one bias for every output.")
        full = np.broadcast_to(beta * bias.reshape(-1), matrix.shape[1:]).astype(np.float32)
        inputs.append(axis_orders.constant(state, node, node.inputs[2], full))
    seen = state.seen(output)
    canonical = (1, matrix.shape[1], *shape[2:])
    state.model = replace(state.model, shapes={**state.model.shapes, output: canonical})
    made = replace(node, op_type="Conv", inputs=tuple(inputs), attributes={})
    compute.compute(state, made)
    state.model = replace(state.model, shapes={**state.model.shapes, output: seen})
    state.values[output] = replace(state.value(output), order=order)
