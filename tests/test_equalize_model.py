"""How far equalization goes: its model of both errors, number by number, at the edge of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Forward
from knightlite.quantize.rewrites import equalization
from knightlite.quantize.rewrites.equalization import ChannelRange, choose_divisors
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps.equalizing import (
    Seen,
    equalization_left_out,
    try_equalization,
)
from knightlite.quantize.steps.improvement import macs


def read_by_affine(gains: Sequence[float]) -> Graph:
    """x -> a -> an Affine with these gains -> y."""
    net, count = FloatNet(), len(gains)
    net.conv(net.input("x", 1, 1, 1), "a", count, weights=np.ones((count, 1, 1, 1)))
    gain = net.builder.constant("gain", np.asarray(gains, np.float32))
    offset = net.builder.constant("offset", np.zeros(count, np.float32))
    net.node("Affine", ("a", gain, offset), "even", clamp=(0.0, 6.0))  # which no divisor passes
    return net.build(net.conv("even", "y", 1, weights=np.ones((1, count, 1, 1))))


def read_by_conv(weights: Sequence[float], outputs: int = 1) -> Graph:
    """x -> a -> a convolution with outputs that are all alike -> y."""
    net, count = FloatNet(), len(weights)
    net.conv(net.input("x", 1, 1, 1), "a", count, weights=np.ones((count, 1, 1, 1)))
    rows = np.tile(np.reshape(weights, (1, count, 1, 1)), (outputs, 1, 1, 1))
    return net.build(net.conv("a", "y", outputs, weights=rows))


def all_ones(graph: Graph) -> dict[str, ChannelRange]:
    return {
        name: ChannelRange(np.ones(tensor.shape[1]), np.ones(tensor.shape[1]))
        for name, tensor in graph.tensors.items()
        if name not in graph.constants
    }


def chosen(
    graph: Graph, peaks: Sequence[float], rms: Sequence[float]
) -> tuple[float, list[float]] | None:
    """The exponent for "a" and the divisors of its channels; None where it is left as it is."""
    ranges = all_ones(graph)
    ranges["a"] = ChannelRange(np.asarray(peaks, np.float64), np.asarray(rms, np.float64))
    ties, divisors, done = choose_divisors(graph, ranges)
    if not done:
        return None
    (found,) = done
    assert found.tensors == ("a",)
    return found.exponent, divisors[ties.classes["a"]].tolist()


def test_a_classs_range_is_the_mean_over_the_groups_in_which_it_speaks() -> None:
    """The geometric one of its peaks, each relative to the loudest of the group."""
    ties = SimpleNamespace(
        free=np.ones(4, bool),
        classes={"a": np.array([0, 1, 2]), "b": np.array([0, 1, 2]), "c": np.array([1, 0, 3])},
    )
    peaks = {"a": [8.0, 2.0, 0.0], "b": [4.0, 16.0, 0.0], "c": [0.0, 5.0, 0.0]}
    model = SimpleNamespace(
        ties=ties,
        groups=[("a", "b"), ("c",)],
        group_of={"a": 0, "b": 0, "c": 1},
        ranges={name: ChannelRange(np.array(item), np.ones(3)) for name, item in peaks.items()},
    )
    found = equalization._Model._class_ranges(model, ("a", "b", "c"))  # type: ignore[arg-type]
    # class 0: 8/16 and 5/5; class 1: 16/16, silent in the other; 2 and 3 never speak
    np.testing.assert_allclose(found, [0.5**0.5, 1.0, 0.0, 0.0], rtol=1e-12)


def test_what_an_affine_reads_is_evened_out_down_to_a_256th() -> None:
    """The loudest channel sets the step for all; a factor costs an Affine nothing."""
    found = chosen(read_by_affine([1, 1, 1, 1, 1]), [8, 2, 2**-4, 2**-6, 0], [1, 1, 1, 1, 0])
    assert found is not None
    assert found[0] == 1.0
    assert found[1] == pytest.approx([1.0, 1 / 4, 1 / 128, 1 / 256, 1.0], rel=1e-12)


def test_what_was_done_is_told() -> None:
    """How many channels have another size, and the loudest over the middle one of those that speak.

    Peaks of 8, 2, 1/16 and 1/64 become 8, 8, 8 and 4.
    """
    graph = read_by_affine([1, 1, 1, 1, 1])
    ranges = all_ones(graph)
    ranges["a"] = ChannelRange(np.asarray([8, 2, 2**-4, 2**-6, 0]), np.asarray([1.0, 1, 1, 1, 0]))
    _, _, (found,) = choose_divisors(graph, ranges)
    assert (found.tensors, found.channels, found.exponent) == (("a",), 3, 1.0)
    assert found.spread_before == pytest.approx(8 / (1 + 1 / 32), rel=1e-12)
    assert found.spread_after == pytest.approx(1.0, rel=1e-12)


def test_ranges_of_channels_are_means_over_pictures() -> None:
    """Peaks of +-3 and 5 are 4 in the mean; mean squares of 5 and 25, their root."""
    net = FloatNet()
    net.conv(net.input("x", 2, 1, 2), "a", 1, weights=np.asarray([2.0, 0]).reshape(1, 2, 1, 1),
             bias=np.zeros(1))  # fmt: skip
    pictures = [[[-3, 1], [1, 1]], [[5, -5], [0, 2]]]
    seen = Seen(net.build("a"))
    for item in pictures:
        (_,) = seen.give((np.asarray(item, np.float32).reshape(1, 2, 1, 2),))
    found = seen.ranges()
    assert found["x"].peak.tolist() == [4.0, 1.5]
    assert found["x"].rms.tolist() == pytest.approx([15**0.5, 1.5**0.5], rel=1e-12)
    assert found["a"].peak.tolist() == [8.0]
    assert found["a"].rms.tolist() == pytest.approx([60**0.5], rel=1e-12)


def test_for_less_than_a_fifth_nothing_is_touched() -> None:
    """Noise (1 + (g r)^2) of (1 + g^2), r = 1/64, is 0.8 of it at g = 0.50024."""
    for gain, is_left in ((0.5, True), (0.5005, False)):
        found = chosen(read_by_affine([1, gain]), [64, 1], [32, 0.5])
        assert (found is None) == is_left


EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
PEAKS = (1.0, 1 / 64)


def model(exponent: float, weight: float, rms: float) -> float:
    """Noise at y: of a's steps, 255 to its peak, and of its weights', 127 to the largest."""
    divisors = [peak**exponent for peak in PEAKS]
    step = max(peak / divisor for peak, divisor in zip(PEAKS, divisors, strict=True)) / 255
    scaled = [divisors[0], weight * divisors[1]]
    noise = sum(step**2 / 12 * item**2 for item in scaled)
    power = (0.02 / divisors[0]) ** 2 + (rms / divisors[1]) ** 2
    return float(noise + (max(scaled) / 127) ** 2 / 12 * power)


def best(weight: float, rms: float) -> float | None:
    errors = {item: model(item, weight, rms) for item in EXPONENTS}
    least = min(EXPONENTS, key=errors.__getitem__)
    return least if errors[least] <= 0.8 * errors[0.0] else None


@pytest.mark.parametrize(("weight", "outputs"), [(1.0, 1), (6.0, 1), (6.0, 5)])
def test_a_convolution_weighs_both_errors(
    weight: float, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The louder a quiet channel is for its peak, the dearer a finer step in coarser weights.

    What is chosen changes where the model says so, to a thousandth; also where of five outputs
    alike the model looks at two, which stand for all.
    """
    monkeypatch.setattr(equalization, "MOST_WEIGHTS", 4)
    graph, seen = read_by_conv([1.0, weight], outputs), []
    for low, high in itertools.pairwise(np.geomspace(1e-5, 10, 200).tolist()):
        if best(weight, low) == best(weight, high):
            continue
        while high > 1.001 * low:
            middle = math.sqrt(low * high)
            if best(weight, middle) == best(weight, low):
                low = middle
            else:
                high = middle
        for rms in (low, high):
            found = chosen(graph, PEAKS, [0.02, rms])
            assert (None if found is None else found[0]) == best(weight, rms)
            seen.append(best(weight, rms))
    assert set(seen) == {None, 0.25, 0.5, 0.75, 1.0}


class Pictures:
    """So many of one pixel, one by one."""

    description = "pictures"

    def __init__(self, count: int) -> None:
        self.count = count

    def run(self, forward: Forward) -> float | None:
        for index in range(self.count):
            forward((np.full((1, 1, 1, 1), 0.5 + index % 7, np.float32),))
        return None


@pytest.mark.parametrize(("count", "judged"), [(12, 12), (40, 32)])
def test_at_most_32_pictures_judge(count: int, judged: int) -> None:
    graph = read_by_affine([1, 1, 1])
    graph = graph.with_constants({"a.weight": np.asarray([8, 1, 0.1], "f4").reshape(3, 1, 1, 1)})
    _, _, (step,) = try_equalization(graph, Pictures(count), Settings(), 1)
    assert step.judgement is not None
    assert step.judgement.pictures == judged


def test_an_effort_must_afford_twelve_pictures_of_four_runs() -> None:
    graph = read_by_affine([1, 1, 1])
    enough = 12 * 4 * macs(graph)
    for sample_macs, is_tried in ((enough, True), (enough - 1, False)):
        settings = Settings(sample_macs=sample_macs)
        assert (equalization_left_out(graph, settings, Pictures(12), 12) == "") == is_tried
