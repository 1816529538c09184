"""Softmax inside a network: on the chip along channels, at the end on the host."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_checks import MAIN, Pictures, build, judge, single
from float_nets import FloatNet
from knightlite import dtypes, numerics
from knightlite.dtypes import S8, S16, U8, DType
from knightlite.frontend import load_quantized
from knightlite.ir import GraphBuilder
from knightlite.onnx_models import write_qdq
from knightlite.ops import View, softmax
from knightlite.ops.softmax import SOFTMAX
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
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


@pytest.mark.parametrize(("opset", "axis"), [(13, 3), (13, 2), (11, 1)])
def test_other_axes_become_channels(tmp_path: Path, opset: int, axis: int) -> None:
    graph = checked(integral(opset, axis, means=2).save(tmp_path, "y"))
    (node,) = [node for node in graph.nodes if node.op == "Softmax"]
    sizes = {2: 8, 3: 10, 1: 16 * 8 * 10}
    assert graph.tensors[node.output].shape[1] == sizes[axis]
    assert operators(graph)[-1] == "Conv"


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
    ("channels", "says"), [(4096, None), (4097, "at most 4096 channels, not 4097")]
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


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([U8, S8, S16]),
    st.sampled_from([softmax.OUTPUT, softmax.WIDE_OUTPUT]),
    st.integers(1, 4096),
    st.floats(1e-5, 2.0),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 40, 1 << 16]),
)
def test_a_fine_share_is_within_a_step_of_real_numbers(
    x_type: DType, output: tuple[DType, float], channels: int, scale: float, seed: int, spread: int
) -> None:
    """At most a fourth of a step before rounding; in Python integers the rounding is exact."""
    rng = np.random.default_rng(seed)
    low = max(x_type.minimum, x_type.maximum - spread)
    x = rng.integers(low, x_type.maximum + 1, channels)
    tables = numerics.fine_softmax_tables(scale, x_type.bits)
    numerator = round(1 / output[1])
    found = numerics.fine_softmax(x.reshape(1, -1), tables, numerator)[0]
    real = np.exp((x - x.max()) * scale)
    real *= numerator / real.sum()
    assert np.abs(found - real).max() <= 0.5 + 0.26
    steps = [int(item) for item in x.max() - x]
    shares = [int(tables[0][item % 256]) for item in steps]
    if x_type.bits == 16:
        pairs = zip(shares, steps, strict=True)
        shares = [share * int(tables[1][item // 256]) // 2**30 for share, item in pairs]
    total = sum(shares)
    for place in range(0, channels, max(1, channels // 50)):
        assert found[place] == round(Fraction(shares[place] * numerator, total))


def test_the_rounded_quotient_of_ties_and_of_nothing() -> None:
    values, divisors = np.array([3, 5, 7, 2, 0, 9]), np.array([2, 2, 2, 4, 5, 0])
    assert numerics.rounded_quotient(values, divisors).tolist() == [2, 2, 4, 0, 0, 0]


def test_exponentials_are_fine_where_16_bits_of_them_are_not_enough() -> None:
    views = [View(graph, graph.nodes[0]) for graph in SOFTMAX.samples()]
    fine = {"many", "most", "wide", "wide_in", "wide_out", "wide_many"}
    assert {view.graph.name for view in views if softmax.is_fine(view)} == fine


def test_heads_are_read_back_from_a_quantized_file(tmp_path: Path) -> None:
    """In the middle of a network and, quantized, at its end."""
    for name in ("heads", "wide_in"):
        graph = next(item for item in SOFTMAX.samples() if item.name == name)
        path = tmp_path / f"{name}_quantize.onnx"
        path.write_bytes(write_qdq(graph, {}).SerializeToString())
        (node,) = load_quantized(path).nodes
        assert (node.op, node.attributes, node.inputs, node.output) == (
            "Softmax", graph.nodes[0].attributes, ("x",), "y",
        )  # fmt: skip


def test_in_16_bits_its_output_has_16_too() -> None:
    batch = np.random.default_rng(0).normal(0, 1, (4, 8, 5, 6)).astype(np.float32)
    net = FloatNet()
    x = net.conv(net.input("x", 8, 5, 6), "a", 12)
    graph = net.build(net.conv(net.node("Softmax", (x,), "s", groups=3), "y", 10))
    results = {
        bits: quantize_graph(graph, Pictures(batch), Settings(bit_width=bits), threads=1)
        for bits in (8, 16)
    }
    found = {bits: result.graph.tensors["s"] for bits, result in results.items()}
    assert (found[8].dtype, found[16].dtype) == (U8, S16)
    assert found[8].scale == np.float32(1 / 255)
    assert found[16].scale == np.float32(1 / 32767)
    for bits, least in ((8, 20), (16, 55)):
        quantized = results[bits].graph
        verdict = judge(build(quantized, MAIN), quantized, graph, single("x", batch[:2]))
        verdict.check()
        assert verdict.sqnr_db > least
