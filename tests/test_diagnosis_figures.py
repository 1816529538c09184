"""Every figure of a diagnosis beside another one: layers, costs, remedies and the page, by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite import dtypes
from knightlite.diagnosis import page, places, remedies, run
from knightlite.diagnosis.causes import (
    CLIPPED,
    DATA_RANGE,
    FEW_BITS,
    RAISED,
    RARE,
    SPREAD,
    Suspect,
)
from knightlite.diagnosis.findings import Diagnosis, Finding, LayerQuality
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.places import Mended, Place
from knightlite.diagnosis.preprocessing import Preprocessing
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.remedies import Remedy, Switch
from knightlite.evaluation import Paired
from knightlite.ir import Graph, Tensor
from knightlite.metrics import Difference


def sums(energy: float = 8.0, **parts: float) -> Sums:
    """Of two channels alike; every sum another one."""
    values = {
        "rounding": 0.08, "clipping": 0.0008, "weights": 0.8, "alone": 4.0, "total": 0.4,
        "quantized_energy": 2.0, "product": 3.0, "minimum": -1.0, "maximum": 1.0, **parts,
    }  # fmt: skip
    return Sums(*(np.full(2, value / 2) for value in (energy, *values.values())))


def network() -> Graph:
    """x, a Conv, its table, and a Conv behind."""
    net = FloatNet()
    a = net.conv(net.input("x", 2, 1, 1), "a", 2)
    return net.build(net.conv(net.hard_swish(a, "t"), "b", 2))


def quantized(graph: Graph, wide: str = "") -> Graph:
    return graph.with_tensors(
        [
            Tensor(item.name, item.shape, dtypes.S16 if name in wide else dtypes.S8,
                   np.asarray(1, np.float32))
            for name, item in graph.tensors.items()
            if name in ("x", "a", "t", "b")
        ]
    )  # fmt: skip


def test_what_a_layer_keeps() -> None:
    """10 log10 of 8 over each sum; the cosine of 3 / sqrt(8 * 2)."""
    graph = network()
    found = run._quality(graph, quantized(graph, "a"), "a", sums())
    assert found == LayerQuality("a", "Conv", "s16", 3.01, 13.01, 0.75, 10.0, 20.0, 40.0, 20.0)
    table = run._quality(graph, quantized(graph), "t", sums())
    assert (table.op, table.type, table.weights_db) == ("Table", "s8", None)
    assert run._quality(graph, quantized(graph), "x", sums()).op == run.INPUT
    assert run._quality(graph, quantized(graph), "b", sums(product=9.0)).cosine == 1.0
    assert run._quality(graph, quantized(graph), "b", sums(quantized_energy=0.0)).cosine == 1.0


# ------------------------------------------------------------------ where nothing else has a name


def few_bits(
    costs: dict[str, float], measured: dict[str, Sums], wide: str = ""
) -> list[tuple[Any, ...]]:
    """Places by the cost of the weights of a node, or else of its first tensor."""
    graph = network()
    trial: Any = SimpleNamespace(
        graph=graph,
        quantized=quantized(graph, wide),
        score=lambda mended: None,
        cost=lambda suspect, base, mended: costs[
            f"w{suspect.weights[0]}" if suspect.weights else suspect.tensors[0]
        ],
    )
    return [
        (item.suspect.layer, item.cost_db, item.suspect.tensors, item.suspect.weights, item.suspect)
        for item in places.few_bits(trial, measured)
    ]


COSTS = {"x": 0.5, "a": 3.0, "t": 1.0, "b": 2.9, "wa": 4.0, "wb": 3.5}


def test_the_two_dearest_of_what_8_bits_are_few_for() -> None:
    measured = {name: sums() for name in "xatb"}
    found = few_bits(COSTS, measured)
    assert [item[:4] for item in found] == [
        ("a", 4.0, (), ("a",)), ("b", 3.5, (), ("b",))
    ]  # fmt: skip
    assert found[0][4].sentence == "8-bit weights keep no more than 10.0 dB of what they compute"
    cheap = dict.fromkeys(("wa", "wb"), 0.0)
    (only,) = few_bits(COSTS | cheap, measured)
    assert only[:4] == ("a", 3.0, ("a",), ())
    assert only[4].sentence == (
        "its range fits, but 8 bits keep no more than 20.0 dB of it; nothing else at this place "
        "has a name"
    )
    assert only[4].facts == {"sqnr_db": pytest.approx(20.0)}
    (other,) = few_bits(COSTS | cheap | {"b": 3.0}, measured, wide="a")
    assert other[0] == "b"  # a has its 16 bits


@pytest.mark.parametrize(
    ("dearest", "more"),
    [(0.09, ""), (0.1, "; t costs most, 0.1 dB"), (2.96, "; t costs most, 3.0 dB")],
)
def test_errors_that_add_up(dearest: float, more: str) -> None:
    """Of the layers, to which inputs do not belong, those below 40 dB alone."""
    measured = {"x": sums(), "a": sums(), "t": sums(alone=8e-4), "b": sums(alone=8.1e-4)}
    (item,) = few_bits(dict.fromkeys(COSTS, 0.0) | {"t": dearest}, measured)
    layer, cost, *_, suspect = item
    assert (layer, cost) == (places.EVERYWHERE, 0.0)
    assert suspect.sentence == (
        "no single place makes the loss: 2 of 3 layers keep less than 40 dB alone, and their "
        f"errors add up{more}"
    )
    assert suspect.facts["layers"] == 2
    assert suspect.facts["dearest"][0] == "t"


# ------------------------------------------------------------------ remedies


def case(**more: Any) -> Any:
    graph = network()
    values = {"graph": graph, "quantized": quantized(graph), "before": Score(10.0, None),
              "judge": None, "wanted": None, "workload": None, "clock": None}  # fmt: skip
    return SimpleNamespace(**values | more)


def suspect(**more: Any) -> Suspect:
    values: dict[str, Any] = {
        "cause": SPREAD, "layer": "a", "sentence": "s", "tensors": ("a",), "weights": (),
        "kept_db": 1.0, "facts": {}, **more,
    }  # fmt: skip
    return Suspect(*values.values())


def tried(monkeypatch: pytest.MonkeyPatch, gains: list[float], mended: Mended) -> str:
    """Names of remedies, with such gains upon 10 dB (20 where others are mended), as told."""
    switches = [(Switch(f"r{at}", (f"-{at}",)), lambda at=at: at) for at in range(len(gains))]
    monkeypatch.setattr(remedies, "_candidates", lambda *_: switches)
    base = 10.0 if mended == Mended() else 20.0

    def score(graph: Any, made: Any, judge: Any, mended: Any) -> Score:
        return Score(base + (gains[made] if isinstance(made, int) else 0.0), None)

    monkeypatch.setattr(remedies, "mended_score", score)
    place = Place(1.0, suspect(), mended)
    calls: list[None] = []
    found = remedies.try_remedies(case(), place, {}, lambda: calls.append(None))
    assert len(calls) == remedies.remedy_count(case(), place) == len(gains)
    assert all(item.before.sqnr_db == base for item in found)
    return " ".join(item.switch for item in found)


@pytest.mark.parametrize("mended", [Mended(), Mended(("x",))])
@pytest.mark.parametrize(
    ("gains", "order"),
    [
        ([], ""),
        ([2.0, 8.0, 5.0], "r1 r2 r0"),
        ([7.5, 8.0, 5.0], "r0 r1 r2"),  # as good, and cheaper
        ([0.2, 0.1, 0.5], "r2 r0 r1"),  # none helps
        ([-3.0, -1.0], "r1 r0"),
    ],
)
def test_the_cheapest_of_those_that_help_most_is_first(
    monkeypatch: pytest.MonkeyPatch, gains: list[float], order: str, mended: Mended
) -> None:
    assert tried(monkeypatch, gains, mended) == order


@pytest.mark.parametrize(
    ("cause", "weights", "left", "named"),
    [
        (RAISED, ("a",), 0.0375, True),  # half of what the place made is gone
        (RAISED, ("a",), 0.04, False),  # what it wins is won elsewhere
        (FEW_BITS, ("a",), 0.04, True),
        (SPREAD, (), 0.04, True),
    ],
)
def test_what_leaves_a_cause_in_weights_is_no_remedy_of_it(
    monkeypatch: pytest.MonkeyPatch, cause: str, weights: tuple[str, ...], left: float, named: bool
) -> None:
    """Before: an error of 0.1, of which 0.075 is the place's; after, ``left`` of 0.05 is."""
    errors = {False: (0.1, 0.025), True: (0.05, 0.05 - left)}

    def score(graph: Any, made: Any, judge: Any, mended: Mended) -> Score:
        return Score(-10 * float(np.log10(errors[made == "again"][bool(mended.weights)])), None)

    switches = [(Switch("again"), lambda: "again"), (Switch("new", reweighs=True), lambda: "again")]
    monkeypatch.setattr(remedies, "_candidates", lambda *_: switches)
    monkeypatch.setattr(remedies, "mended_score", score)
    place = Place(4.0, suspect(cause=cause, tensors=(), weights=weights))
    found = remedies.try_remedies(case(), place, {}, lambda: None)
    assert [item.switch for item in found] == (["again", "new"] if named else ["new"])


def test_what_cannot_be_made_is_no_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was tried for one place serves another that is seen as it was."""
    made: list[str] = []

    def make(name: str, result: Any) -> Any:
        return lambda: made.append(name) or result  # type: ignore[func-returns-value]

    switches = [(Switch("none"), make("none", None)), (Switch("some"), make("some", 3))]
    monkeypatch.setattr(remedies, "_candidates", lambda *_: switches)
    monkeypatch.setattr(remedies, "mended_score", lambda *_: Score(12.0, None))
    known: Any = {}
    for place in (Place(1.0, suspect()), Place(2.0, suspect(layer="b")),
                  Place(1.0, suspect(), Mended(("x",)))):  # fmt: skip
        found = remedies.try_remedies(case(), place, known, lambda: None)
        assert [item.switch for item in found] == ["some"]
    assert made == ["none", "some", "none", "some"]


def test_operators_that_a_mix_makes_wide() -> None:
    """Of weights their own; of a scale group one reader that computes."""
    graph = network()
    assert remedies.wide_operators(graph, suspect(weights=("b", "a"))) == ("a", "b")
    assert remedies.wide_operators(graph, suspect(tensors=("a",))) == ("t",)
    assert remedies.wide_operators(graph, suspect(tensors=("x", "t"))) == ("a", "b")
    assert remedies.wide_operators(graph, suspect(tensors=("b",))) == ()


@pytest.mark.parametrize(
    ("operators", "told"),
    [
        ("t", "16 bits for what t reads"),
        ("a", "16 bits for the weights of a and what it reads"),
        ("t a", "16 bits for the weights of t, a and what they read"),
        ("t u v w z", "16 bits for what t, u, v and 2 more read"),
        ("t u v", "16 bits for what t, u, v read"),
    ],
)
def test_what_16_bits_are_for(operators: str, told: str) -> None:
    assert remedies._bits_for(network(), tuple(operators.split())) == told


def test_cycles_that_16_bits_cost() -> None:
    """Priced once each; in percent of the network as it is; said to be told elsewhere if not."""
    asked: list[Any] = []
    times = {"plain": 2000, "wide": 2050, "narrow": 1990}

    def price(made: Any) -> int:
        asked.append(made)
        return times[made]

    clock: Any = SimpleNamespace(cycles=price, chip="C", level=0)
    known: dict[str, int | None] = {}

    def told(name: str | None, words: tuple[str, ...] = (), clock: Any = clock) -> str:
        remedy = Remedy(
            f"quant {name}", Score(1.0, None), Score(2.0, None), words=words,
            priced=None if name is None else lambda: name,  # type: ignore[arg-type, return-value]
        )  # fmt: skip
        return remedies.extra_cycles(case(clock=clock, quantized="plain"), remedy, known)

    level = " (predicted at schedule level 0)"
    elsewhere = "; `knightlite compile` and `knightlite profile` tell the cycles that it costs"
    assert told("wide") == "; 2,000 -> 2,050 cycles on C, +2.50 %" + level
    assert told("narrow") == "; 2,000 -> 1,990 cycles on C, -0.50 %" + level
    assert told("wide") == "; 2,000 -> 2,050 cycles on C, +2.50 %" + level
    assert asked == ["plain", "wide", "narrow"]
    assert told(None) == ""
    assert told(None, ("-r", "auto_quant")) == elsewhere
    assert told("wide", clock=None) == elsewhere


def remedy(before: float, after: float, **more: Any) -> Remedy:
    return Remedy("quant -qm kl", Score(before, more.pop("metric", None)),
                  Score(after, more.pop("better", None)), **more)  # fmt: skip


@pytest.mark.parametrize(
    ("cause", "helpful", "told"),
    [
        (CLIPPED, (),
         "none of the remedies tried helps here by a decibel; quantization-aware training may"),
        (CLIPPED, (remedy(10.04, 20.06), remedy(1, 2)), "quant -qm kl: 10.0 -> 20.1 dB"),
        (CLIPPED, (remedy(10, 20, metric=0.5, better=0.75),),
         "quant -qm kl: 10.0 -> 20.0 dB, metric 0.5 -> 0.75 (+50.00 %, no interval, as it is no "
         "top-1)"),
        (DATA_RANGE, (remedy(10, 20),),
         "quant -qm kl: 10.0 -> 20.0 dB; calibrate with the recipe and the pictures that the "
         "network will see"),
    ],
)  # fmt: skip
def test_advice(cause: str, helpful: tuple[Remedy, ...], told: str) -> None:
    assert run._advice(suspect(cause=cause), helpful) == told


@pytest.mark.parametrize(("gains", "kept"), [([1.0, 0.99, 3.0], 2), ([0.99, 0.5], 1), ([], 0)])
def test_what_is_shown_of_remedies(
    gains: list[float], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that help by a decibel, else the first alone; many operators have a file."""
    made = [remedy(10.0, 10.0 + gain) for gain in gains]
    monkeypatch.setattr(run, "try_remedies", lambda *_: made)
    monkeypatch.setattr(run, "extra_cycles", lambda *_: ", and so many cycles")
    monkeypatch.setattr(run, "wide_operators", lambda *_: ["o", "p", "q", "r"])
    place = Place(2.345, suspect(layer="a", facts={"k": 1}), Mended(("x",)))
    found = run._finding(case(), place, {}, {}, lambda: None)
    assert len(found.remedies) == kept
    assert (found.layer, found.node, found.cost_db, found.cause) == ("a", "a", 2.35, SPREAD)
    assert found.facts["mix"] == [{"op_names": ["o", "p", "q", "r"], "bitwidth": 16}]
    end = ", and so many cycles" if kept > 1 else ""
    assert found.advice.endswith(f"{end}, where what is above is mended")
    alone = Place(0.0, suspect(layer=places.EVERYWHERE))
    assert run._finding(case(), alone, {}, {}, lambda: None).cost_db is None


# ------------------------------------------------------------------ the whole


def diagnosis(**more: Any) -> Diagnosis:
    values: dict[str, Any] = {
        "layers": (), "findings": (), "score": Score(12.346, 0.625), "float_metric": 0.75,
        "pictures": 40, "preprocessing": Preprocessing("0..1", 0.75), "statistics": {}, "sums": {},
        "quantized": network(),
    }  # fmt: skip
    return Diagnosis(**values | more)


def test_what_the_metric_is_behind() -> None:
    """With its interval: of answers in points, of a measure of the data's own in its unit."""
    paired = Paired(40, 6, 1)
    low, high = paired.interval
    assert low < paired.drop < high
    found = diagnosis(against=paired)
    assert found.drop == {"drop": 12.5, "low": low, "high": high}
    assert found.difference == paired.gain
    own = Difference(0.5, 0.25, 0.125, 0.375)
    found = diagnosis(against=paired, measured=own)
    assert found.drop == {"drop": own.drop, "low": own.low, "high": own.high}
    assert found.difference == own.gain
    found = diagnosis()
    assert found.drop is None
    assert found.difference == "-0.1250 over 40 pictures: no interval, as it is no top-1"
    assert diagnosis(float_metric=None).difference is None


def test_the_summary_of_the_page() -> None:
    def cells(found: Diagnosis) -> list[str]:
        return re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", page._summary(found))

    assert cells(diagnosis(against=Paired(40, 6, 1))) == [
        "SQNR of the worst output", "12.35 dB",
        "pictures", "40", "metric, float model", "0.750", "metric, quantized model", "0.625",
        "metric, difference", Paired(40, 6, 1).gain, "preprocessing", "0..1",
    ]  # fmt: skip
    bare = diagnosis(score=Score(None, None), float_metric=None)
    assert cells(bare) == [
        "SQNR of the worst output", "exact", "pictures", "40", "preprocessing", "0..1"
    ]  # fmt: skip


def test_why_a_layer_is_plotted() -> None:
    layers = tuple(
        LayerQuality(name, "Conv", "s8", 10.0 + at, 20.0 + at, 1.0, None, 0.0, 0.0, 0.0)
        for at, name in enumerate("ab")
    )
    finding = Finding(FEW_BITS, "b", "b", "s", 1.0, (), "advice", {})
    found = diagnosis(layers=layers, findings=(finding, finding))
    assert page._why(found, "a") == (
        "Layer 0, Conv, s8: 10.0 dB alone, 20.0 dB in the whole network; shown as one of those "
        "that keep least alone."
    )
    assert page._why(found, "b") == (
        "Layer 1, Conv, s8: 11.0 dB alone, 21.0 dB in the whole network; shown as cause 1 and "
        "cause 2."
    )


def test_rare_activations_that_no_other_range_mends_are_told() -> None:
    """Those that one mends stay findings, and so do the causes, whatever helps them."""
    by_range = replace(remedy(10.0, 11.0), words=("-qm", "kl"))
    wide = replace(remedy(10.0, 20.0), words=("-b", "16"))
    assert (by_range.is_range, wide.is_range) == (True, False)

    def found(layer: str, *remedies: Remedy) -> Finding:
        return Finding("rare", layer, layer, "few have it", 2.345, remedies, "advice", {})

    cause, mended = found("a", wide), found("b", wide, by_range)
    little = found("d", replace(by_range, after=Score(10.99, None)))
    kept, said = run._told([cause, mended, found("c", wide), little], 1)
    assert kept == [cause, mended]
    assert said == tuple(
        f"rare at {layer}: few have it; not quantized there, the outputs would keep 2.3 dB more, "
        "but none of the other ranges that were tried gives them 1 dB: at 8 bits it is best left "
        "as it is."
        for layer in "cd"
    )
    assert run._told([cause], 1) == ([cause], ())


def test_rare_activations_that_cost_something_are_looked_at() -> None:
    """None that is a cause already, and none of another name."""
    costs = {"a": 9.0, "b": places.RARE_DB, "c": places.RARE_DB - 0.01, "d": 9.0}
    scored: list[Any] = []

    class Trial:
        def score(self, mended: Mended) -> Score:
            scored.append(mended)
            return Score(1.0, None)

        def cost(self, item: Suspect, base: Score, mended: Mended) -> float:
            return costs[item.layer]

    trial: Any = Trial()
    rare = {name: suspect(layer=name, cause=RARE) for name in "abc"}
    other = suspect(layer="d", cause=SPREAD)
    found = places.telling(trial, [*rare.values(), other], [Place(1.0, rare["a"])])
    assert [(place.suspect.layer, place.cost_db) for place in found] == [("b", places.RARE_DB)]
    assert places.telling(trial, [other], []) == []
    assert len(scored) == 1
