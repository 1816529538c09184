"""Build a graph node by node: used by the front-end, by sample cases and by tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.ir.graph import Attribute, ChannelStatistics, Graph, HostOp, Node, Tensor


class GraphBuilder:
    """Collects tensors, constants and nodes; :meth:`build` returns the frozen graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.constants: dict[str, NDArray[Any]] = {}
        self.nodes: list[Node] = []
        self.inputs: list[str] = []
        self.host: list[HostOp] = []
        self.trained: dict[str, ChannelStatistics] = {}
        self.integer_inputs: dict[str, DType] = {}
        self.declared_inputs: tuple[str, ...] = ()

    def fresh(self, hint: str) -> str:
        """A tensor name that is not taken yet, ``hint`` where that is free."""
        name, count = hint, 1
        while name in self.tensors:
            name, count = f"{hint}_{count}", count + 1
        return name

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType = dtypes.F32,
        scale: NDArray[Any] | float | None = None,
    ) -> str:
        """Declare a tensor; a scale is kept as float32."""
        array = None if scale is None else np.asarray(scale, dtype=np.float32)
        self.tensors[name] = Tensor(name, tuple(shape), dtype, array)
        return name

    def input(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: DType = dtypes.F32,
        scale: float | None = None,
    ) -> str:
        """Declare a network input."""
        self.inputs.append(name)
        return self.tensor(name, shape, dtype, scale)

    def constant(
        self, name: str, values: NDArray[Any], scale: NDArray[Any] | float | None = None
    ) -> str:
        """Declare a constant; its type follows the array's."""
        values = np.ascontiguousarray(values)
        self.constants[name] = values
        return self.tensor(name, values.shape, dtypes.from_numpy(values.dtype), scale)

    def node(
        self,
        op: str,
        inputs: tuple[str, ...],
        output: str,
        attributes: Mapping[str, Attribute] | None = None,
        name: str | None = None,
    ) -> str:
        """Append a node that writes the (already declared or inferred later) tensor ``output``."""
        self.nodes.append(
            Node(name or output, op, tuple(inputs), (output,), dict(attributes or {}))
        )
        return output

    def build(self, outputs: tuple[str, ...]) -> Graph:
        """The frozen graph."""
        return Graph(
            self.name,
            tuple(self.inputs),
            tuple(outputs),
            tuple(self.nodes),
            dict(self.tensors),
            dict(self.constants),
            tuple(self.host),
            dict(self.trained),
            dict(self.integer_inputs),
            self.declared_inputs,
        )
