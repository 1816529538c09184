"""Scale groups: tensors tied by value-preserving operators share one scale (numerics 7)."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME, View
from knightlite.ops.weighted import is_depthwise


@dataclass(frozen=True, slots=True)
class Group:
    """Feature tensors that share one scale and one type, in graph order."""

    members: tuple[str, ...]


def features(graph: Graph) -> tuple[str, ...]:
    """All feature tensors in graph order: inputs, then every node's output."""
    return (*graph.inputs, *(node.output for node in graph.nodes))


def scale_groups(graph: Graph) -> tuple[Group, ...]:
    """The groups in order of their first member, found by union-find."""
    parent = {name: name for name in features(graph)}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for node in graph.nodes:
        if BY_NAME[node.op].value_preserving:
            for name in node.inputs:
                parent[root(name)] = root(node.output)
    members: dict[str, list[str]] = {}
    for name in features(graph):
        members.setdefault(root(name), []).append(name)
    return tuple(Group(tuple(names)) for names in members.values())


def channel_scaled(graph: Graph) -> frozenset[str]:
    """Tensors that may carry one scale per channel (numerics 1).

    Only depthwise convolutions read them, each output channel its own input channel, and their
    producer requantizes per channel anyway.
    """
    producers, consumers = graph.producers(), graph.consumers()
    found = set()
    for name, producer in producers.items():
        readers = consumers.get(name, ())
        if (
            readers
            and name not in graph.chip_outputs
            and BY_NAME[producer.op].per_channel_output
            and all(reads_per_channel(graph, reader, name) for reader in readers)
        ):
            found.add(name)
    return frozenset(found)


def reads_per_channel(graph: Graph, node: Node, name: str) -> bool:
    """True for a depthwise convolution each of whose outputs is of one channel of ``name``."""
    view = View(graph, node)
    if not BY_NAME[view.node.op].per_channel_input or view.node.inputs[0] != name:
        return False
    channels = view.tensor(0).shape[1]
    return is_depthwise(view) and view.constant(1).shape[0] == channels
