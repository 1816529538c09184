"""Concat along an axis: values only move, so all its tensors share one scale (numerics 7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, Region, Tie, View, Window, as_inputs, no_macs
from knightlite.ops.samples import feature, result
from knightlite.ops.sharing import same_scale

Array = NDArray[Any]


AXES = ("batch", "channels", "rows", "columns")


def axis_of(view: View) -> int:
    """1 (channels, also where nothing is said), 2 (rows) or 3 (columns)."""
    return view.integer("axis") if "axis" in view.node.attributes else 1


def infer(view: View) -> tuple[int, ...]:
    """The sizes along the axis added up, the others as they are."""
    axis = axis_of(view)
    shapes = [view.tensor(index).shape for index in range(len(view.node.inputs))]
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The inputs one after another along the axis."""
    return np.concatenate(inputs, axis=axis_of(view))


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Concat; the same node serves the golden model."""
    writer.node("Concat", inputs, output, axis=axis_of(view))


def begins(view: View) -> list[int]:
    """Where each input begins along the axis."""
    axis = axis_of(view)
    sizes = [view.tensor(index).shape[axis] for index in range(len(view.node.inputs))]
    return [sum(sizes[:index]) for index in range(len(sizes))]


def windows(view: View) -> tuple[Window, ...]:
    """Where each input lies in the output."""
    axis = axis_of(view)
    found = []
    for begin in begins(view):
        channel, row, column = (begin if place == axis else 0 for place in (1, 2, 3))
        found.append(Window(channel, row, column))
    return tuple(found)


def channel_ties(view: View) -> tuple[Tie, ...]:
    """Each input's channels where they lie in the output."""
    found = []
    for index, window in enumerate(windows(view)):
        channels = np.arange(view.tensor(index).shape[1])
        found.append(Tie(index, channels, window.channel + channels))
    return tuple(found)


def region(view: View, index: int, rows: Region) -> Region:
    """The same rows; along rows, those that are this input's."""
    if axis_of(view) != 2:
        return rows
    begin, size = begins(view)[index], view.tensor(index).shape[2]
    return max(0, min(rows[0] - begin, size)), max(0, min(rows[1] - begin, size))


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Concat of feature tensors along channels, rows or columns."""
    if node.constants:
        raise UnsupportedError(f"Concat {node.name} must join features only, not constants.")
    axis = int(node.attributes.get("axis", 1)) % len(node.output_shape)
    if axis == 0:
        raise UnsupportedError(f"Concat {node.name} must not join pictures (axis 0).")
    builder.node("Concat", node.inputs, node.output, {} if axis == 1 else {"axis": axis})


def _case(
    name: str, sizes: tuple[int, ...], dtype: DType, scales: tuple[float, ...], axis: int = 1
) -> Graph:
    builder = GraphBuilder(name)
    names = tuple(f"x{index}" for index in range(len(sizes)))
    shape = [1, 7, 6, 5]
    for item, size, scale in zip(names, sizes, scales, strict=True):
        shape[axis] = size
        feature(builder, item, (shape[1], shape[2], shape[3]), dtype, scale)
    shape[axis] = sum(sizes)
    node = Node("y", "Concat", names, ("y",), {} if axis == 1 else {"axis": axis})
    return result(builder, node, tuple(shape), dtype, 0.1)


def samples() -> tuple[Graph, ...]:
    """Two and three branches of odd widths, along every axis."""
    return (
        _case("two", (12, 12), dtypes.U8, (0.1, 0.1)),
        _case("odd", (3, 5, 48), dtypes.S8, (0.1, 0.1, 0.1)),
        _case("rows", (2, 5), dtypes.S8, (0.1, 0.1), axis=2),
        _case("columns", (3, 1, 4), dtypes.U8, (0.1, 0.1, 0.1), axis=3),
        _case("wide", (3, 12, 5), dtypes.S16, (0.1, 0.1, 0.1)),
    )


def _check_sizes(view: View) -> str | None:
    axis, first = axis_of(view), view.tensor(0)
    for index in range(1, len(view.node.inputs)):
        other = view.tensor(index)
        for place in range(4):
            if place != axis and other.shape[place] != first.shape[place]:
                return (
                    f"{first.name} and {other.name} must have equally many {AXES[place]}, "
                    f"not {first.shape[place]} and {other.shape[place]}"
                )
    return None


def _different_sizes() -> Graph:
    builder = GraphBuilder("sizes")
    feature(builder, "a", (4, 6, 5), dtypes.U8, 0.1)
    feature(builder, "b", (4, 6, 4), dtypes.U8, 0.1)
    return result(builder, Node("y", "Concat", ("a", "b"), ("y",)), (1, 8, 6, 5), dtypes.U8, 0.1)


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
            "its inputs differ in size along the axis only",
            _check_sizes,
            _different_sizes,
            structural=True,
        ),
        same_scale(lambda: _case("scales", (4, 4), dtypes.U8, (0.1, 0.2))),
    ),
    samples=samples,
    value_preserving=True,
    rearranges=True,
    joins=windows,
    nonnegative=as_inputs,
    ties=channel_ties,
    linear=True,
    reads_axes=True,
)
