"""One node of a file written as several: the nodes, and what is known of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite.frontend.source import Shape, SourceNode

Array = NDArray[Any]
STEP = "/step/"
REALS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
AXES_AS_INPUT = 13  # from this opset on ReduceSum and Squeeze have their axes as an input


class Steps:
    """Collects the nodes that take the place of one; the last of them has its name and output.

    ``constants``, ``shapes`` and ``types`` are the model's, and grow.
    """

    def __init__(
        self,
        node: SourceNode,
        opset: int,
        constants: dict[str, Array],
        shapes: dict[str, Shape],
        types: dict[str, int] | None = None,
    ) -> None:
        self.node, self.opset = node, opset
        self.constants, self.shapes = constants, shapes
        self.types = {} if types is None else types
        self.nodes: list[SourceNode] = []

    def finished(self, last: str) -> list[SourceNode]:
        """All nodes, the value ``last`` under the name of the node's output."""
        if not self.nodes or last != self.nodes[-1].outputs[0]:
            last = self.node_of("Identity", [last], self.shape(last))
        final = self.nodes.pop()
        self.shapes.pop(last, None)
        self.types.pop(last, None)
        return [*self.nodes, replace(final, name=self.node.name, outputs=self.node.outputs[:1])]

    def shape(self, name: str) -> Shape:
        """Of a value or a constant."""
        return self.constants[name].shape if name in self.constants else self.shapes[name]

    def constant(self, values: Any) -> str:
        """A new constant."""
        name = f"{self.node.outputs[0]}{STEP}constant/{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values).reshape(np.shape(values))
        return name

    def node_of(
        self,
        kind: str,
        inputs: Sequence[str],
        shape: Shape,
        more: Mapping[str, Any] | None = None,
        element: int | None = None,
    ) -> str:
        """A new node; ``element``: ONNX's number of its output's type, where that is not float."""
        output = f"{self.node.outputs[0]}{STEP}{len(self.nodes)}"
        name = f"{self.node.name}{STEP}{len(self.nodes)}"
        self.nodes.append(SourceNode(name, kind, "", tuple(inputs), (output,), more or {}))
        self.shapes[output] = shape
        if element is not None:
            self.types[output] = element
        return output

    def reshaped(self, name: str, shape: Shape) -> str:
        """A Reshape where the shape is another one."""
        if name in self.constants:
            return self.constant(self.constants[name].reshape(shape))
        if self.shapes[name] == shape:
            return name
        return self.node_of("Reshape", [name, self.constant(np.array(shape, np.int64))], shape)

    def transposed(self, name: str, perm: Sequence[int]) -> str:
        """A Transpose where the axes stand in another order."""
        if list(perm) == list(range(len(perm))):
            return name
        if name in self.constants:
            return self.constant(self.constants[name].transpose(perm))
        shape = tuple(self.shapes[name][axis] for axis in perm)
        return self.node_of("Transpose", [name], shape, {"perm": list(perm)})

    def cut(self, name: str, axis: int, first: int, last: int) -> str:
        """Elements [first, last) along an axis."""
        shape = self.shape(name)
        if (first, last) == (0, shape[axis]):
            return name
        if name in self.constants:
            chosen = [slice(None)] * axis + [slice(first, last)]
            return self.constant(self.constants[name][tuple(chosen)])
        made = (*shape[:axis], last - first, *shape[axis + 1 :])
        bounds = [self.constant(np.array([item], np.int64)) for item in (first, last, axis)]
        if self.opset >= 10:
            return self.node_of("Slice", [name, *bounds], made)
        given = {"starts": [first], "ends": [last], "axes": [axis]}
        return self.node_of("Slice", [name], made, given)

    def joined(self, names: Sequence[str], axis: int) -> str:
        """A Concat where there are several."""
        if len(names) == 1:
            return names[0]
        shapes = [self.shape(name) for name in names]
        size = sum(shape[axis] for shape in shapes)
        made = (*shapes[0][:axis], size, *shapes[0][axis + 1 :])
        return self.node_of("Concat", names, made, {"axis": axis})
