"""The float and the quantized network one after the other, each alone, on many pictures.

What a layer of both must be known of to correct its bias are means, and few pictures fit into
memory with their values of both networks. So the float network goes first, each picture through all
of it (:func:`see_linear`), and what is wanted of a layer is taken as it passes. Then the quantized
network goes through all pictures layer by layer, its values kept as integers (:func:`correct`): of
a MobileNet six times as many pictures fit a memory so as with both networks side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import weights_of
from knightlite.ir import Graph, Node, Tensor
from knightlite.ir.large import let_go
from knightlite.ops import View
from knightlite.quantize.steps.live_values import Rounded, parts, real_value
from knightlite.quantize.steps.walk import Values, Walk, clamp, reads

Array = NDArray[Any]

LinearVisitor = Callable[[Node, int, Array], None]
"""Sees what a float node with weights makes of a picture before its activation, [C, H, W]."""

Correction = Callable[[Graph, Node, Iterator[Array]], "NDArray[np.int32] | None"]
"""A new integer bias for a node of the quantized graph, from what it makes before its activation, a
few pictures at a time; None leaves it as it is."""

HELD_BYTES = 64 << 20  # of what a node makes before its bias is corrected


def see_linear(walk: Walk, visitor: LinearVisitor, pictures: slice) -> None:
    """Run the float network; ``visitor`` sees its layers, each with the number of the picture.

    From several threads, each with other pictures.
    """
    graph = walk.graph
    walk.runs.prepare(graph)
    layers = {node.output: walk.runs.layer(node) for node in graph.nodes}

    def one(numbered: tuple[int, int]) -> None:
        number, place = numbered
        values = walk.inputs(slice(place, place + 1))
        remaining = reads(graph)
        for node in graph.nodes:
            names = list(dict.fromkeys(name for name in node.inputs if name in values))
            made = layers[node.output]([values[name] for name in names])
            if weights_of(node):
                visitor(node, number, made[0])
                clamp(made, View(graph, node))
            values[node.output] = made
            for name in names:
                remaining[name] -= 1
                if not remaining[name]:
                    del values[name]

    walk.run_all(one, list(enumerate(range(walk.count)[pictures])))


def correct(walk: Walk, quantized: Graph, correction: Correction, pictures: slice) -> Graph:
    """The quantized network alone, layer by layer on all of the pictures, each one corrected."""
    walk.runs.prepare(walk.graph, quantized)
    fixed: dict[str, Values] = {}
    remaining = reads(walk.graph)
    for name, values in walk.inputs(pictures).items():
        fixed[name] = _rounded(values, quantized.tensors[name])
    for node, other in zip(walk.graph.nodes, quantized.nodes, strict=True):
        names = list(dict.fromkeys(name for name in node.inputs if name in fixed))
        bias, fixed[node.output] = _layer(
            walk, quantized, node, other, [fixed[name] for name in names], correction
        )
        if bias is not None:
            quantized = quantized.with_constants({other.inputs[2]: bias})
        for name in names:
            remaining[name] -= 1
            if not remaining[name]:
                del fixed[name]
        let_go()
    return quantized


def _layer(
    walk: Walk,
    quantized: Graph,
    node: Node,
    other: Node,
    inputs: Sequence[Values],
    correction: Correction,
) -> tuple[NDArray[np.int32] | None, Rounded]:
    """The new bias of one node, None where it keeps its own, and its values with it.

    A bias is added last: what the node made without its correction serves as far as memory holds
    it.
    """
    tensor, view = quantized.tensors[node.output], View(walk.graph, node)
    linear = walk.linear(quantized, node, other, inputs)({})
    pieces, held = walk.parts(node, len(inputs[0])), _Held(HELD_BYTES)
    bias, shift = None, np.zeros((), np.float32)
    if weights_of(node):
        made = walk.runs.side_by_side(linear, pieces)
        bias = correction(quantized, other, held.through(pieces, made))
    if bias is not None:
        name = other.inputs[2]
        found, before = (
            real_value(values, quantized.tensors[name])
            for values in (bias, quantized.constants[name])
        )
        shift = (found - before).reshape(-1, *(1,) * (len(tensor.shape) - 2))
    rounded = Rounded.of(len(inputs[0]), tensor)

    def put(part: slice) -> None:
        values = held.take(part, linear)
        if bias is not None:
            values += shift
        if weights_of(node):
            clamp(values, view)
        rounded.put(part, values, tensor)

    walk.run_all(put, pieces)
    return bias, rounded


class _Held:
    """Values that are looked at before they are used: the first ones held, others made again."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._values: dict[int, Array] = {}

    def through(self, places: Sequence[slice], made: Iterable[Array]) -> Iterator[Array]:
        """What is ``made`` of the pictures at ``places``, held as long as there is room."""
        for part, values in zip(places, made, strict=True):
            if values.nbytes <= self._left:
                self._left -= values.nbytes
                self._values[part.start] = values
            yield values

    def take(self, part: slice, make: Callable[[slice], Array]) -> Array:
        """The values of the pictures at ``part``, once: they may be changed."""
        found = self._values.pop(part.start, None)
        return make(part) if found is None else found


def _rounded(values: Array, tensor: Tensor) -> Rounded:
    made = Rounded.of(len(values), tensor)
    for part in parts(len(values), tensor.elements):
        made.put(part, values[part].copy(), tensor)
    return made
