"""Add, Sub, Mul, Max and Min of two feature tensors, either of which may broadcast.

Integer forms (numerics 5): Add y = clamp(rne((a*ma + b*mb) / 2^q)), one rounding; Sub the same
with a negative mb; Max and Min with the larger or smaller of the two products; Mul
y = clamp(rne(a*b*m / 2^q)). ``gain`` is a factor of the result. With a constant operand Add, Sub
and Mul become an Affine, Max and Min a Clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node, Tensor
from knightlite.ops import affine, table
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import (
    Constraint,
    OpDef,
    Tie,
    View,
    as_inputs,
    clamped_at_zero,
    no_macs,
    same_rows,
    untied,
)
from knightlite.ops.samples import feature, result

Array = NDArray[Any]
COMBINE: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.add,  # its second factor is negative
    "Max": np.maximum,
    "Min": np.minimum,
}


def infer(view: View) -> tuple[int, ...]:
    """The larger of the two sizes along each axis."""
    a, b = view.tensor(0).shape, view.tensor(1).shape
    return tuple(max(pair) for pair in zip(a, b, strict=True))


def like_channels(view: View) -> tuple[Tie, ...]:
    """Of channels that are divided alike; one channel that is broadcast goes with all of them."""
    channels = np.arange(view.output.shape[1])
    sizes = [view.tensor(index).shape[1] for index in range(len(view.node.inputs))]
    return tuple(Tie(index, channels % size, channels) for index, size in enumerate(sizes))


def operand_order(view: View) -> tuple[int, int]:
    """Which operand has the output's shape, and which is the other one, that may broadcast."""
    return (0, 1) if view.tensor(0).shape == view.output.shape else (1, 0)


def factor_bits(view: View) -> int:
    """15 bits; 23 where an operand or the result has 16, which 15 could not tell apart."""
    tensors = (view.tensor(0), view.tensor(1), view.output)
    wide = any(tensor.dtype.bits == 16 for tensor in tensors)
    return numerics.WIDE_MULTIPLIER_BITS if wide else numerics.MULTIPLIER_BITS


def finest_pair(view: View) -> float:
    """The finest scale of a result.

    Of 16 bits: both factors share a shift q, and rounding them moves the sum by half a step at most
    if 2^q holds the largest magnitudes of both operands together. Of 8 bits: what factors reach.
    """
    coarser = max(float(view.scale(0)), float(view.scale(1)))
    if view.output.dtype != dtypes.S16:
        return numerics.finest_scale(coarser * abs(view.gain))
    magnitudes = sum(max(-t.dtype.minimum, t.dtype.maximum) for t in map(view.tensor, (0, 1)))
    room = (1 << numerics.WIDE_MULTIPLIER_BITS) >> (magnitudes - 1).bit_length()
    room = min(room, int(numerics.MAX_RATIO) // 2)
    return coarser * abs(view.gain) / room


def finest_product(view: View) -> float:
    """The finest scale of a product that a factor reaches."""
    return numerics.finest_scale(float(view.scale(0) * view.scale(1)) * abs(view.gain))


def pair_parameters(view: View) -> numerics.AddParameters:
    """(ma, mb, q) of all but Mul; ValueError where the scales are too far apart."""
    out = float(view.output_scale) / view.gain
    sign = -1 if view.node.op == "Sub" else 1
    ratios = float(view.scale(0)) / out, sign * float(view.scale(1)) / out
    return numerics.add_parameters(*ratios, factor_bits(view))


def mul_parameters(view: View) -> numerics.Multiplier:
    """(m, q) of the product."""
    ratio = view.scale(0) * view.scale(1) * view.gain / view.output_scale
    return numerics.multiplier(ratio, factor_bits(view))


def reference_pair(view: View, inputs: tuple[Array, ...]) -> Array:
    """Two integer tensors -> their requantized sum, difference, maximum or minimum."""
    low, high = view.bounds
    combine = COMBINE[view.node.op]
    return numerics.pair(
        combine, inputs[0], inputs[1], pair_parameters(view), view.output.dtype, low, high
    )


def reference_mul(view: View, inputs: tuple[Array, ...]) -> Array:
    """Two integer tensors -> their requantized product."""
    low, high = view.bounds
    product = inputs[0].astype(np.int64) * inputs[1].astype(np.int64)
    return numerics.requantize(product, mul_parameters(view), view.output.dtype, low, high)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The float operator of the same name."""
    writer.node(view.node.op, inputs, output)


def _wide(writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> list[str]:
    return [writer.cast(name, TensorProto.DOUBLE, f"{output}/wide") for name in inputs]


def golden_pair(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """a*ma and b*mb, joined, and the shift, in float64 (exact)."""
    params = pair_parameters(view)
    terms = [
        writer.temporary(
            "Mul", [name, writer.constant(f"{output}/m", np.float64(m))], f"{output}/term"
        )
        for name, m in zip(_wide(writer, inputs, output), (params.ma, params.mb), strict=True)
    ]
    kind = "Add" if view.node.op == "Sub" else view.node.op
    total = writer.temporary(kind, terms, f"{output}/total")
    writer.rescale(total, 2.0**-params.q, *view.bounds, view.output.dtype, output)


def golden_mul(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """a*b*m and the shift, in float64 (exact)."""
    params = mul_parameters(view)
    product = writer.temporary("Mul", _wide(writer, inputs, output), f"{output}/product")
    factor = float(np.ldexp(float(params.m[0]), -int(params.q[0])))
    writer.rescale(product, factor, *view.bounds, view.output.dtype, output)


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Two features; or a feature and a constant, scalar or (not Max and Min) per channel."""
    constants = [node.constant(0), node.constant(1)]
    if constants[0] is None and constants[1] is None:
        builder.node(node.op_type, node.inputs, node.output)
        return
    which = 0 if constants[0] is not None else 1
    values = constants[which]
    assert values is not None
    source = node.inputs[1 - which]
    shape = node.shapes[source]
    if node.op_type in ("Max", "Min"):
        _clip(node, builder, source, values)
        return
    vector = _channel_vector(values, shape, shape[1])
    if vector is None or shape != node.output_shape:
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have a constant per channel or scalar, "
            f"not of shape {values.shape} on features {shape}.",
            "a constant that differs from pixel to pixel has no instruction: make it a network "
            "input, or end the network before it",
        )
    ones, zeros = np.ones(shape[1]), np.zeros(shape[1])
    if node.op_type == "Mul":
        gain, offset = vector, zeros
    elif node.op_type == "Add":
        gain, offset = ones, vector
    else:  # x - c or c - x
        gain, offset = (ones, -vector) if which == 1 else (-ones, vector)
    affine.append(builder, source, gain, offset, node.output)


def _clip(node: OnnxNode, builder: GraphBuilder, source: str, values: Array) -> None:
    """Max or Min with a scalar is a Clip."""
    if values.size != 1:
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have a scalar constant, not one of shape "
            f"{values.shape}."
        )
    bound = float(np.float32(values.reshape(-1)[0]))
    low, high = (bound, np.inf) if node.op_type == "Max" else (-np.inf, bound)
    table.append(builder, source, "Clip", {"alpha": low, "beta": high}, node.output)


def _channel_vector(values: Array, shape: tuple[int, ...], channels: int) -> Array | None:
    """The [C] vector of a constant that is scalar or varies over axis 1 only."""
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0], np.float64)
    padded = values.reshape((1,) * (len(shape) - values.ndim) + values.shape)
    if padded.shape == (1, channels) + (1,) * (len(shape) - 2):
        return padded.reshape(-1).astype(np.float64)
    return None


# ------------------------------------------------------------------ constraints and samples


Shape = tuple[int, int, int]


def _case(
    name: str,
    op: str,
    shape: Shape,
    types: tuple[dtypes.DType, dtypes.DType, dtypes.DType],
    scales: tuple[float, float, float],
    clamp: tuple[float, float] | None = None,
    second: Shape | None = None,
    gain: float | None = None,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "a", shape, types[0], scales[0])
    feature(builder, "b", second or shape, types[1], scales[1])
    attributes: dict[str, Attribute] = {} if clamp is None else {"clamp": clamp}
    if gain is not None:
        attributes["gain"] = gain
    node = Node("y", op, ("a", "b"), ("y",), attributes)
    graph = result(builder, node, (1, *shape), types[2], scales[2])
    y = graph.tensors["y"]
    return graph.with_tensors([Tensor("y", infer(View(graph, node)), y.dtype, y.scale)])


U8, S8, S16 = dtypes.U8, dtypes.S8, dtypes.S16
RELU = affine.RELU


def samples_add() -> tuple[Graph, ...]:
    """Types, clamps, equal and very different scales, a gain, a broadcast picture."""
    return (
        _case("equal", "Add", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.17)),
        _case("relu", "Add", (20, 9, 7), (S8, U8, U8), (0.03, 0.11, 0.09), RELU),
        _case("ties", "Add", (7, 8, 8), (U8, U8, U8), (0.25, 0.25, 0.5)),
        _case("far_apart", "Add", (7, 8, 8), (U8, S8, S8), (1e-4, 0.3, 0.3), (-4.0, 5.0)),
        _case("wide", "Add", (260, 14, 14), (S8, S8, S16), (0.1, 0.2, 0.01)),
        _case("wide_all", "Add", (36, 14, 14), (S16, S16, S16), (1e-3, 7e-4, 1.3e-3)),
        _case("wide_in", "Add", (20, 9, 7), (S16, U8, S8), (4e-4, 0.05, 0.1), RELU),
        _case("mean", "Add", (9, 8, 8), (S8, U8, S8), (0.1, 0.07, 0.09), gain=0.5),
        _case("picture", "Add", (20, 9, 7), (S8, S8, S8), (0.1, 0.1, 0.17), None, (1, 9, 7)),
        _case("number", "Add", (20, 9, 7), (S8, U8, S8), (0.1, 0.1, 0.17), None, (1, 1, 1)),
    )


def samples_sub() -> tuple[Graph, ...]:
    """Types, clamps, equal and very different scales; either operand larger, or broadcast."""
    return (
        _case("equal", "Sub", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.17)),
        _case("relu", "Sub", (20, 9, 7), (S8, U8, U8), (0.11, 0.03, 0.06), RELU),
        _case("unsigned", "Sub", (24, 9, 7), (U8, U8, S8), (0.03, 0.11, 0.2)),
        _case("far_apart", "Sub", (7, 8, 8), (S8, U8, S8), (0.3, 1e-4, 0.3), (-4.0, 5.0)),
        _case("wide", "Sub", (260, 14, 14), (S8, U8, S16), (0.1, 0.2, 0.01)),
        _case("wide_all", "Sub", (36, 14, 14), (S16, S16, S16), (1e-3, 7e-4, 1.3e-3)),
        _case("from", "Sub", (24, 1, 1), (U8, S8, S8), (0.1, 0.1, 0.17), None, (24, 9, 7)),
    )


def samples_mul() -> tuple[Graph, ...]:
    """Types, clamp, gain; the gates of squeeze-excite, of spatial and of coordinate attention."""
    return (
        _case("same", "Mul", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.9)),
        _case("gate", "Mul", (24, 9, 7), (U8, U8, U8), (0.05, 1 / 255, 0.04), None, (24, 1, 1)),
        _case("gate_s8", "Mul", (72, 40, 9), (S8, U8, S8), (0.05, 1 / 255, 0.05), None, (72, 1, 1)),
        _case("clamped", "Mul", (8, 3, 3), (S8, U8, U8), (0.1, 0.1, 0.25), RELU, gain=0.5),
        _case("spatial", "Mul", (72, 40, 9), (S8, U8, S8), (0.05, 1 / 255, 0.05), None, (1, 40, 9)),
        _case("rows", "Mul", (24, 9, 7), (S8, U8, S8), (0.05, 1 / 255, 0.05), None, (24, 9, 1)),
        _case("columns", "Mul", (24, 9, 7), (S8, U8, S8), (0.05, 1 / 255, 0.05), None, (24, 1, 7)),
        _case("wide_all", "Mul", (36, 14, 14), (S16, S16, S16), (1e-3, 7e-4, 0.02)),
        _case(
            "wide_gate", "Mul", (24, 9, 7), (S16, U8, S8), (3e-4, 1 / 255, 0.07), None, (24, 1, 1)
        ),
    )


def samples_max() -> tuple[Graph, ...]:
    """Types, clamp, different scales, broadcast."""
    return (
        _case("equal", "Max", (16, 5, 5), (S8, S8, S8), (0.1, 0.1, 0.1)),
        _case("scales", "Max", (20, 9, 7), (S8, U8, S8), (0.11, 0.03, 0.09)),
        _case("clamped", "Max", (20, 9, 7), (S8, S8, U8), (0.05, 0.1, 0.05), (0.0, 9.0)),
        _case("row", "Max", (20, 9, 7), (U8, S8, U8), (0.02, 0.05, 0.03), None, (1, 1, 7)),
        _case("wide", "Max", (20, 9, 7), (S16, S8, S16), (4e-4, 0.1, 4e-4)),
    )


def samples_min() -> tuple[Graph, ...]:
    """Types, different scales, broadcast of the first operand."""
    return (
        _case("scales", "Min", (20, 9, 7), (S8, U8, S8), (0.11, 0.05, 0.09)),
        _case("first", "Min", (1, 9, 1), (U8, U8, U8), (0.02, 0.03, 0.02), None, (20, 9, 7)),
        _case("wide", "Min", (20, 9, 7), (S16, S16, S8), (4e-4, 3e-4, 0.1)),
    )


def _check_shapes(view: View) -> str | None:
    a, b = view.tensor(0).shape, view.tensor(1).shape
    larger = tuple(max(pair) for pair in zip(a, b, strict=True))
    pairs = [pair for shape in (a, b) for pair in zip(shape, larger, strict=True)]
    if larger in (a, b) and all(size in (1, full) for size, full in pairs):
        return None
    return (
        f"one operand must have the output's shape, the other that or sizes of 1, not {a} and {b}"
    )


def _check_ratio_pair(view: View) -> str | None:
    try:
        pair_parameters(view)
    except ValueError as error:
        return f"input scales over the output scale: {error}"
    return None


def _check_ratio_mul(view: View) -> str | None:
    try:
        mul_parameters(view)
    except ValueError as error:
        return f"the product of the input scales over the output scale: {error}"
    return None


def _shape_rule(op: str) -> Constraint:
    three = (S8, S8, S8)
    return Constraint(
        "one operand has the output's shape; the other has it too, or 1 along an axis",
        _check_shapes,
        lambda: _case("broadcast", op, (4, 3, 1), three, (1.0, 1.0, 1.0), None, (1, 3, 3)),
        structural=True,
    )


def _pair_rules(op: str) -> tuple[Constraint, ...]:
    return (
        _shape_rule(op),
        Constraint(
            "the larger of input scale / output scale lies in [2^-17, 2^15)",
            _check_ratio_pair,
            lambda: _case("ratio", op, (4, 3, 3), (S8, S8, S8), (1.0, 1e6, 1.0)),
        ),
    )


def _max_nonnegative(view: View, inputs: tuple[bool, ...]) -> bool:
    return view.clamp[0] >= 0 or any(inputs)


ADD = OpDef(
    name="Add",
    onnx_types=("Add",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference_pair,
    to_golden=golden_pair,
    region=same_rows,
    macs=no_macs,
    constraints=_pair_rules("Add"),
    samples=samples_add,
    nonnegative=as_inputs,
    ties=like_channels,
    clampable=True,
    scalable=True,
    broadcasts=True,
    finest_step=finest_pair,
)

SUB = replace(  # the same arithmetic with a negative second factor
    ADD,
    name="Sub",
    onnx_types=("Sub",),
    constraints=_pair_rules("Sub"),
    samples=samples_sub,
    nonnegative=clamped_at_zero,
)

MAX = replace(
    ADD,
    name="Max",
    onnx_types=("Max",),
    constraints=_pair_rules("Max"),
    samples=samples_max,
    nonnegative=_max_nonnegative,
)

MIN = replace(
    ADD, name="Min", onnx_types=("Min",), constraints=_pair_rules("Min"), samples=samples_min
)

MUL = replace(
    ADD,
    name="Mul",
    onnx_types=("Mul",),
    reference=reference_mul,
    to_golden=golden_mul,
    finest_step=finest_product,
    ties=untied,  # of a gate and what it gates: which is which, its makers tell
    constraints=(
        _shape_rule("Mul"),
        Constraint(
            "product of the input scales / output scale lies in [2^-17, 2^15)",
            _check_ratio_mul,
            lambda: _case("ratio", "Mul", (4, 3, 3), (S8, S8, S8), (1e6, 1.0, 1.0)),
        ),
    ),
    samples=samples_mul,
)
