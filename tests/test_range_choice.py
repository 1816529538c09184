"""Range methods by the readers' error: planted tensors whose readers need, or ignore, outliers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet, Pictures, small_net
from knightlite import dtypes
from knightlite.ir import Graph
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import Rule
from knightlite.quantize.settings import Pin, Settings, settings_for
from knightlite.quantize.steps import range_choice
from knightlite.quantize.steps.range_choice import (
    NAME,
    Candidate,
    best_methods,
    candidates,
    choose_ranges,
    readers_errors,
)
from knightlite.quantize.steps.walk import Walk
from test_feature_choice import basis_of

Array = NDArray[Any]
SETTINGS = Settings(bias_correction="fast", range_choice=True, equalize=False)


def spiky(count: int, spikes: bool = True, seed: int = 0) -> Array:
    """Pictures [n, 4, 16, 16]: noise in three channels, spikes in the first."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (count, 4, 16, 16))
    where = random.random((count, 16, 16)) < 0.003
    values[:, 0] = where * random.uniform(20, 40, where.shape) if spikes else 0.0
    return values.astype(np.float32)


def read_by(*gains: tuple[float, ...]) -> Graph:
    """``x`` is read by convolutions, each with these weights for the four channels."""
    net = FloatNet()
    net.input("x", 4, 16, 16)
    names = []
    for index, gain in enumerate(gains):
        weights = np.tile(np.asarray(gain), (2, 1)).reshape(2, 4, 1, 1)
        names.append(net.conv("x", f"y{index}", 2, weights=weights, bias=np.zeros(2)))
    return net.build(*names)


def scales(graph: Graph, seen: Array, sample: Array) -> tuple[dict[str, float], str]:
    """The scale of x by every method, and the method that is chosen for it."""
    basis = basis_of(graph, seen, SETTINGS)
    found = {
        method: float(assign(basis.switched(method=method)).features["x"].scale)
        for method in METHODS
    }
    groups = candidates(basis, assign(basis))
    errors = readers_errors(Walk(graph, (sample,), 1), basis, groups, slice(None))
    return found, dict(best_methods(groups, errors)).get("x", SETTINGS.method)


NOISE, SPIKES = (0.0, 0.6, -0.5, 0.4), (1.0, 0.0, 0.0, 0.0)


def test_readers_that_ignore_outliers_take_the_finest_scale_and_others_the_widest() -> None:
    pictures = spiky(32)
    found, ignored = scales(read_by(NOISE), pictures, pictures)
    assert min(found.values()) < 0.6 * found["mse"] < 0.6 * found["min_max"]
    assert found[ignored] == min(found.values())
    _, needed = scales(read_by(SPIKES), pictures, pictures)
    assert found[needed] == max(found.values())


def test_readers_are_heard_together() -> None:
    """Each relative to its own output: a reader whose output is louder does not count for more."""
    pictures = spiky(32)
    loud = tuple(1000 * gain for gain in NOISE)
    found, chosen = scales(read_by(SPIKES, loud), pictures, pictures)
    _, again = scales(read_by(SPIKES, NOISE), pictures, pictures)
    assert chosen == again
    assert min(found.values()) < found[chosen]


def test_what_a_few_pictures_lack_the_histograms_know() -> None:
    """Spikes of other pictures count, though the sample, which is without, would clip them."""
    graph = read_by((0.5, 0.6, -0.5, 0.4))
    seen, sample = spiky(32), spiky(8, spikes=False)
    found, chosen = scales(graph, seen, sample)
    assert found[chosen] > 1.5 * min(found.values())
    basis = basis_of(graph, seen, SETTINGS)
    groups = candidates(basis, assign(basis))
    (alone,), _ = range_choice._errors_on(Walk(graph, (sample,), 1), graph, groups, slice(None))
    best = groups[0][int(np.argmin(alone))]
    assert found[best.method] == min(found.values())


def test_the_host_is_heard_as_a_reader() -> None:
    """What is delivered too is read as it is: spikes that the layer behind it ignores count."""
    pictures = spiky(32)
    chosen = []
    for outputs in (("y",), ("a", "y")):
        net = FloatNet()
        weights = np.eye(4).reshape(4, 4, 1, 1)
        net.conv(net.input("x", 4, 16, 16), "a", 4, weights=weights, bias=np.zeros(4))
        gains = np.asarray([NOISE]).reshape(1, 4, 1, 1)
        net.conv("a", "y", 1, weights=gains, bias=np.zeros(1))
        graph = net.build(*outputs)
        basis = basis_of(graph, pictures, SETTINGS)
        groups = [some for some in candidates(basis, assign(basis)) if "a" in some[0].tensors]
        (errors,) = readers_errors(Walk(graph, (pictures,), 1), basis, groups, slice(None))
        scale = groups[0][int(np.argmin(errors))].tensors["a"].scale
        assert scale is not None
        chosen.append(float(scale))
    assert chosen[1] > 1.5 * chosen[0]


def test_a_scale_per_channel_is_its_methods_too() -> None:
    net = FloatNet()
    net.conv(net.input("x", 4, 16, 16), "a", 4, clamp=RELU)
    net.conv("a", "deep", 4, (3, 3), group=4)
    graph = net.build(net.conv("deep", "y", 4))
    basis = basis_of(graph, spiky(8), SETTINGS)
    assignment = assign(basis)
    made = assignment.features["a"]
    assert made.scale.shape == (4,)
    assert made.rule == Rule("mse", is_method=True, per_channel=True)
    assert made.rule.text == "mse per channel"
    free = {next(iter(some[0].tensors)) for some in candidates(basis, assignment)}
    assert "a" in free
    assert "y" not in free  # 16 bits: no method decides


def test_little_gain_is_none() -> None:
    tensor = {"t": small_net().tensors["x"]}
    some = (Candidate("mse", tensor), Candidate("kl", tensor))
    assert best_methods([some], [np.asarray([1.0, 0.96])]) == ()
    assert best_methods([some], [np.asarray([1.0, 0.94])]) == (("t", "kl"),)


def start(settings: Settings = SETTINGS) -> tuple[Basis, Assignment]:
    basis = basis_of(read_by(NOISE), spiky(32), settings)
    return basis, assign(basis)


def test_a_choice_that_gains_is_kept() -> None:
    basis, assignment = start()
    made, (step,) = choose_ranges(basis, assignment, (spiky(32),), threads=1)
    assert step.kept
    assert step.judgement is not None
    assert step.judgement.gain_db > 3
    assert made.features["x"].rule == Rule("kl_v2", is_method=True)
    assert made.features["x"].scale < assignment.features["x"].scale
    assert step.sentence.startswith(f"{NAME}: ")


def test_a_choice_that_hurts_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    basis, assignment = start()
    monkeypatch.setattr(range_choice, "best_methods", lambda *_: (("x", "min_max"),))
    made, (step,) = choose_ranges(basis, assignment, (spiky(32),), threads=1)
    assert made is assignment
    assert not step.kept
    assert step.judgement is not None
    assert step.judgement.after_db < step.judgement.before_db
    assert step.judgement.gain_db < 0


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, range_choice=False),
        replace(SETTINGS, bit_width=16),
        replace(SETTINGS, tensor_methods=(("x", "mse"),)),
        replace(SETTINGS, pins=(Pin("x", dtypes.S8, np.asarray(0.3, np.float32), "x.json"),)),
    ],
)
def test_what_is_decided_stays(settings: Settings) -> None:
    basis, assignment = start(settings)
    made, steps = choose_ranges(basis, assignment, (spiky(32),), threads=1)
    assert made is assignment
    assert steps == ()


@pytest.mark.parametrize(("count", "steps"), [(15, 0), (16, 1)])
def test_sixteen_pictures_are_the_fewest(count: int, steps: int) -> None:
    """Eight of them judge."""
    basis, assignment = start()
    pictures = (spiky(count),)
    made, found = choose_ranges(basis, assignment, pictures, threads=1)
    assert len(found) == steps
    assert (made is assignment) == (not steps or not found[0].kept)
    assert [step.judgement.pictures for step in found if step.judgement] == [8] * steps


def test_high_effort_chooses_and_the_report_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_choice, "LEAST_GAIN", 0.0)
    settings = settings_for("high")
    assert settings.range_choice
    assert not settings_for("normal").range_choice
    result = quantize_graph(small_net(), Pictures(count=32), settings, threads=1)
    steps = {step["name"]: step for step in result.report["steps"]}
    assert list(steps)[1] == NAME
    methods = {tensor["method"].split()[0] for tensor in result.report["tensors"]}
    assert (methods & set(METHODS) != {"mse"}) == steps[NAME]["kept"]
    again = quantize_graph(small_net(), Pictures(count=32), settings, threads=1)
    assert again.report == result.report
