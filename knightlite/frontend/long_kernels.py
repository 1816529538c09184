"""Convolutions of signals whose kernel is longer than an instruction's: a stride becomes channels.

A kernel of k = q * s samples every s samples (a spectrogram's window) is one of q over s times as
many channels, at stride 1: sample ``n * s + r`` of channel c is pixel n of channel ``c * s + r``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.frontend.instruction_sizes import LONGEST
from knightlite.frontend.source import Shape, SourceModel, SourceNode

Array = NDArray[Any]


def folded(model: SourceModel) -> SourceModel:
    """The model with such convolutions as shorter ones."""
    nodes: list[SourceNode] = []
    constants, shapes = dict(model.constants), dict(model.shapes)
    for node in model.nodes:
        if _is_long(node, model):
            nodes += _folded(node, model, constants, shapes)
        else:
            nodes.append(node)
    return replace(model, nodes=tuple(nodes), constants=constants, shapes=shapes)


def _is_long(node: SourceNode, model: SourceModel) -> bool:
    if node.op_type != "Conv" or node.domain:
        return False
    weights, shape = model.constants.get(node.inputs[1]), model.shapes.get(node.inputs[0])
    given = node.attributes
    plain = (
        given.get("group", 1) == 1
        and tuple(given.get("dilations", (1,))) == (1,)
        and given.get("auto_pad", "NOTSET") == "NOTSET"
    )
    return (
        plain
        and weights is not None
        and weights.ndim == 3
        and shape is not None
        and len(shape) == 3
        and weights.shape[2] > LONGEST
        and 1 < next(iter(given.get("strides", (1,)))) <= LONGEST
        and node.outputs[0] in model.shapes
    )


def _folded(
    node: SourceNode, model: SourceModel, constants: dict[str, Array], shapes: dict[str, Shape]
) -> list[SourceNode]:
    """Pad or cut to whole strides, the strides as channels, the convolution."""
    weights, given = model.constants[node.inputs[1]], node.attributes
    outputs, channels, taps = weights.shape
    stride = int(next(iter(given["strides"])))
    before = int(next(iter(given.get("pads", (0, 0)))))
    turns = -(-taps // stride)
    steps = shapes[node.outputs[0]][2] + turns - 1
    length = shapes[node.inputs[0]][2]
    found: list[SourceNode] = []

    def constant(hint: str, values: Array) -> str:
        constants[f"{node.name}/{hint}"] = values
        return f"{node.name}/{hint}"

    def numbers(*values: int) -> str:
        return constant(f"numbers {values}", np.array(values, np.int64))

    def op(kind: str, inputs: list[str], shape: Shape, more: Mapping[str, Any]) -> str:
        output = f"{node.outputs[0]}/strides/{len(found)}"
        name = f"{node.name}/strides/{len(found)}"
        found.append(SourceNode(name, kind, "", tuple(inputs), (output,), more))
        shapes[output] = shape
        return output

    x = node.inputs[0]
    missing = max(0, steps * stride - before - length)  # of which zeros of the kernel are reached
    if before or missing:
        length += before + missing
        pads = numbers(0, 0, before, 0, 0, missing)
        x = op("Pad", [x, pads], (1, channels, length), {"mode": "constant"})
    if length > steps * stride:
        length = steps * stride
        bounds = [numbers(0), numbers(length), numbers(2)]
        x = op("Slice", [x, *bounds], (1, channels, length), {})
    parts = numbers(1, channels, steps, stride)
    x = op("Reshape", [x, parts], (1, channels, steps, stride), {})
    x = op("Transpose", [x], (1, channels, stride, steps), {"perm": [0, 1, 3, 2]})
    joined = numbers(1, channels * stride, steps)
    x = op("Reshape", [x, joined], (1, channels * stride, steps), {})
    whole = np.zeros((outputs, channels, turns * stride), weights.dtype)
    whole[:, :, :taps] = weights
    kernel = whole.reshape(outputs, channels, turns, stride).transpose(0, 1, 3, 2)
    kernel = np.ascontiguousarray(kernel.reshape(outputs, channels * stride, turns))
    inputs = (x, constant("weights", kernel), *node.inputs[2:])
    made = replace(node, inputs=inputs, attributes={"kernel_shape": [turns], "strides": [1]})
    return [*found, made]
