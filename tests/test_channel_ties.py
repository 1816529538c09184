"""Dividing channels changes no float output, and divides exactly what their classes say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from float_nets import RELU, FloatNet
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float
from knightlite.quantize.rewrites.channel_ties import channel_ties
from knightlite.quantize.rewrites.equalization import divide

Array = NDArray[Any]
OPEN_POOL = {"kernel": (2, 2), "strides": (1, 1), "pads": (0, 0, 1, 1)}
STEPS = (
    "conv", "relu conv", "relu6 conv", "depthwise", "grouped", "affine", "max", "average", "concat",
    "rows", "slice", "pad", "pad channels", "pad behind", "add", "sub", "larger", "relu add",
    "gate", "table", "prelu",
)  # fmt: skip


def build(steps: list[str], seed: int = 0) -> Graph:
    """One step after another on two tensors of 4 channels, and a convolution at the end."""
    net = FloatNet(seed=seed)
    net.input("x", 3, 6, 6)
    a, b = net.conv("x", "a", 4, clamp=RELU), net.conv("x", "b", 4)
    for index, step in enumerate(steps):
        a, b = b, _step(net, step, a, b, f"t{index}")
    a, b = net.conv(a, "end_a", 3), net.conv(b, "end_b", 3)
    return net.build(a, b)


def _step(net: FloatNet, step: str, a: str, b: str, y: str) -> str:
    shape = net.shape(a)
    if step in ("add", "sub", "larger", "relu add", "concat"):
        if step != "concat":
            op = {"add": "Add", "sub": "Sub", "larger": "Max", "relu add": "Add"}[step]
            more = {"clamp": RELU} if step == "relu add" else {}
            return net.node(op, (a, b), y, **more)
        joined = net.node("Concat", (b, a), f"{y}_all")
        return net.conv(joined, y, 4)
    if step == "rows":
        part = net.node(
            "Slice", (a,), f"{y}_part", starts=(0, 0, 0), ends=(4, 2, 6), steps=(1, 1, 1)
        )
        rest = net.node(
            "Slice", (a,), f"{y}_rest", starts=(0, 0, 0), ends=(4, 4, 6), steps=(1, 1, 1)
        )
        return net.node("Concat", (part, rest), y, axis=2)
    if step == "slice":
        some = net.node(
            "Slice", (a,), f"{y}_some", starts=(1, 0, 0), ends=(4, 6, 6), steps=(2, 1, 1)
        )
        return net.node("Concat", (some, some), y)
    if step.startswith("pad"):
        first, last = int(step == "pad channels"), int(step == "pad behind")
        padded = net.node("Pad", (a,), f"{y}_pad", begins=(first, 1, 0), ends=(last, 0, 1))
        return net.conv(padded, y, 4, (2, 2))
    if step == "gate":
        mean = net.average(a, f"{y}_mean")
        gate = net.node(
            "Table", (net.conv(mean, f"{y}_gate", 4),), f"{y}_sigmoid", function="Sigmoid"
        )
        return net.node("Mul", (a, gate), y)
    assert shape[2:] == (6, 6)
    if step == "table":
        return net.node("Table", (a,), y, function="Sigmoid")
    if step == "prelu":
        slope = net.builder.constant(f"{y}.slope", np.asarray([0.1, 0.5, -0.2, 1.5], np.float32))
        return net.node("PRelu", (a, slope), y)
    if step == "max":
        return net.node("MaxPool", (a,), y, **OPEN_POOL)
    if step == "average":
        return net.node("AveragePool", (a,), y, counted_pads=(0,) * 4, **OPEN_POOL)
    if step == "affine":
        return net.affine(a, y, clamp=RELU)
    if step == "depthwise":
        return net.depthwise(a, y)
    convolutions: dict[str, dict[str, Any]] = {
        "conv": {},
        "relu conv": {"clamp": RELU},
        "relu6 conv": {"clamp": (0.0, 6.0)},
        "grouped": {"group": 2},
    }
    return net.conv(a, y, 4, **convolutions[step])


def values_of(graph: Graph, x: Array) -> dict[str, Array]:
    inner = [node.output for node in graph.nodes]
    names = list(dict.fromkeys((*graph.outputs, *inner)))
    return dict(zip(names, session(write_float(graph, inner), 1).run(None, {"x": x}), strict=True))


@settings(max_examples=40)
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5), st.integers(0, 99))
def test_every_tensor_is_divided_by_what_its_class_says(steps: list[str], seed: int) -> None:
    """Outputs and inputs by 1, every other channel by the number of its class."""
    graph = build(steps, seed)
    ties = channel_ties(graph)
    rng = np.random.default_rng(seed)
    divisors = np.where(ties.free, np.exp(rng.normal(0, 1, ties.free.size)), 1.0)
    x = rng.normal(0, 1, (2, 3, 6, 6)).astype(np.float32)
    before, after = values_of(graph, x), values_of(divide(graph, ties, divisors), x)
    for name, values in before.items():
        expected = values / divisors[ties.classes[name]][:, None, None]
        size = np.abs(values).max() / divisors[ties.classes[name]].min()
        np.testing.assert_allclose(after[name], expected, rtol=0, atol=2e-5 * max(size, 1e-3))
    for name in (*graph.inputs, *graph.outputs):
        assert np.all(divisors[ties.classes[name]] == 1)


@pytest.mark.parametrize("step", STEPS)
def test_what_blocks_and_what_does_not(step: str) -> None:
    graph = build([step, "conv"])
    ties = channel_ties(graph)
    blocked = {name for name, classes in ties.classes.items() if not ties.free[classes].any()}
    outputs = {"x", "end_a", "end_b"}
    more = {"relu6 conv": {"t0"}, "table": {"a", "t0"}, "gate": {"t0_gate", "t0_sigmoid"},
            "pad channels": {"a", "t0_pad"}, "pad behind": {"a", "t0_pad"}}  # fmt: skip
    assert blocked == outputs | more.get(step, set())


def test_channels_are_tied_one_by_one() -> None:
    net = FloatNet()
    net.input("x", 3, 4, 4)
    net.conv("x", "a", 2)
    net.conv("x", "b", 2)
    net.node("Concat", ("a", "b"), "all")
    net.node("Slice", ("all",), "some", starts=(1, 0, 0), ends=(3, 4, 4), steps=(1, 1, 1))
    net.node("Add", ("some", "a"), "sum")
    net.conv("sum", "y", 2)
    classes = channel_ties(net.build("y")).classes
    # some = (a1, b0), sum = some + a: a0 ~ a1 ~ b0, and b1 alone
    assert len(set(classes["a"].tolist()) | {int(classes["b"][0])}) == 1
    assert classes["b"][1] != classes["b"][0]
    assert classes["all"].tolist() == [*classes["a"].tolist(), *classes["b"].tolist()]
