"""Operators worth 16 bits: units, the switched model, what is found and how much of it is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from float_nets import FloatNet, Pictures
from knightlite.errors import UsageError
from knightlite.inference import Runner, session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.mixed.auto_mix import automatic_mix
from knightlite.quantize.mixed.sensitivity import (
    REST,
    WIDE,
    Meter,
    Unit,
    flag,
    some_pictures,
    switched_network,
    units,
)
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import Settings, Widths
from knightlite.quantize.statistics.passes import Observation, observe

SETTINGS = Settings(bias_correction="off")


def chain(outlier: str | None = None) -> Graph:
    """Four convolutions; the weights of ``outlier`` have one huge tap that multiplies zeros."""
    net = FloatNet()
    x = net.input("x", 3, 12, 12)
    for name in ("a", "b", "c", "d"):
        channels = net.shape(x)[1]
        weights = net.rng.normal(0, channels**-0.5, (6, channels, 1, 1))
        if name == outlier:
            weights[:, 0] = 90.0
        if outlier is not None and name == chr(ord(outlier) - 1):
            weights[0] = 0.0
        x = net.conv(x, name, 6, weights=weights, bias=np.zeros(6))
    return net.build(x)


def seen(graph: Graph) -> tuple[Observation, Assignment]:
    observation = observe(graph, Pictures(), None, 1)
    return observation, assign(Basis.of(graph, observation, SETTINGS))


def mixed(
    graph: Graph, observation: Observation, strategy: str, share: float
) -> tuple[Widths, list[dict[str, Any]]]:
    basis = Basis.of(graph, observation, replace(SETTINGS, auto_mix=(strategy, share)))
    return automatic_mix(basis, Pictures(), observation.sample, 1)


def test_units_are_groups_with_the_kernels_that_read_them() -> None:
    net = FloatNet()
    x = net.input("x", 3, 12, 12)
    joined = net.node("Concat", (net.conv(x, "a", 4), net.conv(x, "b", 4)), "joined", axis=1)
    graph = net.build(net.conv(joined, "y", 2))
    assert units(graph, seen(graph)[1]) == (
        Unit(("x",), ("a", "b")),
        Unit(("a", "b", "joined"), ("y",)),
    )


def test_all_flags_give_the_quantized_network_and_none_the_float_one() -> None:
    graph = chain()
    _, assignment = seen(graph)
    found = units(graph, assignment)
    runner = Runner(switched_network(graph, assignment, found), 1)
    x = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)

    def run(on: bool) -> bytes:
        flags = {flag(index): np.asarray(on) for index in range(len(found))} | {
            REST: np.asarray(on),
            WIDE: np.asarray(False),
        }
        (values,) = runner.run((x,), flags).values()
        return bytes(values.tobytes())

    exact = session(write_float(graph), 1).run(None, {"x": x})[0]
    fixed = session(write_qdq(assignment.graph, {}), 1).run(None, {"x": x})[0]
    off = np.frombuffer(run(False), np.float32)
    on = np.frombuffer(run(True), np.float32)
    assert np.abs(off - exact.reshape(-1)).max() < 1e-5
    assert on.tobytes() == fixed.tobytes()
    assert np.abs(on - off).max() > 20 * float(assignment.features["d"].scale)


@pytest.mark.parametrize("outlier", ["b", "c", "d"])
def test_an_outlier_in_the_weights_is_the_most_sensitive(outlier: str) -> None:
    graph = chain(outlier)
    _, assignment = seen(graph)
    found = units(graph, assignment)
    pictures = some_pictures(graph, Pictures(), (np.zeros((1, 3, 12, 12)),), 1)
    assert len(pictures[0]) == 6  # all there are
    meter = Meter(graph, assignment, found, pictures, 1)
    noise = [meter.noise([index], rest=False) for index in range(len(found))]
    worst = found[int(np.argmax(noise))]
    assert worst.kernels == (outlier,)
    assert max(noise) > 10 * sorted(noise)[-2]


@pytest.mark.parametrize(
    ("strategy", "share", "taken"),
    [
        ("HAWQ", 0.25, [["c"]]),
        ("initial", 0.5, [["a"], ["b"]]),
        ("IOhigh", 0.5, [["a"], ["d"]]),
        ("HAWQ", 0.2, []),
    ],
)
def test_strategies_take_their_share(strategy: str, share: float, taken: list[list[str]]) -> None:
    graph = chain("c")
    observation, _ = seen(graph)
    widths, rows = mixed(graph, observation, strategy, share)
    assert [row["operators"] for row in rows if row["bits"] == 16] == taken
    assert widths.weights16 == {name for names in taken for name in names}
    assert sum(row["noise_share"] for row in rows) == pytest.approx(1, abs=1e-5)
    shares = {row["operators"][0]: row["macs_share"] for row in rows}
    assert shares == {"a": 0.142857, "b": 0.285714, "c": 0.285714, "d": 0.285714}


@pytest.mark.parametrize(
    ("mix", "said"),
    [(("best", 0.5), "the strategy must be one of"), (("HAWQ", 1.5), "from 0 to 1, not 1.5")],
)
def test_refusals(mix: tuple[str, float], said: str) -> None:
    graph = chain()
    observation, _ = seen(graph)
    with pytest.raises(UsageError, match=said):
        mixed(graph, observation, *mix)


def test_inputs_become_wide_together_and_vector_groups_are_units_too() -> None:
    net = FloatNet()
    x, z = net.input("x", 3, 12, 12), net.input("z", 3, 12, 12)
    left, right = net.conv(x, "a", 4), net.pool(net.conv(z, "b", 4), "p")
    total = net.node("Add", (net.pool(left, "q"), right), "s")
    graph = net.build(net.conv(total, "y", 2))
    pictures = np.random.default_rng(0).normal(size=(2, 4, 3, 12, 12)).astype(np.float32)

    class Pairs:
        description = "pairs"

        def run(self, forward: Any) -> None:
            forward((pictures[0], pictures[1]))

    observation = observe(graph, Pairs(), None, 1)
    narrow = assign(Basis.of(graph, observation, SETTINGS))
    kernels = (Unit(("x", "z"), ("a", "b")), Unit(("s",), ("y",)))
    assert units(graph, narrow) == kernels
    assert set(units(graph, narrow, vector=True)) == {
        *kernels,
        Unit(("a", "q"), ()),
        Unit(("b", "p"), ()),
    }


def test_a_sample_of_enough_pictures_is_taken_evenly() -> None:
    sample = (np.arange(15, dtype=np.float32).reshape(15, 1, 1, 1),)
    found = some_pictures(chain(), Pictures(), sample, 1)
    assert found[0].ravel().tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_noise_over_some_pictures_is_theirs() -> None:
    """Errors and energies of the same pictures: what the others hold changes nothing."""
    graph = chain("c")
    _, assignment = seen(graph)
    found = units(graph, assignment)
    values = np.random.default_rng(1).normal(size=(4, 3, 12, 12)).astype(np.float32)
    values[2:] *= 20
    both = Meter(graph, assignment, found, (values,), 1).noise([1], rest=False, pictures=2)
    assert both == Meter(graph, assignment, found, (values[:2],), 1).noise([1], rest=False)
