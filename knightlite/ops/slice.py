"""Slice: a box of channels, rows and columns, rows and columns with steps; values only move.

Nothing is computed: the compiler lets the readers look into the tensor that is cut (``cuts``).
"""

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
Box = tuple[slice, slice, slice]  # channels, rows, columns


def box(view: View) -> Box:
    """What is cut out of [C, H, W]."""
    starts, ends = view.integers("starts"), view.integers("ends")
    channels, rows, columns = map(slice, starts, ends, view.integers("steps"))
    return channels, rows, columns


def infer(view: View) -> tuple[int, ...]:
    """[1, the elements of each range]."""
    sizes = view.tensor(0).shape[1:]
    return (1, *(len(range(size)[part]) for size, part in zip(sizes, box(view), strict=True)))


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """The box itself."""
    part: Array = inputs[0][(slice(None), *box(view))]
    return part


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Slice of axes 1, 2 and 3; the same node serves the golden model."""
    operands = [
        writer.constant(f"{output}/{name}", np.asarray(values, np.int64))
        for name, values in (
            ("starts", view.integers("starts")),
            ("ends", view.integers("ends")),
            ("axes", (1, 2, 3)),
            ("steps", view.integers("steps")),
        )
    ]
    writer.node("Slice", [*inputs, *operands], output)


def channel_ties(view: View) -> tuple[Tie, ...]:
    """The channels that are kept."""
    first, step = view.integers("starts")[0], view.integers("steps")[0]
    channels = np.arange(view.output.shape[1])
    return (Tie(0, first + step * channels, channels),)


def region(view: View, index: int, rows: Region) -> Region:
    """From the first row that is kept to the last."""
    first, step = view.integers("starts")[1], view.integers("steps")[1]
    return first + rows[0] * step, first + (rows[1] - 1) * step + 1


def window(view: View) -> Window:
    """Where the output lies in the input."""
    channel, row, column = view.integers("starts")
    _, row_step, column_step = view.integers("steps")
    return Window(channel, row, column, row_step, column_step)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Slice with constant bounds (operands since opset 10, attributes before)."""
    shape, rank = node.shape(0), 4
    starts, ends = _operand(node, 1, "starts"), _operand(node, 2, "ends")
    if starts is None or ends is None:
        raise UnsupportedError(f"Slice {node.name} must have constant starts and ends.")
    axes = _operand(node, 3, "axes") or tuple(range(len(starts)))
    steps = _operand(node, 4, "steps") or (1,) * len(starts)
    found = {axis: (0, size, 1) for axis, size in enumerate(shape)}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise UnsupportedError(
                f"Slice {node.name} must have positive steps, not {step}: nothing runs backwards."
            )
        found[axis % rank] = (*slice(start, end, step).indices(shape[axis % rank])[:2], step)
    if len(range(*found.pop(0))) != 1:
        raise UnsupportedError(f"Slice {node.name} must keep the batch of 1.")
    first, last, stride = zip(*found.values(), strict=True)
    append(builder, node.inputs[0], node.output, first, last, stride)


def _operand(node: OnnxNode, index: int, attribute: str) -> tuple[int, ...] | None:
    values = node.attributes.get(attribute, node.constant(index))
    if values is None and node.has(index):
        raise UnsupportedError(f"Slice {node.name} must have constant {attribute}.")
    return None if values is None else tuple(int(item) for item in np.ravel(values))


def append(
    builder: GraphBuilder,
    source: str,
    output: str,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    steps: tuple[int, ...] = (1, 1, 1),
) -> None:
    """Append a Slice of channels, rows and columns."""
    values = {"starts": starts, "ends": ends, "steps": steps}
    builder.node("Slice", (source,), output, values)


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    steps: tuple[int, ...] = (1, 1, 1),
    dtype: DType = dtypes.S8,
    y_scale: float = 0.1,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", (12, 9, 8), dtype, 0.1)
    values = {"starts": starts, "ends": ends, "steps": steps}
    sizes = tuple(-(-(b - a) // s) for a, b, s in zip(starts, ends, steps, strict=True))
    node = Node("y", "Slice", ("x",), ("y",), values)
    return result(builder, node, (1, *sizes), dtype, y_scale)


def samples() -> tuple[Graph, ...]:
    """Channels, rows, columns, and all three at once."""
    return (
        _case("channels", (3, 0, 0), (8, 9, 8), dtype=dtypes.U8),
        _case("rows", (0, 1, 0), (12, 8, 8), (1, 3, 1)),
        _case("columns", (0, 0, 1), (12, 9, 8), (1, 1, 2)),
        _case("box", (6, 2, 1), (11, 9, 7), (1, 2, 3), dtypes.S16),
    )


def _check_channel_step(view: View) -> str | None:
    step = view.integers("steps")[0]
    return None if step == 1 else f"channels must be cut with step 1, not {step}"


SLICE = OpDef(
    name="Slice",
    onnx_types=("Slice",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_onnx,
    region=region,
    macs=no_macs,
    constraints=(
        Constraint(
            "channels are cut with step 1, rows and columns with any positive step",
            _check_channel_step,
            lambda: _case("step", (0, 0, 0), (12, 9, 8), (2, 1, 1)),
            structural=True,
        ),
        same_scale(lambda: _case("scales", (0, 0, 0), (4, 9, 8), y_scale=0.2)),
    ),
    samples=samples,
    value_preserving=True,
    rearranges=True,
    cuts=window,
    nonnegative=as_inputs,
    ties=channel_ties,
    linear=True,
    reads_axes=True,
)
