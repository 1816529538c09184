"""Networks with a fault planted in them that the float network does not feel, and their data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph
from knightlite.quantize.data.workload import Forward, Workload
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.statistics.passes import observe

Array = NDArray[Any]


@dataclass(frozen=True)
class Noise:
    """Seeded normal inputs [count, C, H, W] of a network with one input; there is no metric."""

    shape: tuple[int, ...]
    count: int = 8
    description: str = "seeded noise"

    def run(self, forward: Forward) -> float | None:
        rng = np.random.default_rng(1)
        for _ in range(self.count // 4):
            forward((rng.normal(0, 1, (4, *self.shape[1:])).astype(np.float32),))
        return None


def quantized(graph: Graph, workload: Workload) -> Graph:
    """The graph as ``quant`` would have it."""
    seen = observe(graph, workload, None, 1)
    return assign(Basis.of(graph, seen)).graph


def scaled(graph: Graph, name: str, factor: float) -> Graph:
    """The quantized graph with another scale of one tensor."""
    tensor = graph.tensors[name]
    assert tensor.scale is not None
    scale = np.asarray(tensor.scale * np.float32(factor), np.float32)
    return graph.with_tensors([replace(tensor, scale=scale)])


def louder(graph: Graph, name: str, channels: slice | int, factor: float) -> Graph:
    """Channels of what a Conv or Affine makes, times ``factor``; its readers' weights are divided.

    The network computes what it did. Readers are Convs, at the channels' own place.
    """
    maker = graph.producers()[name]
    changed = {}
    for constant in maker.inputs[1:]:
        changed[constant] = graph.constants[constant].copy()
        changed[constant][channels] *= factor
    for reader in graph.consumers()[name]:
        assert reader.op == "Conv", reader.op
        weights = graph.constants[reader.inputs[1]].copy()
        weights[:, channels] /= factor
        changed[reader.inputs[1]] = weights
    return graph.with_constants(changed)


def rescaled(graph: Graph, fixed: Graph, output: str, factor: float) -> Graph:
    """The quantized graph with other scales of one Conv's weights, and the codes they give."""
    (exact,) = (node for node in graph.nodes if node.output == output)
    (node,) = (node for node in fixed.nodes if node.output == output)
    weights, bias = node.inputs[1:]
    before, step = fixed.tensors[weights].scale, fixed.tensors[bias].scale
    assert before is not None
    assert step is not None
    scale = np.asarray(before * np.float32(factor), np.float32)
    kernel = graph.constants[exact.inputs[1]]
    codes = np.clip(np.rint(kernel / scale.reshape(-1, 1, 1, 1)), -127, 127).astype(np.int8)
    steps = np.asarray(step * np.float32(factor), np.float32)
    whole = np.rint(graph.constants[exact.inputs[2]] / steps).astype(np.int32)
    changed = fixed.with_constants({weights: codes, bias: whole})
    return changed.with_tensors(
        [replace(fixed.tensors[weights], scale=scale), replace(fixed.tensors[bias], scale=steps)]
    )
