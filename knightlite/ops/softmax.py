"""Softmax over the channels of every pixel, or over those of each of ``groups`` groups (heads).

Integer form: ``e_c = table[max x - x_c]``, ``y_c = clamp(rne(e_c * n / sum e))`` with 256 entries
``rne(exp(-d * scale) * 65535)`` and n = 1 / output scale. The output's type and scale follow from
the definition: u8, 1/255, or s16, 1/32767. Entries are off by 1/2 at most, so with C channels a
share is off by less than (C + 1) / 2 / 65535 of 255 steps: below one step for C <= 256.

Beyond that, from 16 bits or to 16 bits exponentials are fine: 2^30 is 1. From 16 bits they are
products of two entries, of d mod 256 and d div 256 steps. One is off by less than 2 / 2^30, so a
share of 32767 steps with 4096 channels is off by less than a fourth of a step before rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.dtypes import DType
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, View, no_macs, same_rows, same_shape
from knightlite.ops.samples import feature, result

Array = NDArray[Any]
MAX_CHANNELS = 4096
OUTPUT = (dtypes.U8, 1 / 255)
WIDE_OUTPUT = (dtypes.S16, 1 / 32767)


def groups(view: View) -> int:
    """Equal groups of channels, each looked at by itself."""
    value = view.node.attributes.get("groups", 1)
    assert isinstance(value, int)
    return value


def depth(view: View) -> int:
    """Channels of a group."""
    return view.tensor(0).shape[1] // groups(view)


def is_fine(view: View) -> bool:
    """Whether exponentials have 30 bits behind the point."""
    wide = max(view.tensor(0).dtype.bits, view.output.dtype.bits) > 8
    return wide or depth(view) > numerics.SOFTMAX_CHANNELS


def fine_tables(view: View) -> list[Array]:
    """The tables of fine exponentials, int64."""
    tables = numerics.fine_softmax_tables(float(view.scale(0)), view.tensor(0).dtype.bits)
    return list(tables)


def table_bytes(view: View) -> bytes:
    """The table or tables as MSPM holds them."""
    if is_fine(view):
        return b"".join(item.astype("<u4").tobytes() for item in fine_tables(view))
    return entries(view).astype("<u2").tobytes()


def entries(view: View) -> Array:
    """The 256 exponentials, u16, by steps below the largest input."""
    return numerics.softmax_table(float(view.scale(0)))


def numerator(view: View) -> int:
    """What a share of 1 becomes."""
    return round(1 / float(view.output_scale))


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """Shares of the exponentials, rounded once."""
    shape = inputs[0].shape
    x = inputs[0].reshape(groups(view), depth(view), *shape[2:])
    if is_fine(view):
        shares: Array = numerics.fine_softmax(x, fine_tables(view), numerator(view))
    else:
        shares = numerics.softmax(x, entries(view), numerator(view))
    return numerics.saturate(shares, view.output.dtype).reshape(shape)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Softmax along axis 1; in groups along axis 2, between Reshapes."""
    if groups(view) == 1:
        writer.node("Softmax", inputs, output, axis=1)
        return
    split = _reshaped(view, writer, inputs[0], f"{output}/split")
    shares = writer.temporary("Softmax", [split], f"{output}/groups", axis=2)
    _joined(view, writer, shares, output)


def _reshaped(view: View, writer: OnnxWriter, source: str, hint: str) -> str:
    """The channels split into groups."""
    _, _, height, width = view.tensor(0).shape
    return writer.reshaped(source, (1, groups(view), depth(view), height, width), hint)


def _joined(view: View, writer: OnnxWriter, source: str, output: str) -> None:
    """The groups joined again."""
    shape = np.array((0, *view.output.shape[1:]), np.int64)
    writer.node("Reshape", [source, writer.constant(f"{output}/joined", shape)], output)


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Maximum, Gather, sum and one division: in float64, which rounds to the exact integer.

    Of fine exponentials in int64, with the rest.
    """
    dtype = view.output.dtype
    source = inputs[0] if groups(view) == 1 else _reshaped(view, writer, inputs[0], f"{output}/in")
    wide = writer.cast(source, TensorProto.INT64, f"{output}/wide")
    axis = writer.constant(f"{output}/axis", np.asarray([min(groups(view), 2)], np.int64))
    largest = writer.temporary("ReduceMax", [wide, axis], f"{output}/largest")
    steps = writer.temporary("Sub", [largest, wide], f"{output}/steps")
    if is_fine(view):
        quotient = _fine_golden(view, writer, steps, axis, output)
    else:
        quotient = _golden(view, writer, steps, axis, output)
    if groups(view) > 1:
        joined = writer.fresh(f"{output}/shares")
        _joined(view, writer, quotient, joined)
        quotient = joined
    writer.rescale(quotient, 1.0, dtype.minimum, dtype.maximum, dtype, output)


def _golden(view: View, writer: OnnxWriter, steps: str, axis: str, output: str) -> str:
    table = writer.constant(f"{output}/table", entries(view).astype(np.float64))
    shares = writer.temporary("Gather", [table, steps], f"{output}/shares")
    total = writer.temporary("ReduceSum", [shares, axis], f"{output}/total")
    one = writer.constant(f"{output}/one", np.float64(numerator(view)))
    scaled = writer.temporary("Mul", [shares, one], f"{output}/scaled")
    return writer.temporary("Div", [scaled, total], f"{output}/quotient")


def _fine_golden(view: View, writer: OnnxWriter, steps: str, axis: str, output: str) -> str:
    """Rounded quotients as float64. ``rne(a / b) = q + (2 * rest + q mod 2 > b)``."""

    def number(name: str, value: int) -> str:
        return writer.constant(f"{output}/{name}", np.int64(value))

    def step(kind: str, *operands: str) -> str:
        return writer.temporary(kind, list(operands), f"{output}/{kind.lower()}")

    tables = [writer.constant(f"{output}/table", item) for item in fine_tables(view)]
    size = number("size", 256)
    shares = step("Gather", tables[0], step("Mod", steps, size))
    if len(tables) > 1:
        coarse = step("Gather", tables[1], step("Div", steps, size))
        shares = step("Div", step("Mul", shares, coarse), number("one", numerics.FINE_ONE))
    total, two = step("ReduceSum", shares, axis), number("two", 2)
    scaled = step("Mul", shares, number("numerator", numerator(view)))
    whole, rest = step("Div", scaled, total), step("Mod", scaled, total)
    twice = step("Add", step("Mul", rest, two), step("Mod", whole, two))
    up = writer.cast(step("Greater", twice, total), TensorProto.INT64, f"{output}/up")
    return writer.cast(step("Add", whole, up), TensorProto.DOUBLE, f"{output}/rounded")


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
    groups: int = 1,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_type, x_scale)
    attributes: dict[str, Attribute] = {"groups": groups} if groups > 1 else {}
    node = Node("y", "Softmax", ("x",), ("y",), attributes)
    return result(builder, node, (1, *shape), *output)


def samples() -> tuple[Graph, ...]:
    """All types, soft and sharp, one row, rows that do not fit at once; many channels, heads."""
    return (
        _case("soft", (5, 6, 7), dtypes.S8, 0.01),
        _case("unsigned", (17, 4, 5), dtypes.U8, 0.03),
        _case("row", (40, 1, 9), dtypes.S8, 0.015),
        _case("tiles", (16, 90, 60), dtypes.S8, 0.04),
        _case("many", (700, 5, 6), dtypes.S8, 0.4),
        _case("most", (4096, 1, 2), dtypes.U8, 0.03, WIDE_OUTPUT),
        _case("heads", (63, 3, 5), dtypes.S8, 0.03, groups=3),
        _case("heads_tiles", (480, 4, 35), dtypes.S8, 0.04, groups=12),
        _case("wide", (19, 4, 5), dtypes.S16, 2e-4, WIDE_OUTPUT),
        _case("wide_in", (40, 5, 5), dtypes.S16, 4e-4, groups=2),
        _case("wide_out", (24, 3, 4), dtypes.S8, 0.05, WIDE_OUTPUT, 4),
        _case("wide_many", (1500, 1, 3), dtypes.S16, 3e-4, WIDE_OUTPUT),
    )


def _check_channels(view: View) -> str | None:
    channels, count = view.tensor(0).shape[1], groups(view)
    if count < 1 or channels % count:
        return f"groups must divide the {channels} channels, not be {count}"
    if depth(view) <= MAX_CHANNELS:
        return None
    return f"it must run over at most {MAX_CHANNELS} channels, not {depth(view)}"


def _check_types(view: View) -> str | None:
    y, scale = view.output, float(view.output_scale)
    for dtype, known in (OUTPUT, WIDE_OUTPUT):
        if y.dtype == dtype and abs(scale / known - 1) < 2.0**-20:
            return None
    return (
        "its output must be u8 with scale 1/255 or s16 with scale 1/32767, not "
        f"{y.dtype} with scale {scale:.6g}"
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
            "Softmax runs over at most 4096 channels",
            _check_channels,
            lambda: _case("channels", (4097, 1, 1), dtypes.S8, 0.05),
            structural=True,
        ),
        Constraint(
            "Softmax writes u8 with scale 1/255, or s16 with 1/32767",
            _check_types,
            lambda: _case("scale", (8, 2, 2), dtypes.S8, 0.05, (dtypes.U8, 0.01)),
        ),
    ),
    samples=samples,
    nonnegative=lambda view, inputs: True,
    wide_output=False,
    reads_axes=True,
    fixed_output=(OUTPUT, WIDE_OUTPUT),
)
