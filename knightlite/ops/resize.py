"""Resize of height and width: nearest takes elements, linear blends four of them.

Nearest moves values, so input and output share one scale. Linear weighs with the exact fractions of
the positions: with weights wy of 1/uy and wx of 1/ux,
``y = clamp(rne(sum(wy * wx * x) * m / 2^q))`` where ``m / 2^q`` holds the scales and 1/(uy * ux).
The sum lies in 31 bits and a sign for 8-bit x, in 38 and a sign for s16 (docs/numerics.md).
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
from knightlite.ops import sampling
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, OpDef, Region, View, as_inputs, no_macs, own_channels
from knightlite.ops.samples import feature, result
from knightlite.ops.sampling import Axis

Array = NDArray[Any]

NEAREST, LINEAR = "ResizeNearest", "ResizeLinear"
MAX_UNITS = 1 << 23  # uy * ux: 2^8 * 2^23 fits the accumulator, 2^15 * 2^23 * 2^15 a float64
NAMES = ("rows", "columns")


def axes(view: View) -> tuple[Axis, Axis]:
    """Height and width."""
    mode, scales = str(view.node.attributes["coordinates"]), view.node.attributes["scales"]
    assert isinstance(scales, tuple)
    height, width = (
        Axis(inputs, outputs, mode, scale)
        for inputs, outputs, scale in zip(
            view.tensor(0).shape[2:],
            view.integers("size"),
            [float(item) for item in scales],
            strict=True,
        )
    )
    return height, width


def rounding(view: View) -> str:
    """The nearest_mode."""
    return str(view.node.attributes["nearest_mode"])


def infer(view: View) -> tuple[int, ...]:
    """[1, C, H', W']."""
    return (1, view.tensor(0).shape[1], *view.integers("size"))


def reference_nearest(view: View, inputs: tuple[Array, ...]) -> Array:
    """Take rows and columns."""
    rows, columns = (sampling.nearest_indices(axis, rounding(view)) for axis in axes(view))
    return inputs[0][:, :, rows][:, :, :, columns]


def linear_parameters(view: View) -> numerics.Multiplier:
    """(m, q) of the weighted sum: the ratio of the scales over uy * ux; ValueError as multiplier.

    The power of two of the product goes into q alone, which may so reach 31 + 23.
    """
    unit, extra = _blend_unit(view)
    params = numerics.multiplier(view.scale(0) / view.output_scale * unit)
    return numerics.Multiplier(params.m, params.q + extra)


def _blend_unit(view: View) -> tuple[float, int]:
    """2^extra / (uy * ux) in [1, 2), and extra."""
    height, width = (sampling.blend(axis).unit for axis in axes(view))
    product = height * width
    extra = (product - 1).bit_length()
    return 2.0**extra / product, extra


def finest_blend(view: View) -> float:
    """The finest scale of a weighted sum that a factor reaches."""
    return numerics.finest_scale(float(view.scale(0)) * _blend_unit(view)[0])


def reference_linear(view: View, inputs: tuple[Array, ...]) -> Array:
    """The weighted sum of four neighbours, requantized."""
    low, high = view.bounds
    total = inputs[0].astype(np.int64)
    for axis, mix in zip((2, 3), map(sampling.blend, axes(view)), strict=True):
        weight = mix.weight.reshape((-1, 1) if axis == 2 else (-1,))
        first, second = np.take(total, mix.first, axis), np.take(total, mix.second, axis)
        total = first * (mix.unit - weight) + second * weight
    return numerics.requantize(total, linear_parameters(view), view.output.dtype, low, high)


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Resize of height and width, by sizes where the scales are theirs.

    All four axes are told: ONNX Runtime loses ``sizes`` of two between Transposes. Those of four
    take pictures and channels from the input, of which there may be any number.
    """
    attributes: dict[str, Any] = {"mode": "linear"}
    attributes["coordinate_transformation_mode"] = view.node.attributes["coordinates"]
    if view.node.op == NEAREST:
        attributes |= {"mode": "nearest", "nearest_mode": rounding(view)}
    pair = axes(view)
    if all(axis.scale == size_scale(axis.inputs, axis.outputs) for axis in pair):
        kept = writer.temporary("Shape", [inputs[0]], f"{output}/kept", start=0, end=2)
        size = writer.constant(f"{output}/size", np.asarray(view.integers("size"), np.int64))
        sizes = writer.temporary("Concat", [kept, size], f"{output}/sizes", axis=0)
        operands = [inputs[0], "", "", sizes]
    else:
        scales = np.asarray([1, 1, *(axis.scale for axis in pair)], np.float32)
        operands = [inputs[0], "", writer.constant(f"{output}/scales", scales)]
    writer.node("Resize", operands, output, **attributes)


def golden_nearest(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Gather rows, then columns."""
    rows, columns = (sampling.nearest_indices(axis, rounding(view)) for axis in axes(view))
    index = writer.constant(f"{output}/rows", rows)
    taken = writer.temporary("Gather", [inputs[0], index], f"{output}/taken", axis=2)
    writer.node("Gather", [taken, writer.constant(f"{output}/columns", columns)], output, axis=3)


def golden_linear(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Gathered neighbours times integer weights in float64 (exact), once per axis."""
    value = writer.cast(inputs[0], TensorProto.DOUBLE, f"{output}/wide")
    for axis, mix in zip((2, 3), map(sampling.blend, axes(view)), strict=True):
        terms = []
        for index, weight in ((mix.first, mix.unit - mix.weight), (mix.second, mix.weight)):
            place = writer.constant(f"{output}/index", index)
            taken = writer.temporary("Gather", [value, place], f"{output}/taken", axis=axis)
            shaped = weight.astype(np.float64).reshape((-1, 1) if axis == 2 else (-1,))
            factor = writer.constant(f"{output}/weight", shaped)
            terms.append(writer.temporary("Mul", [taken, factor], f"{output}/term"))
        value = writer.temporary("Add", terms, f"{output}/sum")
    params = linear_parameters(view)
    factor_of_sum = float(np.ldexp(float(params.m[0]), -int(params.q[0])))
    writer.rescale(value, factor_of_sum, *view.bounds, view.output.dtype, output)


def region_nearest(view: View, index: int, rows: Region) -> Region:
    """From the first to the last row taken."""
    taken = sampling.nearest_indices(axes(view)[0], rounding(view))
    return int(taken[rows[0]]), int(taken[rows[1] - 1]) + 1


def region_linear(view: View, index: int, rows: Region) -> Region:
    """From the first to the last row with a weight."""
    mix = sampling.blend(axes(view)[0])
    last = mix.second if mix.weight[rows[1] - 1] else mix.first
    return int(mix.first[rows[0]]), int(last[rows[1] - 1]) + 1


# ------------------------------------------------------------------ from ONNX


def size_scale(inputs: int, outputs: int) -> float:
    """The scale that ONNX Runtime derives from sizes: a quotient in float32."""
    return float(np.float32(outputs) / np.float32(inputs))


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Resize and Upsample of height and width by constant scales or sizes."""
    who = f"{node.op_type} {node.name}"
    given = node.attributes
    mode = str(given.get("mode", "nearest"))
    if mode not in ("nearest", "linear"):
        raise UnsupportedError(f"{who} must have mode nearest or linear, not {mode}.")
    if given.get("antialias", 0):
        raise UnsupportedError(f"{who} must have antialias 0.")
    policy = str(given.get("keep_aspect_ratio_policy", "stretch"))
    if policy != "stretch":
        raise UnsupportedError(f"{who} must have keep_aspect_ratio_policy stretch, not {policy}.")
    old = node.op_type == "Upsample" or node.opset < 11
    coordinates = "asymmetric" if old else "half_pixel"
    coordinates = str(given.get("coordinate_transformation_mode", coordinates))
    if coordinates not in sampling.COORDINATES:
        allowed = ", ".join(sampling.COORDINATES)
        raise UnsupportedError(
            f"{who} must have a coordinate_transformation_mode of {allowed}, not {coordinates}."
        )
    scales = _scales(node, who)
    attributes: dict[str, Attribute] = {
        "coordinates": coordinates, "scales": scales, "size": tuple(node.output_shape[2:]),
    }  # fmt: skip
    if mode == "linear":
        builder.node(LINEAR, (node.inputs[0],), node.output, attributes)
        return
    attributes["nearest_mode"] = (
        _old_rounding(scales, who) if old else str(given.get("nearest_mode", "round_prefer_floor"))
    )
    if attributes["nearest_mode"] not in sampling.ROUNDINGS:
        allowed = ", ".join(sampling.ROUNDINGS)
        raise UnsupportedError(
            f"{who} must have a nearest_mode of {allowed}, not {attributes['nearest_mode']}."
        )
    builder.node(NEAREST, (node.inputs[0],), node.output, attributes)


def _scales(node: OnnxNode, who: str) -> tuple[float, float]:
    """The float32 scales of height and width, given or from the sizes."""
    resize = node.op_type == "Resize" and node.opset >= 11
    at_scales, at_sizes = (2, 3) if resize else (1, 4)
    scales, sizes = node.constant(at_scales), node.constant(at_sizes)
    by_sizes = sizes is not None and sizes.size > 0
    values = sizes if by_sizes else scales
    if values is None and "scales" in node.attributes:  # Upsample before opset 9
        values = np.asarray(node.attributes["scales"], np.float32)
    if values is None or not values.size:
        raise UnsupportedError(f"{who} must have constant scales or sizes.")
    chosen = [int(axis) % 4 for axis in node.attributes.get("axes", range(values.size))]
    full = {**dict.fromkeys(range(4), 1.0), **dict(zip(chosen, values.tolist(), strict=True))}
    inputs, outputs = node.shape(0), node.output_shape
    if inputs[:2] != outputs[:2] or (not by_sizes and (full[0], full[1]) != (1, 1)):
        raise UnsupportedError(
            f"{who} must resize height and width only, not {inputs} to {outputs}."
        )
    if by_sizes:
        return size_scale(inputs[2], outputs[2]), size_scale(inputs[3], outputs[3])
    return float(full[2]), float(full[3])


def _old_rounding(scales: tuple[float, float], who: str) -> str:
    """Before opset 11 ONNX Runtime rounds down where an axis grows, up where it shrinks."""
    found = {"ceil" if scale < 1 else "floor" for scale in scales if scale != 1} or {"floor"}
    if len(found) > 1:
        raise UnsupportedError(
            f"{who} must not shrink one axis and let the other grow (scales {scales}).",
            "export the model with opset 11 or later",
        )
    return found.pop()


# ------------------------------------------------------------------ constraints and samples

U8, S8, S16 = dtypes.U8, dtypes.S8, dtypes.S16


def _case(
    name: str,
    shape: tuple[int, int, int],
    size: tuple[int, int],
    coordinates: str,
    nearest_mode: str = "",
    types: tuple[DType, DType] = (S8, S8),
    y_scale: float = 0.1,
    **attributes: Attribute,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, types[0], 0.1)
    scales = tuple(size_scale(a, b) for a, b in zip(shape[1:], size, strict=True))
    given: dict[str, Attribute] = {
        "coordinates": coordinates, "scales": scales, "size": size, **attributes,
    }  # fmt: skip
    op = NEAREST if nearest_mode else LINEAR
    if nearest_mode:
        given["nearest_mode"] = nearest_mode
    node = Node("y", op, ("x",), ("y",), given)
    return result(builder, node, (1, shape[0], *size), types[1], y_scale)


def samples_nearest() -> tuple[Graph, ...]:
    """Up, down, every rounding, tiles, and scales that are not the sizes' ratio."""
    u8 = (U8, U8)
    return (
        _case("twice", (20, 7, 5), (14, 10), "asymmetric", "floor", u8),
        _case("tiles", (40, 30, 30), (60, 60), "half_pixel", "round_prefer_floor"),
        _case("corners", (6, 9, 7), (23, 5), "align_corners", "round_prefer_ceil"),
        _case("ceil", (5, 12, 9), (17, 20), "pytorch_half_pixel", "ceil", u8),
        _case("scales", (9, 9, 7), (13, 10), "half_pixel", "round_prefer_ceil", scales=(1.5, 1.5)),
        _case("wide", (12, 7, 5), (14, 10), "asymmetric", "floor", (S16, S16)),
    )


def samples_linear() -> tuple[Graph, ...]:
    """Up, down, odd ratios, types, a clamp, tiles."""
    return (
        _case("twice", (20, 7, 5), (14, 10), "half_pixel", types=(U8, U8)),
        _case("tiles", (40, 15, 15), (60, 60), "half_pixel", types=(S8, S8), y_scale=0.09),
        _case("corners", (6, 9, 7), (25, 19), "align_corners", types=(S8, U8), y_scale=0.05,
              clamp=(0.0, 6.0)),
        _case("down", (7, 20, 23), (9, 11), "pytorch_half_pixel", y_scale=0.11),
        _case("wide", (5, 8, 8), (19, 64), "asymmetric", types=(U8, S16), y_scale=0.001),
        _case("scales", (5, 9, 9), (13, 13), "half_pixel_symmetric", scales=(1.5, 1.5)),
        _case("wide_all", (12, 7, 5), (14, 10), "half_pixel", types=(S16, S16), y_scale=0.11),
        _case("wide_in", (12, 7, 5), (21, 15), "half_pixel", types=(S16, S8), y_scale=20.0),
    )  # fmt: skip


def _check_ties(view: View) -> str | None:
    for axis, name in zip(axes(view), NAMES, strict=True):
        if sampling.nearest_line(axis, rounding(view)) is None:
            output = sampling.doubtful_output(axis, rounding(view))
            return (
                f"output {output} of the {axis.outputs} {name} reads at "
                f"{sampling.position(axis, output)} of {axis.inputs}, where {rounding(view)} "
                "depends on rounding errors of float32"
            )
    return None


def _check_same_scale(view: View) -> str | None:
    x, y = view.tensor(0), view.output
    if x.dtype == y.dtype and np.array_equal(view.scale(0), view.output_scale):
        return None
    return "input and output must share one scale and type, since the values are the same"


def _check_units(view: View) -> str | None:
    rows, columns = (sampling.line(axis).unit for axis in axes(view))
    if rows * columns <= MAX_UNITS:
        return None
    return (
        f"positions are multiples of 1/{rows} and 1/{columns}, and {rows} * {columns} exceeds "
        f"{MAX_UNITS}"
    )


def _check_ratio(view: View) -> str | None:
    try:
        linear_parameters(view)
    except ValueError as error:
        return f"input scale / output scale, by the steps of the weights: {error}"
    return None


RESIZE_NEAREST = OpDef(
    name=NEAREST,
    onnx_types=("Resize", "Upsample"),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference_nearest,
    to_golden=golden_nearest,
    region=region_nearest,
    macs=no_macs,
    constraints=(
        Constraint(
            "which element is nearest does not depend on rounding errors of float32",
            _check_ties,
            lambda: _case("t", (1, 30, 4), (39, 4), "half_pixel", "round_prefer_floor"),
            structural=True,
        ),
        Constraint(
            "input and output of ResizeNearest share one scale",
            _check_same_scale,
            lambda: _case("s", (4, 6, 6), (12, 12), "asymmetric", "floor", y_scale=0.2),
        ),
    ),
    samples=samples_nearest,
    value_preserving=True,
    nonnegative=as_inputs,
    ties=own_channels,
    wide_output=False,
)

RESIZE_LINEAR = OpDef(
    name=LINEAR,
    onnx_types=(),
    also_from=RESIZE_NEAREST.onnx_types,
    from_onnx=None,
    infer=infer,
    to_onnx=to_onnx,
    finest_step=finest_blend,
    reference=reference_linear,
    to_golden=golden_linear,
    region=region_linear,
    macs=no_macs,
    constraints=(
        Constraint(
            "the positions' denominators of both axes multiply to at most 2^23",
            _check_units,
            lambda: _case("u", (1, 7, 7), (2999, 2999), "half_pixel"),
            structural=True,
        ),
        Constraint(
            "input scale / output scale lies in [2^-17, 2^14)",
            _check_ratio,
            lambda: _case("r", (4, 6, 6), (12, 12), "half_pixel", y_scale=1e6),
        ),
    ),
    samples=samples_linear,
    nonnegative=as_inputs,
    ties=own_channels,
    clampable=True,
)
