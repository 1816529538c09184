"""Which tensors of a graph cannot be negative, whatever the input: from clamps and functions."""

from __future__ import annotations

from knightlite.ir import Graph
from knightlite.ops import BY_NAME, View


def nonnegative_outputs(graph: Graph) -> frozenset[str]:
    """Node outputs that cannot be negative; network inputs are never among them."""
    found: set[str] = set()
    for node in graph.nodes:
        features = tuple(name in found for name in node.inputs if name not in graph.constants)
        if BY_NAME[node.op].nonnegative(View(graph, node), features):
            found.add(node.output)
    return frozenset(found)
