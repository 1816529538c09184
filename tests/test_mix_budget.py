"""A mix within a budget of extra cycles: never exceeded, measured on both axes, deterministic."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from float_nets import RELU, FloatNet, Pictures
from knightlite import dtypes
from knightlite.api.quantization import clock_of
from knightlite.api.quantization.cycles import parse_budget
from knightlite.errors import UnsupportedError, UsageError
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.choices import MixBudget
from knightlite.quantize.data_free.workloads import RandomData
from knightlite.quantize.groups import features
from knightlite.quantize.mixed import mix_choice
from knightlite.quantize.mixed.cycles import Clock, wider_than
from knightlite.quantize.mixed.mix_budget import LEAST_SHARE, Point, pareto, search
from knightlite.quantize.mixed.mix_choice import _may_spend, choose_mix
from knightlite.quantize.pipeline import QuantizeResult, quantize_graph
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import Pin, Settings, Widths
from knightlite.quantize.statistics.observation_plan import observation_plan

SETTINGS = Settings(bias_correction="fast", equalize=False)
CHIP = "TX5368AV200"
CLOCK = clock_of(CHIP)


def branched() -> Graph:
    """Convolutions of unlike size and accuracy, a residual sum, a table, a pool."""
    net = FloatNet("branched")
    x = net.input("x", 3, 12, 12)
    a = net.conv(x, "a", 40, (3, 3), pads=(1,) * 4, clamp=RELU)
    b = net.conv(a, "b", 8)
    c = net.conv(net.hard_swish(net.conv(a, "c", 8), "t"), "d", 8, (3, 3), pads=(1,) * 4)
    p = net.pool(net.node("Add", (b, c), "s"), "p")
    return net.build(net.conv(net.conv(p, "e", 70), "y", 5))


def quantized(budget: MixBudget | None, **switches: Any) -> QuantizeResult:
    settings = replace(SETTINGS, mix_budget=budget, **switches)
    return quantize_graph(branched(), Pictures(), settings, threads=1, clock=CLOCK)


# ------------------------------------------------------------------ on a network


@pytest.mark.parametrize(
    "budget",
    [
        MixBudget(0),
        MixBudget(1),
        MixBudget(4.5),
        MixBudget(20),
        MixBudget(1000),
        MixBudget(500, absolute=True),
    ],
)
def test_a_budget_is_kept_by_the_program_as_it_is(budget: MixBudget) -> None:
    result = quantized(budget)
    cost = result.report["cycles"]
    assert cost["quantized"] == CLOCK.cycles(result.graph)
    assert cost["without_mix"] == CLOCK.cycles(quantized(None).graph)
    assert cost["quantized"] <= budget.limit(cost["without_mix"])
    points = result.report["mix_points"]
    (chosen,) = [row for row in points if row["chosen"]]
    assert chosen["extra_cycles"] == cost["quantized"] - cost["without_mix"]
    assert chosen["extra_percent"] == cost["mix_extra_percent"] or chosen["extra_cycles"] == 0
    assert chosen["within"]
    assert chosen["sqnr_db"] == max(row["sqnr_db"] for row in points if row["within"])
    for first, second in itertools.pairwise(points):
        assert first["extra_cycles"] < second["extra_cycles"]
        assert first["sqnr_db"] <= second["sqnr_db"]
    wide = {name for name in chosen["tensors"] if result.graph.tensors[name].dtype.bits == 16}
    assert wide == set(chosen["tensors"])


def test_a_budget_may_be_spent_to_the_last_cycle() -> None:
    """A mix of exactly so many more cycles is within the budget; of one more it is not."""
    exact = next(row for row in quantized(MixBudget(20)).report["mix_points"] if row["chosen"])
    extra = exact["extra_cycles"]
    assert extra > 0
    for budget in (extra, extra - 1):
        result = quantized(MixBudget(budget, absolute=True))
        (chosen,) = [row for row in result.report["mix_points"] if row["chosen"]]
        assert (chosen["tensors"] == exact["tensors"]) == (budget == extra)
        assert (chosen["extra_cycles"] == extra) == (budget == extra)
        within = [row["within"] for row in result.report["mix_points"]]
        assert within == [row["extra_cycles"] <= budget for row in result.report["mix_points"]]
    base = result.report["cycles"]["without_mix"]
    milliseconds = round((base + chosen["extra_cycles"]) * 1e3 / CLOCK.clock_hz, 4)
    assert chosen["latency_ms"] == milliseconds


def test_what_tables_read_is_wide_only_where_it_pays() -> None:
    """The rule makes "c" wide; without a cycle more, others do more for the outputs."""
    plain, mixed = quantized(None), quantized(MixBudget(0))
    assert [item.graph.tensors["c"].dtype.bits for item in (plain, mixed)] == [16, 8]
    assert mixed.report["cycles"]["quantized"] < plain.report["cycles"]["quantized"]
    decibels = [item.report["outputs"][0]["sqnr_db"] for item in (plain, mixed)]
    assert decibels[0] + 0.5 < decibels[1]


def test_more_cycles_give_more_accuracy() -> None:
    decibels = []
    for percent in (0, 5, 1000):
        (output,) = quantized(MixBudget(percent)).report["outputs"]
        decibels.append(output["sqnr_db"])
    assert decibels[0] + 1 < decibels[1]
    assert decibels[1] + 3 < decibels[2]


def test_what_is_no_better_at_16_bits_is_not_taken() -> None:
    """From 16 bits a Sqrt writes coarser steps than 8; taken as exact, "b" would seem to gain."""
    net = FloatNet("root")
    x = net.conv(net.input("x", 3, 12, 12), "a", 6, clamp=RELU)
    root = net.node("Table", (net.conv(x, "b", 6, clamp=RELU),), "r", function="Sqrt")
    graph = net.build(net.conv(net.conv(root, "c", 6), "y", 3))
    plain = quantize_graph(graph, Pictures(), SETTINGS, threads=1)
    settings = replace(SETTINGS, mix_budget=MixBudget(1000))
    mixed = quantize_graph(graph, Pictures(), settings, threads=1, clock=CLOCK)
    (chosen,) = [row for row in mixed.report["mix_points"] if row["chosen"]]
    assert {"c", "r"} <= set(chosen["tensors"])
    assert "b" not in chosen["tensors"]
    assert mixed.report["outputs"][0]["sqnr_db"] > plain.report["outputs"][0]["sqnr_db"] + 0.3


def test_the_same_input_gives_the_same_report() -> None:
    texts = [json.dumps(quantized(MixBudget(5)).report) for _ in range(2)]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("percent", [20, 1000])
def test_the_measured_point_is_the_network_that_comes_out(percent: float) -> None:
    """At a budget that leaves most at 8 bits, and where everything has 16."""
    result = quantized(MixBudget(percent))
    chosen = next(row for row in result.report["mix_points"] if row["chosen"])
    inputs = {"x": np.concatenate(Pictures().batches)}
    exact = session(write_float(branched()), 1).run(None, inputs)[0]
    fixed = session(write_qdq(result.graph, {}), 1).run(None, inputs)[0]
    axes = (0, 2, 3)
    energy = np.square(exact).mean(axis=axes)
    count = exact.size / exact.shape[1]
    drawn = (count * energy + 64 * energy.mean()) / (count + 64)
    noise = np.mean(np.square(fixed - exact).mean(axis=axes) / drawn)
    assert abs(chosen["sqnr_db"] + 10 * np.log10(noise)) < (0.1 if percent < 100 else 1.5)
    assert len(chosen["tensors"]) >= 2


@pytest.mark.parametrize(
    ("budget", "chip", "kind", "said"),
    [
        (MixBudget(-1), CHIP, UsageError, "must be 0 or more, not -1"),
        (MixBudget(float("nan")), CHIP, UsageError, "must be 0 or more, not nan"),
        (MixBudget(5), None, UsageError, "needs a chip whose time is predicted"),
        (MixBudget(5), "TX5105C", UnsupportedError, "TX5105C multiplies 8 bits only"),
    ],
)
def test_refusals(budget: MixBudget, chip: str | None, kind: type[Exception], said: str) -> None:
    clock = None if chip is None else clock_of(chip)
    settings = replace(SETTINGS, mix_budget=budget)
    with pytest.raises(kind, match=said):
        quantize_graph(branched(), Pictures(), settings, threads=1, clock=clock)


def test_a_network_that_the_chip_refuses_has_no_budget() -> None:
    def refuse(graph: Graph) -> int:
        raise UnsupportedError("node b cannot run.", "take another")

    clock = Clock(CHIP, 1000, (8, 16), refuse)
    settings = replace(SETTINGS, mix_budget=MixBudget(5))
    with pytest.raises(UnsupportedError, match="cannot be predicted: node b cannot run"):
        quantize_graph(branched(), Pictures(), settings, threads=1, clock=clock)
    report = quantize_graph(branched(), Pictures(), SETTINGS, threads=1, clock=clock).report
    assert (report["cycles"]["quantized"], report["cycles"]["extra_percent"]) == (None, None)
    assert report["cycles"]["reason"] == "node b cannot run."


# ------------------------------------------------------------------ what widths cost


def test_the_report_says_what_rules_cost() -> None:
    cost = quantized(None).report["cycles"]
    narrow = quantized(None, wide_tables=False, wide_heads=False, wide_middles=False)
    assert cost["all_8_bits"] == CLOCK.cycles(narrow.graph)
    assert cost["quantized"] > cost["all_8_bits"]  # "c" is read by a table
    assert cost["extra_percent"] == round(100 * (cost["quantized"] / cost["all_8_bits"] - 1), 2)
    assert cost["without_mix"] is None
    assert narrow.report["cycles"] is None  # nothing is wide, nothing to weigh


def test_the_report_says_what_an_automatic_mix_costs() -> None:
    result = quantized(None, auto_mix=("HAWQ", 0.5))
    cost = result.report["cycles"]
    assert cost["quantized"] == CLOCK.cycles(result.graph)
    assert cost["without_mix"] == CLOCK.cycles(quantized(None).graph)
    assert cost["mix_extra_percent"] > 5
    made = result.graph.tensors
    wide = [name for name in cost["wider"]["tensors"] if made[name].dtype.bits == 16]
    assert wide == cost["wider"]["tensors"] != []
    assert not set(wide) & set(result.graph.chip_outputs)  # wide in either
    reads = {node.name: node.inputs for node in result.graph.nodes}
    kinds = [made[reads[name][1]].dtype.bits for name in cost["wider"]["operators"]]
    assert kinds == [16] * len(kinds)
    assert quantize_graph(branched(), Pictures(), SETTINGS, threads=1).report["cycles"] is None


@pytest.mark.parametrize("bit_width", [8, 16])
def test_a_chip_of_8_bits_prices_what_it_runs(bit_width: int) -> None:
    settings = replace(SETTINGS, bit_width=bit_width)
    clock = clock_of("TX5105C")
    cost = quantize_graph(branched(), Pictures(), settings, threads=1, clock=clock).report["cycles"]
    assert cost["all_8_bits"] > 0
    assert (cost["quantized"] is None) == (bit_width == 16)
    assert ("8 bit" in (cost["reason"] or "")) == (bit_width == 16)


# ------------------------------------------------------------------ the search alone


@st.composite
def knapsacks(draw: st.DrawFn) -> tuple[list[float], list[int], list[list[int]], int]:
    """Noise and price of every unit, discounts of pairs, a budget."""
    count = draw(st.integers(1, 7))
    noises = draw(st.lists(st.floats(0, 10), min_size=count, max_size=count))
    prices = draw(st.lists(st.integers(0, 50), min_size=count, max_size=count))
    pairs = draw(st.lists(st.lists(st.integers(0, count - 1), min_size=2, max_size=2), max_size=4))
    return noises, prices, pairs, draw(st.integers(0, 120))


def solved(
    noises: Sequence[float],
    prices: Sequence[int],
    pairs: Sequence[Sequence[int]],
    budget: int,
    ruled: frozenset[int] = frozenset(),
) -> tuple[tuple[Point, ...], Point]:
    """The search on a problem in which two units of a pair share 3 cycles and some noise.

    ``ruled``: units that are wide at the start; the budget is on top of what they take.
    """

    def cycles(taken: frozenset[int]) -> int:
        shared = sum(3 for pair in pairs if set(pair) <= taken and len(set(pair)) == 2)
        return 1000 + max(0, sum(prices[index] for index in taken) - shared)

    def noise(taken: frozenset[int]) -> float:
        left = sum(item for index, item in enumerate(noises) if index not in taken)
        return 1 + left + sum(0.1 for pair in pairs if not taken.isdisjoint(pair))

    start = Point(ruled, cycles(ruled), noise(ruled))
    limit = start.cycles + budget
    points = search(start, noises, 1.0, limit, cycles, noise)
    for point in points:
        assert (point.cycles, point.noise) == (cycles(point.taken), noise(point.taken))
    kept = pareto(points, start.noise)
    return points, [point for point in kept if point.cycles <= limit][-1]


@given(knapsacks())
def test_no_point_beats_the_chosen_one_within_the_budget(problem: Any) -> None:
    points, best = solved(*problem)
    within = [point for point in points if point.cycles <= 1000 + problem[3]]
    assert best.noise == min(point.noise for point in within)
    kept = pareto(points, points[0].noise)
    for first, second in itertools.pairwise(kept):
        assert first.cycles < second.cycles
        assert first.noise > second.noise


@given(knapsacks(), st.integers(0, 127))
def test_what_is_wide_by_rule_is_never_beaten_by_what_is_chosen(problem: Any, bits: int) -> None:
    """Neither noisier nor beyond the budget, and cheaper where the rule was dear for nothing."""
    ruled = frozenset(index for index in range(len(problem[0])) if bits >> index & 1)
    noises, prices, pairs, budget = problem
    points, best = solved(noises, prices, pairs, budget, ruled)
    assert points[0].taken == ruled
    assert best.noise <= points[0].noise
    assert best.cycles <= points[0].cycles + budget


def test_a_dear_rule_gives_way_to_what_saves_more() -> None:
    points, best = solved([1.0, 8.0, 4.0], [100, 60, 30], [], 0, frozenset({0}))
    assert points[0].taken == {0}
    assert best.taken == {1, 2}


@given(knapsacks())
def test_at_least_half_of_the_best_there_is(problem: Any) -> None:
    """Noises that add up: the greedy choice or the best single unit reaches half of the optimum."""
    noises, prices, _, budget = problem
    points, best = solved(noises, prices, [], budget)
    least = LEAST_SHARE * points[0].noise
    worth = [index for index, item in enumerate(noises) if item >= least]
    optimum = 0.0
    for bits in range(1 << len(worth)):
        some = [index for place, index in enumerate(worth) if bits >> place & 1]
        if sum(prices[index] for index in some) <= budget:
            optimum = max(optimum, sum(noises[index] for index in some))
    assert points[0].noise - best.noise >= optimum / 2 - 0.02 * points[0].noise


def test_a_unit_that_becomes_dear_beside_another_is_looked_at_again() -> None:
    """Alone "1" is the better one; with "0" wide it costs more than it may."""

    def cycles(taken: frozenset[int]) -> int:
        return (
            100 + 10 * (0 in taken) + 10 * (1 in taken) + 30 * (taken >= {0, 1}) + 9 * (2 in taken)
        )

    def noise(taken: frozenset[int]) -> float:
        return 1.0 + sum((9.0, 6.0, 3.0)[index] for index in range(3) if index not in taken)

    start = Point(frozenset(), 100, noise(frozenset()))
    points = search(start, (9.0, 6.0, 3.0), 1.0, 130, cycles, noise)
    best = [point for point in pareto(points, start.noise) if point.cycles <= 130][-1]
    assert best.taken == {0, 2}


def test_no_more_is_spent_than_is_enough() -> None:
    """Of what reaches the SQNR the cheapest is taken, and a good network is left as it is."""
    spent = {}
    for enough in (0.0, 33.0, 38.0, math.inf):
        settings = Settings(mix_budget=MixBudget(50, enough_db=enough), equalize=False)
        result = quantize_graph(branched(), Pictures(), settings, clock=CLOCK)
        (chosen,) = [point for point in result.report["mix_points"] if point["chosen"]]
        cheaper = [
            point["sqnr_db"]
            for point in result.report["mix_points"]
            if point["extra_cycles"] < chosen["extra_cycles"]
        ]
        assert all(decibels < enough for decibels in cheaper)
        spent[enough] = chosen["extra_cycles"]
    assert spent[0.0] == 0 < spent[38.0] <= spent[math.inf]
    assert spent[33.0] < 0  # enough without what tables read at 16 bits


def test_an_efforts_budget_is_left_where_it_cannot_be_spent() -> None:
    budget = MixBudget(50, asked=False)
    plain = quantize_graph(branched(), Pictures(), Settings(equalize=False), clock=CLOCK)
    for settings, clock in (
        (Settings(mix_budget=budget, equalize=False), None),
        (Settings(mix_budget=budget, equalize=False), clock_of("TX5105C")),
    ):
        made = quantize_graph(branched(), Pictures(), settings, clock=clock)
        assert made.report["mix_points"] == []
        assert made.graph.tensors.keys() == plain.graph.tensors.keys()
        assert all(
            made.graph.tensors[name].dtype == tensor.dtype
            for name, tensor in plain.graph.tensors.items()
        )
    made = quantize_graph(
        branched(), Pictures(), Settings(mix_budget=budget, equalize=False), clock=CLOCK
    )
    assert len(made.report["mix_points"]) > 1


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("given", "spends"),
    [
        ({}, True),
        ({"mix": Widths(frozenset(["a"]))}, False),
        ({"mix": Widths(weights16=frozenset(["a"]))}, False),
        ({"auto_mix": ("HAWQ", 0.5)}, False),
        ({"widths": Widths()}, False),
        ({"bit_width": 16}, False),
        ({"pins": (Pin.of_integers("x", dtypes.U8),)}, True),
        ({"pins": (Pin.of_integers("x", dtypes.U8), Pin.of_integers("a", dtypes.U8))}, False),
    ],
)
def test_where_an_effort_may_spend_its_budget(
    given: dict[str, Any], spends: bool, asked: bool
) -> None:
    """Not where widths are given in whatever way; where the user asks for it the rules say so."""
    graph = branched()
    basis = Basis(
        graph, {}, observation_plan(graph), Settings(mix_budget=MixBudget(9, asked=asked), **given)
    )
    chips = {None: False, CLOCK: True, clock_of("TX5105C"): False}
    made_up = RandomData((graph.tensors["x"],))
    for clock, wide in chips.items():
        assert _may_spend(basis, Pictures(), clock) == (asked or (spends and wide))
        assert _may_spend(basis, made_up, clock) == asked


def test_what_is_wider_is_counted_one_by_one() -> None:
    """Tensors and weights with 16 bits where the other network has 8, and nodes it has not."""
    base = Settings(wide_tables=False, wide_heads=False, wide_middles=False, equalize=False)

    def made(**switches: Any) -> Graph:
        return quantize_graph(branched(), Pictures(), replace(base, **switches), threads=1).graph

    narrow = made(spread_channels=False)
    wide = made(bit_width=16)
    found = wider_than(wide, narrow)
    assert found["tensors"] == [
        name for name in features(wide) if narrow.tensors[name].dtype.bits == 8
    ]
    assert found["operators"] == [node.name for node in wide.nodes if node.op == "Conv"]
    assert found["requantized"] == 0
    assert wider_than(narrow, narrow) == {"tensors": [], "operators": [], "requantized": 0}
    for count in (0, 1, 3):
        fewer = replace(narrow, nodes=narrow.nodes[count:])
        assert wider_than(narrow, fewer)["requantized"] == count
        assert wider_than(fewer, narrow)["requantized"] == 0


def test_what_still_fits_is_taken_after_what_does_not() -> None:
    points, best = solved([10.0, 9.0, 2.0], [10, 10, 5], [], 15)
    assert best.taken == {0, 2}
    assert {0, 1} in [point.taken for point in points]  # looked at, and beyond


def test_many_quiet_units_are_taken_in_a_row() -> None:
    """Each is below what is worth a price of its own; together they are half of the noise."""
    count = 400
    noises = [1.0, *(1 / count - index * 1e-9 for index in range(count))]
    points, best = solved(noises, [7] + [1] * count, [], 107)
    assert best.taken == set(range(101))
    assert len(points) < 20


def test_a_set_that_cannot_be_is_no_point() -> None:
    def cycles(taken: frozenset[int]) -> int | None:
        return None if taken >= {0, 1} else 100 + len(taken)

    points = search(
        Point(frozenset(), 100, 11.0),
        (5.0, 5.0),
        1.0,
        200,
        cycles,
        lambda taken: 11.0 - 5 * len(taken),
    )
    assert {point.taken for point in points} == {frozenset(), frozenset({0})}


# ------------------------------------------------------------------ how a budget is written


@pytest.mark.parametrize(
    ("text", "budget", "limit"),
    [
        ("5", MixBudget(5), 10498),
        ("2.5%", MixBudget(2.5), 10248),
        ("0", MixBudget(0), 9999),
        ("20_000cycles", MixBudget(20000, absolute=True), 29999),
        ("100Cycles", MixBudget(100, absolute=True), 10099),
    ],
)
def test_budgets(text: str, budget: MixBudget, limit: int) -> None:
    assert parse_budget(text) == budget
    assert budget.limit(9999) == limit


@pytest.mark.parametrize("text", ["", "much", "5 apples", "%"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(UsageError, match="must be percent of extra cycles"):
        parse_budget(text)


def test_time_does_not_depend_on_scales() -> None:
    """The reason why a graph with any ranges tells the price."""
    first = quantized(None).graph
    scaled = [
        replace(tensor, scale=tensor.scale * np.float32(2))
        for tensor in first.tensors.values()
        if tensor.scale is not None
    ]
    assert CLOCK.cycles(first.with_tensors(scaled)) == CLOCK.cycles(first)


@pytest.mark.parametrize("asked", [False, True])
def test_a_chip_that_cannot_run_the_network_ends_only_what_was_asked_for(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An effort's own budget is left out then: ``compile`` says why it does not run."""

    def refused(*_: Any) -> Any:
        raise UnsupportedError("no.")

    monkeypatch.setattr(mix_choice, "budgeted_mix", refused)
    monkeypatch.setattr(mix_choice, "_may_spend", lambda *_: True)
    monkeypatch.setattr(mix_choice, "assign", lambda basis: basis.settings.mix_budget)
    monkeypatch.setattr(Basis, "of", lambda *_: None)
    graph = branched()
    settings = replace(SETTINGS, mix_budget=MixBudget(0.1, asked=asked))
    basis = Basis(graph, {}, observation_plan(graph), settings)
    seen: Any = SimpleNamespace(sample=())

    def chosen() -> Any:
        return choose_mix(basis, graph, graph, Pictures(), seen, 1, CLOCK)

    if asked:
        with pytest.raises(UnsupportedError):
            chosen()
    else:
        assert chosen().assignment is None
        assert chosen().settings == replace(settings, mix_budget=None)
