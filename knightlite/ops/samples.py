"""Small helpers for sample cases: seeded one-node quantized graphs."""

from __future__ import annotations

import numpy as np

from knightlite.dtypes import DType
from knightlite.ir import Graph, GraphBuilder, Node, Tensor


def seeded(name: str) -> np.random.Generator:
    """A generator that depends on the case's name only."""
    return np.random.default_rng(int.from_bytes(name.encode()[-8:], "little"))


def feature(
    builder: GraphBuilder, name: str, shape: tuple[int, int, int], dtype: DType, scale: float
) -> str:
    """Declare a quantized network input [1, C, H, W]."""
    return builder.input(name, (1, *shape), dtype, scale)


def result(
    builder: GraphBuilder, node: Node, shape: tuple[int, ...], dtype: DType, scale: float
) -> Graph:
    """Append the node, declare its output and build."""
    builder.nodes.append(node)
    builder.tensors[node.output] = Tensor(
        node.output, shape, dtype, np.asarray(scale, dtype=np.float32)
    )
    return builder.build((node.output,))
