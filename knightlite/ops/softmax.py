"""Softmax over the channels of every pixel.

Integer form: ``e_c = table[max x - x_c]``, ``y_c = clamp(rne(e_c * n / sum e))`` with 256 entries
``rne(exp(-d * scale) * 65535)`` and n = 1 / output scale. The output's type and scale follow from
the definition: u8, 1/255. Entries are off by 1/2 at most, so with C channels a share is off by
less than (C + 1) / 2 / 65535 of 255 steps: below one step for C <= 256.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.dtypes import DType
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]
MAX_CHANNELS = 256
OUTPUT = (dtypes.U8, 1 / 255)


def entries(view: View) -> Array:
    """The 256 exponentials, u16, by steps below the largest input."""
    return numerics.softmax_table(float(view.scale(0)))


def numerator(view: View) -> int:
    """What a share of 1 becomes."""
    return round(1 / float(view.output_scale))


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """Shares of the exponentials, rounded once."""
    shares = numerics.softmax(inputs[0], entries(view), numerator(view))
    return numerics.saturate(shares, view.output.dtype)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Softmax along axis 1."""
    writer.node("Softmax", inputs, output, axis=1)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Maximum, Gather, sum and one division in float64, which rounds to the exact integer."""
    wide = writer.cast(inputs[0], TensorProto.INT64, f"{output}/wide")
    axis = writer.constant(f"{output}/axis", np.asarray([1], np.int64))
    largest = writer.temporary("ReduceMax", [wide, axis], f"{output}/largest")
    steps = writer.temporary("Sub", [largest, wide], f"{output}/steps")
    table = writer.constant(f"{output}/table", entries(view).astype(np.float64))
    shares = writer.temporary("Gather", [table, steps], f"{output}/shares")
    total = writer.temporary("ReduceSum", [shares, axis], f"{output}/total")
    one = writer.constant(f"{output}/one", np.float64(numerator(view)))
    scaled = writer.temporary("Mul", [shares, one], f"{output}/scaled")
    quotient = writer.temporary("Div", [scaled, total], f"{output}/quotient")
    dtype = view.output.dtype
    writer.rescale(quotient, 1.0, dtype.minimum, dtype.maximum, dtype, output)


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Softmax over channels; before opset 13 it ran over all axes from its axis on."""
    shape, axis = node.shape(0), int(node.attributes["axis"])
    if axis != 1 or (node.opset < 13 and shape[2:] != (1, 1)):
        what = "axis" if node.opset >= 13 else "all axes from"
        raise UnsupportedError(
            f"Softmax {node.name} must run over channels (axis 1) on the NPU, not over {what} "
            f"{axis} of {shape}."
        )
    builder.node("Softmax", (node.inputs[0],), node.output)


def _case(
    name: str,
    shape: tuple[int, int, int],
    x_type: DType,
    x_scale: float,
    output: tuple[DType, float] = OUTPUT,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_type, x_scale)
    return result(builder, Node("y", "Softmax", ("x",), ("y",)), (1, *shape), *output)


def samples() -> tuple[Graph, ...]:
    """Both types, soft and sharp, one row, rows that do not fit at once."""
    return (
        _case("soft", (5, 6, 7), dtypes.S8, 0.01),
        _case("unsigned", (17, 4, 5), dtypes.U8, 0.03),
        _case("row", (40, 1, 9), dtypes.S8, 0.015),
        _case("tiles", (16, 90, 60), dtypes.S8, 0.04),
    )


def _check_channels(view: View) -> str | None:
    channels = view.tensor(0).shape[1]
    if channels <= MAX_CHANNELS:
        return None
    return f"it must run over at most {MAX_CHANNELS} channels, not {channels}"


def _check_types(view: View) -> str | None:
    x, y, scale = view.tensor(0), view.output, float(view.output_scale)
    if x.dtype.bits == 8 and y.dtype == OUTPUT[0] and abs(scale * 255 - 1) < 2.0**-20:
        return None
    return (
        f"its input must have 8 bits and its output be u8 with scale 1/255, not {x.dtype}, "
        f"{y.dtype} and {scale:.6g}"
    )


SOFTMAX = OpDef(
    name="Softmax",
    onnx_types=("Softmax",),
    from_onnx=from_onnx,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "Softmax runs over at most 256 channels",
            _check_channels,
            lambda: _case("channels", (257, 1, 1), dtypes.S8, 0.05),
            structural=True,
        ),
        Constraint(
            "Softmax reads 8 bits and writes u8 with scale 1/255",
            _check_types,
            lambda: _case("scale", (8, 2, 2), dtypes.S8, 0.05, (dtypes.U8, 0.01)),
        ),
    ),
    samples=samples,
    nonnegative=lambda view, inputs: True,
    wide_output=False,
    reads_axes=True,
    fixed_output=OUTPUT,
)
