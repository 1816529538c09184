"""Nodes of a quantized graph with their constants, integers of weights among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ir import Graph, Node, Tensor
from knightlite.quantize.scales.weights import QuantizedWeights

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Constants:
    """What becomes of the constants of a float graph; each is added to ``tensors`` too."""

    graph: Graph
    tensors: dict[str, Tensor]
    values: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, values: Array, scale: Array | None) -> str:
        """Keep a constant under this name, which it gives back."""
        self.tensors[name] = Tensor(name, values.shape, dtypes.from_numpy(values.dtype), scale)
        self.values[name] = values
        return name

    def kept(self, node: Node) -> Node:
        """The node, whose constants stay as they are."""
        for name in node.inputs:
            if name in self.graph.constants:
                self.add(name, self.graph.constants[name], None)
        return node

    def free(self, name: str) -> str:
        """The name, or one like it where another constant has it."""
        candidate, count = name, 1
        while candidate in self.values or (count > 1 and candidate in self.graph.tensors):
            candidate, count = f"{name}_{count}", count + 1
        return candidate


def quantized_conv(node: Node, made: QuantizedWeights, constants: Constants) -> Node:
    """The node reading integer constants; ones shared with another node get a name of their own."""
    names = [
        node.inputs[0],
        constants.add(constants.free(node.inputs[1]), made.weights, made.scale),
    ]
    if made.bias is not None:
        wanted = node.inputs[2] if len(node.inputs) > 2 else f"{node.output}.bias"
        names.append(constants.add(constants.free(wanted), made.bias, made.bias_scale))
    return replace(node, inputs=tuple(names))
