"""What ChannelShuffle, DepthToSpace, SpaceToDepth and Transpose share: axes split, swapped, joined.

Each is a Reshape, a Transpose and a Reshape of [1, C, H, W]; so ONNX can say it (``write``), and
the integers of the reference are found the same way (``rearrange``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ir.graph import Attribute
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import View
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


class Steps(NamedTuple):
    """Shape that the axes are split into, their order, shape they are joined to; all with N."""

    split: tuple[int, ...]
    order: tuple[int, ...]
    joined: tuple[int, ...]


def rearrange(x: Array, steps: Steps) -> Array:
    """The three steps."""
    return x.reshape(steps.split).transpose(steps.order).reshape(steps.joined)


def write(steps: Steps, writer: OnnxWriter, source: str, output: str) -> None:
    """The three steps as ONNX nodes; a leading 0 keeps the batch."""
    split, joined = (
        writer.constant(f"{output}/{name}", np.array((0, *shape[1:]), np.int64))
        for name, shape in (("split", steps.split), ("joined", steps.joined))
    )
    parts = writer.temporary("Reshape", [source, split], f"{output}/parts")
    moved = writer.temporary("Transpose", [parts], f"{output}/moved", perm=list(steps.order))
    writer.node("Reshape", [moved, joined], output)


def case(
    op: str,
    name: str,
    shape: tuple[int, int, int],
    attributes: dict[str, Attribute],
    infer: Callable[[View], tuple[int, ...]],
    dtype: DType = dtypes.S8,
    y_scale: float = 0.1,
) -> Graph:
    """A sample of one such operator."""
    builder = GraphBuilder(name)
    feature(builder, "x", shape, dtype, 0.1)
    graph = result(builder, Node("y", op, ("x",), ("y",), attributes), (), dtype, y_scale)
    y = graph.tensors["y"]
    return graph.with_tensors([type(y)("y", infer(View(graph, graph.nodes[0])), dtype, y.scale)])
