"""Affine: y = gain_c * x + offset_c per channel, the BatchNorm that cannot be folded.

Integer form (numerics 5): y = clamp(rne((x * m_c + b_c) / 2^q_c)). A requantization between two
scales is an Affine with gain 1 and offset 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import ChannelStatistics, Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter, per_channel
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result, seeded

Array = NDArray[Any]


def integer_parameters(view: View) -> numerics.AffineParameters:
    """The (m, b, q) of every channel; ValueError where they do not fit their fields."""
    channels = view.tensor(0).shape[1]
    gain = view.constant(1).astype(np.float64) * view.scale(0) / view.output_scale
    offset = view.constant(2).astype(np.float64) / view.output_scale
    return numerics.affine_parameters(
        np.broadcast_to(gain, (channels,)), np.broadcast_to(offset, (channels,))
    )


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """x [1, C, H, W] integers -> y of the same shape."""
    low, high = view.bounds
    x = np.moveaxis(inputs[0], 1, -1)
    y = numerics.affine(x, integer_parameters(view), view.output.dtype, low, high)
    return np.moveaxis(y, -1, 1)


def only_requantizes(view: View) -> bool:
    """True where the gain is 1 and the offset 0, and no activation is merged: a new scale."""
    if "clamp" in view.node.attributes:
        return False
    return bool(np.all(view.constant(1) == 1) and not np.any(view.constant(2)))


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Mul and Add by per-channel float constants, which keep their names (QDQ is read back)."""
    gain = writer.constant(view.node.inputs[1], per_channel(view.constant(1)))
    offset = writer.constant(view.node.inputs[2], per_channel(view.constant(2)))
    scaled = writer.temporary("Mul", [inputs[0], gain], f"{output}/scaled")
    writer.node("Add", [scaled, offset], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """x * m + b and the shift, in float64 (exact)."""
    params = integer_parameters(view)
    wide = writer.cast(inputs[0], TensorProto.DOUBLE, f"{output}/wide")
    m = writer.constant(f"{output}/m", per_channel(params.m.astype(np.float64)))
    b = writer.constant(f"{output}/b", per_channel(params.b.astype(np.float64)))
    product = writer.temporary("Mul", [wide, m], f"{output}/product")
    total = writer.temporary("Add", [product, b], f"{output}/total")
    factor = per_channel(np.ldexp(1.0, -params.q))
    writer.rescale(total, factor, *view.bounds, view.output.dtype, output)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """BatchNormalization with constant statistics; the graph remembers what it makes of them."""
    parameters = [node.constant(index) for index in range(1, 5)]
    if any(item is None for item in parameters):
        raise UnsupportedError(f"BatchNormalization {node.name} must have constant parameters.")
    if node.attributes.get("training_mode", 0):
        raise UnsupportedError(
            f"BatchNormalization {node.name} must be in inference form, not training form.",
            "export the model after calling its eval()",
        )
    gamma, beta, mean, variance = (np.asarray(item, np.float64) for item in parameters)
    gain = gamma / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))
    offset = beta - mean * gain
    append(builder, node.inputs[0], gain, offset, node.output)
    normalized = ChannelStatistics(mean, np.sqrt(variance))
    builder.trained[node.output] = normalized.through(gain, offset)


def append(builder: GraphBuilder, source: str, gain: Array, offset: Array, output: str) -> None:
    """Append an Affine node with float32 copies of ``gain`` and ``offset`` [C]."""
    names = [
        builder.constant(builder.fresh(f"{output}.{part}"), np.asarray(values, np.float32))
        for part, values in (("gain", gain), ("offset", offset))
    ]
    builder.node("Affine", (source, *names), output)


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    shape: tuple[int, int, int],
    x_dtype: dtypes.DType,
    y_dtype: dtypes.DType,
    *,
    clamp: tuple[float, float] | None = None,
    gain: float = 1.0,
    offset: float = 1.0,
    x_scale: float = 0.05,
    y_scale: float = 0.06,
) -> Graph:
    rng = seeded(name)
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, x_scale)
    gains = (rng.normal(0, gain, shape[0])).astype(np.float32)
    gains[0] = 0.0
    builder.constant("gain", gains)
    builder.constant("offset", rng.normal(0, offset, shape[0]).astype(np.float32))
    attributes = {} if clamp is None else {"clamp": clamp}
    node = Node("y", "Affine", ("x", "gain", "offset"), ("y",), attributes)
    return result(builder, node, (1, *shape), y_dtype, y_scale)


RELU = (0.0, float("inf"))


def samples() -> tuple[Graph, ...]:
    """Types, clamps, small and large gains, many channels."""
    u8, s8, s16 = dtypes.U8, dtypes.S8, dtypes.S16
    return (
        _case("relu", (20, 6, 5), u8, u8, clamp=RELU),
        _case("signed", (33, 4, 4), s8, s8),
        _case("mixed", (8, 7, 3), u8, s8, clamp=(-2.0, 3.0)),
        _case("small", (8, 4, 4), s8, u8, gain=1e-4),
        _case("large", (8, 4, 4), s8, s8, gain=40.0, offset=300.0),
        _case("wide", (1100, 3, 3), u8, u8, clamp=RELU),
        _case("tall", (16, 200, 9), u8, u8, clamp=RELU),
        _case("head", (16, 1, 1), u8, s16),
        _case("wide_in", (20, 6, 5), s16, u8, clamp=RELU, x_scale=3e-4),
        _case("wide_all", (33, 9, 7), s16, s16, x_scale=3e-4, y_scale=0.002),
    )


def _check_fields(view: View) -> str | None:
    try:
        integer_parameters(view)
    except ValueError as error:
        return str(error)
    return None


AFFINE = OpDef(
    name="Affine",
    onnx_types=("BatchNormalization",),
    from_onnx=from_onnx,
    infer=same_shape,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "gain and offset, in output steps, stay below 2^15 and 2^30",
            _check_fields,
            lambda: _case("overflow", (4, 3, 3), dtypes.U8, dtypes.U8, gain=1e6),
        ),
    ),
    samples=samples,
    absorbs_factors=True,
    linear=True,
    requantizes=only_requantizes,
    clampable=True,
    per_channel_output=True,
    shapes_constants=True,
)
