"""Concat along channels: values only move, so all its tensors share one scale (numerics 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, Region, View, as_inputs, no_macs
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


def infer(view: View) -> tuple[int, ...]:
    """[1, sum of C, H, W]."""
    shapes = [view.tensor(index).shape for index in range(len(view.node.inputs))]
    return (1, sum(shape[1] for shape in shapes), *shapes[0][2:])


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The inputs one after another along channels."""
    return np.concatenate(inputs, axis=1)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Concat; the same node serves the golden model."""
    writer.node("Concat", inputs, output, axis=1)


def region(view: View, index: int, rows: Region) -> Region:
    """The same rows."""
    return rows


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Concat with axis 1 of feature tensors."""
    rank = len(node.output_shape)
    if rank != 4 or int(node.attributes.get("axis", 1)) % rank != 1:
        raise UnsupportedError(
            f"Concat {node.name} must join [N, C, H, W] tensors along channels (axis 1), "
            f"not axis {node.attributes.get('axis')} of {node.output_shape}."
        )
    if node.constants:
        raise UnsupportedError(f"Concat {node.name} must join features only, not constants.")
    builder.node("Concat", node.inputs, node.output)


def _case(name: str, widths: tuple[int, ...], dtype: DType, scales: tuple[float, ...]) -> Graph:
    builder = GraphBuilder(name)
    names = tuple(f"x{index}" for index in range(len(widths)))
    for item, width, scale in zip(names, widths, scales, strict=True):
        feature(builder, item, (width, 6, 5), dtype, scale)
    node = Node("y", "Concat", names, ("y",))
    return result(builder, node, (1, sum(widths), 6, 5), dtype, 0.1)


def samples() -> tuple[Graph, ...]:
    """Two and three branches of odd widths."""
    return (
        _case("two", (12, 12), dtypes.U8, (0.1, 0.1)),
        _case("odd", (3, 5, 48), dtypes.S8, (0.1, 0.1, 0.1)),
    )


def _check_scales(view: View) -> str | None:
    out = view.output
    for index in range(len(view.node.inputs)):
        tensor = view.tensor(index)
        if tensor.dtype != out.dtype or not np.array_equal(view.scale(index), view.output_scale):
            return (
                f"all tensors must share one scale and type, but {tensor.name} differs "
                f"from {out.name}"
            )
    return None


CONCAT = OpDef(
    name="Concat",
    onnx_types=("Concat",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_onnx,
    region=region,
    macs=no_macs,
    constraints=(
        Constraint(
            "all tensors of a Concat share one scale and type",
            _check_scales,
            lambda: _case("scales", (4, 4), dtypes.U8, (0.1, 0.2)),
        ),
    ),
    samples=samples,
    value_preserving=True,
    nonnegative=as_inputs,
)
