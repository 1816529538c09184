"""Copy: the same values at another place; the compiler inserts it where a Concat needs one.

Attribute ``computed`` 1: the values pass through the vector engine; otherwise they are only loaded
and stored.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.opdef import OpDef, View, no_macs, own_channels, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The input itself."""
    return inputs[0]


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Identity; the same node serves the golden model."""
    writer.node("Identity", inputs, output)


def samples() -> tuple[Graph, ...]:
    """A small tensor, one that needs tiles, 16 bits; moved, and through the vector engine."""
    graphs = []
    for name, shape, dtype, attributes in (
        ("small", (5, 4, 3), dtypes.S8, {}),
        ("tiles", (40, 90, 40), dtypes.S8, {}),
        ("wide", (5, 4, 3), dtypes.S16, {}),
        ("computed", (40, 9, 7), dtypes.U8, {"computed": 1}),
        ("computed_wide", (5, 4, 3), dtypes.S16, {"computed": 1}),
    ):
        builder = GraphBuilder(name)
        feature(builder, "x", shape, dtype, 0.1)
        node = Node("y", "Copy", ("x",), ("y",), attributes)
        graphs.append(result(builder, node, (1, *shape), dtype, 0.1))
    return tuple(graphs)


COPY = OpDef(
    name="Copy",
    onnx_types=(),
    from_onnx=None,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_onnx,
    region=same_rows,
    macs=no_macs,
    constraints=(),
    samples=samples,
    value_preserving=True,
    rearranges=True,
    ties=own_channels,
    linear=True,
)
