"""A float graph whose activations on made-up pictures have the statistics that training saw.

Every BatchNorm knows mean (beta) and standard deviation (|gamma|) of what it gives, per channel
(Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.2.1, takes them for the mean inputs of the next layer). Pictures that are no photographs
give other ones. Layer by layer, an affine per channel brings them back: it is the constants of the
convolution or Affine that change, so that names and shapes stay, and every range behind it is of
the kind that the trained network has. The changed graph is for looking at; quantized is the graph
as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.inference import run_node
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View
from knightlite.ops.opdef import OPEN

Array = NDArray[Any]
Float64 = NDArray[np.float64]

MOST_FACTOR = 1024.0
SILENT = 1e-5  # of the loudest channel: no shape in it that could be stretched


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What becomes of a value per channel [C]: ``gain * value + offset``, gain > 0."""

    gain: Float64
    offset: Float64


Changes = Mapping[str, Change]
"""By the name of a node's output: the change of its value before a merged activation."""


def fit_changes(graph: Graph, pictures: tuple[Array, ...], threads: int | None = None) -> Changes:
    """The changes that give ``graph`` on ``pictures`` the statistics of ``graph.trained``.

    ``pictures``: one array [n, C, H, W] per network input; all n are run at once, node by node,
    each one on what the changed nodes before it give.
    """
    values = dict(zip(graph.inputs, pictures, strict=True))
    remaining = {name: len(nodes) for name, nodes in graph.consumers().items()}
    wanted = _needed(graph)
    changes: dict[str, Change] = {}
    for node in graph.nodes:
        if node.output not in wanted:
            continue
        value = _linear(graph, node, values, threads)
        known = graph.trained.get(node.output)
        if known is not None:
            axes = (0, *range(2, value.ndim))
            mean, std = value.mean(axis=axes, dtype=np.float64), value.std(axis=axes)
            change = _change(mean, std.astype(np.float64), known.mean, known.std)
            changes[node.output] = change
            value = _by_channel(change.gain) * value + _by_channel(change.offset)
        low, high = View(graph, node).clamp
        values[node.output] = value if (low, high) == OPEN else np.clip(value, low, high)
        for name in dict.fromkeys(node.inputs):
            if name in values:
                remaining[name] -= 1
                if not remaining[name]:
                    del values[name]
    return changes


def _needed(graph: Graph) -> set[str]:
    """The outputs of nodes that a known value depends on, and these."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if node.output in found or node.output in graph.trained:
            found |= {node.output, *node.inputs}
    return found


def _linear(graph: Graph, node: Node, values: Mapping[str, Array], threads: int | None) -> Array:
    """What a node computes, float32 [n, C, H, W], before a merged activation."""
    if "clamp" in node.attributes:
        node = replace(node, attributes={**node.attributes, "clamp": OPEN})
    names = dict.fromkeys(name for name in node.inputs if name not in graph.constants)
    return run_node(graph, node, [values[name] for name in names], threads)


def _change(mean: Float64, std: Float64, known_mean: Float64, known_std: Float64) -> Change:
    loudest = max(float(std.max()), float(np.abs(mean).max()))
    spoke = (std > SILENT * loudest) & (known_std > 0)
    gain = np.divide(known_std, std, out=np.ones_like(std), where=spoke)
    gain = np.clip(gain, 1 / MOST_FACTOR, MOST_FACTOR)
    return Change(gain, known_mean - gain * mean)


def _by_channel(values: Float64) -> NDArray[np.float32]:
    return values.astype(np.float32)[None, :, None, None]


def changed(graph: Graph, changes: Changes) -> Graph:
    """The float or quantized graph with the changes in the constants of its nodes.

    In a quantized graph the integers of weights stay, their scale takes the gain, and the offset
    goes into the integers of the bias: see :func:`restored`.
    """
    readers: dict[str, int] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    constants, tensors = dict(graph.constants), dict(graph.tensors)
    nodes = []
    for node in graph.nodes:
        change = changes.get(node.output)
        if change is None:
            nodes.append(node)
            continue
        names = list(node.inputs)
        for index in range(1, len(names)):
            name = names[index]
            tensor, values = graph.tensors[name], graph.constants[name]
            if readers[name] > 1:
                name = f"{name}/{node.output}"
            constants[name], tensors[name] = _with(change, tensor, values, name, is_last=index > 1)
            names[index] = name
        nodes.append(replace(node, inputs=tuple(names)))
    return replace(graph, nodes=tuple(nodes), constants=constants, tensors=tensors)


def _with(
    change: Change, tensor: Tensor, values: Array, name: str, *, is_last: bool
) -> tuple[Array, Tensor]:
    """One constant: weights or a gain, or (``is_last``) the bias or offset behind them."""
    gain = change.gain.reshape(-1, *(1,) * (values.ndim - 1))
    if tensor.scale is None:
        made = values.astype(np.float64) * gain + (change.offset if is_last else 0.0)
        return made.astype(np.float32), replace(tensor, name=name)
    scale = (tensor.scale.astype(np.float64) * change.gain).astype(np.float32)
    if is_last:
        values = (values.astype(np.int64) + _steps(change, tensor, values.astype(np.int64))).astype(
            np.int32
        )
    return values, replace(tensor, name=name, scale=scale)


def _steps(change: Change, bias: Tensor, values: Array) -> NDArray[np.int64]:
    """The offset in steps of the bias with integers ``values``, as far as there is room for it."""
    assert bias.scale is not None
    steps = np.rint(change.offset / change.gain / bias.scale.astype(np.float64))
    limit = numerics.MAX_BIAS - 1
    return np.asarray(np.clip(steps, -limit - values, limit - values).astype(np.int64))


def restored(quantized: Graph, improved: Graph, changes: Changes) -> Graph:
    """``quantized`` with the integers of ``improved``, made from its changed form."""
    constants = dict(quantized.constants)
    for node, other in zip(quantized.nodes, improved.nodes, strict=True):
        if BY_NAME[node.op].kernel is None:
            continue
        for index in range(1, len(node.inputs)):
            name = node.inputs[index]
            values = improved.constants[other.inputs[index]]
            if index > 1 and node.output in changes:
                before = quantized.constants[name].astype(np.int64)
                steps = _steps(changes[node.output], quantized.tensors[name], before)
                values = (values.astype(np.int64) - steps).astype(np.int32)
            constants[name] = values
    return replace(quantized, constants=constants)
