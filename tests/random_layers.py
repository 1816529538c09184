"""Any layer on any machine: hypothesis strategies for shapes, and chips of a few kilobytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from assembled import FIGURES
from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.ir import Graph
from knightlite.ops import resize, sampling
from quantized_nets import RELU, QuantizedNet

TX5368 = replace(find("TX5368AV200").chip, **FIGURES)

KINDS = (
    "conv",
    "depthwise",
    "grouped",
    "transposed",
    "pool",
    "add",
    "mul",
    "unary",
    "concat",
    "resize",
)
WEIGHTED = ("conv", "depthwise", "grouped", "transposed")


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """Machines with few lanes and memories of a few kilobytes."""
    align = draw(st.sampled_from((8, 16, 64)))  # a chip file may not say less than 8
    return replace(
        TX5368,
        matrix_input_lanes=draw(st.sampled_from((4, 8, 32))),
        matrix_output_lanes=draw(st.sampled_from((4, 16, 64))),
        wide_matrix_output_lanes=draw(st.sampled_from((2, 16))),
        depthwise_lanes=draw(st.sampled_from((4, 64))),
        wide_depthwise_lanes=draw(st.sampled_from((3, 32))),
        groups_per_block=draw(st.sampled_from((1, 2, 64))),
        vector_lanes=draw(st.sampled_from((4, 16, 64))),
        fspm_bytes=align * draw(st.integers(1024 // align, 8192 // align)),
        fspm_align_bytes=align,
        wspm_bytes=512 * draw(st.integers(1, 16)),
        wspm_align_bytes=draw(st.sampled_from((16, 64, 512))),
        mspm_bytes=128 * draw(st.integers(1, 8)),
        mspm_align_bytes=draw(st.sampled_from((16, 128))),
        dma_setup_cycles=draw(st.sampled_from((1, 100, 1000))),
    )


@st.composite
def layers(draw: st.DrawFn) -> Graph:
    """One layer, or a chain of up to three, of any kind and shape."""
    net = QuantizedNet(seed=draw(st.integers(0, 9)))
    channels = draw(st.sampled_from((1, 3, 4, 7, 16, 33, 70)))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    kind = draw(st.sampled_from(KINDS))
    types = (dtypes.U8, dtypes.S8, dtypes.S16) if kind in WEIGHTED else (dtypes.U8, dtypes.S8)
    dtype = draw(st.sampled_from(types))
    x = net.input("x", channels, height, width, dtype)
    if kind in ("conv", "depthwise", "grouped", "transposed", "pool"):
        kernel = (draw(st.integers(1, min(4, height))), draw(st.integers(1, min(4, width))))
        pads = tuple(draw(st.integers(0, kernel[side % 2] - 1)) for side in range(4))
        window: dict[str, Any] = {
            "strides": (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
            "pads": pads,
        }
        if kind == "pool":
            if draw(st.booleans()):
                return net.build(net.max_pool(x, "y", kernel=kernel, **window))
            counted = pads if draw(st.booleans()) else (0, 0, 0, 0)
            more = {"kernel": kernel, "counted_pads": counted, **window}
            return net.build(net.average_pool(x, "y", 0.03, **more))
        return net.build(convolution(draw, net, x, kernel, window, kind))
    if kind == "resize":
        return net.build(resized(draw, net, x))
    if kind == "add":
        return net.build(net.add(x, net.input("z", channels, height, width), "y"))
    if kind == "mul":
        gate = (1, 1) if draw(st.booleans()) else (height, width)
        z = net.input("z", channels, *gate, dtypes.U8)
        return net.build(net.node("Mul", (x, z), "y", dtypes.S8, 0.2))
    if kind == "concat":
        return net.build(net.concat("y", x, net.input("z", 5, height, width, dtype)))
    return net.build(net.affine(x, "y") if draw(st.booleans()) else net.table(x, "y"))


def resized(draw: st.DrawFn, net: QuantizedNet, x: str) -> str:
    tensor = net.builder.tensors[x]
    size = (draw(st.integers(1, 14)), draw(st.integers(1, 14)))
    scales = tuple(resize.size_scale(a, b) for a, b in zip(tensor.shape[2:], size, strict=True))
    mode = draw(st.sampled_from(tuple(sampling.COORDINATES)))
    fields: dict[str, Any] = {"size": size, "scales": scales, "coordinates": mode}
    if draw(st.booleans()):
        return net.node(resize.LINEAR, (x,), "y", dtypes.S8, 0.05, **fields)
    roundings = [
        item
        for item in sampling.ROUNDINGS
        if all(
            sampling.nearest_line(sampling.Axis(a, b, mode, scale), item)
            for a, b, scale in zip(tensor.shape[2:], size, scales, strict=True)
        )
    ]
    fields["nearest_mode"] = draw(st.sampled_from(roundings))
    return net.node(resize.NEAREST, (x,), "y", tensor.dtype, tensor.scale, **fields)


def convolution(
    draw: st.DrawFn, net: QuantizedNet, x: str, kernel: tuple[int, int], window: Any, kind: str
) -> str:
    channels = net.channels(x)
    if draw(st.booleans()):
        x = net.affine(x, "t", draw(st.sampled_from((dtypes.U8, dtypes.S16))))
    outs = channels if kind == "depthwise" else draw(st.sampled_from((1, 6, 16, 20, 65)))
    if kind == "depthwise" and channels > 1:
        window["group"] = channels
    if kind == "grouped":
        parts = [part for part in range(1, channels + 1) if channels % part == 0]
        window["group"] = draw(st.sampled_from(parts))
        outs = window["group"] * draw(st.sampled_from((1, 2, 5, 18)))
    window["weight_type"] = draw(st.sampled_from((np.int8, np.int16)))
    wide = draw(st.booleans())
    dtype, scale = (dtypes.S16, 0.001) if wide else (dtypes.S8, 0.05)
    clamp = {"clamp": RELU} if draw(st.booleans()) else {}
    make = net.conv
    if kind == "transposed":
        make = net.transposed
        outs = transposed_window(draw, net, x, outs, kernel, window)
    y = make(x, "y", outs, kernel, dtype, scale, **window, **clamp)
    behind = draw(st.sampled_from(("nothing", "table", "prelu", "add")))
    if behind == "nothing" or (behind == "table" and wide):  # whose lines want a scale of its own
        return y
    if behind == "table":
        return net.table(y, "activated")
    if behind == "prelu":
        return net.prelu(y, "activated", scale=2 * scale)
    _, *shape = net.builder.tensors[y].shape
    return net.add(y, net.input("z", shape[0], shape[1], shape[2]), "sum")


def transposed_window(
    draw: st.DrawFn, net: QuantizedNet, x: str, outs: int, kernel: tuple[int, int], window: Any
) -> int:
    """Pads that leave some output, dilations, more rows at the end; the output channels."""
    _, channels, *sizes = net.builder.tensors[x].shape
    pads, strides = list(window["pads"]), window["strides"]
    dilations = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    for axis in range(2):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        left = strides[axis] * (sizes[axis] - 1) + reach
        for side in (axis, axis + 2):
            pads[side] = min(pads[side], reach - 1, left - 1)
            left -= pads[side]
    window["pads"], window["dilations"] = tuple(pads), dilations
    window["output_padding"] = tuple(draw(st.integers(0, stride - 1)) for stride in strides)
    if channels > 1 and draw(st.booleans()):
        window["group"] = channels
        return channels
    return outs
