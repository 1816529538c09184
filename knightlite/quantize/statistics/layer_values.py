"""The values of every feature tensor, float and quantized side by side, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference.joining import join_parts
from knightlite.inference.onnx_models import batchable, session, write_float, write_qdq
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Workload

Array = NDArray[Any]
BUDGET_BYTES = 128 << 20  # of values held at once


@dataclass(frozen=True, slots=True)
class LayerTensor:
    """A tensor to look at: its place in the network from 1 on, name, and what makes it."""

    index: int
    name: str
    op: str


Each = Callable[[int, LayerTensor, Array | None, Array], None]
"""Batch from 0, tensor, float values (None where the float network lacks it), quantized values as
real numbers; both [n, C, H, W]."""


def layer_tensors(quantized: Graph) -> tuple[LayerTensor, ...]:
    """The inputs and what every node makes, in order."""
    made = [(name, "Input") for name in quantized.inputs]
    made += [(node.output, node.op) for node in quantized.nodes]
    return tuple(LayerTensor(index, *item) for index, item in enumerate(made, start=1))


def run_layers(
    graph: Graph, quantized: Graph, workload: Workload, each: Each, threads: int | None = None
) -> float | None:
    """Run both networks over the data and hand every tensor of every batch to ``each``.

    A forward call whose values would not fit the budget is cut into several batches, so memory
    depends neither on the number of pictures nor on their batches. Returns the quantized metric.
    """
    tensors = layer_tensors(quantized)
    names = [item.name for item in tensors]
    inner = [name for name in names if name in graph.tensors and name not in graph.inputs]
    exact = session(write_float(graph, inner, checked=False), threads)
    fixed = session(write_qdq(quantized, {}, names, checked=False), threads)
    exact_names = list(dict.fromkeys((*graph.outputs, *inner)))
    fixed_names = list(dict.fromkeys((*quantized.outputs, *names)))
    size = 8 * sum(quantized.tensors[name].elements for name in names)
    count = max(1, BUDGET_BYTES // size) if batchable(graph) else 1
    batch = 0

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        nonlocal batch
        parts = []
        for first in range(0, inputs[0].shape[0], count):
            arrays = [np.asarray(item[first : first + count], np.float32) for item in inputs]
            feeds = dict(zip(graph.inputs, arrays, strict=True))
            wanted = {**feeds, **dict(zip(exact_names, exact.run(None, feeds), strict=True))}
            found = dict(zip(fixed_names, fixed.run(None, feeds), strict=True))
            for item in tensors:
                each(batch, item, wanted.get(item.name), np.asarray(found[item.name]))
            parts.append([found[name] for name in quantized.outputs])
            batch += 1
        return list(join_parts(quantized.outputs, parts).values())

    return workload.run(forward)


def integers_of(quantized: Graph, name: str, values: Array) -> Array:
    """The integers behind dequantized ``values`` [n, C, H, W] of tensor ``name``."""
    tensor = quantized.tensors[name]
    assert tensor.scale is not None, f"tensor {name} is not quantized"
    scale = tensor.scale.reshape(1, -1, 1, 1) if tensor.scale.ndim else tensor.scale
    found: Array = np.rint(values / scale).astype(tensor.dtype.numpy)
    return found


def describe_layers(graph: Graph, quantized: Graph) -> list[Mapping[str, Any]]:
    """What ``dump.json`` says of every tensor."""
    found: list[Mapping[str, Any]] = []
    for item in layer_tensors(quantized):
        tensor = quantized.tensors[item.name]
        assert tensor.scale is not None, f"tensor {item.name} is not quantized"
        found.append(
            {
                "index": item.index,
                "name": item.name,
                "op": item.op,
                "shape": list(tensor.shape),
                "type": tensor.dtype.name,
                "scale": [float(value) for value in tensor.scale.ravel()]
                if tensor.scale.ndim
                else float(tensor.scale),
                "float": item.name in graph.tensors,
            }
        )
    return found
