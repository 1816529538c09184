"""What an error in one place does at the outputs: the float network again from there on.

The float network runs once on a picture, and every value stays. Then the values of a scale group
are rounded to a scale, and only what depends on them is computed anew. So what a scale costs is
measured where it counts: an error that all readers multiply by nearly nothing, or that a picture
would not have noticed, is none.

One picture at a time: its values stay in the processor's caches, and a network of large ones takes
no more memory than its own (four pictures side by side took twice as long each).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from knightlite.ir import Graph, Node, Tensor
from knightlite.quantize.groups import Group, computed_members
from knightlite.quantize.steps.live_values import fake_quantize
from knightlite.quantize.steps.walk import Compute, Walk

Array = NDArray[Any]


class Consequences:
    """All float values of one picture [1, C, H, W], and what follows from other ones.

    Several threads may ask at once.
    """

    def __init__(self, graph: Graph, walk: Walk, place: int) -> None:
        """``walk``: of ``graph``; ``place``: of the picture among its pictures."""
        self._graph = graph
        self._values: dict[str, Array] = {}
        self._computes: dict[str, Compute] = {}

        def see(node: Node, _: Mapping[str, Array], value: Array, compute: Compute) -> None:
            self._values[node.output] = value
            self._computes[node.output] = compute

        walk.visit(see, slice(place, place + 1), inputs=self._values.__setitem__)

    @property
    def outputs(self) -> dict[str, Array]:
        """The float values of the chip's outputs [1, ...]."""
        return {name: self._values[name] for name in self._graph.chip_outputs}

    def of(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        """The chip's outputs [1, ...] where one scale group alone is quantized.

        ``tensors``: the group's tensors with type and scale, by name.
        """
        graph = self._graph
        places = set(computed_members(graph, Group(tuple(tensors))))
        changed = {
            name: fake_quantize(self._values[name], tensors[name])
            for name in graph.inputs
            if name in places
        }
        remaining = {name: len(nodes) for name, nodes in graph.consumers().items()}
        for node in graph.nodes:
            name = node.output
            read = [item for item in dict.fromkeys(node.inputs) if item in self._values]
            if changed.keys() & read:
                given = {item: changed.get(item, self._values[item]) for item in read}
                value = self._computes[name](given)
                changed[name] = fake_quantize(value, tensors[name]) if name in places else value
            elif name in places:
                changed[name] = fake_quantize(self._values[name], tensors[name])
            for item in read:
                remaining[item] -= 1
                if not remaining[item] and item not in graph.chip_outputs:
                    changed.pop(item, None)
        return {name: changed.get(name, self._values[name]) for name in graph.chip_outputs}
