"""A tensor that 16 bits would make coarser than 8 stays at 8, and is said to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import conformance_checks as checks
from float_nets import RELU, FloatNet, Pictures
from knightlite import dtypes, ops
from knightlite.ir import Graph
from knightlite.ops import functions, table_functions
from knightlite.quantize.mixed.auto_mix import automatic_mix
from knightlite.quantize.mixed.mix_config import read_mix
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics.passes import observe
from quantized_nets import QuantizedNet

PLAIN = Settings(equalize=False, bias_correction="off")
WIDE = replace(PLAIN, bit_width=16)
ROOT_OF_SIZE: dict[str, Any] = {
    "function": table_functions.EXPRESSION,
    "steps": ("Abs x", "Sqrt %1"),
}
STEEP: dict[str, dict[str, Any]] = {
    "Sqrt": {"function": "Sqrt"},
    "root of size": ROOT_OF_SIZE,
    "Floor": {"function": "Floor"},
    "Sign": {"function": "Sign"},
}


def net(attributes: dict[str, Any]) -> Graph:
    """Convolutions and a table between them: x -> a -> b -> r (the table) -> c -> y."""
    made = FloatNet("steep")
    x = made.conv(made.input("x", 3, 12, 12), "a", 6, clamp=RELU)
    r = made.node("Table", (made.conv(x, "b", 6, clamp=RELU),), "r", **attributes)
    return made.build(made.conv(made.conv(r, "c", 6), "y", 3))


def quantized(graph: Graph, settings: Settings) -> QuantizeResult:
    return quantize_graph(graph, Pictures(), settings, threads=1)


def scale(result: QuantizeResult, name: str) -> float:
    found = result.graph.tensors[name].scale
    assert found is not None
    return float(found)


def sqnr(result: QuantizeResult) -> float:
    return float(result.report["outputs"][0]["sqnr_db"])


@pytest.mark.parametrize("attributes", STEEP.values(), ids=STEEP)
def test_what_a_steep_table_reads_stays_at_8_bits(attributes: dict[str, Any]) -> None:
    graph = net(attributes)
    narrow, wide = quantized(graph, PLAIN), quantized(graph, WIDE)
    assert wide.graph.tensors["b"].dtype == dtypes.U8
    assert {wide.graph.tensors[name].dtype for name in "xarcy"} == {dtypes.S16}
    assert scale(wide, "r") < scale(narrow, "r") / 50
    assert sqnr(wide) > sqnr(narrow) - 0.5  # lines across the steep place cost 6 to 15
    (said,) = [str(item) for item in wide.warnings if item.where == "b"]
    assert said.startswith("b: it stays at 8 bits: Table r: between 16-bit tensors it cannot write")
    assert f"and those of 8 bits are {scale(narrow, 'r'):.3g}. Hint: where 8 bits are" in said


@pytest.mark.parametrize("attributes", STEEP.values(), ids=STEEP)
def test_byte_for_byte(attributes: dict[str, Any]) -> None:
    graph = quantized(net(attributes), WIDE).graph
    built = checks.build(graph, "TX5368AV200")
    checks.assert_exact(graph, built, np.random.default_rng(4))


@pytest.mark.parametrize("function", sorted(functions.FUNCTIONS))
@pytest.mark.parametrize("delivered", [False, True], ids=["inside", "delivered"])
def test_no_function_writes_16_bits_in_coarser_steps_than_8(function: str, delivered: bool) -> None:
    """Also where the result is delivered, in 16 bits whatever it is made of."""
    made = FloatNet("one")
    attributes: dict[str, Any] = {"function": function, **functions.FUNCTIONS[function].parameters}
    positive = made.conv(
        made.input("x", 3, 12, 12), "b", 6, clamp=(0.125, 8.0), bias=np.full(6, 1.0)
    )
    r = made.node("Table", (positive,), "r", **attributes)
    graph = made.build(r if delivered else made.conv(r, "y", 3))
    largest = float(observe(graph, Pictures(), None, 1).statistics["r"].absmax[0])
    wide = quantized(graph, WIDE)
    tensor = wide.graph.tensors["r"]
    if delivered:
        assert tensor.dtype == dtypes.S16
    if tensor.dtype == dtypes.S16:
        assert scale(wide, "r") < largest / 127
    smooth = ("Cos", "Elu", "HardSwish", "Identity", "Mish", "Sigmoid", "Sin", "Softplus", "Tanh")
    if function in smooth:
        assert {wide.graph.tensors[name].dtype.bits for name in "br"} == {16}


def test_a_mix_by_hand_says_what_stays_at_8_bits() -> None:
    graph = net(STEEP["Sqrt"])
    entries = [{"op_names": ["r", "c"], "bitwidth": 16}]
    mix = read_mix(json.dumps(entries), "mix.json", graph).widths
    assert {"b", "r"} <= mix.wide
    result = quantized(graph, replace(PLAIN, mix=mix))
    assert [result.graph.tensors[name].dtype.bits for name in ("b", "r")] == [8, 16]
    (said,) = [str(item) for item in result.warnings]
    assert said.startswith("b: it stays at 8 bits: Table r: between 16-bit tensors")


def test_an_automatic_mix_spends_nothing_on_what_stays_at_8_bits() -> None:
    made = FloatNet("beside")
    x = made.conv(made.input("x", 3, 12, 12), "a", 6, clamp=RELU)
    b = made.conv(x, "b", 6, clamp=RELU)
    r = made.node("Table", (b,), "r", function="Floor")
    sums = made.node("Add", (made.conv(b, "c", 6), made.conv(r, "d", 6)), "s")
    graph = made.build(made.conv(sums, "y", 3))
    settings = replace(PLAIN, auto_mix=("HAWQ", 1.0))
    seen = observe(graph, Pictures(), None, 1)
    widths, rows = automatic_mix(Basis.of(graph, seen, settings), Pictures(), seen.sample, 1)
    assert {tuple(row["tensors"]): row["bits"] for row in rows} == {
        ("x",): 16, ("a",): 16, ("b",): 8, ("r",): 16, ("s",): 16,
    }  # fmt: skip
    assert "b" not in widths.wide
    result = quantized(graph, replace(PLAIN, mix=widths))
    assert [result.graph.tensors[name].dtype.bits for name in "xabrs"] == [16, 16, 8, 16, 16]
    assert [item.where for item in result.warnings] == ["r"]  # its steps, not the widths


def test_a_result_gets_8_bits_where_they_are_what_the_operator_can_write() -> None:
    """Headroom before an Exp squares its largest value; 8 bits saturate beyond what was seen."""
    made = FloatNet("exp")
    b = made.conv(made.input("x", 3, 12, 12), "b", 6, clamp=(-6.0, 6.0), bias=np.full(6, 9.0))
    r = made.node("Table", (b,), "r", function="Exp")
    graph = made.build(made.conv(r, "y", 3))
    result = quantized(graph, WIDE)
    assert [result.graph.tensors[name].dtype.bits for name in ("b", "r")] == [16, 8]


def test_a_difference_of_nearly_equal_tensors_stays_at_8_bits() -> None:
    made = FloatNet("difference")
    x = made.conv(made.input("x", 3, 12, 12), "a", 3)
    identity = np.eye(3).reshape(3, 3, 1, 1)
    near = [
        made.conv(x, name, 3, weights=identity * (1 + off), bias=np.zeros(3))
        for name, off in (("b", 0.0), ("c", 2e-6))
    ]
    graph = made.build(made.conv(made.node("Sub", tuple(near), "d"), "y", 3))
    result = quantized(graph, WIDE)
    assert [result.graph.tensors[name].dtype.bits for name in "bcd"] == [16, 16, 8]
    said = [str(item) for item in result.warnings if item.where == "d"]
    assert said
    assert "Sub d: between 16-bit tensors it cannot write d in steps finer than" in said[0]


@pytest.mark.parametrize("scales", [(1e-2, 1e-2), (1e-2, 1e-5), (1e-5, 1e-2), (3e-3, 1e-3)])
@pytest.mark.parametrize("kinds", [(dtypes.S16, dtypes.S16), (dtypes.U8, dtypes.S16)])
@pytest.mark.parametrize("op", ["Add", "Sub", "Max"])
def test_a_sum_at_its_finest_step_is_within_one(
    op: str, kinds: tuple[dtypes.DType, dtypes.DType], scales: tuple[float, float]
) -> None:
    """Half a step by the factors, which share a shift, and half by the result's own rounding."""

    def net(step: float) -> Graph:
        made = QuantizedNet()
        for name, dtype, scale in zip("ab", kinds, scales, strict=True):
            made.builder.input(name, (1, 40, 1, 1), dtype, scale)
        return made.build(made.node(op, ("a", "b"), "y", dtypes.S16, step))

    finest = ops.BY_NAME[op].finest_step(ops.View(net(1.0), net(1.0).nodes[0]))
    graph = net(finest)
    rng = np.random.default_rng(0)
    a = rng.integers(kinds[0].minimum, kinds[0].maximum + 1, 40)
    a[:10] = rng.integers(0, 9, 10)
    opposite = a * scales[0] / scales[1] * (1 if op == "Sub" else -1)  # they nearly cancel
    b = np.clip(np.rint(opposite) + rng.integers(-9, 9, 40), -32768, 32767).astype(np.int64)
    combine = {"Add": np.add, "Sub": np.subtract, "Max": np.maximum}[op]
    exact = combine(a * np.float64(np.float32(scales[0])), b * np.float64(np.float32(scales[1])))
    view = ops.View(graph, graph.nodes[0])
    inputs = tuple(
        item.astype(kind.numpy).reshape(1, 40, 1, 1)
        for item, kind in zip((a, b), kinds, strict=True)
    )
    found = ops.BY_NAME[op].reference(view, inputs).ravel().astype(np.int64)
    within = np.abs(found) < dtypes.S16.maximum
    assert within.sum() > 5
    error = np.abs(found * float(view.output_scale) - exact)[within]
    assert error.max() <= 1.01 * float(view.output_scale)
