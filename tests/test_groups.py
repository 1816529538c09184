"""Which tensors share a scale, which cannot be negative, which may have scales per channel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from float_nets import RELU, FloatNet, small_net
from knightlite.ops.signs import nonnegative_outputs
from knightlite.quantize.groups import (
    channel_scaled,
    computed_members,
    features,
    group_of,
    scale_groups,
)


def groups_of(graph: Any) -> list[tuple[str, ...]]:
    """All groups; each is found from any of its members on too."""
    found = scale_groups(graph)
    for group in found:
        assert {group_of(graph, name) for name in group.members} == {group}
    return [group.members for group in found]


def test_groups_of_a_small_net() -> None:
    graph = small_net()
    assert groups_of(graph) == [
        ("x",), ("stem",), ("deep",), ("left", "right", "joined"), ("normal", "pooled"), ("wide",),
        ("swish",), ("sum",), ("mean",), ("logits",),
    ]  # fmt: skip
    assert sorted(name for group in groups_of(graph) for name in group) == sorted(features(graph))


def test_concats_that_share_an_input_are_one_group() -> None:
    """Two concats and a pool, tied only through one another."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    for name in ("a", "b", "c", "d"):
        net.conv("x", name, 4)
    net.node("Concat", ("a", "b"), "ab")
    net.node("Concat", ("c", "b"), "cb")
    net.pool("cb", "small")
    net.conv("d", "apart", 4)
    graph = net.build("ab", "small", "apart")
    assert groups_of(graph) == [
        ("x",), ("a", "b", "c", "ab", "cb", "small"), ("d",), ("apart",),
    ]  # fmt: skip
    (tied,) = (group for group in scale_groups(graph) if len(group.members) > 1)
    assert computed_members(graph, tied) == ["a", "b", "c", "small"]  # a pool makes no new place


def test_a_dense_block_is_one_group() -> None:
    net = FloatNet()
    net.input("x", 4, 4, 4)
    joined = net.conv("x", "first", 4)
    for index in range(5):
        new = net.conv(net.affine(joined, f"n{index}", clamp=RELU), f"c{index}", 3)
        joined = net.node("Concat", (joined, new), f"j{index}")
    (group,) = (item for item in groups_of(net.build(joined)) if len(item) > 1)
    assert set(group) == {"first", *(f"c{i}" for i in range(5)), *(f"j{i}" for i in range(5))}


def test_nonnegative_by_structure_only() -> None:
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "signed", 4, clamp=(-1.0, 1.0))
    net.conv("x", "relu", 4, clamp=RELU)
    net.conv("x", "shifted", 4, clamp=(0.5, 6.0))
    net.node("Table", ("signed",), "gate", function="HardSigmoid", alpha=0.2, beta=0.5)
    net.node("Table", ("signed",), "clip", function="Clip", alpha=0.0, beta=6.0)
    net.node("Table", ("signed",), "low", function="Clip", alpha=-1.0, beta=6.0)
    net.node("Table", ("relu",), "swish", function="HardSwish")
    net.node("Mul", ("relu", "gate"), "product")
    net.node("Add", ("relu", "signed"), "sum")
    net.node("Add", ("relu", "shifted"), "rest")
    net.pool("rest", "pooled")
    net.average("pooled", "mean")
    net.node("Concat", ("relu", "signed"), "mixed")
    graph = net.build("mean", "mixed", "sum", "product", "clip", "low", "swish")
    assert nonnegative_outputs(graph) == {
        "relu", "shifted", "gate", "clip", "swish", "product", "rest", "pooled", "mean",
    }  # fmt: skip


def depthwise_net(producer: str = "conv", second_reader: bool = False, output: bool = False) -> Any:
    net = FloatNet()
    net.input("x", 4, 8, 8)
    if producer == "conv":
        net.conv("x", "t", 6, clamp=RELU)
    elif producer == "affine":
        net.affine("x", "t")
    elif producer == "table":
        net.hard_swish("x", "t")
    else:
        net.pool("x", "t")
    net.depthwise("t", "d")
    ends = ["d"]
    if second_reader:
        ends.append(net.conv("t", "e", 3))
    if output:
        ends.append("t")
    return net.build(*ends)


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (depthwise_net(), {"t"}),
        (depthwise_net("affine"), {"t"}),
        (depthwise_net("table"), set()),
        (depthwise_net("pool"), set()),
        (depthwise_net(second_reader=True), set()),
        (depthwise_net(output=True), set()),
        (small_net(), {"stem"}),
    ],
)
def test_scales_per_channel_only_between_channelwise_operators(
    graph: Any, expected: set[str]
) -> None:
    assert channel_scaled(graph) == expected


def test_a_depthwise_convolution_with_a_multiplier_reads_one_scale() -> None:
    """Output channel 2c + 1 reads input channel c: the scales do not line up."""
    net = FloatNet()
    net.input("x", 4, 8, 8)
    net.conv("x", "t", 6)
    weights = np.ones((12, 1, 1, 1))
    net.conv("t", "d", 12, weights=weights, group=6)
    assert channel_scaled(net.build("d")) == set()
