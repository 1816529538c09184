"""Sequential bias correction: the mean error of the values that an activation lets through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import RELU, FloatNet, small_net
from knightlite import dtypes
from knightlite.inference import Runner, quantized_network
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops.functions import FUNCTIONS
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.settings import Pin, Settings
from knightlite.quantize.steps import bias as module
from knightlite.quantize.steps import correcting
from knightlite.quantize.steps.bias import (
    CUT_OFF,
    Passes,
    correct_bias,
    correct_biases,
    passes_of,
    picture_means,
    pictures_for,
    shrunk_mean,
)
from knightlite.quantize.steps.correcting import correct
from knightlite.quantize.steps.live_values import real_value
from knightlite.quantize.steps.walk import Walk
from test_feature_choice import basis_of
from test_walk import PICTURES, quantized

Array = NDArray[Any]

INFINITE = float("inf")
OPEN = (-INFINITE, INFINITE)
SHAPE = (4, 3, 5, 5)


def table(name: str) -> dict[str, Any]:
    return {"function": name, **FUNCTIONS[name].parameters}


def between(low: float, high: float) -> Passes:
    return lambda values: (values > low) & (values < high)


def test_without_an_activation_every_value_counts_alike() -> None:
    rng = np.random.default_rng(1)
    exact, computed = (rng.normal(0, 1, SHAPE).astype(np.float32) for _ in range(2))
    found = picture_means(exact, computed, None)
    np.testing.assert_allclose(found, (exact - computed).mean(axis=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("clamp", [(0.0, INFINITE), (0.0, 1.0), (-INFINITE, 0.5)])
def test_what_is_cut_off_counts_a_tenth(clamp: tuple[float, float]) -> None:
    rng = np.random.default_rng(7)
    exact = rng.normal(0.2, 1, SHAPE).astype(np.float32)
    computed = exact + rng.normal(0.1, 1, SHAPE).astype(np.float32)
    passed = (exact > clamp[0]) & (exact < clamp[1])
    counts = np.where(passed, 1.0, CUT_OFF)
    counts /= counts.mean(axis=(0, 2, 3), keepdims=True)
    wanted = ((exact - computed).astype(np.float64) * counts).mean(axis=(2, 3))
    np.testing.assert_allclose(picture_means(exact, computed, between(*clamp)), wanted, rtol=1e-9)


def test_a_channel_that_is_cut_off_everywhere_counts_alike() -> None:
    exact = np.full((2, 1, 3, 3), -1, np.float32)
    found = picture_means(exact, exact + np.float32(0.25), between(0.0, INFINITE))
    np.testing.assert_allclose(found, -0.25, rtol=1e-12)


def test_an_error_that_is_cut_off_moves_the_bias_little() -> None:
    exact = np.ones((2, 1, 2, 2), np.float32)
    exact[:, :, 1] = -1  # half of them are cut off
    computed = np.where(exact > 0, exact, exact - 1)
    for clamp, share in (((-INFINITE, INFINITE), 0.5), ((0.0, INFINITE), CUT_OFF / (1 + CUT_OFF))):
        np.testing.assert_allclose(
            shrunk_mean(picture_means(exact, computed, between(*clamp))), share
        )


X = np.linspace(-4, 4, 161, dtype=np.float32)


@pytest.mark.parametrize(
    ("functions", "low", "high"),
    [
        (("HardSwish",), 0.0, INFINITE),  # its slope is (2 x + 3) / 6 up to 3, and 1.5 there
        (("HardSigmoid",), -2.5, 2.5),  # (x + 2.5) / 5
        (("Sigmoid", "HardSwish"), -2.3, INFINITE),  # either lets through
    ],
)
def test_tables_let_through_where_they_are_steep(
    functions: tuple[str, ...], low: float, high: float
) -> None:
    net = FloatNet()
    made = net.conv(net.input("x", 1, 4, 4), "c", 1)
    outputs = tuple(
        net.node("Table", (made,), f"y{n}", **table(name)) for n, name in enumerate(functions)
    )
    graph = net.builder.build(outputs)
    passes = passes_of(graph, graph.nodes[0])
    assert passes is not None
    through = X[passes(X)]
    assert abs(through.min() - low) <= 0.25
    assert abs(through.max() - min(high, 4)) <= 0.25
    assert np.all(passes(X[(through.min() <= X) & (through.max() >= X)]))


@pytest.mark.parametrize("case", ["delivered", "beside a convolution", "a table behind a ReLU"])
def test_tables_that_do_not_read_alone(case: str) -> None:
    net = FloatNet()
    clamped = case == "a table behind a ReLU"
    made = net.conv(net.input("x", 1, 4, 4), "c", 1, clamp=RELU if clamped else OPEN)
    outputs = [net.node("Table", (made,), "y", **table("HardSigmoid"))]
    if case == "delivered":
        outputs.append(made)
    if case == "beside a convolution":
        outputs.append(net.conv(made, "z", 1))
    graph = net.builder.build(tuple(outputs))
    passes = passes_of(graph, graph.nodes[0])
    if not clamped:
        assert passes is None
    else:
        assert passes is not None
        found: Array = passes(np.asarray([-1, 0.5, 2, 4], np.float32))
        assert found.tolist() == [False, True, True, False]


def test_one_loud_picture_does_not_turn_the_mean() -> None:
    means = np.full((10, 1), 0.5) + np.linspace(-0.01, 0.01, 10)[:, None]
    usual = shrunk_mean(means)
    means[3] = -100.0  # a plain mean would be -9.6
    np.testing.assert_allclose(shrunk_mean(means), usual, rtol=0.02)


def test_float_first_and_quantized_after_it_is_the_same() -> None:
    """As both side by side, which takes six times the memory."""
    walk, fixed = Walk(small_net(), (PICTURES,), 1), quantized()
    wanted = walk.run(fixed, correct_bias).graph
    found = correct_biases(walk, fixed, slice(None))
    moved = 0
    for name, values in wanted.constants.items():
        change = np.abs(values.astype(float) - fixed.constants[name])
        assert np.abs(found.constants[name].astype(float) - values).max() <= 1, name
        moved += int((change > 3).sum())
    assert moved > 5


@pytest.mark.parametrize("clamp", [OPEN, (0.0, INFINITE), (-0.5, 0.5)])
def test_means_that_are_kept_say_what_both_networks_side_by_side_do(
    clamp: tuple[float, float],
) -> None:
    """Picture by picture, where an activation cuts off more of one than of another."""
    net = FloatNet()
    net.conv(net.input("x", 2, 6, 7), "c", 3, clamp=clamp)
    graph = net.build("c")
    (node,) = graph.nodes
    rng = np.random.default_rng(4)
    moved = np.linspace(-1, 1, 5).reshape(5, 1, 1, 1)
    exact = (rng.normal(0, 1, (5, 3, 6, 7)) + moved).astype(np.float32)
    computed = exact + rng.normal(0.1, 0.3, exact.shape).astype(np.float32)
    known = module._FloatMeans(graph, 5)
    for place in (3, 0, 4, 2, 1):  # threads see them in any order
        known.see(node, place, exact[place])
    found = known.missing(node, iter((computed[:2], computed[2:])))
    wanted = picture_means(exact, computed, passes_of(graph, node))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(wanted).min() > 1e-3 or clamp == OPEN


@pytest.mark.parametrize("height", [1, 7, 64, 112, 299])
@pytest.mark.parametrize("width", [1, 7, 63, 64, 65, 112, 299, 640])
def test_large_maps_are_seen_in_part_but_in_every_column(height: int, width: int) -> None:
    stride, count = module._seen_pixels(Tensor("t", (1, 3, height, width), dtypes.F32))
    size = height * width
    assert count == len(range(0, size, stride)) <= module.MOST_PIXELS
    assert count == size or count > module.MOST_PIXELS / 3
    assert len({place % width for place in range(0, size, stride)}) == width


class Counted:
    """Counts how often layers compute."""

    def __init__(self, layer: Any) -> None:
        self.layer, self.calls = layer, 0

    def __call__(self, *asked: Any) -> Any:
        compute = self.layer(*asked)

        def run(inputs: Any) -> Any:
            self.calls += 1
            return compute(inputs)

        return run


def test_what_is_held_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same biases, whether memory holds what layers make, a part of it or nothing."""
    walk, fixed = Walk(small_net(), (PICTURES,), 1), quantized()
    found, runs = [], []
    for held in (0, 1 << 12, 1 << 30):
        counted = Counted(walk.runs.layer)
        with monkeypatch.context() as patch:
            patch.setattr(walk.runs, "layer", counted)
            patch.setattr(correcting, "HELD_BYTES", held)
            found.append(correct_biases(walk, fixed, slice(None)))
        runs.append(counted.calls)
    assert runs[0] > runs[1] > runs[2]
    for other in found[1:]:
        for name, values in found[0].constants.items():
            change = np.abs(values.astype(float) - other.constants[name])
            assert change.max() <= 1, name


@pytest.mark.parametrize("clamp", [(0.0, 1.0), (-0.5, 0.75), (0.25, INFINITE), OPEN])
@pytest.mark.parametrize("by", [-300, 1, 300])
def test_what_follows_sees_the_corrected_layer(clamp: tuple[float, float], by: int) -> None:
    """Its sums with the new bias, its activation, the rounding: the values of the QDQ model."""
    net = FloatNet()
    net.conv(net.input("x", 2, 4, 5), "a", 3, clamp=clamp)
    graph = net.build(net.conv("a", "y", 2))
    pictures = np.random.default_rng(3).normal(0, 1, (6, 2, 4, 5)).astype(np.float32)
    pin = Pin("a", dtypes.S8, np.asarray(0.04, np.float32), "by hand")
    fixed = assign(basis_of(graph, pictures, Settings(pins=(pin,)))).graph
    seen: dict[str, Array] = {}

    def correction(changed: Graph, node: Node, computed: Iterator[Array]) -> Any:
        seen[node.output] = np.concatenate(list(computed))
        return changed.constants[node.inputs[2]] + by if node.output == "a" else None

    made = correct(Walk(graph, (pictures,), 1), fixed, correction, slice(None))
    assert np.all(made.constants["a.bias"] == fixed.constants["a.bias"] + by)
    runner = Runner(quantized_network(made, ("a", "y")), 1)
    values = np.concatenate([runner.run((item[None],))["a"] for item in pictures])
    last = made.nodes[1]
    weights, bias = (real_value(made.constants[n], made.tensors[n]) for n in last.inputs[1:])
    wanted = np.einsum("nchw,oc->nohw", values, weights[:, :, 0, 0]) + bias.reshape(1, 2, 1, 1)
    np.testing.assert_allclose(seen["y"], wanted, atol=1e-5)


def test_integers_and_masks_say_how_many_pictures_fit() -> None:
    graph, fixed = small_net(), quantized()
    held = [pictures_for(graph, fixed, size) for size in (1, 1 << 16, 1 << 20)]
    assert held[0] == 1
    assert held[1] < held[2]
    assert held[2] == pytest.approx(16 * held[1], rel=0.2)
