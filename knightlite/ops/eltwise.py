"""Add, Sub and Mul of two feature tensors; Mul may broadcast [1, C, 1, 1] over the picture.

Integer forms (numerics 5): Add y = clamp(rne((a*ma + b*mb) / 2^q)), one rounding; Sub the same
with a negative mb; Mul y = clamp(rne(a*b*m / 2^q)). With a constant operand all become an Affine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph, GraphBuilder, Node
from knightlite.ops import affine
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import (
    Constraint,
    OpDef,
    View,
    as_inputs,
    clamped_at_zero,
    no_macs,
    same_rows,
)
from knightlite.ops.samples import feature, result

Array = NDArray[Any]


def infer(view: View) -> tuple[int, ...]:
    """The larger of the two shapes; they are equal or one is [1, C, 1, 1]."""
    a, b = view.tensor(0).shape, view.tensor(1).shape
    return tuple(max(pair) for pair in zip(a, b, strict=True))


def add_parameters(view: View) -> numerics.AddParameters:
    """(ma, mb, q) of Add and Sub; ValueError where the scales are too far apart."""
    out = float(view.output_scale)
    sign = -1 if view.node.op == "Sub" else 1
    return numerics.add_parameters(float(view.scale(0)) / out, sign * float(view.scale(1)) / out)


def mul_parameters(view: View) -> numerics.Multiplier:
    """(m, q) of the product."""
    return numerics.multiplier(view.scale(0) * view.scale(1) / view.output_scale)


def reference_add(view: View, inputs: tuple[Array, ...]) -> Array:
    """Two integer tensors -> their requantized sum, or difference."""
    low, high = view.bounds
    return numerics.add(inputs[0], inputs[1], add_parameters(view), view.output.dtype, low, high)


def reference_mul(view: View, inputs: tuple[Array, ...]) -> Array:
    """Two integer tensors -> their requantized product."""
    low, high = view.bounds
    product = inputs[0].astype(np.int64) * inputs[1].astype(np.int64)
    return numerics.requantize(product, mul_parameters(view), view.output.dtype, low, high)


def to_onnx_add(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Float Add."""
    writer.node("Add", inputs, output)


def to_onnx_sub(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Float Sub."""
    writer.node("Sub", inputs, output)


def to_onnx_mul(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Float Mul."""
    writer.node("Mul", inputs, output)


def _wide(writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> list[str]:
    return [writer.cast(name, TensorProto.DOUBLE, f"{output}/wide") for name in inputs]


def golden_add(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """a*ma + b*mb and the shift, in float64 (exact)."""
    params = add_parameters(view)
    terms = [
        writer.temporary(
            "Mul", [name, writer.constant(f"{output}/m", np.float64(m))], f"{output}/term"
        )
        for name, m in zip(_wide(writer, inputs, output), (params.ma, params.mb), strict=True)
    ]
    total = writer.temporary("Add", terms, f"{output}/total")
    writer.rescale(total, 2.0**-params.q, *view.bounds, view.output.dtype, output)


def golden_mul(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """a*b*m and the shift, in float64 (exact)."""
    params = mul_parameters(view)
    product = writer.temporary("Mul", _wide(writer, inputs, output), f"{output}/product")
    factor = float(np.ldexp(float(params.m[0]), -int(params.q[0])))
    writer.rescale(product, factor, *view.bounds, view.output.dtype, output)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Add, Sub and Mul; a constant operand per channel (or scalar) becomes an Affine."""
    constants = [node.constant(0), node.constant(1)]
    if constants[0] is not None or constants[1] is not None:
        which = 0 if constants[0] is not None else 1
        values = constants[which]
        assert values is not None
        source = node.inputs[1 - which]
        channels = node.shapes[source][1]
        vector = _channel_vector(values, node.shapes[source], channels)
        if vector is None or node.shapes[source] != node.output_shape:
            raise UnsupportedError(
                f"{node.op_type} {node.name} must have a constant per channel or scalar, "
                f"not of shape {values.shape} on features {node.shapes[source]}."
            )
        ones, zeros = np.ones(channels), np.zeros(channels)
        if node.op_type == "Mul":
            gain, offset = vector, zeros
        elif node.op_type == "Add":
            gain, offset = ones, vector
        else:  # x - c or c - x
            gain, offset = (ones, -vector) if which == 1 else (-ones, vector)
        affine.append(builder, source, gain, offset, node.output)
        return
    inputs = list(node.inputs)
    if node.op_type == "Mul" and node.shape(0)[2:] == (1, 1):
        inputs.reverse()  # the broadcast operand stands second
    builder.node(node.op_type, tuple(inputs), node.output)


def _channel_vector(values: Array, shape: tuple[int, ...], channels: int) -> Array | None:
    """The [C] vector of a constant that is scalar or varies over axis 1 only."""
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0], np.float64)
    padded = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if padded.shape == (1, channels) + (1,) * (len(shape) - 2):
        return padded.reshape(-1).astype(np.float64)
    return None


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    op: str,
    shape: tuple[int, int, int],
    types: tuple[dtypes.DType, dtypes.DType, dtypes.DType],
    scales: tuple[float, float, float],
    clamp: tuple[float, float] | None = None,
    second: tuple[int, int, int] | None = None,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "a", shape, types[0], scales[0])
    feature(builder, "b", second or shape, types[1], scales[1])
    attributes = {} if clamp is None else {"clamp": clamp}
    node = Node("y", op, ("a", "b"), ("y",), attributes)
    return result(builder, node, (1, *shape), types[2], scales[2])


U8, S8, S16 = dtypes.U8, dtypes.S8, dtypes.S16
RELU = affine.RELU


def samples_add() -> tuple[Graph, ...]:
    """Types, clamps, equal and very different scales."""
    return (
        _case("equal", "Add", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.17)),
        _case("relu", "Add", (20, 9, 7), (S8, U8, U8), (0.03, 0.11, 0.09), RELU),
        _case("ties", "Add", (7, 8, 8), (U8, U8, U8), (0.25, 0.25, 0.5)),
        _case("far_apart", "Add", (7, 8, 8), (U8, S8, S8), (1e-4, 0.3, 0.3), (-4.0, 5.0)),
        _case("wide", "Add", (260, 14, 14), (S8, S8, S16), (0.1, 0.2, 0.01)),
    )


def samples_sub() -> tuple[Graph, ...]:
    """Types, clamps, equal and very different scales, either operand the larger."""
    return (
        _case("equal", "Sub", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.17)),
        _case("relu", "Sub", (20, 9, 7), (S8, U8, U8), (0.11, 0.03, 0.06), RELU),
        _case("ties", "Sub", (7, 8, 8), (U8, U8, S8), (0.25, 0.25, 0.5)),
        _case("unsigned", "Sub", (24, 9, 7), (U8, U8, S8), (0.03, 0.11, 0.2)),
        _case("far_apart", "Sub", (7, 8, 8), (S8, U8, S8), (0.3, 1e-4, 0.3), (-4.0, 5.0)),
        _case("wide", "Sub", (260, 14, 14), (S8, U8, S16), (0.1, 0.2, 0.01)),
    )


def samples_mul() -> tuple[Graph, ...]:
    """Types, clamp, broadcast of a squeeze-excite gate."""
    return (
        _case("same", "Mul", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.9)),
        _case("gate", "Mul", (24, 9, 7), (U8, U8, U8), (0.05, 1 / 255, 0.04), None, (24, 1, 1)),
        _case("gate_s8", "Mul", (72, 40, 9), (S8, U8, S8), (0.05, 1 / 255, 0.05), None, (72, 1, 1)),
        _case("clamped", "Mul", (8, 3, 3), (S8, U8, U8), (0.1, 0.1, 0.5), RELU),
    )


def _check_shapes_add(view: View) -> str | None:
    if view.tensor(0).shape == view.tensor(1).shape:
        return None
    return (
        f"both operands must have one shape, not {view.tensor(0).shape} and "
        f"{view.tensor(1).shape}; broadcasting {view.node.op} is not supported yet"
    )


def _check_shapes_mul(view: View) -> str | None:
    a, b = view.tensor(0).shape, view.tensor(1).shape
    if b in (a, (1, a[1], 1, 1)):
        return None
    return f"operands must have one shape or be [1, C, H, W] and [1, C, 1, 1], not {a} and {b}"


def _check_ratio_add(view: View) -> str | None:
    try:
        add_parameters(view)
    except ValueError as error:
        return f"input scales over the output scale: {error}"
    return None


def _check_ratio_mul(view: View) -> str | None:
    try:
        mul_parameters(view)
    except ValueError as error:
        return f"the product of the input scales over the output scale: {error}"
    return None


def _sum_constraints(op: str, far: tuple[float, float, float]) -> tuple[Constraint, ...]:
    """The rules of Add and Sub; ``far``: scales of the two inputs and the output that break one."""
    three = (S8, S8, S8)
    return (
        Constraint(
            f"both operands of {op} have one shape",
            _check_shapes_add,
            lambda: _case("broadcast", op, (4, 3, 3), three, (1.0, 1.0, 1.0), None, (4, 1, 1)),
            structural=True,
        ),
        Constraint(
            "the larger of input scale / output scale lies in [2^-17, 2^15)",
            _check_ratio_add,
            lambda: _case("ratio", op, (4, 3, 3), three, far),
        ),
    )


ADD = OpDef(
    name="Add",
    onnx_types=("Add",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx_add,
    reference=reference_add,
    to_golden=golden_add,
    region=same_rows,
    macs=no_macs,
    constraints=_sum_constraints("Add", (1e6, 1.0, 1.0)),
    samples=samples_add,
    nonnegative=as_inputs,
    clampable=True,
    broadcasts=True,
)

SUB = replace(  # the same arithmetic with a negative second factor
    ADD,
    name="Sub",
    onnx_types=("Sub",),
    to_onnx=to_onnx_sub,
    constraints=_sum_constraints("Sub", (1.0, 1e6, 1.0)),
    samples=samples_sub,
    nonnegative=clamped_at_zero,
)

MUL = OpDef(
    name="Mul",
    onnx_types=("Mul",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx_mul,
    reference=reference_mul,
    to_golden=golden_mul,
    region=same_rows,
    macs=no_macs,
    constraints=(
        Constraint(
            "operands of Mul have one shape, or the second is [1, C, 1, 1]",
            _check_shapes_mul,
            lambda: _case(
                "broadcast", "Mul", (4, 3, 3), (S8, S8, S8), (1.0, 1.0, 1.0), None, (1, 3, 3)
            ),
            structural=True,
        ),
        Constraint(
            "product of the input scales / output scale lies in [2^-17, 2^15)",
            _check_ratio_mul,
            lambda: _case("ratio", "Mul", (4, 3, 3), (S8, S8, S8), (1e6, 1.0, 1.0)),
        ),
    ),
    samples=samples_mul,
    nonnegative=as_inputs,
    clampable=True,
    broadcasts=True,
)
