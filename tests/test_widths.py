"""Which tensors have 16 bits, and the requantize per channel before depthwise convolutions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import conformance_checks as checks
import knightlite
from float_nets import PADS, RELU, FloatNet
from knightlite import chip_files, dtypes
from knightlite.frontend import load_quantized
from knightlite.ir import Graph
from knightlite.onnx_models import float_parts, write_qdq
from knightlite.ops import View
from knightlite.ops.affine import only_requantizes
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.rewrites.spreading import spread_channels
from knightlite.quantize.scales.feature_choice import fixed_output
from knightlite.quantize.scales.features import BY_DEFINITION, Feature
from knightlite.quantize.scales.widths import (
    everything,
    head_tensors,
    middles,
    refused_widths,
    table_inputs,
    whole_groups,
    within_norms,
)
from knightlite.quantize.settings import NOTHING_BY_RULE, Settings, Widths, settings_for


def mobile_net() -> Graph:
    """Conv, HardSwish, depthwise, HardSwish, Conv with a shortcut, and a head of two parts."""
    net = FloatNet()
    x = net.input("x", 8, 12, 12)
    stem = net.conv(x, "stem", 8)
    swish = net.node("Table", (stem,), "swish", function="HardSwish", alpha=1 / 6, beta=0.5)
    deep = net.conv(swish, "deep", 8, (3, 3), group=8, pads=PADS)
    quick = net.node("Table", (deep,), "quick", function="HardSwish", alpha=1 / 6, beta=0.5)
    flat = net.conv(quick, "flat", 8)
    total = net.node("Add", (flat, x), "sum")
    boxes = net.conv(total, "boxes", 4)
    logits = net.conv(total, "logits", 4)
    scores = net.node("Table", (logits,), "scores", function="Sigmoid")
    return net.build(net.node("Concat", (boxes, scores), "head", axis=1))


def test_what_only_tables_read_is_wide() -> None:
    assert table_inputs(mobile_net()) == {"stem", "deep", "logits"}


ROOTS: dict[str, tuple[str, ...]] = {
    "power": ("Add x 1e-05", "Pow %1 exponent=-0.5"),
    "reciprocal of a root": ("Add x 1e-05", "Sqrt %1", "Reciprocal %2"),
    "with a gain": ("Add x 1e-05", "Sqrt %1", "Div 0.25 %2"),
}


def norm_net(*steps: str) -> Graph:
    """(x - mean) by a table of the mean square, channel by channel of a pixel."""
    net = FloatNet()
    x = net.input("x", 8, 4, 4)
    apart = net.node("Sub", (x, net.conv(x, "mean", 1)), "apart")
    squares = net.node("Table", (apart,), "squares", function="Pow", exponent=2.0)
    variance = net.conv(squares, "variance", 1)
    root = net.node("Table", (variance,), "root", function="Expression", steps=steps)
    return net.build(net.node("Mul", (apart, root), "y"))


@pytest.mark.parametrize("steps", ROOTS.values(), ids=ROOTS)
def test_a_norm_is_known_however_its_root_is_spelled_out(steps: tuple[str, ...]) -> None:
    wanted = {"mean", "apart", "squares", "variance", "root"}
    assert within_norms(norm_net(*steps)) == wanted


@pytest.mark.parametrize(
    "steps",
    [("Sqrt x",), ("Reciprocal x",), ("Exp x",), ("Sqrt x", "Div %1 -1.0", "Reciprocal %2")],
)
def test_other_tables_make_no_norm(steps: tuple[str, ...]) -> None:
    assert within_norms(norm_net(*steps)) == frozenset()


def test_the_head_is_wide_as_a_whole() -> None:
    assert head_tensors(mobile_net()) == {"boxes", "scores", "head"}


def test_a_head_that_a_convolution_reads_is_not() -> None:
    net = FloatNet()
    first = net.conv(net.input("x", 3, 4, 4), "first", 4)
    net.conv(first, "second", 4)
    assert head_tensors(net.build("first", "second")) == {"second"}


def test_what_only_a_shortcut_sum_reads_is_a_middle() -> None:
    assert middles(mobile_net()) == {"flat"}


def test_only_the_later_operand_of_a_sum_runs_in_its_chain() -> None:
    net = FloatNet()
    x = net.input("x", 3, 4, 4)
    left, right = net.conv(x, "left", 4), net.conv(x, "right", 4)
    assert middles(net.build(net.node("Add", (left, right), "sum"))) == {"right"}


@pytest.mark.parametrize("case", ["also read", "also delivered", "twice", "broadcast", "pool"])
def test_what_is_no_middle(case: str) -> None:
    """Only what a convolution hands to one Add of its own shape."""
    net = FloatNet()
    x = net.input("x", 4, 4, 4)
    left = net.conv(x, "left", 4) if case != "pool" else net.average(x, "left")
    other = left if case == "twice" else net.average(x, "mean") if case == "broadcast" else x
    net.node("Add", (left, other), "sum")
    more = [net.conv("left", "more", 4)] if case == "also read" else []
    more = ["left"] if case == "also delivered" else more
    assert middles(net.build("sum", *more)) == frozenset()


def test_an_affine_that_moves_or_cuts_values_is_no_requantize() -> None:
    for gain, offset, more, is_one in (
        (1.0, 0.0, {}, True),
        (1.0, 0.5, {}, False),
        (0.5, 0.0, {}, False),
        (1.0, 0.0, {"clamp": RELU}, False),
    ):
        net = FloatNet()
        names = (
            net.builder.constant("gain", np.asarray([1, gain, 1], np.float32)),
            net.builder.constant("offset", np.asarray([0, 0, offset], np.float32)),
        )
        graph = net.build(net.node("Affine", (net.input("x", 3, 2, 2), *names), "y", **more))
        assert only_requantizes(View(graph, graph.nodes[0])) == is_one


def test_a_group_is_wide_as_a_whole_and_weights_follow_their_input() -> None:
    net = FloatNet()
    x = net.input("x", 3, 4, 4)
    joined = net.node("Concat", (net.conv(x, "a", 4), net.conv(x, "b", 4)), "joined", axis=1)
    graph = net.build(net.conv(joined, "y", 2))
    widths = whole_groups(graph, Widths(frozenset({"a"})))
    assert widths == Widths(frozenset({"a", "b", "joined"}), frozenset({"y"}))


def test_everything_is_wide_also_what_has_its_scale_by_definition() -> None:
    net = FloatNet()
    flat = net.conv(net.input("x", 3, 4, 4), "y", 4)
    graph = net.build(net.node("Softmax", (flat,), "p"))
    assert everything(graph) == Widths(frozenset({"x", "y", "p"}), frozenset({"y"}))
    (group,) = [item for item in scale_groups(graph) if "p" in item.members]
    assert fixed_output(graph, group, False) == (dtypes.U8, 1 / 255)
    assert fixed_output(graph, group, True) == (dtypes.S16, 1 / 32767)


def test_a_requantize_per_channel_stands_before_the_depthwise_convolution() -> None:
    graph = spread_channels(mobile_net())
    affine = next(node for node in graph.nodes if node.op == "Affine")
    assert affine.inputs[0] == "swish"
    assert affine.output == "swish/channels"
    assert [n.name for n in graph.nodes if "swish/channels" in n.inputs] == ["deep"]
    assert {"swish", "stem"} <= table_inputs(graph)


def pictures() -> NDArray[np.float32]:
    """Four of noise."""
    return np.random.default_rng(3).normal(size=(4, 8, 12, 12)).astype(np.float32)


class Noise:
    """Four pictures of noise."""

    description = "noise"

    def run(self, forward: object) -> None:
        for picture in pictures():
            forward((picture[None],))  # type: ignore[operator]


def spread_net() -> Graph:
    """A convolution with loud and quiet channels, requantized per channel for a depthwise one."""
    net = FloatNet()
    rng = np.random.default_rng(5)
    x = net.input("x", 8, 12, 12)
    weights = rng.normal(size=(24, 8, 1, 1)) * 2.0 ** rng.integers(-6, 2, (24, 1, 1, 1))
    loud = net.conv(x, "loud", 24, weights=weights)
    names = [
        net.builder.constant(name, values.astype(np.float32))
        for name, values in (("gain", np.ones(24)), ("offset", np.zeros(24)))
    ]
    even = net.node("Affine", (loud, *names), "even")
    taps = rng.normal(size=(24, 1, 3, 3)) / weights.std(axis=1)[:, None]
    deep = net.conv(even, "deep", 24, (3, 3), group=24, pads=PADS, weights=taps)
    return net.build(deep)


@pytest.mark.parametrize("name", [family.names[0] for family in chip_files.families()])
def test_a_requantize_from_16_bits_runs_on_every_chip(name: str, tmp_path: Path) -> None:
    graph = spread_net()
    result = quantize_graph(graph, Noise(), Settings(widths=Widths(frozenset({"loud"}))))
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    back = load_quantized(path)
    assert back.tensors["loud"].dtype == dtypes.S16
    assert back.tensors["even"].per_channel
    assert back.tensors["even"].dtype.bits == 8
    pictures = np.random.default_rng(4).normal(size=(2, 8, 12, 12)).astype(np.float32)
    verdict = checks.judge(checks.build(back, name), back, graph, checks.single("x", pictures))
    verdict.check()
    assert verdict.sqnr_db > 30


@pytest.mark.parametrize(("name", "headroom"), [("loud", 1), ("deep", 2)])
def test_no_headroom_where_only_a_requantize_reads(name: str, headroom: int) -> None:
    settings = Settings(widths=Widths(frozenset({"loud", "deep"})))
    tensors = quantize_graph(spread_net(), Noise(), settings).report["tensors"]
    (found,) = (item for item in tensors if item["name"] == name)
    largest = max(-found["minimum"], found["maximum"])
    assert found["scale"] == pytest.approx(headroom * largest / 32767, rel=1e-6)
    assert found["method"] == ("absmax" if headroom == 1 else "absmax with headroom")


def test_wide_loud_channels_leave_the_quiet_ones_their_codes() -> None:
    graph = spread_net()
    wide, narrow = (
        quantize_graph(graph, Noise(), Settings(widths=Widths(frozenset(names)), equalize=False))
        for names in (["loud"], [])
    )
    gained = [item.report["outputs"][0]["sqnr_db"] for item in (wide, narrow)]
    assert gained[0] > gained[1] + 8


@pytest.mark.parametrize("name", checks.CHIPS)
def test_a_middle_is_wide_and_stays_inside_its_chain_on_every_chip(name: str) -> None:
    """Also where the matrix engine has 8 bits only: a middle is no operand of its products."""
    net = FloatNet()
    x = net.conv(net.input("x", 8, 12, 12), "stem", 16, (3, 3), pads=PADS)
    total = net.node("Add", (net.conv(x, "middle", 16, (3, 3), pads=PADS), x), "sum")
    graph = quantize_graph(net.build(net.conv(total, "y", 10)), Noise(), Settings()).graph
    assert graph.tensors["middle"].dtype == dtypes.S16
    assert {graph.tensors[item].dtype.bits for item in ("stem", "sum")} == {8}
    assert {w.dtype for n, w in graph.constants.items() if w.ndim == 4} == {np.dtype(np.int8)}
    built = checks.build(graph, name)
    assert "Conv+Add" in [layer.op for layer in built.program.meta.layers]
    checks.assert_exact(graph, built, np.random.default_rng(4))


def test_what_an_operator_keeps_at_8_bits_is_said_where_it_was_asked_for() -> None:
    net = FloatNet()
    x = net.conv(net.input("x", 8, 12, 12), "a", 16, clamp=RELU)
    net.conv(net.node("Table", (x,), "s", function="Sqrt"), "y", 10)
    result = quantize_graph(net.build("y"), Noise(), Settings(mix=Widths(frozenset({"a"}))))
    assert result.graph.tensors["a"].dtype.bits == 8
    (said,) = [str(item) for item in result.warnings if item.where == "a"]
    assert "it stays at 8 bits: Table s: " in said
    assert ".." not in said


def by_rule(settings: Settings) -> tuple[dict[str, list[str]], set[str]]:
    """Tensors of the mobile net by the rule that makes them wide, and all that are."""
    report = quantize_graph(mobile_net(), Noise(), settings).report
    told = {entry["rule"]: entry["tensors"] for entry in report["wide"]}
    return told, {item["name"] for item in report["tensors"] if item["type"] == "s16"}


def test_the_report_says_of_every_wide_tensor_by_which_rule() -> None:
    """And without the rules only what is delivered has 16 bits, or what is asked for."""
    told, wide = by_rule(Settings(equalize=False))
    delivered = {"outputs": ["boxes", "scores", "head"]}
    assert told == {"tables": ["stem", "swish", "deep", "logits"], **delivered, "sums": ["flat"]}
    assert wide == {name for names in told.values() for name in names}
    asked = settings_for(
        "normal", equalize=False, mix=Widths(frozenset({"stem"})), **NOTHING_BY_RULE
    )
    assert by_rule(asked) == (delivered, {"stem", *delivered["outputs"]})


@pytest.mark.parametrize("asked", [True, False])
def test_the_switch_turns_the_rules_off(asked: bool, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(float_parts(mobile_net()).to_bytes())
    made = knightlite.quantize(path, data=pictures(), effort="low", wide_tensors=asked)
    rules = ["tables", "outputs", "sums"] if asked else ["outputs"]
    assert [entry["rule"] for entry in made.report["wide"]] == rules
    noted = "knightlite.quantize"
    (notes,) = [e.value for e in onnx.load_from_string(made.onnx).metadata_props if e.key == noted]
    assert json.loads(notes).get("wide_tensors") is (None if asked else False)


def test_at_16_bits_no_rule_is_told() -> None:
    settings = Settings(equalize=False, bit_width=16)
    assert quantize_graph(mobile_net(), Noise(), settings).report["wide"] == []


def test_what_only_rules_want_wide_and_stays_narrow_is_one_finding() -> None:
    net = FloatNet()
    x = net.input("x", 8, 12, 12)
    parts = [
        net.node("Table", (net.conv(x, name, 16, clamp=RELU),), f"{name}r", function="Sqrt")
        for name in ("a", "b")
    ]
    net.conv(net.node("Add", tuple(parts), "s"), "y", 10)
    result = quantize_graph(net.build("y"), Noise(), Settings(equalize=False))
    assert [result.graph.tensors[name].dtype.bits for name in ("a", "b", "ar")] == [8, 8, 8]
    (said,) = [str(item) for item in result.warnings]
    assert said.startswith("a: it stays at 8 bits although a rule gives it 16: Table ar: ")
    assert said.endswith(
        " (2 such tensors in all). Hint: where 8 bits are too few, end the network in front of it "
        "with -on"
    )


@pytest.mark.parametrize("order", [("x", "g"), ("g", "x")])
def test_of_a_product_the_smaller_operand_gives_way(order: tuple[str, str]) -> None:
    """At steps so fine that the product of both is below the least ratio; one alone is not."""
    net = FloatNet()
    net.input("x", 4, 3, 3)
    net.input("g", 4, 1, 1)
    graph = net.build(net.node("Mul", order, "y"))

    def refused(*wide: str) -> list[str]:
        chosen = {
            name: Feature(
                name,
                dtypes.S16 if name in wide else dtypes.S8,
                np.asarray(2.0 ** (-12 if name in wide else -6), np.float32),
                0,
                BY_DEFINITION,
            )
            for name in ("x", "g", "y")
        }
        found = refused_widths(graph, chosen, Widths(frozenset(wide)))
        assert all(sentence.startswith("Mul y: ") for sentence in found.values())
        return sorted(found)

    assert refused("x", "g") == ["g"]
    assert refused("x") == refused("g") == refused() == refused("x", "g", "y") == []
