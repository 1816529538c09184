"""Scales by what the outputs keep: planted streams whose loud pictures, or rare values, decide."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import knightlite
from float_nets import PADS, RELU, FloatNet, Pictures, small_net
from knightlite.inference import run_node, session
from knightlite.ir import Graph
from knightlite.onnx_models import float_parts, write_float
from knightlite.quantize.choices import EFFORTS
from knightlite.quantize.data.striking import Striking
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.ranges.methods import ROOMY_METHODS
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.features import Rule
from knightlite.quantize.settings import Pin, Settings, settings_for
from knightlite.quantize.steps import output_scales
from knightlite.quantize.steps.consequences import Consequences
from knightlite.quantize.steps.improvement import TOO_DEAR, sample_limit
from knightlite.quantize.steps.live_values import fake_quantize
from knightlite.quantize.steps.output_scales import (
    NAME,
    affordable,
    choose_output_scales,
    free_groups,
    output_scales_left_out,
    sample_wanted,
)
from knightlite.quantize.steps.output_views import OutputViews, cost, view_cost
from knightlite.quantize.steps.scale_moves import (
    EveryView,
    PictureMeans,
    Tried,
    instead,
    part_of,
)
from knightlite.quantize.steps.walk import Walk
from test_feature_choice import basis_of

Array = NDArray[Any]
SETTINGS = Settings(bias_correction="fast", equalize=False)


def loud(count: int, seed: int = 0) -> Array:
    """Pictures [n, 4, 12, 12], one of eight with a fourth channel up to six times as loud."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (count, 4, 12, 12))
    loudness = np.where(np.arange(count) % 8 == 3, random.uniform(2, 6, count), 0.02)
    values[:, 3] = np.abs(values[:, 3]) * loudness[:, None, None]
    return values.astype(np.float32)


def stream(heard: float) -> Graph:
    """A residual stream that carries the fourth channel along; the last layer hears so much of it.

    The twelve outputs read the quiet channels.
    """
    net = FloatNet("stream", seed=2)
    net.input("x", 4, 12, 12)
    aside = np.zeros((8, 4, 1, 1))
    aside[:7, :3, 0, 0] = net.rng.normal(0, 0.6, (7, 3))
    aside[7, 3] = 8.0
    previous = net.conv("x", "stem", 8, weights=aside, bias=np.zeros(8))
    for block in ("one", "two"):
        inner = net.rng.normal(0, 0.4, (8, 8, 3, 3))
        inner[:, 7] = 0.0
        net.conv(previous, f"{block}.in", 8, (3, 3), weights=inner, pads=PADS, clamp=RELU)
        back = net.rng.normal(0, 0.2, (8, 8, 1, 1))
        back[7] = 0.0
        net.conv(f"{block}.in", f"{block}.out", 8, weights=back)
        previous = net.node("Add", (previous, f"{block}.out"), f"{block}.sum")
    last = net.rng.normal(0, 0.4, (12, 8, 1, 1))
    last[:, 7] = heard
    return net.build(net.conv(net.pool(previous, "pooled"), "y", 12, weights=last))


def start(graph: Graph, settings: Settings = SETTINGS, count: int = 32) -> tuple[Basis, Assignment]:
    basis = basis_of(graph, loud(count), settings)
    return basis, assign(basis)


def test_what_is_discarded_downstream_does_not_buy_a_scale() -> None:
    """The stream takes a scale for the quiet channels, and other pictures keep far more."""
    basis, assignment = start(stream(heard=0.0))
    made, (step,) = choose_output_scales(basis, assignment, (loud(32),), threads=1)
    assert step.kept
    assert step.judgement is not None
    assert step.judgement.gain_db > 6
    assert step.sentence.startswith(f"{NAME}: ")
    for name in ("one.sum", "two.sum"):
        assert made.features[name].scale < 0.5 * assignment.features[name].scale
        assert made.features[name].rule.text.startswith("mse x 0.")


def test_what_the_outputs_hear_keeps_its_scale() -> None:
    basis, assignment = start(stream(heard=0.4))
    made, _ = choose_output_scales(basis, assignment, (loud(32),), threads=1)
    for name in ("one.sum", "two.sum"):
        assert made.features[name].scale >= 0.7 * assignment.features[name].scale


def spotted(count: int, seed: int = 0) -> Array:
    """Pictures [n, 4, 32, 32]: noise, and on every other picture two spots nine times as high."""
    random = np.random.default_rng(seed)
    values = random.normal(0, 0.5, (count, 4, 32, 32)).astype(np.float32)
    for picture in values[::2]:
        for row, column in random.integers(1, 31, (2, 2)):
            picture[:, row, column] = random.uniform(7, 9)
    return values


def test_rare_values_that_decide_are_not_clipped() -> None:
    """A score map that finds the spots: what is clipped of them is a large part of the tail."""
    net = FloatNet("spots", seed=3)
    net.input("x", 4, 32, 32)
    net.conv("x", "stem", 8, weights=np.abs(net.rng.normal(0, 0.5, (8, 4, 1, 1))), clamp=RELU)
    net.conv("stem", "middle", 8, weights=np.abs(net.rng.normal(0, 0.4, (8, 8, 1, 1))), clamp=RELU)
    graph = net.build(net.conv("middle", "score", 2))
    pictures = spotted(32)
    basis = basis_of(graph, pictures, replace(SETTINGS, method="mse"))
    clipped = basis.switched(range_factors=(("stem", 0.25), ("middle", 0.25)))
    assignment = assign(clipped)
    assert assignment.features["middle"].rule == Rule("mse", is_method=True, factor=0.25)
    groups = free_groups(basis, assignment)
    watch = output_scales._Watch(graph, (pictures,), (), assignment.graph, 1)
    moved = dict(
        (next(iter(group.tensors)), by)
        for group, by in output_scales._choose(watch, groups, 10**6, PictureMeans())
    )
    assert moved["middle"] > 1  # wider


def test_where_rare_values_are_clipped_ranges_with_room_are_taken() -> None:
    """By the tail of the map; where nothing is clipped, the ranges stay."""
    net = FloatNet("spots", seed=3)
    net.input("x", 4, 32, 32)
    net.conv("x", "stem", 8, weights=np.abs(net.rng.normal(0, 0.5, (8, 4, 1, 1))), clamp=RELU)
    graph = net.build(net.conv("stem", "score", 2, weights=np.full((2, 8, 1, 1), 0.3)))
    pictures = np.concatenate([spotted(2), spotted(64, seed=1)[1::2]])  # one in 34 holds spots
    basis = basis_of(graph, pictures, SETTINGS)
    clipped = assign(basis.switched(range_factors=(("stem", 0.3),)))
    watch = output_scales._Watch(graph, (pictures,), (pictures[:1],), clipped.graph, 1)
    assert watch.views.tails
    wide, other = output_scales._with_room(watch, basis, clipped)
    assert wide.settings.method == "wide_mse"
    assert other.features["stem"].rule == Rule("wide_mse", is_method=True)
    assert np.array_equal(watch.total, watch.noise(other.graph), equal_nan=True)
    again = output_scales._Watch(graph, (pictures,), (pictures[:1],), other.graph, 1)
    assert output_scales._with_room(again, basis, other) == (basis, other)


def test_what_one_picture_tells_of_decides() -> None:
    """The others would all gain by finer scales, and lose nothing by clipping."""
    net = FloatNet("spots", seed=3)
    net.input("x", 4, 32, 32)
    net.conv("x", "stem", 8, weights=np.abs(net.rng.normal(0, 0.5, (8, 4, 1, 1))), clamp=RELU)
    graph = net.build(net.conv("stem", "score", 2, weights=np.full((2, 8, 1, 1), 0.3)))
    pictures = np.concatenate([spotted(2), spotted(64, seed=1)[1::2]])
    basis = basis_of(graph, pictures, SETTINGS).switched(range_factors=(("stem", 0.3),))
    clipped = assign(basis)
    made, (step,) = choose_output_scales(basis, clipped, (pictures,), (pictures[:1],), 1)
    assert step.kept
    assert step.judgement is not None
    assert step.judgement.gain_db < 0  # of the middle picture
    assert made.features["stem"].rule.name in ROOMY_METHODS


def test_a_tail_counts_as_much_as_what_all_pictures_hold() -> None:
    energy = np.asarray([[4.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    noise = np.asarray([[1.0, 0.04, 9.0], [np.nan, 0.81, np.nan], [np.nan, np.nan, np.nan]])
    assert view_cost(noise, energy) == pytest.approx(((0.5 + 0.2) / 2 + 0.9) / 2)
    assert view_cost(noise[2:], energy[2:]) == 0.0


def test_noises_of_groups_add_up() -> None:
    """What a group leaves is taken off and the other put in; a tenth is never explained."""
    group = Tried({}, {0: np.full((1, 2), 4.0), -1: np.full((1, 2), 1.0)})
    total = np.asarray([[10.0, 4.1]])
    assert instead(group, -1, total) == pytest.approx(np.asarray([[7.0, 1.41]]))
    assert instead(group, 0, total) == pytest.approx(np.asarray([[10.0, 4.41]]))
    group.add(-1, np.full((1, 1), 3.0))
    assert (group.seen(-1), group.seen(0), group.seen(1)) == (3, 2, 0)


def test_a_finer_scale_serves_where_no_view_is_worse_for_it() -> None:
    """Not where the tail, which one picture of three has, loses what the whole gains."""
    energy, total = np.asarray([[1.0] * 3, [np.nan, 1.0, np.nan]]), np.asarray([[0.04] * 3] * 2)
    total[1, [0, 2]] = np.nan

    def tried(whole: float, tail: float) -> list[float]:
        group = Tried({})
        for by, values in ((0, (0.03, 0.03)), (-1, (whole, tail))):
            group.add(by, np.asarray([[values[0]] * 3, [np.nan, values[1], np.nan]]))
        by, left = EveryView().best(group, total, energy)
        return [by, left[1, 1]]

    assert tried(0.01, 0.031) == [0, 0.04]
    assert tried(0.03, 0.01) == pytest.approx([-1, 0.02])
    assert tried(0.0299, 0.0299) == [0, 0.04]  # less than half a hundredth
    assert EveryView().best(Tried({}, {0: total / 2}), total, energy)[0] == 0  # nothing was tried


def test_the_part_of_a_group_is_told_where_there_is_noise() -> None:
    noise = np.asarray([[1.0, 0.0, 3.0], [2.0, 0.0, np.nan]])
    total = np.asarray([[2.0, 0.0, 4.0], [2.0, 0.0, np.nan]])
    assert part_of(noise, total) == pytest.approx((0.5 + 0.75 + 1.0) / 3)
    assert part_of(np.zeros((1, 3)), np.zeros((1, 3))) == 0.0


def test_a_group_alone_is_what_the_whole_network_makes_of_it() -> None:
    """Rounded where it is computed, every member; several scales side by side; kept apart."""
    graph = small_net()
    pictures = np.concatenate(Pictures(count=6).batches)
    basis = basis_of(graph, pictures, SETTINGS)
    groups = free_groups(basis, assign(basis))
    names = {name for group in groups for name in group.tensors}
    joined = next(group for group in groups if "joined" in group.tensors)
    assert set(joined.tensors) == {"left", "right", "joined"}
    assert "logits" not in names  # 16 bits: no method decides
    inner = [node.output for node in graph.nodes]
    delivered = [*graph.outputs, *(name for name in inner if name not in graph.outputs)]
    values = session(write_float(graph, inner), 1).run(None, {"x": pictures})
    exact = dict(zip(delivered, values, strict=True))
    walk = Walk(graph, (pictures,), 1)
    for place, by in ((0, 0), (4, 3)):
        some = Consequences(graph, walk, place)
        one = slice(place, place + 1)
        assert np.allclose(some.outputs["logits"], exact["logits"][one], atol=1e-5)
        tensors = joined.at(by)
        parts = [fake_quantize(exact[name][one], tensors[name]) for name in ("left", "right")]
        rest = _behind("joined", graph, np.concatenate(parts, axis=1))
        assert np.allclose(some.of(tensors)["logits"], rest, atol=1e-4)
    scale = float(joined.tensors["left"].scale or 0)
    assert float(joined.at(3)["left"].scale or 0) == pytest.approx(2**1.5 * scale)


def test_a_member_that_is_made_of_another_is_rounded_too() -> None:
    """As in a DenseNet: what a layer makes of a tensor stands behind it, at the same scale."""
    net = FloatNet(seed=5)
    net.conv(net.input("x", 3, 6, 6), "a", 4)
    net.conv("a", "b", 4, (3, 3), pads=PADS)
    net.node("Concat", ("a", "b"), "joined")
    graph = net.build(net.conv("joined", "y", 2))
    pictures = np.random.default_rng(0).normal(0, 1, (2, 3, 6, 6)).astype(np.float32)
    basis = basis_of(graph, pictures, SETTINGS)
    (group,) = (item for item in free_groups(basis, assign(basis)) if "joined" in item.tensors)
    assert set(group.tensors) == {"a", "b", "joined"}
    tensors = group.at(4)

    def made(output: str, values: Array) -> Array:
        (node,) = (item for item in graph.nodes if item.output == output)
        return run_node(graph, node, [values], 1)

    for place in range(2):
        a = fake_quantize(made("a", pictures[place : place + 1]), tensors["a"])
        b = fake_quantize(made("b", a), tensors["b"])
        wanted = made("y", np.concatenate([a, b], axis=1))
        found = Consequences(graph, Walk(graph, (pictures,), 1), place).of(tensors)["y"]
        assert np.allclose(found, wanted, atol=1e-5)


def _behind(name: str, graph: Graph, values: Array) -> Array:
    """The logits where the tensor ``name`` has these values, node by node."""
    from knightlite.ops import View

    known = {name: values}
    for node in graph.nodes[[item.output for item in graph.nodes].index(name) + 1 :]:
        inputs = [known[item] for item in node.inputs if item in known]
        made = run_node(graph, node, inputs, 1)
        known[node.output] = np.clip(made, *View(graph, node).clamp)
    return known["logits"]


def test_threads_do_not_decide() -> None:
    basis, assignment = start(stream(heard=0.0))
    one, three = (
        choose_output_scales(basis, assignment, (loud(32),), threads=count) for count in (1, 3)
    )
    assert {name: float(item.scale) for name, item in one[0].features.items()} == {
        name: float(item.scale) for name, item in three[0].features.items()
    }
    assert one[1][0].judgement == three[1][0].judgement


def test_last_bits_do_not_decide() -> None:
    """Another processor's float values, a millionth off, choose the same."""
    graph = stream(heard=0.0)
    basis, assignment = start(graph)
    made, _ = choose_output_scales(basis, assignment, (loud(32),), threads=1)
    grain = 1 + 1e-6 * np.random.default_rng(5).standard_normal(loud(32).shape)
    other = (loud(32) * grain).astype(np.float32)
    again, _ = choose_output_scales(basis, assignment, (other,), threads=1)
    rules = [{name: item.rule for name, item in one.features.items()} for one in (made, again)]
    assert rules[0] == rules[1]


def test_the_tail_is_that_of_the_pictures_that_have_one() -> None:
    exact = np.full((6, 2, 32, 32), -5.0, np.float32)
    exact[:, 0] += np.linspace(0, 0.5, 6, dtype=np.float32)[:, None, None]
    exact[0, 0, 3, 4:6], exact[2, 0, 5, 6:22] = 9.0, 8.0  # two pictures stand out, in channel 0
    many = {"map": exact}
    fixed = {"map": many["map"] + np.float32(0.5)}
    fixed["map"][0, :, 3, 4:6] -= 3.5
    views = OutputViews(many)
    assert views.tails
    whole, tail = views.noise(many, fixed)
    assert whole[1] == 2 * 1024 * 0.25
    assert (tail[0], tail[2]) == (2 * 9.0, 16 * 0.25)
    assert np.isnan(tail[[1, 3, 4, 5]]).all()
    energy = OutputViews(many).energy(many)
    assert energy[0][1] == pytest.approx(1024 * (4.9**2 + 25))
    spread = float(np.var(exact))
    assert energy[1] == pytest.approx([2 * spread, 0, 16 * spread, 0, 0, 0])
    found = cost(np.asarray([whole, tail]), energy)
    assert found[1] == pytest.approx(np.sqrt(whole[1] / energy[0][1]))
    assert found[2] == pytest.approx(
        (np.sqrt(whole[2] / energy[0][2]) + np.sqrt(0.25 / spread)) / 2
    )


def test_few_places_are_a_tail_where_no_picture_stands_out() -> None:
    """Every picture has its spot, and no peak is rare; in the second channel one place in 256."""
    exact = np.random.default_rng(1).uniform(0, 0.1, (6, 2, 64, 64)).astype(np.float32)
    for place in range(6):
        exact[place, 0, 9 * place, 3] = 0.5 + 0.08 * place
        exact[place, 1, ::16, ::16] = 0.5 + 0.08 * place
    views = OutputViews({"map": exact})
    whole, tail = views.noise({"map": exact}, {"map": exact + np.float32(0.5)})
    assert whole == pytest.approx(np.full(6, 2 * 64 * 64 * 0.25), rel=1e-5)
    assert tail == pytest.approx([0.25] * 6, rel=1e-5)
    for many in (exact[:, 1:], np.zeros_like(exact)):
        assert not OutputViews({"map": many}).tails


def test_noise_and_energy_of_a_tail_are_of_the_same_values() -> None:
    """Those above the threshold: halfway from the median peak to the largest, not at it."""
    exact = np.zeros((5, 1, 16, 16), np.float32)
    exact[:, 0, 0, 0] = [1, 1, 1, 1, 9]
    exact[4, 0, 1, :3] = 5  # the threshold itself
    exact[4, 0, 2, :2] = 5.5
    views = OutputViews({"map": exact})
    fixed = {"map": exact + np.float32(0.5)}
    _, tail = views.noise({"map": exact}, fixed)
    _, energy = views.energy({"map": exact})
    assert np.isnan(tail[:4]).all()
    assert tail[4] == 3 * 0.25
    assert energy.tolist() == pytest.approx([0, 0, 0, 0, 3 * float(np.var(exact))])


def test_a_map_in_which_no_picture_stands_out_has_no_tail() -> None:
    noise = np.random.default_rng(0).normal(size=(8, 3, 32, 32)).astype(np.float32)
    assert not OutputViews({"map": noise}).tails


def test_striking_pictures_are_kept_whatever_came_before() -> None:
    """Those whose largest value in a channel no other picture reaches; the most striking first."""
    random = np.random.default_rng(3)
    outputs = random.normal(0, 0.1, (40, 3, 16, 16)).astype(np.float32)
    outputs[[5, 21, 38], 1, 2, 3] = 5.0, 9.0, 7.0
    inputs = np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1)
    for batch in (1, 3, 40):
        kept = Striking(3)
        for first in range(0, 40, batch):
            part = slice(first, first + batch)
            kept.add((inputs[part],), {"map": outputs[part], "logits": outputs[part, :, 0, 0]})
        (found,) = kept.pictures()
        assert found.ravel().tolist() == [21.0, 38.0, 5.0]
    none = Striking(3)
    none.add((inputs,), {"logits": outputs[:, :, 0, 0]})
    assert none.pictures() == ()
    off = Striking(0)
    off.add((inputs,), {"map": outputs})
    assert off.pictures() == ()


@pytest.mark.parametrize("batch", [1, 4])
def test_of_pictures_that_are_as_striking_the_earlier_ones_are_kept(batch: int) -> None:
    """The most striking first."""
    values = np.zeros((12, 1, 16, 16), np.float32)
    values[:, 0, 0, 0] = np.linspace(1, 1.1, 12)
    loud = {2: 9.0, 3: 7.0, 5: 9.0, 8: 20.0, 11: 9.0}
    for place, peak in loud.items():
        values[place, 0, 3, 3] = peak
    numbers = np.arange(12, dtype=np.float32).reshape(12, 1, 1, 1)
    for limit, kept in ((1, [8]), (2, [8, 2]), (3, [8, 2, 5]), (5, [8, 2, 5, 11, 3])):
        striking = Striking(limit)
        for first in range(0, 12, batch):
            some = slice(first, first + batch)
            striking.add((numbers[some],), {"y": values[some]})
        assert striking.pictures()[0].ravel().tolist() == kept


def test_striking_pictures_come_in_turn_with_the_others() -> None:
    one, other = np.arange(5), np.arange(10, 13)
    (found,) = output_scales.in_turn((one,), (other,))
    assert found.tolist() == [10, 0, 11, 1, 12, 2, 3, 4]
    assert output_scales.in_turn((one,), ())[0] is one


def test_scores_of_a_whole_picture_have_no_tail() -> None:
    scores = {"logits": np.random.default_rng(0).normal(size=(5, 1000, 1, 1))}
    assert OutputViews(scores).noise(scores, scores).shape == (1, 5)


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, output_scales=False),
        replace(SETTINGS, bit_width=16),
        replace(SETTINGS, method="min_max"),
        replace(SETTINGS, sample_macs=1 << 12),
        settings_for("low"),
    ],
)
def test_where_it_is_not_asked_for_nothing_moves(settings: Settings) -> None:
    basis, assignment = start(stream(heard=0.0), settings)
    assert choose_output_scales(basis, assignment, (loud(32),), threads=1) == (assignment, ())
    assert sample_wanted(basis.graph, settings) == sample_limit(basis.graph, settings)
    assert not EFFORTS["low"]["output_scales"]


def test_few_pictures_judge_nothing() -> None:
    basis, assignment = start(stream(heard=0.0))
    assert choose_output_scales(basis, assignment, (loud(15),), threads=1) == (assignment, ())


def test_pinned_groups_stay() -> None:
    graph = stream(heard=0.0)
    plain = assign(basis_of(graph, loud(32), SETTINGS)).features["one.sum"]
    pin = Pin("one.sum", plain.dtype, plain.scale, "-lsj")
    basis, assignment = start(graph, replace(SETTINGS, pins=(pin,)))
    made, _ = choose_output_scales(basis, assignment, (loud(32),), threads=1)
    assert made.features["one.sum"].scale == plain.scale
    assert made.features["two.sum"].scale < assignment.features["two.sum"].scale


def test_what_an_effort_affords() -> None:
    """Every group on a picture, half of the network each, and as much again to choose."""
    graph = stream(heard=0.0)
    groups = len(scale_groups(graph))
    macs = 12 * 12 * (8 * 4 + 2 * (72 * 8 + 64)) + 36 * 12 * 8
    least = -(-3 * groups // 4)
    assert output_scales.least_passes(graph) == least
    for passes, enough in ((least, True), (least - 1, False)):
        settings = replace(SETTINGS, sample_macs=-(-passes * macs // output_scales.RUNS))
        assert affordable(graph, settings) is enough
        sentence = output_scales_left_out(graph, settings, Pictures(), 16)
        assert sentence.startswith(f"{NAME}: not tried, {least} passes of 0.0 G") is not enough
        assert sentence.endswith(TOO_DEAR) is not enough
    assert output_scales_left_out(graph, SETTINGS, Pictures(), 15).endswith(
        "takes 16 pictures or more"
    )
    assert output_scales_left_out(graph, SETTINGS, Pictures(), 16) == ""


def test_the_switch(tmp_path: Path) -> None:
    """On by default; off, and where another method is asked for, the scales are the method's."""
    model = tmp_path / "net.onnx"
    model.write_bytes(float_parts(stream(heard=0.0)).to_bytes())

    def moved(**asked: Any) -> set[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            made = knightlite.quantize(model, data=loud(32), equalization=False, **asked)
        return {item["name"] for item in made.report["tensors"] if " x " in item["method"]}

    assert {"one.sum", "two.sum"} <= moved()
    assert moved(output_scales=False) == moved(effort="low") == moved(method="kl") == set()
    assert {"one.sum", "two.sum"} <= moved(effort="low", output_scales=True)


@pytest.mark.parametrize("method", ["mse", "min_max", "percentile", "kl"])
def test_a_factor_is_on_top_of_every_method(method: str) -> None:
    basis = basis_of(stream(heard=0.4), loud(32), replace(SETTINGS, method=method))
    plain = assign(basis).features["one.sum"]
    moved = assign(basis.switched(range_factors=(("one.sum", 0.5),))).features["one.sum"]
    assert float(moved.scale) == pytest.approx(0.5 * float(plain.scale))
    assert moved.rule == Rule(method, is_method=True, factor=0.5)


def test_an_exact_network_has_nothing_to_move() -> None:
    """Whole numbers in, and one weight that 8 bits hold: no noise, no warning, no step."""
    net = FloatNet()
    net.input("x", 1, 4, 4)
    graph = net.build(net.pool("x", "y"))
    pictures = np.random.default_rng(0).integers(-100, 100, (32, 1, 4, 4)).astype(np.float32)
    basis = basis_of(graph, pictures, SETTINGS)
    assignment = assign(basis)
    assert choose_output_scales(basis, assignment, (pictures,), threads=1) == (assignment, ())


def test_what_striking_pictures_take_does_not_grow_with_the_stream() -> None:
    """Neither pictures nor peaks; and a late one is kept though a thousand came before."""
    kept = Striking(4)
    random = np.random.default_rng(0)
    for number in range(1000):
        output = random.normal(0, 0.1, (1, 2, 16, 16)).astype(np.float32)
        output[0, 1, 3, 3] += 9.0 * (number in (3, 990))
        kept.add((np.full((1, 1, 1, 1), number, np.float32),), {"map": output})
        assert len(kept._kept) <= 8
    assert len(kept._known.pictures()[0]) <= 256
    assert sorted(kept.pictures()[0].ravel().tolist()[:2]) == [3.0, 990.0]
