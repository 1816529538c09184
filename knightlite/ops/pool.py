"""MaxPool and AveragePool (global pooling is an average over the whole picture).

Integer forms (numerics 5, 6): maximum with the type's minimum as padding; sum * m / 2^q with the
divisor in m, where windows over the edge may have a divisor of their own (count_include_pad = 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder, Node
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter, element_type
from knightlite.ops.opdef import Constraint, OpDef, Region, View, as_inputs, no_macs, own_channels
from knightlite.ops.samples import feature, result
from knightlite.ops.windows import output_size, resolve_pads, window_rows, windows

Array = NDArray[Any]
ONES = (1, 1)


def infer(view: View) -> tuple[int, ...]:
    """[1, C, H', W']."""
    _, channels, height, width = view.tensor(0).shape
    (kh, kw), (sh, sw) = view.integers("kernel"), view.integers("strides")
    top, left, bottom, right = view.integers("pads")
    return (
        1,
        channels,
        output_size(height + top + bottom, kh, sh),
        output_size(width + left + right, kw, sw),
    )


def divisors(view: View) -> NDArray[np.int64]:
    """How many elements each window averages, [H', W']: pads count or not, ceil rows never do."""
    _, _, height, width = view.tensor(0).shape
    (kh, kw), (sh, sw) = view.integers("kernel"), view.integers("strides")
    top, left, _, _ = view.integers("pads")
    counted = view.integers("counted_pads")  # top, left, bottom, right that count as elements
    _, _, out_h, out_w = infer(view)

    def along(size: int, out: int, kernel: int, stride: int, pad: int, a: int, b: int) -> Array:
        first = np.arange(out) * stride - pad
        return np.minimum(first + kernel, size + b) - np.maximum(first, -a)

    rows = along(height, out_h, kh, sh, top, counted[0], counted[2])
    columns = along(width, out_w, kw, sw, left, counted[1], counted[3])
    return rows[:, None] * columns[None, :]


def average_parameters(view: View, divisor: int) -> numerics.Multiplier:
    """(m, q) that divides a window's sum and requantizes it."""
    return numerics.multiplier(view.scale(0) * view.gain / (view.output_scale * divisor))


def finest_average(view: View) -> float:
    """The finest scale of a mean that a factor reaches: that of the smallest window."""
    least = int(divisors(view).min())
    return numerics.finest_scale(float(view.scale(0)) * abs(view.gain) / max(least, 1))


def _patches(view: View, x: Array, fill: int) -> Array:
    return windows(
        x, view.integers("kernel"), view.integers("strides"), ONES, view.integers("pads"), fill
    )


def reference_max(view: View, inputs: tuple[Array, ...]) -> Array:
    """Maximum over each window."""
    patches = _patches(view, inputs[0], view.tensor(0).dtype.minimum)
    largest: Array = patches.max(axis=(3, 4))
    return largest[None]


def reference_average(view: View, inputs: tuple[Array, ...]) -> Array:
    """Requantized sum over each window."""
    low, high = view.bounds
    total = _patches(view, inputs[0].astype(np.int64), 0).sum(axis=(3, 4))
    counts = divisors(view)
    y = np.empty(total.shape, view.output.dtype.numpy)
    for divisor in np.unique(counts):
        where = np.broadcast_to(counts == divisor, total.shape)
        params = average_parameters(view, int(divisor))
        y[where] = numerics.requantize(total[where], params, view.output.dtype, low, high)
    return y[None]


def to_onnx_max(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """MaxPool."""
    writer.node(
        "MaxPool",
        inputs,
        output,
        kernel_shape=list(view.integers("kernel")),
        strides=list(view.integers("strides")),
        pads=list(view.integers("pads")),
    )


def golden_max(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """MaxPool; on float64 for 16 bits, which ONNX Runtime's has not (values are picked: exact)."""
    if view.output.dtype.bits == 8:
        to_onnx_max(view, writer, inputs, output)
        return
    wide = writer.cast(inputs[0], TensorProto.DOUBLE, f"{output}/wide")
    largest = writer.fresh(f"{output}/largest")
    to_onnx_max(view, writer, (wide,), largest)
    writer.node("Cast", [largest], output, to=element_type(view.output.dtype))


def to_onnx_average(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """AveragePool; ceil_mode's uncounted end pads are written as ceil_mode again."""
    pads, counted = view.integers("pads"), view.integers("counted_pads")
    shape = view.tensor(0).shape
    if view.integers("kernel") == shape[2:] and not any(pads):
        writer.node("GlobalAveragePool", inputs, output)
        return
    include = any(counted)
    declared = counted if include else _declared(view)
    if declared != pads:
        declared = _reached(view, declared)
    writer.node(
        "AveragePool",
        inputs,
        output,
        kernel_shape=list(view.integers("kernel")),
        strides=list(view.integers("strides")),
        pads=list(declared),
        count_include_pad=int(include),
        ceil_mode=int(declared != pads),
    )


def _reached(view: View, declared: tuple[int, ...]) -> tuple[int, ...]:
    """The pads as far as windows reach: with ceil_mode ONNX Runtime expects one for what is more.

    It drops the window that would start in the padding, but not from the shape that it expects.
    """
    top, left, bottom, right = declared
    ends = [
        (out - 1) * stride + kernel - size - begin
        for out, stride, kernel, size, begin in zip(
            infer(view)[2:],
            view.integers("strides"),
            view.integers("kernel"),
            view.tensor(0).shape[2:],
            (top, left),
            strict=True,
        )
    ]
    return top, left, min(bottom, max(0, ends[0])), min(right, max(0, ends[1]))


def _declared(view: View) -> tuple[int, ...]:
    """The pads of the source file: our explicit ones less what ceil_mode added at the end."""
    value = view.node.attributes.get("declared_pads", view.integers("pads"))
    assert isinstance(value, tuple)
    return tuple(int(item) for item in value)


def golden_average(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The sum, then the divisor's factor at each window, in float64 (exact)."""
    dtype = view.tensor(0).dtype
    if dtype.bits == 8:
        total = _golden_sum(view, writer, inputs[0], dtype, output)
    else:
        high, low = writer.split_bytes(inputs[0], f"{output}/bytes")
        parts = [
            _golden_sum(view, writer, high, dtypes.S8, output),
            _golden_sum(view, writer, low, dtypes.U8, output),
        ]
        weight = writer.constant(f"{output}/high", np.float64(256))
        parts[0] = writer.temporary("Mul", [parts[0], weight], f"{output}/sum")
        total = writer.temporary("Add", parts, f"{output}/sum")
    counts = divisors(view)
    factor = np.empty(counts.shape, np.float64)
    for divisor in np.unique(counts):
        params = average_parameters(view, int(divisor))
        factor[counts == divisor] = np.ldexp(float(params.m[0]), -int(params.q[0]))
    writer.rescale(total, factor[None, None], *view.bounds, view.output.dtype, output)


def _golden_sum(view: View, writer: OnnxWriter, x: str, dtype: dtypes.DType, output: str) -> str:
    """The sums of each window as float64, by a depthwise ConvInteger with ones."""
    channels = view.tensor(0).shape[1]
    kernel = view.integers("kernel")
    acc = writer.conv_integer(
        x,
        dtype,
        np.ones((channels, 1, *kernel), np.int8),
        f"{output}/sum",
        kernel_shape=list(kernel),
        strides=list(view.integers("strides")),
        pads=list(view.integers("pads")),
        group=channels,
    )
    return writer.cast(acc, TensorProto.DOUBLE, f"{output}/wide")


def region(view: View, index: int, rows: Region) -> Region:
    """Input rows inside the picture that output rows read."""
    return window_rows(
        rows,
        view.tensor(0).shape[2],
        view.integers("kernel")[0],
        view.integers("strides")[0],
        1,
        view.integers("pads")[0],
    )


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """MaxPool, AveragePool and GlobalAveragePool."""
    shape = node.shape(0)
    if len(shape) != 4:
        raise UnsupportedError(f"{node.op_type} {node.name} must read [N, C, H, W], not {shape}.")
    if node.op_type == "GlobalAveragePool":
        attributes: dict[str, Attribute] = {
            "kernel": tuple(shape[2:]), "strides": ONES, "pads": (0,) * 4, "counted_pads": (0,) * 4,
        }  # fmt: skip
        builder.node("AveragePool", (node.inputs[0],), node.output, attributes)
        return
    if any(item != 1 for item in node.attributes.get("dilations", ONES)):
        raise UnsupportedError(f"{node.op_type} {node.name} must have dilations 1.")
    if node.attributes.get("storage_order", 0):
        raise UnsupportedError(f"{node.op_type} {node.name} must have storage_order 0.")
    kernel = tuple(node.attributes["kernel_shape"])
    strides = tuple(node.attributes.get("strides", ONES))
    ceil = bool(node.attributes.get("ceil_mode", 0))
    declared = resolve_pads(node.attributes, shape[2:], kernel, strides, ONES)
    pads = resolve_pads(node.attributes, shape[2:], kernel, strides, ONES, ceil)
    kernel, strides, pads = _trimmed(shape[2:], kernel, strides, pads, declared)
    attributes = {"kernel": kernel, "strides": strides, "pads": pads}
    if node.op_type == "AveragePool":
        include = bool(node.attributes.get("count_include_pad", 0))
        attributes["counted_pads"] = declared if include else (0, 0, 0, 0)
        if declared != pads:
            attributes["declared_pads"] = declared
    builder.node(node.op_type, (node.inputs[0],), node.output, attributes)


def _trimmed(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    declared: Sequence[int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel, strides and pads without what a single window has beyond all that counts.

    With ceil_mode a window may be far larger than the features: a mean over whatever there is.
    """
    longest, steps, rest = list(kernel), list(strides), list(pads)
    for axis, size in enumerate(sizes):
        beyond = pads[axis + 2] - declared[axis + 2]
        padded = size + pads[axis] + pads[axis + 2]
        if beyond > 0 and output_size(padded, kernel[axis], strides[axis], 1) == 1:
            longest[axis] -= beyond
            steps[axis] = min(steps[axis], longest[axis])
            rest[axis + 2] -= beyond
    return tuple(longest), tuple(steps), tuple(rest)


# ------------------------------------------------------------------ constraints and samples


def _case(
    name: str,
    op: str,
    shape: tuple[int, int, int],
    kernel: tuple[int, int],
    attributes: Mapping[str, Any] | None = None,
    *,
    x_dtype: dtypes.DType = dtypes.U8,
    y_dtype: dtypes.DType | None = None,
    y_scale: float = 0.1,
) -> Graph:
    builder = GraphBuilder(name)
    feature(builder, "x", shape, x_dtype, 0.1)
    values: dict[str, Attribute] = {"kernel": kernel, "strides": ONES, "pads": (0, 0, 0, 0)}
    if op == "AveragePool":
        values["counted_pads"] = (0, 0, 0, 0)
    values.update(attributes or {})
    node = Node("y", op, ("x",), ("y",), values)
    graph = result(builder, node, (), y_dtype or x_dtype, y_scale)
    y = graph.tensors["y"]
    return graph.with_tensors([type(y)("y", infer(View(graph, node)), y.dtype, y.scale)])


def samples_max() -> tuple[Graph, ...]:
    """Strides, pads, types, rows that do not fit at once."""
    return (
        _case("two", "MaxPool", (20, 8, 8), (2, 2), {"strides": (2, 2)}),
        _case("three", "MaxPool", (9, 11, 13), (3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)},
              x_dtype=dtypes.S8),
        _case("ceil", "MaxPool", (9, 12, 12), (3, 3), {"strides": (2, 2), "pads": (0, 0, 1, 1)}),
        _case("long", "MaxPool", (70, 100, 30), (3, 3), {"pads": (1, 1, 1, 1)}, x_dtype=dtypes.S8),
        _case("flat", "MaxPool", (4, 6, 40), (1, 3), {"strides": (1, 2)}),
        _case("wide", "MaxPool", (9, 11, 13), (3, 3), {"strides": (2, 2), "pads": (1, 1, 1, 1)},
              x_dtype=dtypes.S16),
    )  # fmt: skip


def samples_average() -> tuple[Graph, ...]:
    """Global, strided, counted and uncounted pads, ceil_mode's edge."""
    pads = (1, 1, 1, 1)
    return (
        _case("global", "AveragePool", (33, 7, 7), (7, 7), y_scale=0.06),
        _case("transition", "AveragePool", (48, 8, 8), (2, 2), {"strides": (2, 2)}),
        _case("counted", "AveragePool", (8, 9, 9), (3, 3), {"pads": pads, "counted_pads": pads},
              x_dtype=dtypes.S8),
        _case("uncounted", "AveragePool", (8, 9, 7), (3, 3), {"pads": pads, "strides": (2, 1)}),
        _case("ceil", "AveragePool", (8, 12, 12), (3, 3),
              {"pads": (0, 0, 1, 1), "declared_pads": (0, 0, 0, 0), "strides": (2, 2)},
              x_dtype=dtypes.S8),
        _case("head", "AveragePool", (300, 12, 10), (12, 10), y_dtype=dtypes.S16, y_scale=0.001),
        _case("wide", "AveragePool", (8, 9, 7), (3, 3), {"pads": pads, "strides": (2, 1)},
              x_dtype=dtypes.S16, y_scale=0.11),
        _case("wide_in", "AveragePool", (33, 7, 7), (7, 7), x_dtype=dtypes.S16,
              y_dtype=dtypes.S8, y_scale=10.0),
    )  # fmt: skip


def _check_pads(view: View) -> str | None:
    kernel, pads = view.integers("kernel"), view.integers("pads")
    if all(pad < kernel[index % 2] for index, pad in enumerate(pads)):
        return None
    return f"pads must be smaller than the window {kernel}, not {pads}"


def _check_same_scale(view: View) -> str | None:
    x, y = view.tensor(0), view.output
    if x.dtype == y.dtype and np.array_equal(view.scale(0), view.output_scale):
        return None
    return "input and output must share one scale and type, since the values are the same"


def _check_average_ratio(view: View) -> str | None:
    if _check_pads(view):
        return None  # a window that covers no element has no divisor
    try:
        for divisor in np.unique(divisors(view)):
            average_parameters(view, int(divisor))
    except ValueError as error:
        return f"input scale / (output scale * divisor): {error}"
    return None


_PADS_RULE = "pads are smaller than the window"
_BROKEN_PADS = {"pads": (2, 2, 2, 2)}

MAX_POOL = OpDef(
    name="MaxPool",
    onnx_types=("MaxPool",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx_max,
    reference=reference_max,
    to_golden=golden_max,
    region=region,
    macs=no_macs,
    constraints=(
        Constraint(
            _PADS_RULE,
            _check_pads,
            lambda: _case("p", "MaxPool", (4, 6, 6), (2, 2), _BROKEN_PADS),
            structural=True,
        ),
        Constraint(
            "input and output of MaxPool share one scale",
            _check_same_scale,
            lambda: _case("s", "MaxPool", (4, 6, 6), (2, 2), y_scale=0.2),
        ),
    ),
    samples=samples_max,
    value_preserving=True,
    nonnegative=as_inputs,
    ties=own_channels,
)


def pads_nothing(view: View) -> bool:
    """True where no padding counts: the average of what is c larger is c larger."""
    return not any(view.integers("pads")) and not any(view.integers("counted_pads"))


AVERAGE_POOL = OpDef(
    name="AveragePool",
    onnx_types=("AveragePool", "GlobalAveragePool"),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx_average,
    reference=reference_average,
    to_golden=golden_average,
    region=region,
    macs=no_macs,
    constraints=(
        Constraint(
            _PADS_RULE,
            _check_pads,
            lambda: _case("p", "AveragePool", (4, 6, 6), (2, 2), _BROKEN_PADS),
            structural=True,
        ),
        Constraint(
            "input scale / (output scale * divisor) lies in [2^-17, 2^15)",
            _check_average_ratio,
            lambda: _case("r", "AveragePool", (4, 6, 6), (2, 2), y_scale=1e6),
        ),
    ),
    samples=samples_average,
    finest_step=finest_average,
    nonnegative=as_inputs,
    ties=own_channels,
    carries_offsets=pads_nothing,
    linear=True,
    clampable=True,
    scalable=True,
)
