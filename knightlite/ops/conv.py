"""Conv: 2-D convolution in groups; Gemm and MatMul become convolutions here.

Its integer form is that of all operators with weights (weighted.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder
from knightlite.ops import weighted
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, Kernel, OpDef, Region, View
from knightlite.ops.weighted import is_depthwise, weights
from knightlite.ops.windows import output_size, resolve_pads, window_rows, windows

Array = NDArray[Any]


def infer(view: View) -> tuple[int, ...]:
    """[1, Co, H', W']."""
    _, _, height, width = view.tensor(0).shape
    co, _, kh, kw = view.constant(1).shape
    top, left, bottom, right = view.integers("pads")
    sh, sw = view.integers("strides")
    dh, dw = view.integers("dilations")
    return (
        1,
        co,
        output_size(height + top + bottom, kh, sh, dh),
        output_size(width + left + right, kw, sw, dw),
    )


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """x [1, C, H, W] integers -> y [1, Co, H', W'], straight from the definition."""
    w = weights(view).astype(np.int64)
    co, ci, kh, kw = w.shape
    group = view.integer("group")
    patches = windows(
        inputs[0].astype(np.int64),
        (kh, kw),
        view.integers("strides"),
        view.integers("dilations"),
        view.integers("pads"),
        0,
    )  # [C, H', W', kh, kw]
    grouped = patches.reshape((group, ci, *patches.shape[1:]))
    kernels = w.reshape(group, co // group, ci, kh, kw)
    acc = np.einsum("gchwij,gocij->gohw", grouped, kernels, optimize=True)
    return weighted.requantized(view, acc.reshape((co, *acc.shape[2:])))


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Float Conv."""
    writer.node(
        "Conv",
        inputs,
        output,
        kernel_shape=list(weights(view).shape[2:]),
        strides=list(view.integers("strides")),
        dilations=list(view.integers("dilations")),
        pads=list(view.integers("pads")),
        group=view.integer("group"),
    )


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """ConvInteger, bias, and the requantize."""
    weighted.write_convolution(
        view,
        writer,
        inputs[0],
        weights(view),
        output,
        kernel_shape=list(weights(view).shape[2:]),
        strides=list(view.integers("strides")),
        dilations=list(view.integers("dilations")),
        pads=list(view.integers("pads")),
        group=view.integer("group"),
    )


def region(view: View, index: int, rows: Region) -> Region:
    """Input rows that output rows [first, last) read, inside the picture."""
    return window_rows(
        rows,
        view.tensor(0).shape[2],
        weights(view).shape[2],
        view.integers("strides")[0],
        view.integers("dilations")[0],
        view.integers("pads")[0],
    )


def macs(view: View) -> int:
    """Multiply-accumulates of one picture."""
    _, co, height, width = view.output.shape
    return co * height * width * int(np.prod(weights(view).shape[1:]))


def accumulator_bound(view: View) -> int:
    """The largest |accumulator|: all taps may add up."""
    return weighted.accumulator_bound(view, weighted.l1_norms(view).sum(axis=(1, 2)))


def tap_coverage(view: View) -> NDArray[np.float64]:
    """Share of the output positions at which each tap [kh, kw] lies inside the picture."""
    kernel = weights(view).shape[2:]
    shares = []
    for axis in range(2):
        size, outputs = view.tensor(0).shape[2 + axis], view.output.shape[2 + axis]
        first = np.arange(outputs) * view.integers("strides")[axis] - view.integers("pads")[axis]
        taps = np.arange(kernel[axis]) * view.integers("dilations")[axis]
        place = first[None, :] + taps[:, None]
        shares.append(((place >= 0) & (place < size)).mean(axis=1))
    return np.asarray(np.outer(*shares))


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """Conv, Gemm and MatMul with constant weights."""
    if node.op_type == "Conv":
        _from_conv(node, builder)
    else:
        _from_matrix(node, builder)


def _from_conv(node: OnnxNode, builder: GraphBuilder) -> None:
    w = node.constant(1)
    if w is None:
        raise UnsupportedError(f"Conv {node.name} must have constant weights.")
    if w.ndim != 4:
        raise UnsupportedError(f"Conv {node.name} must be 2-D, not {w.ndim - 2}-D.")
    if node.has(2) and node.constant(2) is None:
        raise UnsupportedError(f"Conv {node.name} must have a constant bias.")
    strides = tuple(node.attributes.get("strides", (1, 1)))
    dilations = tuple(node.attributes.get("dilations", (1, 1)))
    shape = node.shape(0)
    attributes: dict[str, Any] = {
        "strides": strides,
        "dilations": dilations,
        "pads": resolve_pads(node.attributes, shape[2:], w.shape[2:], strides, dilations),
        "group": int(node.attributes.get("group", 1)),
    }
    if attributes["group"] * w.shape[1] != shape[1]:
        raise UnsupportedError(
            f"Conv {node.name} must have {shape[1]} input channels, "
            f"not {attributes['group']} groups of {w.shape[1]}."
        )
    inputs = [node.inputs[0], builder.constant(builder.fresh(f"{node.output}.weight"), w)]
    b = node.constant(2)
    if b is not None:
        inputs.append(builder.constant(builder.fresh(f"{node.output}.bias"), b))
    builder.node("Conv", tuple(inputs), node.output, attributes)


def _from_matrix(node: OnnxNode, builder: GraphBuilder) -> None:
    """x [1, K] (kept as [1, C, H, W] by the front-end) times W becomes a full-window Conv."""
    w = node.constant(1)
    if w is None or w.ndim != 2:
        raise UnsupportedError(
            f"{node.op_type} {node.name} must multiply features [1, K] by a constant matrix."
        )
    attributes = node.attributes
    if attributes.get("transA", 0):
        raise UnsupportedError(f"Gemm {node.name} must not transpose its features.")
    matrix = w if attributes.get("transB", 0) else w.T  # [Co, K]
    shape = node.shape(0)
    features = int(np.prod(shape[1:]))
    if shape[0] != 1 or matrix.shape[1] != features:
        raise UnsupportedError(
            f"{node.op_type} {node.name} must read {matrix.shape[1]} features, "
            f"not {features} (shape {shape})."
        )
    alpha = np.float32(attributes.get("alpha", 1.0))
    kernel = np.ascontiguousarray(matrix if alpha == 1 else matrix * alpha)  # copies are large
    spatial = tuple(shape[2:]) if len(shape) == 4 else (1, 1)
    inputs = [
        node.inputs[0],
        builder.constant(
            builder.fresh(f"{node.output}.weight"), kernel.reshape((-1, shape[1], *spatial))
        ),
    ]
    if node.has(2):
        b = node.constant(2)
        if b is None:
            raise UnsupportedError(f"Gemm {node.name} must have a constant bias.")
        b = np.broadcast_to(b.reshape(-1), (matrix.shape[0],))
        b = (b * np.float32(attributes.get("beta", 1.0))).astype(np.float32)
        inputs.append(builder.constant(builder.fresh(f"{node.output}.bias"), b))
    builder.node(
        "Conv",
        tuple(inputs),
        node.output,
        {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "group": 1},
    )


# ------------------------------------------------------------------ constraints and samples


def _sample(
    name: str,
    shape: tuple[int, int, int],
    co: int,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    group: int = 1,
    **more: Any,
) -> Graph:
    attributes: dict[str, Attribute] = {"strides": strides, "dilations": dilations, "pads": pads}
    fan_in = shape[0] // group * kernel[0] * kernel[1]
    return weighted.sample(
        "Conv", infer, name, shape, co, kernel, attributes, fan_in, group=group, **more
    )


def _check_group(view: View) -> str | None:
    group, outputs = view.integer("group"), weights(view).shape[0]
    if group > 0 and outputs % group == 0:
        return None
    return f"{outputs} output channels must be a multiple of the {group} groups"


def _check_channel_input(view: View) -> str | None:
    if view.tensor(0).per_channel and not is_depthwise(view):
        return "an input with one scale per channel must be read by depthwise convolutions only"
    return None


RELU = (0.0, float("inf"))


def samples() -> tuple[Graph, ...]:
    """Shapes, strides, pads, dilation, types, clamps, depthwise, groups, worst cases."""
    u8, s8, s16 = dtypes.U8, dtypes.S8, dtypes.S16
    return (
        _sample("pointwise", (8, 5, 7), 16, (1, 1), y_dtype=u8, clamp=RELU),
        _sample("same3x3", (12, 9, 9), 20, (3, 3), pads=(1, 1, 1, 1)),
        _sample("stem", (3, 21, 19), 24, (7, 7), strides=(2, 2), pads=(3, 3, 3, 3), x_dtype=s8),
        _sample("uneven", (5, 11, 8), 7, (3, 2), strides=(2, 1), pads=(0, 1, 2, 0), x_dtype=s8),
        _sample("dilated", (4, 12, 12), 6, (3, 3), dilations=(2, 3), pads=(2, 3, 2, 3)),
        _sample("relu6", (6, 12, 12), 6, (3, 3), y_dtype=u8, clamp=(0.0, 6.0)),
        _sample("clip", (6, 6, 6), 6, (1, 1), clamp=(-1.0, 2.0)),
        _sample("head", (40, 1, 1), 30, (1, 1), y_dtype=s16, with_bias=False),
        _sample("full_window", (9, 4, 5), 27, (4, 5), y_dtype=s16),
        _sample("many_channels", (600, 4, 4), 130, (1, 1), y_dtype=u8, clamp=RELU),
        _sample("deep3x3", (160, 6, 6), 72, (3, 3), pads=(1, 1, 1, 1), y_dtype=u8, clamp=RELU),
        _sample("worst_u8", (530, 3, 3), 66, (1, 1), worst=True, y_dtype=s16, ratio=0.45),
        _sample("worst_s8", (140, 4, 4), 10, (3, 3), worst=True, x_dtype=s8, y_dtype=s16),
        _sample("tall", (4, 90, 6), 8, (5, 1), pads=(2, 0, 2, 0)),
        _sample(
            "depthwise", (18, 10, 9), 18, (3, 3), pads=(1, 1, 1, 1), group=18, y_dtype=u8,
            clamp=RELU,
        ),
        _sample(
            "depthwise_stride", (70, 11, 11), 70, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1),
            group=70, x_dtype=s8,
        ),
        _sample(
            "depthwise_scales", (20, 8, 8), 20, (5, 5), pads=(2, 2, 2, 2), group=20,
            per_channel_input=True,
        ),
        _sample("multiplier", (20, 7, 7), 40, (3, 3), pads=(1, 1, 1, 1), group=20, x_dtype=s8),
        _sample(
            "groups_small", (40, 9, 8), 40, (3, 3), strides=(2, 1), pads=(1, 1, 1, 1), group=10,
            y_dtype=u8, clamp=RELU,
        ),
        _sample("groups_uneven", (60, 6, 5), 84, (1, 1), group=3, x_dtype=s8, y_dtype=s16),
        _sample("groups_deep", (264, 5, 5), 144, (3, 3), pads=(1, 1, 1, 1), group=2),
        _sample("wide_features", (12, 7, 6), 20, (3, 3), pads=(1, 1, 1, 1), x_dtype=s16),
        _sample("wide_weights", (9, 6, 7), 18, (3, 3), strides=(2, 1), weight_bits=16, y_dtype=u8,
                clamp=RELU),
        _sample("wide_both", (160, 5, 4), 70, (3, 3), pads=(1, 1, 1, 1), x_dtype=s16, y_dtype=s16,
                weight_bits=16),
        _sample("wide_head", (40, 1, 1), 30, (1, 1), x_dtype=s16, weight_bits=16, with_bias=False),
        _sample("wide_depthwise", (70, 9, 8), 70, (3, 3), strides=(2, 2), pads=(1, 1, 1, 1),
                group=70, x_dtype=s16, y_dtype=s16, weight_bits=16),
        _sample("wide_groups", (40, 7, 5), 40, (3, 3), dilations=(1, 2), pads=(1, 2, 1, 2),
                group=10, x_dtype=s8, y_dtype=s16, weight_bits=16),
        _sample("wide_worst", (600, 3, 3), 18, (1, 1), worst=True, x_dtype=s16, y_dtype=s16,
                weight_bits=16),
        _sample("channel_scales", (10, 6, 6), 33, (1, 1), per_channel_output=True, y_dtype=u8,
                clamp=RELU),
    )  # fmt: skip


def reads_no_padding(view: View) -> bool:
    """True where every window lies inside the picture."""
    return not any(view.integers("pads"))


CONV = OpDef(
    name="Conv",
    onnx_types=("Conv", "Gemm", "MatMul"),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=region,
    macs=macs,
    constraints=(
        Constraint(
            "groups divide input and output channels",
            _check_group,
            lambda: _sample("uneven_groups", (9, 4, 4), 8, (1, 1), group=3),
            structural=True,
        ),
        *weighted.constraints(accumulator_bound, _sample),
        Constraint(
            "an input with one scale per channel is read by depthwise convolutions only",
            _check_channel_input,
            lambda: _sample("channels", (4, 4, 4), 4, (1, 1), per_channel_input=True),
        ),
    ),
    samples=samples,
    kernel=Kernel(tap_coverage, all_taps=reads_no_padding),
    absorbs_factors=True,
    linear=True,
    clampable=True,
    per_channel_output=True,
    per_channel_input=True,
)
