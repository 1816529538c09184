"""Mixed widths by hand: template, names and types, rules, everything wrong at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from float_nets import RELU, FloatNet
from knightlite.errors import UsageError
from knightlite.ir import Graph
from knightlite.quantize.mixed.mix_config import Mix, read_mix, template
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.settings import NARROW, Widths


def net() -> Graph:
    """Two inputs, a group of two convolutions, tables."""
    made = FloatNet()
    x, z = made.input("x", 3, 4, 4), made.input("z", 3, 4, 4)
    joined = made.node("Concat", (made.conv(x, "a", 4), made.conv(z, "b", 4)), "joined", axis=1)
    swish = made.hard_swish(made.conv(joined, "c", 4, clamp=RELU), "swish")
    made.node("Table", (swish,), "size", function="Abs")
    return made.build(made.conv("size", "y", 2))


def read(*entries: Any) -> Mix:
    return read_mix(json.dumps(entries), "m.json", net())


def refused(*entries: Any) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read(*entries)
    return [f"{item.where}: {item.sentence}" for item in caught.value.findings]


def test_the_template_changes_no_width_and_names_every_operator_once() -> None:
    text = template(net(), "kl")
    mix = read_mix(text, "m.json", net())
    assert mix.widths == NARROW
    assert set(mix.methods.values()) == {"kl"}
    names = [name for entry in json.loads(text) for name in entry["op_names"]]
    assert sorted(names) == sorted(node.name for node in net().nodes)


def test_an_operator_of_16_bits_reads_them_and_has_such_weights() -> None:
    assert read({"op_names": ["y"], "bitwidth": 16}).widths == Widths(
        frozenset({"size"}), frozenset({"y"})
    )


def test_what_shares_a_scale_comes_along() -> None:
    assert read({"op_names": ["c"], "bitwidth": 16}).widths == Widths(
        frozenset({"a", "b", "joined"}), frozenset({"c"})
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_name_wins_over_a_type(order: tuple[int, int]) -> None:
    entries = ({"op_types": ["Conv"], "bitwidth": 16}, {"op_names": ["y"], "bitwidth": 8})
    assert read(*(entries[i] for i in order)).widths.weights16 == {"a", "b", "c"}


@pytest.mark.parametrize(("key", "value"), [("op_names", "y"), ("op_types", "Conv")])
def test_of_two_entries_the_later_one_counts(key: str, value: str) -> None:
    wide, narrow = ({key: [value], "bitwidth": bits} for bits in (16, 8))
    assert read(wide, narrow).widths == NARROW
    assert read(narrow, wide).widths == read(wide).widths != NARROW


def test_a_table_is_called_like_its_function_and_a_mode_is_its_readers() -> None:
    mix = read({"op_types": ["HardSwish"], "bitwidth": 16, "mode": "min_max"})
    assert mix == Mix(Widths(frozenset({"c"})), {"c": "min_max"})


def test_everything_wrong_is_said_at_once() -> None:
    assert refused(
        {"op_names": ["yy"], "bitwidth": 12, "colour": 1},
        {"op_names": ["nose"]},
        {"op_types": ["Gru"], "mode": None},
        {"op_names": "y", "mode": "mean"},
        3,
    ) == [
        "m.json entry 1: colour must be one of op_names, op_types, bitwidth, mode.",
        "m.json entry 1: bitwidth must be 8 or 16, not 12.",
        "m.json entry 4: op_names must be a list of texts, not 'y'.",
        f"m.json entry 4: mode must be one of {', '.join(sorted(METHODS))}, not 'mean'.",
        "m.json entry 5: it must be an object, not a number.",
        "m.json: the network has no operator of type Gru.",
        "m.json: the network has no operator nose; it may have become part of another one "
        "(BatchNormalization of its convolution).",
    ]


def test_all_inputs_have_one_width() -> None:
    assert refused({"op_names": ["a"], "bitwidth": 16}) == [
        "m.json: all inputs of the network must have one width, but x has 16 bits and z has 8."
    ]
    assert read({"op_names": ["a", "b"], "bitwidth": 16}).widths.wide == {"x", "z"}


def test_abs_is_not_mixed() -> None:
    assert refused({"op_types": ["Abs"], "bitwidth": 16}) == [
        "size: Abs must keep 8 bits in a mixed network."
    ]


def test_one_scale_has_one_mode() -> None:
    graph = FloatNet()
    x = graph.input("x", 3, 4, 4)
    graph.conv(x, "a", 2)
    graph.conv(x, "b", 2)
    entries = [{"op_names": [name], "mode": mode} for name, mode in (("a", "kl"), ("b", "mse"))]
    with pytest.raises(UsageError, match="x share one scale, but their readers have modes kl, mse"):
        read_mix(json.dumps(entries), "m.json", graph.build("a", "b"))


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "m.json must be JSON, but line 1 is not"), ("{}", "a list of entries, not an object")],
)
def test_damaged_files(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_mix(text, "m.json", net())
