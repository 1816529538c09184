"""Tables of 16-bit tensors that are made longer, or bounded, for what they write."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import conformance_checks as checks
from float_nets import FloatNet
from knightlite import dtypes
from knightlite.ir import Graph
from knightlite.ops import View, wide_table
from knightlite.ops.table_functions import EXPRESSION, steps_of
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.settings import Pin, Settings

WIDE = Settings(bit_width=16, equalize=False, bias_correction="off")
BY_USER = replace(WIDE, lut_len=10)
SWISH = (
    "Add x 3.0", "Clip %1 alpha=0.0 beta=6.0", "Mul x %2", "Div %3 6.0", "Mul %4 0.4",
    "Add %5 -0.25",
)  # fmt: skip
ROOT = ("Add x 1e-05", "Sqrt %1", "Reciprocal %2")


class Values:
    """Four pictures of values between two bounds, evenly by their logarithms or not."""

    description = "values"

    def __init__(self, low: float, high: float, logarithms: bool) -> None:
        rng = np.random.default_rng(5)
        first, last = (float(np.log(end)) if logarithms else end for end in (low, high))
        drawn = rng.uniform(first, last, size=(4, 1, 8, 12, 12))
        self.pictures = (np.exp(drawn) if logarithms else drawn).astype(np.float32)

    def run(self, forward: Any) -> None:
        for picture in self.pictures:
            forward((picture,))


def net(*steps: str) -> Graph:
    made = FloatNet("fit")
    x = made.input("x", 8, 12, 12)
    table = made.node("Table", (x,), "t", function=EXPRESSION, steps=steps)
    return made.build(made.affine(table, "y"))


def quantized(graph: Graph, data: Values, settings: Settings = WIDE) -> QuantizeResult:
    return quantize_graph(graph, data, settings, threads=1)


def table_of(result: QuantizeResult) -> View:
    (node,) = (node for node in result.graph.nodes if node.op == "Table")
    return View(result.graph, node)


def sqnr(result: QuantizeResult) -> float:
    return float(result.report["outputs"][0]["sqnr_db"])


def test_a_reciprocal_root_of_values_that_spread_twentyfold() -> None:
    """It keeps 16 bits on both sides; with lines near 0 it would read 8 and keep 30 dB."""
    made = quantized(net(*ROOT), Values(0.1, 2, True))
    view = table_of(made)
    assert [made.graph.tensors[name].dtype for name in ("x", "t")] == [dtypes.S16] * 2
    assert wide_table.lut_length(view) == 11
    bound = steps_of(view.node)[0]
    assert (bound.op, bound.operands) == ("Clip", (0,))
    low, high = (float(bound.parameters[key]) for key in ("alpha", "beta"))
    assert 0.03 < low < 0.1 < 2 < high < 8
    assert sqnr(made) > 50
    assert not [item for item in made.warnings if "stays at 8 bits" in str(item)]


def test_a_length_by_the_user_stays() -> None:
    made = quantized(net(*ROOT), Values(0.1, 2, True), BY_USER)
    assert wide_table.lut_length(table_of(made)) == 10


def test_the_range_ends_where_the_function_is_constant() -> None:
    """-40 is as good as -3: the codes are spent on -3 to 5, and 3 lies on an entry."""
    made = quantized(net(*SWISH), Values(-40, 2.5, False))
    view = table_of(made)
    assert float(view.scale(0)) * 32767 == pytest.approx(5, rel=0.14)  # 2.5 with headroom
    entries = 3 / (float(view.scale(0)) * wide_table.interval(view))
    assert entries == pytest.approx(round(entries), abs=1e-4)
    assert sqnr(made) > 70


def test_nothing_is_fitted_where_lines_are_fine() -> None:
    made = quantized(net("Sigmoid x", "Mul x %1"), Values(-4, 4, False))
    view = table_of(made)
    assert wide_table.lut_length(view) == 10
    assert [step.op for step in steps_of(view.node)] == ["Sigmoid", "Mul"]


def test_its_own_scales_by_hand_give_the_same_network() -> None:
    data = Values(0.1, 2, True)
    free = quantized(net(*ROOT), data).graph
    pins = tuple(
        Pin(name, tensor.dtype, np.asarray(tensor.scale, np.float32), "scales.json")
        for name, tensor in free.tensors.items()
        if name in ("x", "t", "y")
    )
    pinned = quantized(net(*ROOT), data, replace(WIDE, pins=pins)).graph
    assert pinned.nodes == free.nodes
    for name, tensor in pinned.tensors.items():
        assert np.asarray(tensor.scale) == np.asarray(free.tensors[name].scale), name


@pytest.mark.parametrize("chip", ["TX5368AV200", "TX5112CV201"])
def test_byte_for_byte(chip: str) -> None:
    graph = quantized(net(*ROOT), Values(0.1, 2, True)).graph
    checks.assert_exact(graph, checks.build(graph, chip), np.random.default_rng(4))
