"""Tables that dip below zero are lifted to it: u8 codes where s8 would leave half of them unused.

A HardSwish is never below -0.375 and has no upper bound; symmetric s8 codes spend a half on that
dip. ``f(x) + 0.375`` needs u8 only, at half the step: 6 dB less rounding noise. Where convolutions
without padding are all that reads it, the number goes into their biases,

    sum w (f(x) + lift) + (b - lift sum w) = sum w f(x) + b,

which is what a zero point does, as an asymmetric range in the integer arithmetic of Jacob et al.,
"Quantization and Training of Neural Networks", 2018, section 2.2. A convolution with padding reads
zeros that nobody lifted, and keeps its input as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Attribute, Graph, Node, Tensor
from knightlite.ops import BY_NAME, Lookup, View
from knightlite.ops.expressions import Step, composed, evaluate
from knightlite.ops.signs import nonnegative_outputs
from knightlite.quantize.groups import reads_per_channel

INNER = np.arange(-32, 32, 2.0**-8, dtype=np.float32)  # where a function may dip; 1.5 and 0 in it
OUTER = np.asarray([64, 100, 1e3, 1e4], np.float32)
UNBOUNDED = 1e3  # a function that reaches this at OUTER has no upper bound
SLACK = 1e-6  # by which a tail may lie below the dip: float32


@dataclass(frozen=True, slots=True)
class Lifted:
    """A tensor whose values are ``lift`` larger than in the network as it came."""

    tensor: str
    lift: float


def lift_tables(graph: Graph) -> tuple[Graph, tuple[Lifted, ...]]:
    """A float graph of the same function with lifted tables, and which tensors are lifted.

    Outputs agree to float32 rounding. What moves or averages lifted values is lifted with them; a
    Concat only where all its parts are, by one number.
    """
    nonnegative = nonnegative_outputs(graph)
    sources = {
        node.output: lift
        for node in graph.nodes
        if node.output not in nonnegative
        for lift in (_lift(node),)
        if lift > 0
    }
    lifts: dict[str, float] = {}
    for members in _regions(graph):
        made = [name for name in members if not _carried(graph, name)]
        found = {sources.get(name, 0.0) for name in made}
        if len(found) == 1 and 0.0 not in found and _may_be_lifted(graph, members):
            lifts |= dict.fromkeys(members, found.pop())
    if not lifts:
        return graph, ()
    return _rewritten(graph, lifts), tuple(Lifted(name, lift) for name, lift in lifts.items())


def _lift(node: Node) -> float:
    """How far a looked up function dips below 0; 0 where nothing is looked up."""
    if BY_NAME[node.op].lookup is None:
        return 0.0
    return _lift_of(node.op, tuple(sorted(node.attributes.items())))


@lru_cache(maxsize=64)
def _lift_of(op: str, attributes: tuple[tuple[str, Attribute], ...]) -> float:
    """How far the function dips below 0, where it has no upper bound but a lower one; else 0."""
    lookup = BY_NAME[op].lookup
    assert lookup is not None
    steps = lookup.steps(Node("", op, (), (), dict(attributes)))
    inner, outer = (evaluate(steps, x) for x in (INNER, np.concatenate([OUTER, -OUTER])))
    if not np.all(np.isfinite(inner)) or not np.all(np.isfinite(outer)):
        return 0.0
    lowest = float(inner.min())
    if lowest >= 0 or outer.max() < UNBOUNDED or outer.min() < lowest - SLACK:
        return 0.0
    return -lowest


def _carries(graph: Graph, node: Node) -> bool:
    """True where the output is lifted by what the inputs are lifted by."""
    if "clamp" in node.attributes:
        return False
    return BY_NAME[node.op].adds_through(View(graph, node))


def _carried(graph: Graph, name: str) -> bool:
    producer = graph.producers().get(name)
    return producer is not None and _carries(graph, producer)


def _regions(graph: Graph) -> list[tuple[str, ...]]:
    """Feature tensors that can only be lifted together, in graph order."""
    names = (*graph.inputs, *(node.output for node in graph.nodes))
    parent = {name: name for name in names}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for node in graph.nodes:
        if _carries(graph, node):
            for name in node.inputs:
                parent[root(name)] = root(node.output)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(root(name), []).append(name)
    return [tuple(found) for found in members.values()]


def _may_be_lifted(graph: Graph, members: tuple[str, ...]) -> bool:
    """True where convolutions without padding read the region, and nothing else."""
    consumers = graph.consumers()
    readers = [
        (name, node)
        for name in members
        for node in consumers.get(name, ())
        if not _carries(graph, node)
    ]
    if not readers or any(name in graph.outputs or name in graph.chip_outputs for name in members):
        return False
    return all(_takes_it_away(graph, node, name) for name, node in readers)


def _takes_it_away(graph: Graph, node: Node, name: str) -> bool:
    """A depthwise convolution reads a scale per channel instead (``spreading``)."""
    kernel = BY_NAME[node.op].kernel
    if kernel is None or name in node.inputs[1:] or reads_per_channel(graph, node, name):
        return False
    return kernel.all_taps(View(graph, node))


def _rewritten(graph: Graph, lifts: Mapping[str, float]) -> Graph:
    nodes, tensors, constants = [], dict(graph.tensors), dict(graph.constants)
    for node in graph.nodes:
        definition = BY_NAME[node.op]
        if definition.lookup is not None and node.output in lifts:
            nodes.append(_lifted(definition.lookup, node, lifts[node.output]))
        elif definition.kernel is not None and node.inputs[0] in lifts:
            bias = f"{node.output}/lifted.bias"
            held = _bias(View(graph, node), lifts[node.inputs[0]])
            constants[bias] = held
            tensors[bias] = Tensor(bias, held.shape, graph.tensors[node.inputs[1]].dtype)
            nodes.append(replace(node, inputs=(*node.inputs[:2], bias)))
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.inputs}
    unread = {name for name in graph.constants if name not in read}
    return replace(
        graph,
        nodes=tuple(nodes),
        tensors={name: item for name, item in tensors.items() if name not in unread},
        constants={name: item for name, item in constants.items() if name not in unread},
    )


def _lifted(lookup: Lookup, node: Node, lift: float) -> Node:
    """The Relu says for certain that nothing is negative, where float32 rounds."""
    more = [
        Step("Add", (0, lift), {}),
        Step("Clip", (1,), {"alpha": 0.0, "beta": float("inf")}),
    ]
    return lookup.computing(node, composed(lookup.steps(node), more))


def _bias(view: View, lift: float) -> NDArray[np.float32]:
    weights = view.constant(1).astype(np.float64)
    held = view.constant(2).astype(np.float64) if len(view.node.inputs) > 2 else 0.0
    return np.asarray(held - lift * weights.sum(axis=(1, 2, 3)), np.float32)
