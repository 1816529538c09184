"""Networks that are 16 bits wide from input to output, of everything but matrix products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import conformance_checks as checks
from float_nets import FloatNet
from knightlite import chip_files, dtypes
from knightlite.frontend import load_quantized
from knightlite.ir import Graph
from knightlite.onnx_models import write_qdq
from knightlite.ops import table, table_functions
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings

NO_PADS = (0, 0, 0, 0)
TWICE = {"scales": (2.0, 2.0), "size": (12, 12)}


def squeezed() -> Graph:
    """Affines, tables, pools, a gate per channel, sums."""
    net = FloatNet()
    x = net.input("x", 8, 12, 12)
    even = net.affine(x, "even")
    swish = net.node("Table", (even,), "swish", function="HardSwish")
    silu = net.node("Table", (x,), "silu", function=table_functions.EXPRESSION, steps=table.SILU)
    slopes = net.builder.constant("slopes", np.linspace(-0.2, 0.5, 8, dtype=np.float32))
    bent = net.node("PRelu", (swish, slopes), "bent")
    mean = net.average(bent, "mean")
    gate = net.node("Table", (mean,), "gate", function="Sigmoid")
    gated = net.node("Mul", (bent, gate), "gated")
    total = net.node("Add", (gated, silu), "total")
    apart = net.node("Sub", (total, x), "apart", clamp=(0.0, 6.0))
    local = net.node(
        "AveragePool", (apart,), "local",
        kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), counted_pads=NO_PADS,
    )  # fmt: skip
    return net.build(net.node("Table", (local,), "y", function="Tanh"))


def moved() -> Graph:
    """What only moves values, on two branches, and resizes."""
    net = FloatNet()
    x = net.input("x", 8, 12, 12)
    left = net.pool(x, "left")
    right = net.node("SpaceToDepth", (x,), "blocks", block=2, mode="DCR")
    both = net.node("Concat", (left, right), "both")
    shuffled = net.node("ChannelShuffle", (both,), "shuffled", groups=4)
    part = net.node(
        "Slice", (shuffled,), "part", starts=(4, 0, 0), ends=(20, 6, 6), steps=(1, 1, 1)
    )
    near = net.node(
        "ResizeNearest", (part,), "near", coordinates="asymmetric", nearest_mode="floor", **TWICE
    )
    smooth = net.node("ResizeLinear", (part,), "smooth", coordinates="half_pixel", **TWICE)
    larger = net.node("Max", (near, smooth), "larger")
    smaller = net.node("Min", (near, smooth), "smaller")
    return net.build(net.node("Concat", (larger, smaller), "y"))


class Noise:
    """Eight pictures of noise."""

    description = "noise"

    def run(self, forward: object) -> None:
        rng = np.random.default_rng(3)
        for _ in range(8):
            forward((rng.normal(size=(1, 8, 12, 12)).astype(np.float32),))  # type: ignore[operator]


@pytest.mark.parametrize("name", [family.names[0] for family in chip_files.families()])
@pytest.mark.parametrize("make", [squeezed, moved])
def test_sixteen_bits_throughout(make: object, name: str, tmp_path: Path) -> None:
    """Byte for byte on every chip, those of 8-bit matrix engines too, and one step from QDQ."""
    graph = make()  # type: ignore[operator]
    quantized = quantize_graph(graph, Noise(), Settings(bit_width=16)).graph
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(quantized, {}).SerializeToString())
    back = load_quantized(path)
    types = {back.tensors[name].dtype for name in (*graph.inputs, *(n.output for n in graph.nodes))}
    assert types == {dtypes.S16}
    pictures = np.random.default_rng(4).normal(size=(4, 8, 12, 12)).astype(np.float32)
    verdict = checks.judge(checks.build(back, name), back, graph, checks.single("x", pictures))
    verdict.check()
    assert verdict.sqnr_db > 45
