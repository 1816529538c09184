"""Networks of large weights in stretches: what ONNX Runtime needs while it opens one adds up.

It lays weights out anew for its kernels, and holds up to four copies of all of a model while it
does: of one stretch at a time they are small. Values are the same to the bit. Convolutions add up
each output channel for itself, so that large weights can be cut between those; and a network is cut
only where convolutions read what crosses: other kernels may add up in another order when they find
their input in another layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from knightlite.ir import Graph, HostOp, Node, Tensor
from knightlite.ops import BY_NAME, View

WHOLE_BYTES = 128 << 20  # of float weights that one model may have
STRETCH_BYTES = 48 << 20  # of those of a stretch, about; a heap may keep what has less than 32
CHANNELS = 64  # blocks have multiples of it: kernels work on so many, or fewer, together
JOINT = "Concat"


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Nodes that follow one another, as a graph; ``delivered``: what others or the user read."""

    graph: Graph
    delivered: tuple[str, ...]


def stretches(graph: Graph, delivered: Sequence[str]) -> tuple[Stretch, ...]:
    """The network in order; a single one where it is not large, or cannot be cut."""
    if sum(weight_bytes(graph, node) for node in graph.nodes) <= WHOLE_BYTES:
        return (Stretch(graph, tuple(delivered)),)
    graph = in_blocks(graph)
    groups = _grouped(graph)
    by_host = {name for item in graph.host for name in item.outputs}
    read = dict.fromkeys(name for item in graph.host for name in item.features)
    on_chip = [name for name in read if name not in by_host]
    found = []
    for place, nodes in enumerate(groups):
        later = groups[place + 1 :]
        wanted = {*delivered, *(name for some in later for node in some for name in node.inputs)}
        # a quantized network may be asked for its inputs, as it reads them
        fed = () if place else tuple(name for name in graph.inputs if name in delivered)
        ends: tuple[str, ...] = ()
        if later:
            part = _part(graph, nodes, fed, (), ends)
            wanted.update(on_chip)
        else:
            ends = tuple(name for name in graph.outputs if name in by_host)
            part = _part(graph, nodes, (*fed, *on_chip), graph.host, ends)
        inner = (node.output for node in nodes if node.output in wanted)
        found.append(Stretch(part, (*ends, *fed, *inner)))
    return tuple(found)


def weight_bytes(graph: Graph, node: Node) -> int:
    """Of a node's weights, as float32."""
    if BY_NAME[node.op].kernel is None:
        return 0
    return 4 * graph.tensors[node.inputs[1]].elements


def in_blocks(graph: Graph) -> Graph:
    """The graph whose large weights are cut between output channels, results joined again."""
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        rows = graph.tensors[node.output].shape[1]
        step = _rows_of_a_block(graph, node)
        if step >= rows or not _read_by_weights(graph.consumers().get(node.output, ())):
            nodes.append(node)
            continue
        made = []
        for first in range(0, rows, step):
            part = slice(first, min(first + step, rows))
            names = []
            for name in node.inputs[1:]:
                names.append(f"{name}/{first}")
                tensors[names[-1]] = _cut(graph.tensors[name], 0, part, names[-1])
                constants[names[-1]] = graph.constants[name][part]
            output = f"{node.output}/{first}"
            tensors[output] = _cut(graph.tensors[node.output], 1, part, output)
            inputs = (node.inputs[0], *names)
            made.append(replace(node, name=output, inputs=inputs, outputs=(output,)))
        joined = tuple(item.output for item in made)
        nodes += [*made, Node(node.name, JOINT, joined, node.outputs, {"axis": 1})]
    return replace(graph, nodes=tuple(nodes), tensors=tensors, constants=constants)


def _rows_of_a_block(graph: Graph, node: Node) -> int:
    """Output channels whose weights are small enough, all where they cannot be cut."""
    rows = graph.tensors[node.output].shape[1]
    if BY_NAME[node.op].kernel is None or View(graph, node).integer("group") != 1:
        return rows
    most = STRETCH_BYTES * rows // max(1, weight_bytes(graph, node))
    return max(CHANNELS, most // CHANNELS * CHANNELS)


def _cut(tensor: Tensor, axis: int, part: slice, name: str) -> Tensor:
    """Some channels of a tensor, with their scales."""
    shape = list(tensor.shape)
    shape[axis] = part.stop - part.start
    scale = tensor.scale
    if scale is not None and scale.ndim:
        scale = scale[part]
    return replace(tensor, name=name, shape=tuple(shape), scale=scale)


def _read_by_weights(readers: Iterable[Node]) -> bool:
    return all(BY_NAME[node.op].kernel is not None for node in readers)


def _grouped(graph: Graph) -> list[list[Node]]:
    """The nodes in groups, cut where weights add up to a stretch and a cut is allowed."""
    groups: list[list[Node]] = [[]]
    size = 0
    consumers = graph.consumers()
    places = {node.output: place for place, node in enumerate(graph.nodes)}

    def readers(name: str) -> set[int]:
        return {places[node.output] for node in consumers.get(name, ())}

    waiting = {name: readers(name) for name in graph.inputs}
    may_cross = [
        _read_by_weights((node,))
        or (node.op == JOINT and _read_by_weights(consumers.get(node.output, ())))
        for node in graph.nodes
    ]
    for place, node in enumerate(graph.nodes):
        own = weight_bytes(graph, node)
        crossed = set().union(*waiting.values())
        if own and size + own > STRETCH_BYTES and size and all(may_cross[item] for item in crossed):
            groups.append([])
            size = 0
        groups[-1].append(node)
        size += own
        for name in dict.fromkeys(node.inputs):
            waiting.get(name, set()).discard(place)
        waiting[node.output] = readers(node.output)
    return groups


def _part(
    graph: Graph,
    nodes: Sequence[Node],
    more: Iterable[str],
    host: tuple[HostOp, ...],
    outputs: Sequence[str],
) -> Graph:
    """Some nodes as a graph, with what the host does behind them; it also has ``more`` tensors."""
    made = {node.output for node in nodes}
    read = [*(name for node in nodes for name in node.inputs), *more]
    inputs = dict.fromkeys(
        name for name in read if name not in made and name not in graph.constants
    )
    kept = {*read, *made}
    return Graph(
        graph.name,
        tuple(inputs),
        tuple(outputs),
        tuple(nodes),
        {name: tensor for name, tensor in graph.tensors.items() if name in kept},
        {name: values for name, values in graph.constants.items() if name in kept},
        host,
    )
