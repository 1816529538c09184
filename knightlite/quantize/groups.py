"""Scale groups, what makes and what reads them: all that the float graph alone decides.

Tensors tied by value-preserving operators share one scale (numerics 7), and so do the two ends of
a state that stays between frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

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
    for state in graph.states:
        parent[root(state.input)] = root(state.output)
    members: dict[str, list[str]] = {}
    for name in features(graph):
        members.setdefault(root(name), []).append(name)
    return tuple(Group(tuple(names)) for names in members.values())


def group_of(graph: Graph, name: str) -> Group:
    """The group of a tensor, found from it on: large graphs have many groups."""
    makers, readers = graph.producers(), graph.consumers()
    tied = {item.input: item.output for item in graph.states}
    tied |= {output: name for name, output in tied.items()}
    found, waiting = {name}, [name]
    while waiting:
        item = waiting.pop()
        if item in tied and tied[item] not in found:
            found.add(tied[item])
            waiting.append(tied[item])
        made = (makers[item],) if item in makers else ()
        for node in (*made, *readers.get(item, ())):
            if BY_NAME[node.op].value_preserving:
                more = {*node.inputs, node.output} - found
                found |= more
                waiting += more
    return Group(tuple(item for item in features(graph) if item in found))


def computed_members(graph: Graph, group: Group) -> list[str]:
    """The members that are computed, or given: what is only rearranged has their values."""
    makers = graph.producers()
    return [
        name for name in group.members
        if name not in makers or not BY_NAME[makers[name].op].rearranges
    ]  # fmt: skip


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


# ------------------------------------------------------------------ what reads and makes a group


def readers_outside(graph: Graph, group: Group) -> list[Node]:
    """The nodes that read members of the group and compute something new from them."""
    consumers = graph.consumers()
    return [
        node
        for name in group.members
        for node in consumers.get(name, ())
        if not BY_NAME[node.op].value_preserving
    ]


def only_looked_up(graph: Graph, group: Group) -> bool:
    """True where tables or requantizes alone read the group."""
    readers = readers_outside(graph, group)
    return bool(readers) and all(
        BY_NAME[node.op].lookup is not None or BY_NAME[node.op].requantizes(View(graph, node))
        for node in readers
    )


def writes_wide(graph: Graph, group: Group) -> bool:
    """True where everything that makes the group's values can write 16 bits."""
    producers = graph.producers()
    for name in group.members:
        producer = producers.get(name)
        if producer is None:
            return False
        if not BY_NAME[producer.op].wide_output and not BY_NAME[producer.op].value_preserving:
            return False
    return True


def felt_interval(graph: Graph, name: str) -> tuple[float, float]:
    """The interval of values that make a difference to the readers of a tensor.

    Where it is only looked up, there or where it is moved to, functions may be constant beyond some
    value (HardSwish below -3): saturating there costs nothing, so no codes are spent on it.
    """
    delivered, readers = set(graph.chip_outputs), graph.consumers()
    moved, waiting = {name: 0}, [name]  # it, and all that it is moved to
    while waiting:
        for node in readers.get(waiting.pop(), ()):
            if _moves(node) and node.output not in moved:
                moved[node.output] = 0
                waiting.append(node.output)
    if len(moved) > 1:  # what is read comes before what reads it
        places = {node.output: place for place, node in enumerate(graph.nodes, start=1)}
        moved = {item: places.get(item, 0) for item in moved}
    felt: dict[str, tuple[float, float]] = {}
    for item in sorted(moved, key=moved.__getitem__, reverse=True):
        felt[item] = (-np.inf, np.inf)
        if item in delivered or not readers.get(item):
            continue
        found = [_felt_by(graph, node, felt) for node in readers[item]]
        lows, highs = zip(*found, strict=True)
        felt[item] = (min(0.0, *lows), max(0.0, *highs))
    return felt[name]


def _moves(node: Node) -> bool:
    definition = BY_NAME[node.op]
    return definition.lookup is None and definition.value_preserving


def _felt_by(
    graph: Graph, node: Node, felt: Mapping[str, tuple[float, float]]
) -> tuple[float, float]:
    """The interval that makes a difference to one reader."""
    lookup = BY_NAME[node.op].lookup
    if lookup is not None:
        return lookup.support(View(graph, node))
    return felt[node.output] if _moves(node) else (-np.inf, np.inf)
