"""The quantized network with a place changed: wider, or left in float."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.diagnosis.causes import Suspect
from knightlite.diagnosis.probe import Sums
from knightlite.ir import Graph, Node, Tensor
from knightlite.quantize.groups import scale_groups

Array = NDArray[Any]

HEADROOM = 1.05  # of a tensor made wide, for pictures not seen


def widen(graph: Graph, quantized: Graph, sums: Mapping[str, Sums], suspect: Suspect) -> Graph:
    """The quantized graph with the suspect's tensors, or weights, in 16 bits.

    16-bit weights multiply 16-bit values: what they read goes with them.
    """
    changed = quantized
    read = {node.inputs[0] for node, _ in _kernels(graph, quantized, suspect.weights)}
    tied = [group.members for group in scale_groups(graph) if not read.isdisjoint(group.members)]
    meant = dict.fromkeys([*suspect.tensors, *(name for group in tied for name in group)])
    tensors = [name for name in meant if name in sums]
    if tensors:
        largest = max(float(sums[name].absmax.max()) for name in tensors) or 1.0
        scale = np.asarray(HEADROOM * largest / dtypes.S16.maximum, np.float32)
        wide = [Tensor(n, quantized.tensors[n].shape, dtypes.S16, scale) for n in tensors]
        changed = changed.with_tensors(wide)
    for node, name in _kernels(graph, quantized, suspect.weights):
        exact = graph.constants[node.inputs[1]].astype(np.float64)
        peaks = np.abs(exact.reshape(exact.shape[0], -1)).max(axis=1)
        steps = np.where(peaks > 0, peaks / numerics.WIDE_WEIGHT_MAXIMUM, 1.0)
        codes = np.rint(exact / steps.reshape(-1, *(1,) * (exact.ndim - 1))).astype(np.int16)
        changed = changed.with_constants({name: codes}).with_tensors(
            [Tensor(name, codes.shape, dtypes.S16, steps.astype(np.float32))]
        )
    return _with_float_bias(graph, changed, suspect.weights)


def without_weights(graph: Graph, quantized: Graph, outputs: tuple[str, ...]) -> Graph:
    """The quantized graph with the weights and biases of these nodes as they were."""
    constants = {
        name: graph.constants[node.inputs[1]] for node, name in _kernels(graph, quantized, outputs)
    }
    tensors = [Tensor(name, item.shape, dtypes.F32, None) for name, item in constants.items()]
    bare = quantized.with_constants(constants).with_tensors(tensors)
    return _with_float_bias(graph, bare, outputs)


def _kernels(
    graph: Graph, quantized: Graph, outputs: tuple[str, ...]
) -> Iterator[tuple[Node, str]]:
    """The float nodes of these outputs, and what the quantized graph calls their weights."""
    twins = {node.output: node for node in quantized.nodes}
    for node in graph.nodes:
        if node.output in outputs:
            yield node, twins[node.output].inputs[1]


def _with_float_bias(graph: Graph, quantized: Graph, outputs: tuple[str, ...]) -> Graph:
    """A bias that corrects for other weights would be an error: take the float one."""
    twins = {node.output: node for node in quantized.nodes}
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        twin = twins.get(node.output)
        if node.output not in outputs or twin is None or len(twin.inputs) < 3:
            continue
        has = len(node.inputs) > 2
        size = quantized.tensors[twin.inputs[2]].shape
        constants[twin.inputs[2]] = (
            graph.constants[node.inputs[2]] if has else np.zeros(size, np.float32)
        )
    tensors = [Tensor(name, item.shape, dtypes.F32, None) for name, item in constants.items()]
    return quantized.with_constants(constants).with_tensors(tensors)
