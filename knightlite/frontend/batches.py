"""Convolutions and recurrent layers of several frames at once, where these are part of the network.

::

    Conv of [N, C, ...]  =>  Conv of [1, N C, ...] with N times as many groups of the same weights;
                             of single pixels MatMul of [N, ..., C], where frames are pixels too
    LSTM of a batch N    =>  N LSTMs of a batch of 1, joined

For networks whose batch is no row of frames that could run one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.frontend.recurrent import GATES, MOST_FRAMES
from knightlite.frontend.source import Shape, SourceModel, SourceNode

Array = NDArray[Any]
CONVOLUTIONS = ("Conv", "ConvTranspose")


def folded(model: SourceModel) -> SourceModel:
    """The model without such layers, as far as their weights are constants."""
    if model.quantized:
        return model
    for node in model.nodes:
        shapes = [model.shapes.get(name) for name in (*node.inputs[:1], *node.outputs) if name]
        if node.domain or None in shapes:
            continue
        if node.op_type in CONVOLUTIONS and _frames(model, node, 0) > 1:
            linear = _is_linear(model, node)
            model = _linear(model, node) if linear else _convolution(model, node)
        elif node.op_type in GATES and _frames(model, node, _batch_axis(node)) > 1:
            model = _layers(model, node)
    return model


def _frames(model: SourceModel, node: SourceNode, axis: int) -> int:
    """How many frames a node with constant weights computes; 1 where it is to stay."""
    shape = model.shapes[node.inputs[0]]
    weights = model.constants.get(node.inputs[1])
    if node.inputs[0] in model.constants or weights is None or len(shape) <= axis:
        return 1
    return shape[axis] if _is_linear(model, node) or shape[axis] <= MOST_FRAMES else 1


def _is_linear(model: SourceModel, node: SourceNode) -> bool:
    """True for a convolution that is one matrix for every pixel."""
    given = node.attributes
    return (
        node.op_type == "Conv"
        and given.get("group", 1) == 1
        and max(model.constants[node.inputs[1]].shape[2:], default=1) == 1
        and max(given.get("strides", (1,))) == 1
        and not any(given.get("pads", ()))
    )


class _Spelled:
    """Nodes in place of one."""

    def __init__(self, model: SourceModel, node: SourceNode) -> None:
        self.model, self.node = model, node
        self.nodes: list[SourceNode] = []
        self.constants: dict[str, Array] = {}
        self.shapes: dict[str, Shape] = {}

    def constant(self, part: str, values: Any) -> str:
        name = f"{self.node.name}/{part}"
        self.constants[name] = np.asarray(values)
        return name

    def op(
        self, part: str, kind: str, inputs: Sequence[str], output: str, shape: Shape, **given: Any
    ) -> str:
        name = f"{self.node.name}/{part}" if part else self.node.name
        self.nodes.append(SourceNode(name, kind, "", tuple(inputs), (output,), given))
        self.shapes[output] = shape
        return output

    def value(self, part: str) -> str:
        return f"{next(filter(None, self.node.outputs))}/{part}"

    def reshaped(self, part: str, source: str, output: str, shape: Shape) -> str:
        target = self.constant(f"{part}/shape", np.asarray(shape, np.int64))
        return self.op(part, "Reshape", (source, target), output, shape)

    def piece(self, part: str, source: str, axis: int, at: int) -> str:
        """Element ``at`` of an axis, which stays."""
        values = self.model.constants.get(source)
        if values is not None:
            return self.constant(part, np.take(values, [at], axis))
        shape = list(self.model.shapes[source])
        shape[axis] = 1
        bounds = [self.constant(f"{part}/{k}", np.asarray([v], np.int64))
                  for k, v in (("starts", at), ("ends", at + 1), ("axes", axis))]  # fmt: skip
        return self.op(part, "Slice", (source, *bounds), self.value(part), tuple(shape))

    def done(self) -> SourceModel:
        """The model with these nodes in the place of the one."""
        model = self.model
        nodes = [
            made
            for item in model.nodes
            for made in (self.nodes if item.name == self.node.name else (item,))
        ]
        return replace(
            model,
            nodes=tuple(nodes),
            constants={**model.constants, **self.constants},
            shapes={**model.shapes, **self.shapes},
        )


def _convolution(model: SourceModel, node: SourceNode) -> SourceModel:
    made = _Spelled(model, node)
    (frames, *shape), output = model.shapes[node.inputs[0]], node.outputs[0]
    (_, *target) = model.shapes[output]
    weights = model.constants[node.inputs[1]]
    several = np.tile(weights, (frames, *[1] * (weights.ndim - 1)))
    names = [
        made.reshaped("joined", node.inputs[0], made.value("joined"),
                      (1, frames * shape[0], *shape[1:])),
        made.constant("weights", several),
    ]  # fmt: skip
    for name in filter(None, node.inputs[2:]):
        bias = model.constants.get(name)
        if bias is None:
            return model
        names.append(made.constant("bias", np.tile(bias, frames)))
    given = {**node.attributes, "group": frames * int(node.attributes.get("group", 1))}
    joined = (1, frames * target[0], *target[1:])
    made.op("", node.op_type, names, made.value("channels"), joined, **given)
    made.reshaped("apart", made.value("channels"), output, (frames, *target))
    return made.done()


def _linear(model: SourceModel, node: SourceNode) -> SourceModel:
    made = _Spelled(model, node)
    shape, output = model.shapes[node.inputs[0]], node.outputs[0]
    target = model.shapes[output]
    last, *pixels = len(shape) - 1, *range(2, len(shape))
    x = made.op("last", "Transpose", node.inputs[:1], made.value("last"),
                (shape[0], *shape[2:], shape[1]), perm=[0, *pixels, 1])  # fmt: skip
    weights = model.constants[node.inputs[1]].reshape(target[1], shape[1])
    whole = (target[0], *target[2:], target[1])
    inputs = [x, made.constant("weights", np.ascontiguousarray(weights.T))]
    y = made.op("product", "MatMul", inputs, made.value("product"), whole)
    for name in filter(None, node.inputs[2:]):
        y = made.op("sum", "Add", [y, name], made.value("sum"), whole)
    made.op("", "Transpose", [y], output, target, perm=[0, last, *(axis - 1 for axis in pixels)])
    return made.done()


# ------------------------------------------------------------------ recurrent layers


def _batch_axis(node: SourceNode) -> int:
    return 0 if node.attributes.get("layout", 0) else 1


def _layers(model: SourceModel, node: SourceNode) -> SourceModel:
    made, axis = _Spelled(model, node), _batch_axis(node)
    frames = model.shapes[node.inputs[0]][axis]
    axes = {0: axis, 4: 0, 5: axis, 6: axis}  # of what has a batch: inputs, lengths, states
    joined: list[list[str]] = [[] for _ in node.outputs]
    for at in range(frames):
        inputs = [
            made.piece(f"{at}/{place}", name, axes[place], at) if name and place in axes else name
            for place, name in enumerate(node.inputs)
        ]
        outputs = []
        for place, name in enumerate(node.outputs):
            own = made.value(f"{at}/made{place}") if name else ""
            outputs.append(own)
            if name:
                shape = list(model.shapes[name])
                shape[_output_axis(place, axis)] = 1
                made.shapes[own] = tuple(shape)
                joined[place].append(own)
        made.nodes.append(
            replace(node, name=f"{node.name}/{at}", inputs=tuple(inputs), outputs=tuple(outputs))
        )
    for place, name in enumerate(node.outputs):
        if name:
            along = _output_axis(place, axis)
            made.op(f"joined{place}", "Concat", joined[place], name, model.shapes[name], axis=along)
    return made.done()


def _output_axis(place: int, axis: int) -> int:
    """Where an output has its batch: Y [T, D, N, H], states [D, N, H], or the batch in front."""
    return 0 if axis == 0 else (2 if place == 0 else 1)
