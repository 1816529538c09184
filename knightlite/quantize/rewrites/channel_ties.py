"""Which channels of a float graph must be scaled together, and which must not be scaled.

``x / s`` per channel in front of an operator with ``f(x / s) = f(x) / s`` (a pool, a ReLU, a sum of
channels divided alike) leaves it as ``f`` divided by s. Such operators tie channels of their inputs
to those of their output; a Conv or an Affine ends the tie, since s goes into its constants.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph
from knightlite.ops import BY_NAME, Tie, View

Indices = NDArray[np.int64]

HOMOGENEOUS_BOUNDS = (-np.inf, 0.0, np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """Per feature tensor the class of each channel [C]; ``free`` [classes]: may be scaled.

    All channels of a class are divided by one number.
    """

    classes: dict[str, Indices]
    free: NDArray[np.bool_]


def channel_ties(graph: Graph) -> Ties:
    """The classes, by union-find over all channels of all feature tensors."""
    names = (*graph.inputs, *(node.output for node in graph.nodes))
    sizes = [graph.tensors[name].shape[1] for name in names]
    starts = dict(zip(names, np.concatenate([[0], np.cumsum(sizes)]).tolist(), strict=False))
    parent = list(range(sum(sizes)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    fixed = {name for name in (*graph.inputs, *graph.chip_outputs)}
    for node in graph.nodes:
        view = View(graph, node)
        if not set(view.clamp) <= set(HOMOGENEOUS_BOUNDS):
            fixed.add(node.output)
        definition = BY_NAME[node.op]
        if definition.absorbs_factors:
            continue
        # which operand of a product is divided is no matter of the operator alone
        ties = _product(view) if node.op == "Mul" else definition.ties(view)
        if ties is None:
            fixed |= {node.output, *(name for name in node.inputs if name in starts)}
            continue
        tied = {node.inputs[tie.operand] for tie in ties}
        fixed |= {name for name in node.inputs if name in starts and name not in tied}
        for tie in ties:
            first = starts[node.inputs[tie.operand]]
            for source, target in zip(tie.channels.tolist(), tie.outputs.tolist(), strict=True):
                parent[root(first + source)] = root(starts[node.output] + target)
    roots = np.asarray([root(index) for index in range(len(parent))])
    numbers, compact = np.unique(roots, return_inverse=True)
    free = np.ones(numbers.size, bool)
    classes = {}
    for name, size in zip(names, sizes, strict=True):
        classes[name] = compact[starts[name] : starts[name] + size]
        if name in fixed:
            free[classes[name]] = False
    return Ties(classes, free)


def _product(view: View) -> tuple[Tie, ...] | None:
    """A gate (its one pixel, or what is looked up or by definition) stays, what it gates goes."""
    producers, channels = view.graph.producers(), np.arange(view.output.shape[1])

    def is_gate(index: int) -> bool:
        maker = producers.get(view.node.inputs[index])
        small = view.tensor(index).elements < view.output.elements
        if small or maker is None:
            return small
        made = BY_NAME[maker.op]
        return made.lookup is not None or made.fixed_output is not None

    for gate, other in ((1, 0), (0, 1)):
        if is_gate(gate) and view.tensor(other).shape == view.output.shape:
            return (Tie(other, channels, channels),)
    return None
