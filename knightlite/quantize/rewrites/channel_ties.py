"""Which channels of a float graph must be scaled together, and which must not be scaled.

``x / s`` per channel in front of an operator with ``f(x / s) = f(x) / s`` (a pool, a ReLU, a sum of
channels divided alike) leaves it as ``f`` divided by s. Such operators tie channels of their inputs
to those of their output; a Conv or an Affine ends the tie, since s goes into its constants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph
from knightlite.ops import View
from knightlite.ops.concat import axis_of

Indices = NDArray[np.int64]
Tie = tuple[str, Indices, Indices]  # a tensor, some of its channels, those of the output

# one picture plane at a time, and f(s x) = s f(x) for s > 0
PLANE_WISE = (
    "AveragePool", "Copy", "MaxPool", "PRelu", "ResizeLinear", "ResizeNearest", "SwapPixels",
)  # fmt: skip
SUMS = ("Add", "Max", "Min", "Sub")  # of channels that are divided alike
ABSORBING = ("Affine", "Conv", "ConvTranspose")  # s goes into the constants
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
        if node.op in ABSORBING:
            continue
        ties = _ties(view)
        if ties is None:
            fixed |= {node.output, *(name for name in node.inputs if name in starts)}
            continue
        tied = {name for name, _, _ in ties}
        fixed |= {name for name in node.inputs if name in starts and name not in tied}
        for name, sources, targets in ties:
            for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
                parent[root(starts[name] + source)] = root(starts[node.output] + target)
    roots = np.asarray([root(index) for index in range(len(parent))])
    numbers, compact = np.unique(roots, return_inverse=True)
    free = np.ones(numbers.size, bool)
    classes = {}
    for name, size in zip(names, sizes, strict=True):
        classes[name] = compact[starts[name] : starts[name] + size]
        if name in fixed:
            free[classes[name]] = False
    return Ties(classes, free)


def _ties(view: View) -> list[Tie] | None:
    """Ties of an operator that is not absorbing; None where it cannot be divided through."""
    node, channels = view.node, np.arange(view.output.shape[1])
    if node.op in PLANE_WISE:
        return [(node.inputs[0], channels, channels)]
    if node.op in SUMS:
        shapes = [view.tensor(index).shape[1] for index in range(len(node.inputs))]
        return [
            (name, channels % size, channels)
            for name, size in zip(node.inputs, shapes, strict=True)
        ]
    if node.op == "Mul":
        return _product(view, channels)
    if node.op == "Pad" and not (view.integers("begins")[0] or view.integers("ends")[0]):
        return [(node.inputs[0], channels, channels)]
    if node.op == "Slice":
        first, step = view.integers("starts")[0], view.integers("steps")[0]
        return [(node.inputs[0], first + step * channels, channels)]
    if node.op == "Concat":
        return list(_joined(view, channels))
    return None


def _product(view: View, channels: Indices) -> list[Tie] | None:
    """A gate (its one pixel, or what a table delivers) is not divided, the gated tensor is."""
    producers = view.graph.producers()

    def is_gate(index: int) -> bool:
        maker = producers.get(view.node.inputs[index])
        small = view.tensor(index).elements < view.output.elements
        return small or (maker is not None and maker.op in ("Softmax", "Table"))

    for gate, other in ((1, 0), (0, 1)):
        if is_gate(gate) and view.tensor(other).shape == view.output.shape:
            return [(view.node.inputs[other], channels, channels)]
    return None


def _joined(view: View, channels: Indices) -> Iterable[Tie]:
    first = 0
    for index, name in enumerate(view.node.inputs):
        size = view.tensor(index).shape[1]
        own = np.arange(size)
        yield name, own, own + first
        first += size if axis_of(view) == 1 else 0
