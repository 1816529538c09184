"""Zero-copy concat: the inputs of a Concat are written straight into slices of its buffer.

A feature map lies pixel by pixel (NHWC), so a branch of 12 or 48 channels is a run of 12 or 48
bytes in every pixel, at its channel offset: lane-granular writes, no gap lanes. The price, bursts
that are not full, is counted by the transfer's ``ddr_bytes``. Where a tensor would have to lie at
two places (or is the network's input), a Copy is inserted, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from knightlite.ir import Graph, Node, Tensor


@dataclass(frozen=True, slots=True)
class Slice:
    """A tensor's place: channels from ``offset`` of the buffer called ``buffer``."""

    buffer: str
    offset: int


def place_concats(graph: Graph) -> tuple[Graph, Mapping[str, Slice]]:
    """The graph with Copies where needed, and the slice of every feature tensor.

    A buffer is named after the tensor that spans it.
    """
    placed: dict[str, Slice] = {}
    copies: dict[str, dict[int, str]] = {}  # Concat name -> operand position -> copy's tensor
    for node in reversed(graph.nodes):
        if node.op == "Concat":
            copies[node.name] = _place(graph, node, placed)
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for position, name in sorted(copies.get(node.name, {}).items()):
            source = inputs[position]
            nodes.append(Node(name, "Copy", (source,), (name,)))
            tensors.append(replace(graph.tensors[source], name=name))
            inputs[position] = name
        nodes.append(replace(node, inputs=tuple(inputs)))
    graph = graph.with_nodes(nodes).with_tensors(tensors)
    for name in (*graph.inputs, *(output for node in nodes for output in node.outputs)):
        placed.setdefault(name, Slice(name, 0))
    return graph, placed


def _place(graph: Graph, node: Node, placed: dict[str, Slice]) -> dict[int, str]:
    """Place the operands of one Concat; returns the operands that need a copy."""
    if node.output not in placed:
        shared = _shared(graph, node, placed)
        if shared is not None:
            placed[node.output] = shared
            return {}
        placed[node.output] = Slice(node.output, 0)
    whole = placed[node.output]
    offset = whole.offset
    copies: dict[int, str] = {}
    for position, name in enumerate(node.inputs):
        wanted = Slice(whole.buffer, offset)
        if name in graph.inputs or placed.get(name, wanted) != wanted:
            copies[position] = f"{name}/copy_for_{node.name}_{position}"
            placed[copies[position]] = wanted
        else:
            placed[name] = wanted
        offset += graph.tensors[name].shape[1]
    return copies


def _shared(graph: Graph, node: Node, placed: Mapping[str, Slice]) -> Slice | None:
    """The slice that already holds all operands one after another, or None."""
    first = placed.get(node.inputs[0])
    if first is None:
        return None
    offset = first.offset
    for name in node.inputs:
        if placed.get(name) != Slice(first.buffer, offset):
            return None
        offset += graph.tensors[name].shape[1]
    return first
