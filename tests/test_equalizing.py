"""Equalization evens channels out, is judged on every picture, and told where it is left out."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet
from knightlite.errors import UnsupportedError
from knightlite.ir import Graph
from knightlite.quantize.data_free.workloads import RandomData
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.rewrites import equalization
from knightlite.quantize.rewrites.channel_ties import channel_ties
from knightlite.quantize.rewrites.equalization import ChannelRange, Equalized, choose_divisors
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import Settings
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import observe
from knightlite.quantize.steps import equalizing
from knightlite.quantize.steps.equalizing import (
    Seen,
    equalization_left_out,
    first_pictures,
    try_equalization,
)
from knightlite.quantize.steps.improvement import output_errors
from test_channel_ties import values_of

Array = NDArray[Any]


def uneven(spread: float) -> Graph:
    """A concat whose channels differ by ``spread``, read by affines: what DenseNets look like."""
    net = FloatNet(seed=3)
    net.input("x", 3, 8, 8)
    rng = np.random.default_rng(5)
    for name, size in (("loud", 1.0), ("quiet", 1.0 / spread)):
        net.conv("x", name, 6, weights=rng.normal(0, size, (6, 3, 1, 1)), bias=np.zeros(6))
    net.node("Concat", ("loud", "quiet"), "all")
    gain = np.concatenate([np.ones(6), np.full(6, spread)]).astype(np.float32)
    offset = net.builder.constant("offset", np.zeros(12, np.float32))
    net.node("Affine", ("all", net.builder.constant("gain", gain), offset), "even", clamp=RELU)
    net.conv("even", "y", 5)
    return net.build("y")


def channel_ranges(graph: Graph, pictures: Any) -> dict[str, ChannelRange]:
    """What some pictures [1, C, H, W] tell."""
    seen = Seen(graph)
    for picture in pictures:
        (_,) = seen.give((picture,))
    return seen.ranges()


class Data:
    """Pictures one by one; counts how often it ran, and how far."""

    description = "pictures"

    def __init__(self, count: int = 24) -> None:
        rng = np.random.default_rng(1)
        self.batches = rng.normal(0, 1, (count, 1, 3, 8, 8)).astype(np.float32)
        self.calls: list[int] = []

    def run(self, forward: Any) -> float | None:
        self.calls.append(0)
        for batch in self.batches:
            self.calls[-1] += 1
            forward((batch,))
        return None


def test_uneven_channels_are_evened_out_and_it_pays() -> None:
    graph, data = uneven(60.0), Data()
    changed, done, (step,) = try_equalization(graph, data, Settings(), 1)
    assert step.kept
    assert step.judgement is not None
    assert step.judgement.gain_db > 10
    assert data.calls == [24]
    (item,) = [item for item in done if "all" in item.tensors]
    assert set(item.tensors) == {"all", "loud", "quiet"}
    assert item.spread_before > 1.5
    assert item.spread_after == pytest.approx(1.0, abs=0.01)
    ranges = channel_ranges(changed, data.batches)
    assert np.ptp(ranges["all"].peak) < 0.01 * ranges["all"].peak.max()
    x = data.batches[0]
    before, after = values_of(graph, x)["y"], values_of(changed, x)["y"]
    np.testing.assert_allclose(after, before, atol=1e-5 * np.abs(before).max())


def test_it_is_undone_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = uneven(60.0)
    rng = np.random.default_rng(0)

    def spoil(graph: Graph, ranges: Any) -> Any:
        ties = channel_ties(graph)
        divisors = np.where(ties.free, np.exp(rng.normal(0, 4, ties.free.size)), 1.0)
        return ties, divisors, choose_divisors(graph, ranges)[2]

    monkeypatch.setattr(equalizing, "choose_divisors", spoil)
    changed, done, (step,) = try_equalization(graph, Data(), Settings(), 1)
    assert not step.kept
    assert changed is graph
    assert done == ()


def test_every_picture_judges_and_none_that_was_calibrated_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two folds: each is measured in networks that never saw it, before and after."""
    known: list[Basis] = []
    measured: list[set[int]] = []

    def watched_assign(basis: Basis) -> Any:
        known.append(basis)
        return assign(basis)

    def watched_errors(walk: Any, graph: Graph, quantized: Graph, pictures: slice) -> Any:
        measured.append(set(range(10)[pictures]))
        return output_errors(walk, graph, quantized, pictures)

    monkeypatch.setattr(equalizing, "assign", watched_assign)
    monkeypatch.setattr(equalizing, "output_errors", watched_errors)
    data, others = Data(10), Data(10)
    _, _, (step,) = try_equalization(uneven(60.0), data, Settings(), 1)
    assert step.judgement is not None
    assert step.judgement.pictures == 10
    for place, (basis, judged) in enumerate(zip(known, measured, strict=True)):
        others.batches = np.delete(data.batches, sorted(judged), axis=0)
        wanted = observe(basis.graph, others, None, 1).statistics
        if place % 2 == 0:
            assert_same(basis.statistics, wanted)
        for name, item in wanted.items():  # equalized ones are not run, but divided
            np.testing.assert_allclose(basis.statistics[name].maximum, item.maximum, rtol=1e-5)
            np.testing.assert_allclose(basis.statistics[name].minimum, item.minimum, rtol=1e-5)
    for half in (measured[::2], measured[1::2]):
        assert sorted(place for judged in half for place in judged) == list(range(10))


def test_what_rare_values_lose_undoes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture gains but those few in which an output holds what it seldom holds."""
    net = FloatNet(seed=3)
    net.input("x", 2, 16, 16)
    for name, source, weights in (("a", "x", (4.0, 0.05)), ("y", "a", (1.0, 80.0))):
        diagonal = np.diag(weights)[:, :, None, None]
        net.conv(source, name, 2, weights=diagonal, bias=np.zeros(2), clamp=RELU)
    graph, data = net.build("y"), Data()
    rng = np.random.default_rng(0)
    data.batches = rng.uniform(0, 1, (24, 1, 2, 16, 16)).astype(np.float32)
    data.batches[:, :, 0] = 0
    data.batches[::5, :, 0, :4] = 1  # of every fifth picture a quarter

    def silencing(graph: Graph, ranges: Any) -> Any:
        ties = channel_ties(graph)
        divisors = np.ones(ties.free.size)
        divisors[ties.classes["a"][0]] = 40_000
        return ties, divisors, (Equalized(("a",), 2, 80.0, 1.0, 1.0),)

    monkeypatch.setattr(equalizing, "choose_divisors", silencing)
    _, done, (step,) = try_equalization(graph, data, Settings(), 1)
    assert step.judgement is not None
    assert step.judgement.gain_db > 5
    assert step.judgement.pictures == 24  # although it is clear
    assert (step.kept, done) == (False, ())
    monkeypatch.setattr(equalizing, "OUTPUT_BYTES", 0)  # as if outputs were too large to look at
    _, done, (step,) = try_equalization(graph, data, Settings(), 1)
    assert step.kept
    assert [item.tensors for item in done] == [("a",)]


def assert_same(found: Mapping[str, Statistics], wanted: Mapping[str, Statistics]) -> None:
    """To the last bit."""
    assert list(found) == list(wanted)
    for name, item in wanted.items():
        for record, other in ((found[name], item), (found[name].histogram, item.histogram)):
            for part in fields(other):
                if part.name not in ("histogram", "even"):
                    np.testing.assert_array_equal(
                        getattr(record, part.name), getattr(other, part.name), f"{name} {part.name}"
                    )
        assert (found[name].even is None) == (item.even is None)


def test_a_network_that_does_not_fit_the_arithmetic_is_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = uneven(60.0)

    def refuses(basis: Basis) -> Any:
        if basis.graph.constants["loud.weight"] is not graph.constants["loud.weight"]:
            raise UnsupportedError("it is too wide")
        return assign(basis)

    monkeypatch.setattr(equalizing, "assign", refuses)
    changed, done, (step,) = try_equalization(graph, Data(), Settings(), 1)
    assert (changed, done, step.kept, step.judgement) == (graph, (), False, None)


def test_a_gain_that_is_clear_in_the_first_fold_ends_it() -> None:
    _, _, (step,) = try_equalization(uneven(60.0), Data(16), Settings(), 1)
    assert step.judgement is not None
    assert (step.kept, step.judgement.pictures) == (True, 8)


def test_no_gain_in_the_first_fold_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What equalization must show is not looked for in pictures after pictures."""
    measured = []

    def worse(walk: Any, graph: Graph, quantized: Graph, pictures: slice) -> Any:
        measured.append(pictures)
        return output_errors(walk, graph, quantized, pictures)

    monkeypatch.setattr(equalizing, "output_errors", worse)
    even = uneven(60.0)
    monkeypatch.setattr(equalizing, "divide", lambda *_: even)  # it changes nothing
    _, _, (step,) = try_equalization(even, Data(10), Settings(), 1)
    assert (step.kept, len(measured)) == (False, 2)
    assert step.judgement is not None
    assert step.judgement.pictures == 5


def test_what_is_not_tried_is_said() -> None:
    graph, data = uneven(60.0), Data()
    few = equalization_left_out(graph, Settings(), data, 7)
    assert few == "cross-layer equalization: not tried, which takes 8 pictures or more"
    assert equalization_left_out(graph, Settings(), data, 8) == ""
    slow = equalization_left_out(graph, Settings(sample_macs=1000), data, 24)
    assert slow.startswith("cross-layer equalization: not tried, 12 pictures of 0.0 G multiply-acc")
    assert slow.endswith("are all that this effort affords")
    noise = RandomData((graph.tensors["x"],), 20)
    assert equalization_left_out(graph, Settings(), noise, 1) == ""
    for settings_ in (Settings(equalize=False), Settings(bit_width=16)):
        assert equalization_left_out(graph, settings_, data, 1) == ""


def test_it_needs_pictures_and_eight_bits() -> None:
    graph = uneven(60.0)
    noise = RandomData((graph.tensors["x"],), 20)
    assert try_equalization(graph, Data(7), Settings(), 1) == (graph, (), ())
    assert try_equalization(graph, noise, Settings(), 1) == (graph, (), ())
    assert try_equalization(graph, Data(), Settings(bit_width=16), 1) == (graph, (), ())
    assert try_equalization(graph, Data(), Settings(equalize=False), 1) == (graph, (), ())


def test_the_pipeline_reports_it_and_gains() -> None:
    reports = [
        quantize_graph(uneven(60.0), Data(), Settings(equalize=on), threads=1).report
        for on in (True, False)
    ]
    assert reports[0]["steps"][0]["name"] == equalizing.NAME
    assert reports[0]["equalized"][0]["channels"] > 0
    assert reports[1]["equalized"] == []
    gain = reports[0]["outputs"][0]["sqnr_db"] - reports[1]["outputs"][0]["sqnr_db"]
    assert gain > 10


def test_a_workload_that_swallows_the_end_is_fine() -> None:
    class Stubborn(Data):
        def run(self, forward: Any) -> float | None:
            for batch in self.batches:
                with contextlib.suppress(BaseException):
                    forward((batch,))
            return None

    found = first_pictures(Seen(uneven(2.0)), data := Stubborn(), 5)
    np.testing.assert_array_equal(np.concatenate([item for (item,) in found]), data.batches[:5, 0])


def test_batches_are_seen_picture_by_picture() -> None:
    """And what the network gives a script is of its whole batch."""
    data, answers = Data(), []

    class Batches(Data):
        def run(self, forward: Any) -> float | None:
            for first in range(0, 24, 4):
                answers.append(forward((data.batches[first : first + 4, 0],)))
            return None

    graph = uneven(2.0)
    seen = Seen(graph)
    found = first_pictures(seen, Batches(), 10)
    np.testing.assert_array_equal(np.concatenate([item for (item,) in found]), data.batches[:10, 0])
    ranges = channel_ranges(graph, data.batches[:10])
    for name, item in seen.ranges().items():
        np.testing.assert_array_equal(item.peak, ranges[name].peak)
    assert len(answers) == 2
    for first, (answer,) in zip((0, 4), answers, strict=True):
        wanted = values_of(graph, data.batches[first : first + 4, 0])["y"]
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-6)
    assert [item["y"].shape for item in seen.delivered] == [(1, 5, 8, 8)] * 10


@pytest.mark.parametrize(
    ("errors", "exponent"),
    [({0.0: 10.0}, None), ({0.5: 8.0}, 0.5), ({0.5: 8.01}, None), ({0.25: 7.0, 1.0: 6.0}, 1.0)],
)
def test_divisors_must_be_worth_it(
    errors: dict[float, float], exponent: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fifth of the error, or nothing is touched; the exponent that leaves least is taken."""
    graph = FloatNet()
    x = graph.input("x", 3, 1, 1)
    made = graph.build(graph.conv(graph.conv(x, "a", 3), "b", 2))
    model = equalization._Model(made, {}, channel_ties(made))
    tried: list[float] = []

    def error(tensors: Any, divisors: Any) -> float:
        tried.append(equalization.RANGE_EXPONENTS[len(tried)])
        return errors.get(tried[-1], 10.0)

    monkeypatch.setattr(model, "error", error)
    monkeypatch.setattr(
        model, "_class_ranges", lambda tensors: np.linspace(0.5, 1.0, model.ties.free.size)
    )
    found = model.choose(["a"])
    assert tried == list(equalization.RANGE_EXPONENTS)
    assert (None if found is None else found[0]) == exponent
