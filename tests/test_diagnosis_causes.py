"""More planted causes with the remedy that works: raised and unfitting scales, spread, many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import PADS, RELU, FloatNet
from knightlite.diagnosis import Diagnosis, Finding, diagnose
from knightlite.diagnosis import causes as cause
from knightlite.diagnosis.places import EVERYWHERE
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Forward, Workload
from knightlite.quantize.settings import DEFAULT_SETTINGS
from planted import Noise, louder, quantized, rescaled

Array = NDArray[Any]


def told(graph: Graph, fixed: Graph, data: Workload) -> Diagnosis:
    return diagnose(graph, fixed, data, DEFAULT_SETTINGS, None, threads=1)


def only(found: Diagnosis) -> Finding:
    (finding,) = found.findings
    return finding


@dataclass(frozen=True)
class Lights:
    """Pictures that differ in brightness, most of all: [count, C, H, W], all positive."""

    shape: tuple[int, ...]
    count: int = 24
    description: str = "seeded brightness"

    def run(self, forward: Forward) -> float | None:
        rng = np.random.default_rng(2)
        for _ in range(self.count):
            noise = rng.uniform(0.8, 1.2, (1, *self.shape[1:]))
            forward((np.asarray(rng.uniform(0.1, 1) * noise, np.float32),))
        return None


def quiet_beside_loud() -> Graph:
    """A layer over a whole picture with quiet channels, which its reader wants.

    So many products add up that the requantize ratio asks for weight scales of several times the
    largest weight: quiet channels are rounded to nothing.
    """
    net = FloatNet()
    depth, side = 64, 24
    weights = net.rng.uniform(0.9, 1.1, (8, depth, side, side)) / (depth * side * side)
    weights[1:] /= 8
    net.conv(net.input("x", depth, side, side), "a", 8, (side, side), weights=weights,
             bias=np.zeros(8), clamp=RELU)  # fmt: skip
    reader = np.full((4, 8, 1, 1), 1.0)
    reader[:, 0] = 0
    net.conv("a", "y", 4, weights=reader, bias=np.zeros(4))
    return net.builder.build(("y",))


def test_raised_channels() -> None:
    graph = quiet_beside_loud()
    data = Lights((1, 64, 24, 24))
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.layer) == (cause.RAISED, "a")
    assert "the requantize ratio must be at least 2^-17" in found.sentence
    assert found.facts["times"] > 64
    assert found.remedies[0].gain_db > 10
    mix = (
        'quant -mc FILE with [{"op_names": ["a"], "bitwidth": 16}], 16 bits for the weights of a '
        "and what it reads"
    )
    assert next(item for item in found.remedies if item.switch == mix).gain_db > 10


@pytest.mark.parametrize(("factor", "words"), [(16, "times too large"), (1 / 4, "clips")])
def test_a_weight_scale_that_does_not_fit(factor: float, words: str) -> None:
    net = FloatNet()
    net.conv(net.input("x", 4, 8, 8), "a", 8, (3, 3), pads=PADS, clamp=RELU)
    net.conv("a", "b", 8, (3, 3), pads=PADS, clamp=RELU)
    net.conv("b", "y", 4)
    graph = net.builder.build(("y",))
    data = Noise((1, 4, 8, 8))
    found = only(told(graph, rescaled(graph, quantized(graph, data), "b", factor), data))
    assert (found.cause, found.layer) == (cause.WEIGHT_SCALE, "b")
    assert words in found.sentence
    assert found.remedies[0].switch == "quant -qm mse over this data"
    assert found.remedies[0].gain_db > 10


def test_calibrating_on_a_part_of_the_same_data_is_no_remedy() -> None:
    net = FloatNet()
    net.conv(net.input("x", 4, 8, 8), "a", 8, (3, 3), pads=PADS, clamp=RELU)
    net.conv("a", "y", 4)
    graph = net.builder.build(("y",))
    data = Noise((1, 4, 8, 8))
    fixed = rescaled(graph, quantized(graph, data), "y", 16)
    for known in (False, True):
        found = diagnose(graph, fixed, data, DEFAULT_SETTINGS, None, threads=1, known=known)
        switches = [item.switch for item in only(found).remedies]
        assert ("quant -qm mse over this data" in switches) == (not known), switches


def spread_net(count: int, ratio: float) -> Graph:
    """Channels evenly from loud to quiet, which a BatchNorm behind them makes alike again."""
    net = FloatNet()
    net.conv(net.input("x", 4, 8, 8), "a", count, (3, 3), pads=PADS, bias=np.zeros(count))
    gains = net.builder.constant("gain", np.ones(count, np.float32))
    net.node("Affine", ("a", gains, net.builder.constant("offset", np.zeros(count, np.float32))),
             "b", clamp=RELU)  # fmt: skip
    net.conv("b", "y", 4)
    graph = net.builder.build(("y",))
    steps = np.asarray(ratio ** (-np.arange(count) / (count - 1)), np.float32)
    weights = graph.constants["a.weight"] * steps.reshape(-1, 1, 1, 1)
    return graph.with_constants({"a.weight": weights, "gain": 1 / steps})


def test_channel_spread() -> None:
    graph, data = spread_net(32, 2000), Noise((1, 4, 8, 8), count=32)
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.layer) == (cause.SPREAD, "a")
    assert found.facts["ratio"] > 16
    assert "half of the channels keep less than" in found.sentence
    best = found.remedies[0]
    assert best.switch == "quant --effort normal, for its equalization"
    assert best.gain_db > 6
    assert found.advice.startswith(f"{best.switch}: {best.before.sqnr_db:.1f} -> ")


def test_two_faults_are_two_findings() -> None:
    """Channel spread in one layer, a weight scale that does not fit in another."""
    graph, data = spread_net(32, 2000), Noise((1, 4, 8, 8), count=32)
    fixed = rescaled(graph, quantized(graph, data), "y", 64)
    found = told(graph, fixed, data)
    assert {(item.cause, item.layer) for item in found.findings} == {
        (cause.SPREAD, "a"), (cause.WEIGHT_SCALE, "y"),
    }  # fmt: skip


def branches(count: int, made: Callable[[FloatNet, str, str], str]) -> Graph:
    """The sum of ``count`` branches alike."""
    net = FloatNet()
    x = net.input("x", 4, 8, 8)
    total = made(net, x, "a0")
    for place in range(1, count):
        total = net.node("Add", (total, made(net, x, f"a{place}")), f"sum{place}")
    net.conv(total, "y", 4)
    return net.builder.build(("y",))


def test_many_small_causes_are_one_finding() -> None:
    """One channel of every branch is loud, each costs little; together they are what is lost."""

    def branch(net: FloatNet, x: str, name: str) -> str:
        net.conv(x, name, 16, (3, 3), pads=PADS, clamp=RELU)
        return net.conv(name, f"{name}.end", 4)

    graph = branches(6, branch)
    for place in range(6):
        graph = louder(graph, f"a{place}", 3, 18)
    data = Noise((1, 4, 8, 8), count=8)
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.cost_db is not None) == (cause.WEIGHT_OUTLIER, True)
    assert found.sentence.startswith("in 6 layers together (")
    assert set(found.facts["layers"]) == {f"a{place}" for place in range(6)}
    assert found.remedies[0].gain_db > 3
    (entry,) = found.facts["mix"]
    assert sorted(entry["op_names"]) == [f"a{place}.end" for place in range(6)]


def test_errors_that_only_add_up_are_said_to() -> None:
    """Small differences of large values in every branch: no place costs much."""

    def branch(net: FloatNet, x: str, name: str) -> str:
        tilt = net.rng.normal(0, 0.05, (2, 4, 1, 1))
        net.conv(x, name, 2, weights=np.ones((2, 4, 1, 1)) + tilt, bias=np.zeros(2))
        apart = np.array([1, -1]).reshape(1, 2, 1, 1) * np.ones((4, 1, 1, 1))
        return net.conv(name, f"{name}.end", 4, weights=apart, bias=np.zeros(4))

    graph = branches(6, branch)
    data = Noise((1, 4, 8, 8), count=32)
    found = only(told(graph, quantized(graph, data), data))
    assert (found.cause, found.layer, found.cost_db) == (cause.FEW_BITS, EVERYWHERE, None)
    assert "no single place makes the loss: " in found.sentence
    assert found.remedies[0].gain_db > 3
