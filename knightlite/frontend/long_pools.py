"""Pools over more pixels than an instruction's window holds: two shorter ones in a row.

A mean of n pixels is one of b means of a pixels each, where a * b = n. Where n has no such parts,
zeros behind the last pixel are counted as pixels, and the second mean is multiplied by a * b / n; a
maximum leaves them out. Means over a whole picture, signal or sequence are such pools.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from knightlite.frontend.instruction_sizes import LONGEST
from knightlite.ir import Attribute, Graph, Node, Tensor
from knightlite.ops import View

POOLS = ("AveragePool", "MaxPool")


def shortened(graph: Graph) -> Graph:
    """The graph with such pools as two; one whose windows overlap or move is left as it is."""
    nodes: list[Node] = []
    tensors = dict(graph.tensors)
    for node in graph.nodes:
        if not _is_long(graph, node):
            nodes.append(node)
            continue
        for part, made in _halves(graph, node):
            nodes.append(part)
            tensors[made.name] = made
    if len(nodes) == len(graph.nodes):
        return graph
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _is_long(graph: Graph, node: Node) -> bool:
    """True where each axis is one window or stays as it is, and a window is too long."""
    if node.op not in POOLS or graph.tensors[node.output].scale is not None:
        return False
    _, _, *sizes = graph.tensors[node.inputs[0]].shape
    view = View(graph, node)
    kernel, strides = view.integers("kernel"), view.integers("strides")
    if any(view.integers("pads")) or max(kernel) <= LONGEST:
        return False
    return all(
        window == size or (window == 1 and stride == 1)
        for window, size, stride in zip(kernel, sizes, strides, strict=True)
    )


def _halves(graph: Graph, node: Node) -> Iterator[tuple[Node, Tensor]]:
    """The two pools and what they make."""
    view = View(graph, node)
    kernel = view.integers("kernel")
    first, second = zip(*map(_parts, kernel), strict=True)
    pads = (0, 0, *(a * b - size for a, b, size in zip(first, second, kernel, strict=True)))
    source = graph.tensors[node.inputs[0]]
    _, channels, *sizes = source.shape
    steps = [b if k > 1 else size for k, b, size in zip(kernel, second, sizes, strict=True)]
    name = f"{node.output}.parts"
    attributes: dict[str, Attribute] = {"kernel": first, "strides": first, "pads": pads}
    last: dict[str, Attribute] = {"kernel": second, "strides": (1, 1), "pads": (0, 0, 0, 0)}
    if node.op == "AveragePool":
        attributes["counted_pads"], last["counted_pads"] = pads, (0, 0, 0, 0)
        counted = first[0] * second[0] * first[1] * second[1] / (kernel[0] * kernel[1])
        gain = view.gain * counted
        if gain != 1:
            last["gain"] = gain
    made = Tensor(name, (1, channels, *steps), source.dtype)
    yield Node(name, node.op, node.inputs, (name,), attributes), made
    kept = {
        key: value for key, value in node.attributes.items() if key not in (*attributes, "gain")
    }
    output = graph.tensors[node.output]
    yield replace(node, inputs=(name,), attributes={**kept, **last}), output


def _parts(length: int) -> tuple[int, int]:
    """(a, b), neither above LONGEST: a * b is ``length``, or as little above it as can be."""
    if length <= LONGEST:
        return length, 1
    fewest = -(-length // LONGEST)
    a = min(range(fewest, LONGEST + 1), key=lambda a: (-length % a, abs(a * a - length)))
    return a, -(-length // a)
