"""ConvTranspose: every input pixel adds its weighted kernel to the output, strides apart.

Read from the output's side, the output pixels of one phase (positions equal modulo the strides)
see a subset of the taps as an ordinary convolution with stride 1: :func:`phases`. The reference
scatters and the golden form spreads the input with zeros, so neither shares that reasoning. Weights
lie as a Conv's, [Co, Ci/group, kh, kw]; an ONNX file has [Ci, Co/group, kh, kw].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes
from knightlite.errors import UnsupportedError
from knightlite.ir import Attribute, Graph, GraphBuilder
from knightlite.ops import weighted
from knightlite.ops.onnx_io import OnnxNode, OnnxWriter
from knightlite.ops.opdef import Constraint, Kernel, OpDef, Region, View
from knightlite.ops.weighted import is_depthwise, weights

Array = NDArray[Any]
RELU = (0.0, float("inf"))


@dataclass(frozen=True, slots=True)
class Phase:
    """Output positions ``first``, ``first + stride``, ... of one axis as an ordinary window.

    ``taps``: kernel indices in the order of the input positions they read, ``dilation`` apart;
    the window of the n-th output position begins at input position ``start + n`` (perhaps
    outside the picture). Without taps the output is the bias alone.
    """

    first: int
    taps: tuple[int, ...]
    dilation: int
    start: int

    @property
    def reach(self) -> int:
        """Input positions from the first tap to the last."""
        return self.dilation * (len(self.taps) - 1) + 1 if self.taps else 0


def phases(kernel: int, stride: int, dilation: int, pad: int) -> tuple[Phase, ...]:
    """The phases of one axis, in the order of their first output position."""
    found = []
    for first in range(stride):
        # output o gets input i through tap k where o + pad = i * stride + k * dilation
        taps = [k for k in range(kernel) if (first + pad - k * dilation) % stride == 0][::-1]
        apart = (taps[0] - taps[1]) * dilation // stride if len(taps) > 1 else 1
        last = taps[0] * dilation if taps else 0
        found.append(Phase(first, tuple(taps), apart, (first + pad - last) // stride))
    return tuple(found)


def axis_phases(view: View, axis: int) -> tuple[Phase, ...]:
    """The phases of rows (axis 0) or columns (axis 1)."""
    return phases(
        weights(view).shape[2 + axis],
        view.integers("strides")[axis],
        view.integers("dilations")[axis],
        view.integers("pads")[axis],
    )


def infer(view: View) -> tuple[int, ...]:
    """[1, Co, H', W']."""
    _, _, *sizes = view.tensor(0).shape
    co, _, *kernel = view.constant(1).shape
    pads, extra = view.integers("pads"), view.integers("output_padding")
    strides, dilations = view.integers("strides"), view.integers("dilations")
    height, width = (
        (sizes[axis] - 1) * strides[axis]
        + dilations[axis] * (kernel[axis] - 1)
        + 1
        + extra[axis]
        - pads[axis]
        - pads[axis + 2]
        for axis in range(2)
    )
    return (1, co, height, width)


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """x [1, C, H, W] integers -> y [1, Co, H', W'] by scattering, straight from the definition."""
    w = weights(view).astype(np.int64)
    co, ci, kh, kw = w.shape
    group = view.integer("group")
    (sh, sw), (dh, dw) = view.integers("strides"), view.integers("dilations")
    top, left, _, _ = view.integers("pads")
    _, _, rows, columns = view.output.shape
    x = inputs[0][0].astype(np.int64)
    _, height, width = x.shape
    x = x.reshape(group, ci, height, width)
    kernels = w.reshape(group, co // group, ci, kh, kw)
    # room for the rows and columns that pads cut off, and for those that output_padding adds
    full = np.zeros((co, top + rows + sh * height + dh * kh, left + columns + sw * width + dw * kw))
    full = full.astype(np.int64)
    for ky in range(kh):
        for kx in range(kw):
            part = np.einsum("gchw,goc->gohw", x, kernels[..., ky, kx]).reshape(co, height, width)
            down = slice(ky * dh, ky * dh + (height - 1) * sh + 1, sh)
            right = slice(kx * dw, kx * dw + (width - 1) * sw + 1, sw)
            full[:, down, right] += part
    return weighted.requantized(view, full[:, top : top + rows, left : left + columns])


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Float ConvTranspose; its weights come in the order of the file."""
    writer.node(
        "ConvTranspose",
        inputs,
        output,
        kernel_shape=list(weights(view).shape[2:]),
        strides=list(view.integers("strides")),
        dilations=list(view.integers("dilations")),
        pads=list(view.integers("pads")),
        output_padding=list(view.integers("output_padding")),
        group=view.integer("group"),
    )


def to_golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """The input spread with zeros, then ConvInteger with the kernel turned round."""
    kernel = weights(view).shape[2:]
    dilations, extra = view.integers("dilations"), view.integers("output_padding")
    pads = view.integers("pads")
    reach = [dilations[axis] * (kernel[axis] - 1) for axis in range(2)]
    weighted.write_convolution(
        view,
        writer,
        _spread(view, writer, inputs[0], output),
        weights(view)[:, :, ::-1, ::-1],
        output,
        kernel_shape=list(kernel),
        strides=[1, 1],
        dilations=list(dilations),
        pads=[
            *(reach[axis] - pads[axis] for axis in range(2)),
            *(reach[axis] - pads[axis + 2] + extra[axis] for axis in range(2)),
        ],
        group=view.integer("group"),
    )


def _spread(view: View, writer: OnnxWriter, x: str, output: str) -> str:
    """strides - 1 rows and columns of zeros between those of x, none behind the last."""
    tensor, strides = view.tensor(0), view.integers("strides")
    if strides == (1, 1):
        return x
    _, channels, height, width = tensor.shape
    apart = [0, channels, height, 1, width, 1]
    gaps = [0] * 6 + [0, 0, 0, strides[0] - 1, 0, strides[1] - 1]
    joined = [0, channels, height * strides[0], width * strides[1]]
    ends = [(height - 1) * strides[0] + 1, (width - 1) * strides[1] + 1]

    def integers(name: str, values: Sequence[int]) -> str:
        return writer.constant(f"{output}/spread/{name}", np.asarray(values, np.int64))

    stem = f"{output}/spread"
    kind = tensor.dtype.numpy
    if tensor.dtype.bits == 16:  # ONNX Runtime has no Pad of int16
        x, kind = writer.cast(x, TensorProto.INT32, f"{stem}/whole"), np.dtype(np.int32)
    value = writer.temporary("Reshape", [x, integers("apart", apart)], f"{stem}/pixels")
    zero = writer.constant(f"{stem}/zero", np.zeros((), kind))
    value = writer.temporary("Pad", [value, integers("gaps", gaps), zero], f"{stem}/padded")
    value = writer.temporary("Reshape", [value, integers("joined", joined)], f"{stem}/joined")
    bounds = [integers("starts", [0, 0]), integers("ends", ends), integers("axes", [2, 3])]
    return writer.temporary("Slice", [value, *bounds], f"{stem}/cut")


def region(view: View, index: int, rows: Region) -> Region:
    """Input rows that output rows [first, last) see; one row where they see none."""
    height, stride = view.tensor(0).shape[2], view.integers("strides")[0]
    seen: list[int] = []
    for phase in axis_phases(view, 0):
        place = output_places(phase, stride, rows)
        if place is not None and phase.taps:
            _, begin, count = place
            inside = max(0, begin), min(height, begin + count - 1 + phase.reach)
            seen += inside if inside[0] < inside[1] else ()
    if seen:
        return min(seen), max(seen)
    at = min(max(0, rows[0] // stride), height - 1)
    return at, at + 1


def output_places(phase: Phase, stride: int, rows: Region) -> tuple[int, int, int] | None:
    """(first output, begin of its window in the input, outputs) of a phase in a range, or None."""
    steps = max(0, -(-(rows[0] - phase.first) // stride))
    first = phase.first + steps * stride
    count = -(-(rows[1] - first) // stride)
    return (first, phase.start + steps, count) if count > 0 else None


def macs(view: View) -> int:
    """Multiply-accumulates of one picture, padding included.

    The taps that every output sees; where it sees none, the machine multiplies by one of zero.
    """
    _, co, *sizes = view.output.shape
    counts = []  # per axis: (taps, outputs) of every phase
    for axis in range(2):
        stride = view.integers("strides")[axis]
        places = [
            (phase, output_places(phase, stride, (0, sizes[axis])))
            for phase in axis_phases(view, axis)
        ]
        counts.append([(len(phase.taps), place[2]) for phase, place in places if place])
    pairs = [(row, column) for row in counts[0] for column in counts[1]]
    seen = sum(max(1, row[0] * column[0]) * row[1] * column[1] for row, column in pairs)
    return int(co * weights(view).shape[1] * seen)


def accumulator_bound(view: View) -> int:
    """The largest |accumulator|: the taps of one phase may add up."""
    norms, rows, columns = (
        weighted.l1_norms(view),
        axis_phases(view, 0),
        axis_phases(view, 1),
    )
    sums = [
        norms[:, list(row.taps)][:, :, list(column.taps)].sum(axis=(1, 2))
        for row in rows
        for column in columns
    ]
    return weighted.accumulator_bound(view, np.max(sums, axis=0))


def tap_coverage(view: View) -> NDArray[np.float64]:
    """Share of the output positions that each tap [kh, kw] brings a pixel of the picture."""
    kernel = weights(view).shape[2:]
    shares = []
    for axis in range(2):
        size, outputs = view.tensor(0).shape[2 + axis], view.output.shape[2 + axis]
        taps = np.arange(kernel[axis]) * view.integers("dilations")[axis]
        pixels = np.arange(size) * view.integers("strides")[axis] - view.integers("pads")[axis]
        place = pixels[None, :] + taps[:, None]
        shares.append(((place >= 0) & (place < outputs)).sum(axis=1) / outputs)
    return np.asarray(np.outer(*shares))


# ------------------------------------------------------------------ from ONNX


def from_onnx(node: OnnxNode, builder: GraphBuilder) -> None:
    """ConvTranspose with constant weights; groups of several channels become a dense kernel."""
    w, b = node.constant(1), node.constant(2)
    name = f"ConvTranspose {node.name}"
    if w is None or (node.has(2) and b is None):
        raise UnsupportedError(f"{name} must have constant weights and a constant bias.")
    if w.ndim != 4:
        raise UnsupportedError(f"{name} must be 2-D, not {w.ndim - 2}-D.")
    shape, group = node.shape(0), int(node.attributes.get("group", 1))
    if w.shape[0] != shape[1] or group < 1 or shape[1] % group:
        raise UnsupportedError(
            f"{name} must have weights of {shape[1]} input channels in {group} groups, "
            f"not {w.shape[0]}."
        )
    attributes = _window(node, shape[2:], w.shape[2:])
    if group > 1 and (group, w.shape[1]) != (shape[1], 1):
        w, group = _dense(w, group), 1
    inputs = [
        node.inputs[0],
        builder.constant(
            builder.fresh(f"{node.output}.weight"), np.swapaxes(w, 0, onnx_axis(group)).copy()
        ),
    ]
    if b is not None:
        inputs.append(builder.constant(builder.fresh(f"{node.output}.bias"), b))
    builder.node("ConvTranspose", tuple(inputs), node.output, {**attributes, "group": group})


def onnx_axis(group: int) -> int:
    """Axis of the output channels in a file: [Ci, Co, kh, kw], or depthwise [C, 1, kh, kw]."""
    return 1 if group == 1 else 0


def _dense(w: Array, group: int) -> Array:
    """[Ci, Co/group, kh, kw] as [Ci, Co, kh, kw], zeros between the groups."""
    inputs, outputs = w.shape[0] // group, w.shape[1]
    dense = np.zeros((w.shape[0], group * outputs, *w.shape[2:]), w.dtype)
    for part in range(group):
        ins = slice(part * inputs, (part + 1) * inputs)
        dense[ins, part * outputs : (part + 1) * outputs] = w[ins]
    return dense


def _window(node: OnnxNode, size: Sequence[int], kernel: Sequence[int]) -> Mapping[str, Attribute]:
    """Strides, dilations, pads (top, left, bottom, right) and output_padding, all explicit."""
    given = node.attributes
    strides = tuple(given.get("strides", (1, 1)))
    dilations = tuple(given.get("dilations", (1, 1)))
    extra = list(given.get("output_padding", (0, 0)))
    pads = list(given.get("pads", (0, 0, 0, 0)))
    mode = given.get("auto_pad", "NOTSET")
    wanted = tuple(given.get("output_shape", ()))[-2:]
    if mode in ("SAME_UPPER", "SAME_LOWER") and not wanted:
        wanted = tuple(size[axis] * strides[axis] for axis in range(2))
    if mode == "VALID":
        pads = [0, 0, 0, 0]
    for axis in range(len(wanted)):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        total = strides[axis] * (size[axis] - 1) + extra[axis] + reach - wanted[axis]
        if total < 0:  # rows behind the last that the kernel reaches
            extra[axis], total = extra[axis] - total, 0
        small, large = total // 2, total - total // 2
        begin, end = (small, large) if mode == "SAME_UPPER" else (large, small)
        pads[axis], pads[axis + 2] = begin, end
    return {
        "strides": strides,
        "dilations": dilations,
        "pads": tuple(int(pad) for pad in pads),
        "output_padding": tuple(int(item) for item in extra),
    }


# ------------------------------------------------------------------ constraints and samples


def _check_pads(view: View) -> str | None:
    kernel, dilations = weights(view).shape[2:], view.integers("dilations")
    reach = tuple(dilations[axis] * (kernel[axis] - 1) + 1 for axis in range(2))
    pads = view.integers("pads")
    if all(0 <= pad < reach[index % 2] for index, pad in enumerate(pads)):
        return None
    return f"pads must be smaller than the dilated kernel {reach}, not {pads}"


def _check_output_padding(view: View) -> str | None:
    extra, strides = view.integers("output_padding"), view.integers("strides")
    if all(0 <= extra[axis] < strides[axis] for axis in range(2)):
        return None
    return f"output_padding must be smaller than the strides {strides}, not {extra}"


def _check_group(view: View) -> str | None:
    if view.integer("group") == 1 or is_depthwise(view):
        return None
    return f"group must be 1 or depthwise, not {view.integer('group')}"


def _sample(
    name: str,
    shape: tuple[int, int, int],
    co: int,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    output_padding: tuple[int, int] = (0, 0),
    group: int = 1,
    **more: Any,
) -> Graph:
    attributes: dict[str, Attribute] = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "output_padding": output_padding,
    }
    taps = [-(-kernel[axis] // strides[axis]) for axis in range(2)]
    fan_in = shape[0] // group * taps[0] * taps[1]
    return weighted.sample(
        "ConvTranspose", infer, name, shape, co, kernel, attributes, fan_in, group=group, **more
    )


def samples() -> tuple[Graph, ...]:
    """Kernels smaller, equal, larger than the stride; depthwise; dilated; many channels; worst."""
    u8, s8, s16 = dtypes.U8, dtypes.S8, dtypes.S16
    one = (1, 1, 1, 1)
    return (
        _sample("double", (12, 5, 6), 20, (2, 2), strides=(2, 2), y_dtype=u8, clamp=RELU),
        _sample("odd", (9, 6, 5), 18, (3, 3), strides=(2, 2), pads=one, output_padding=(1, 1)),
        _sample("bilinear", (20, 5, 4), 20, (4, 4), strides=(2, 2), pads=one, group=20, x_dtype=s8),
        _sample("gaps", (8, 7, 4), 8, (2, 3), strides=(3, 2), output_padding=(1, 0), x_dtype=s8),
        _sample(
            "dilated", (6, 8, 7), 10, (3, 3), strides=(3, 2), dilations=(2, 2), pads=(1, 2, 0, 1)
        ),
        _sample("deep", (160, 5, 4), 70, (3, 3), strides=(2, 1), pads=one, y_dtype=s16),
        _sample("same", (7, 6, 6), 40, (3, 3), pads=one, with_bias=False, per_channel_output=True),
        _sample("wide", (9, 5, 6), 20, (3, 3), strides=(2, 2), pads=one, x_dtype=s16,
                y_dtype=s16, weight_bits=16),
        _sample("wide_bilinear", (20, 5, 4), 20, (4, 4), strides=(2, 2), pads=one, group=20,
                x_dtype=s16),
        _sample("wide_weights", (160, 4, 4), 24, (2, 3), strides=(2, 1), y_dtype=s16,
                weight_bits=16),
        _sample("worst", (140, 4, 4), 10, (4, 4), strides=(2, 2), worst=True, y_dtype=s16),
    )  # fmt: skip


CONV_TRANSPOSE = OpDef(
    name="ConvTranspose",
    onnx_types=("ConvTranspose",),
    from_onnx=from_onnx,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=to_golden,
    region=region,
    macs=macs,
    constraints=(
        Constraint(
            "ConvTranspose is dense or depthwise",
            _check_group,
            lambda: _sample("grouped", (8, 4, 4), 8, (2, 2), group=2),
            structural=True,
        ),
        Constraint(
            "its pads are smaller than the dilated kernel",
            _check_pads,
            lambda: _sample("pads", (4, 4, 4), 4, (2, 2), pads=(2, 0, 0, 0)),
            structural=True,
        ),
        Constraint(
            "output_padding is smaller than the strides",
            _check_output_padding,
            lambda: _sample("extra", (4, 4, 4), 4, (2, 2), strides=(2, 1), output_padding=(0, 1)),
            structural=True,
        ),
        *weighted.constraints(accumulator_bound, _sample),
    ),
    samples=samples,
    kernel=Kernel(tap_coverage, onnx_axis),
    absorbs_factors=True,
    clampable=True,
    per_channel_output=True,
)
