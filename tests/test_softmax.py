"""Softmax inside a network: on the chip along channels, at the end on the host, else refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from conformance_checks import MAIN, Pictures, build, judge, single
from knightlite import dtypes, numerics
from knightlite.errors import UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.ir import GraphBuilder
from knightlite.onnx_models import write_qdq
from knightlite.ops import View
from knightlite.ops.softmax import SOFTMAX
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net, checked, operators


def integral(opset: int = 13, axis: int = 1, means: int = 1) -> Net:
    """As a detector's box head: a distribution over 16 bins, then its mean by a convolution."""
    net = Net(opset)
    net.conv(net.input("x", (1, 3, 10, 12)), "bins", (16, 3, 3, 3))
    net.node("Softmax", ["bins"], "shares", axis=axis)
    net.weight("steps", np.arange(16 * means, dtype=np.float32).reshape(means, 16, 1, 1))
    net.node("Conv", ["shares", "steps"], "y", kernel_shape=[1, 1])
    return net


def test_inside_a_network_it_runs_on_the_chip(tmp_path: Path) -> None:
    graph = checked(integral().save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Softmax", "Conv"]
    assert not graph.host
    batch = np.random.default_rng(0).normal(0, 1, (6, 3, 10, 12)).astype(np.float32)
    result = quantize_graph(graph, Pictures(batch), threads=1)
    tensor = result.graph.tensors["shares"]
    assert tensor.scale is not None
    assert (tensor.dtype.name, float(tensor.scale)) == ("u8", float(np.float32(1 / 255)))
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    quantized = load_quantized(path)
    verdict = judge(build(quantized, MAIN), quantized, graph, single("x", batch[:2]))
    verdict.check()
    assert verdict.sqnr_db > 20


def test_vectors(tmp_path: Path) -> None:
    for opset in (11, 13):
        net = Net(opset)
        net.conv(net.input("x", (1, 3, 4, 4)), "c", (12, 3, 4, 4))
        net.node("Flatten", ["c"], "f")
        net.node("Softmax", ["f"], "s", axis=1)
        net.node("Gemm", ["s", net.random("w", (12, 5))], "y")
        assert operators(checked(net.save(tmp_path, "y"))) == ["Conv", "Softmax", "Conv"]


def test_at_the_end_it_stays_on_the_host(tmp_path: Path) -> None:
    net = integral()
    net.nodes.pop()
    graph = checked(net.save(tmp_path, "shares"))
    assert (operators(graph), [op.op for op in graph.host]) == (["Conv"], ["Softmax"])


@pytest.mark.parametrize(
    ("opset", "axis", "sentence"),
    [
        (13, 3, "not over axis 3 of (1, 16, 8, 10)."),
        (11, 1, "not over all axes from 1 of (1, 16, 8, 10)."),
    ],
)
def test_other_axes_are_refused(tmp_path: Path, opset: int, axis: int, sentence: str) -> None:
    path = integral(opset, axis, means=2).save(tmp_path, "y")
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    (finding,) = caught.value.findings
    who = "Softmax Softmax_shares must run over channels (axis 1) on the NPU, "
    assert finding.sentence == who + sentence
    assert finding.hint == (
        "it cannot go to the host (-gp), since it stands between Conv Conv_bins and Conv Conv_y on "
        "the NPU"
    )


def test_a_mean_of_bins_that_the_chip_cannot_take_is_taken_by_the_host(tmp_path: Path) -> None:
    graph = checked(integral(axis=3).save(tmp_path, "y"))
    kinds = [op.op for op in graph.host]
    assert (operators(graph), kinds) == (["Conv"], ["Softmax", "Mul", "ReduceSum"])


@pytest.mark.parametrize("channels", [2, 3, 255, 256, 65535])
def test_the_quotient_is_exact(channels: int) -> None:
    """Against fractions, with equal inputs (ties) and random ones, for both numerators."""
    rng = np.random.default_rng(channels)
    entries = numerics.softmax_table(0.02)
    for x in (np.zeros(channels, np.int64), rng.integers(-128, 128, channels)):
        for numerator in (255, 32767):
            found = numerics.softmax(x.reshape(1, -1, 1, 1), entries, numerator).reshape(-1)
            shares = entries[x.max() - x].astype(object)
            total = int(shares.sum())
            for place in range(0, channels, max(1, channels // 50)):
                assert found[place] == round(Fraction(int(shares[place]) * numerator, total))


@pytest.mark.parametrize(
    ("channels", "says"), [(256, None), (257, "at most 256 channels, not 257")]
)
def test_of_so_many_channels_and_no_more(channels: int, says: str | None) -> None:
    builder = GraphBuilder("net")
    builder.input("x", (1, channels, 1, 1), dtypes.S8, 0.05)
    builder.node("Softmax", ("x",), "y")
    builder.tensor("y", (1, channels, 1, 1), dtypes.U8, 1 / 255)
    graph = builder.build(("y",))
    view = View(graph, graph.nodes[0])
    reasons = [item.check(view) for item in SOFTMAX.constraints]
    assert [reason for reason in reasons if reason] == (
        [] if says is None else [f"it must run over {says}"]
    )
