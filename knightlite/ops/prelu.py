"""PRelu with a slope per channel: y = x for x >= 0, slope_c * x below.

Integer form (numerics 5): y = clamp(rne(x * m / 2^q)) with (m, q) of the channel's positive or
negative side, one rounding. One slope for all channels is the Table LeakyRelu.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops import functions, table
from knightlite.ops.affine import RELU
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter, per_channel
from knightlite.ops.opdef import (
    Constraint,
    OpDef,
    View,
    as_inputs,
    no_macs,
    own_channels,
    same_rows,
    same_shape,
)
from knightlite.ops.samples import feature, result, seeded

Array = NDArray[Any]
Sides = tuple[numerics.AffineParameters, numerics.AffineParameters]


def integer_parameters(view: View) -> Sides:
    """(m, b = 0, q) of every channel for x >= 0 and for x < 0; ValueError where they do not fit."""
    channels = view.tensor(0).shape[1]
    ratio = np.broadcast_to(view.scale(0) / view.output_scale, (channels,))
    zeros = np.zeros(channels)
    slopes = view.constant(1).astype(np.float64)
    above, below = (numerics.affine_parameters(ratio * gain, zeros) for gain in (1.0, slopes))
    return above, below


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """x [1, C, H, W] integers -> y of the same shape."""
    low, high = view.bounds
    x = np.moveaxis(inputs[0], 1, -1)
    above, below = (
        numerics.affine(x, side, view.output.dtype, low, high) for side in integer_parameters(view)
    )
    return np.moveaxis(np.where(x >= 0, above, below), -1, 1)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """PRelu with the slopes shaped to broadcast; they keep their name (QDQ is read back)."""
    slope = writer.constant(view.node.inputs[1], per_channel(view.constant(1)))
    writer.node("PRelu", [inputs[0], slope], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """max(x, 0) and min(x, 0) with their factors, in float64 (exact: one of them is 0)."""
    wide = writer.cast(inputs[0], TensorProto.DOUBLE, f"{output}/wide")
    zero = writer.constant(f"{output}/zero", np.float64(0))
    terms = []
    for kind, side in zip(("Max", "Min"), integer_parameters(view), strict=True):
        factor = per_channel(np.ldexp(side.m.astype(np.float64), -side.q))
        part = writer.temporary(kind, [wide, zero], f"{output}/part")
        constant = writer.constant(f"{output}/m", factor)
        terms.append(writer.temporary("Mul", [part, constant], f"{output}/term"))
    total = writer.temporary("Add", terms, f"{output}/total")
    writer.rescale(total, 1.0, *view.bounds, view.output.dtype, output)


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """PRelu with a constant slope, one or one per channel."""
    slope = node.constant(1)
    if slope is None:
        raise UnsupportedError(f"PRelu {node.name} must have a constant slope.")
    if slope.size == 1:
        table.append(builder, node.inputs[0], *functions.from_node(node), node.output)
        return
    shape = node.shape(0)
    if slope.shape != (1, shape[1]) + (1,) * (len(shape) - 2):
        raise UnsupportedError(
            f"PRelu {node.name} must have a slope per channel or one for all, "
            f"not of shape {slope.shape} on features {shape}."
        )
    name = builder.fresh(f"{node.output}.slope")
    builder.constant(name, slope.reshape(-1).astype(np.float32))
    builder.node("PRelu", (node.inputs[0], name), node.output)


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    shape: tuple[int, int, int],
    x_dtype: dtypes.DType,
    y_dtype: dtypes.DType,
    y_scale: float = 0.05,
    *,
    clamp: tuple[float, float] | None = None,
    largest: float = 0.5,
    x_scale: float = 0.05,
) -> Graph:
    rng = seeded(name)
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, x_scale)
    slopes = rng.uniform(-0.2, largest, shape[0])
    slopes[:2] = 0.0, largest
    builder.constant("slope", slopes.astype(np.float32))
    attributes = {} if clamp is None else {"clamp": clamp}
    node = Node("y", "PRelu", ("x", "slope"), ("y",), attributes)
    return result(builder, node, (1, *shape), y_dtype, y_scale)


def samples() -> tuple[Graph, ...]:
    """Types, a clamp, slopes above 1, many channels, a tensor that needs tiles, a head."""
    u8, s8, s16 = dtypes.U8, dtypes.S8, dtypes.S16
    return (
        _case("signed", (33, 9, 7), s8, s8),
        _case("clamped", (8, 7, 3), s8, u8, 0.02, clamp=RELU, largest=3.0),
        _case("wide", (1100, 3, 3), s8, s8, 0.06),
        _case("tall", (16, 200, 9), s8, s8, 0.031),
        _case("head", (16, 3, 3), s8, s16, 0.001),
        _case("wide_in", (20, 6, 5), s16, s8, 0.06, x_scale=3e-4),
        _case("wide_all", (33, 9, 7), s16, s16, 6e-4, x_scale=3e-4),
    )


def _check_fields(view: View) -> str | None:
    try:
        integer_parameters(view)
    except ValueError:
        return "input scale / output scale, times the slope, must be below 2^15"
    return None


PRELU = OpDef(
    name="PRelu",
    onnx_types=("PRelu",),
    from_onnx=from_onnx,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "input scale / output scale, also times the slope, is below 2^15",
            _check_fields,
            lambda: _case("overflow", (4, 3, 3), dtypes.S8, dtypes.S8, largest=1e6),
        ),
    ),
    samples=samples,
    nonnegative=as_inputs,
    ties=own_channels,
    clampable=True,
    broadcasts=True,
    per_channel_output=True,
    shapes_constants=True,
)
