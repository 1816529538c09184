"""Canonical rewrites: each fold against ONNX Runtime, and each reason not to fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightlite.frontend.simplify import combined
from onnx_nets import Net, checked, operators

INF = float("inf")


def start() -> Net:
    net = Net()
    net.input("x", (1, 4, 9, 9))
    return net


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 4])
def test_norm_folds_into_the_convolution_before(tmp_path: Path, group: int, bias: bool) -> None:
    net = start()
    net.conv("x", "c", (4, 4 // group, 3, 3), group=group, bias=bias, pads=[1, 1, 1, 1])
    net.norm("c", "n", 4)
    net.node("Relu", ["n"], "y")
    graph = checked(net.save(tmp_path, "y"))
    (node,) = graph.nodes
    assert (node.name, node.op, node.inputs) == ("y", "Conv", ("x", "y.weight", "y.bias"))
    assert node.attributes["clamp"] == (0.0, INF)
    assert set(graph.tensors) == {"x", "y", "y.weight", "y.bias"}
    assert {values.dtype for values in graph.constants.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (4, 1, 3, 3)])
def test_norm_folds_into_unpadded_convolutions_behind(
    tmp_path: Path, shape: tuple[int, int, int, int]
) -> None:
    net, group = start(), 4 // shape[1]
    net.norm("x", "n", 4)
    net.conv("n", "a", (4, 1, 2, 2), group=4, bias=True)
    net.conv("n", "b", (5, 4, 1, 1))
    net.conv("n", "c", shape, group=group)
    graph = checked(net.save(tmp_path, "a", "b", "c"))
    assert operators(graph) == ["Conv"] * 3


def test_padding_keeps_an_affine_with_an_offset(tmp_path: Path) -> None:
    net = start()
    net.norm("x", "n", 4)
    net.conv("n", "y", (6, 4, 3, 3), pads=[1, 1, 1, 1])
    assert operators(checked(net.save(tmp_path, "y"))) == ["Affine", "Conv"]


def test_an_activation_in_between_keeps_the_affine(tmp_path: Path) -> None:
    net = start()
    net.norm("x", "n", 4)
    net.node("Relu", ["n"], "r")
    net.conv("r", "y", (6, 4, 1, 1))
    assert operators(checked(net.save(tmp_path, "y"))) == ["Affine", "Conv"]


def test_padding_lets_a_mere_gain_through(tmp_path: Path) -> None:
    net = start()
    net.node("Mul", ["x", net.random("gain", (4, 1, 1))], "n")
    net.conv("n", "y", (6, 4, 3, 3), pads=[1, 1, 1, 1])
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv"]


def test_a_reader_that_cannot_take_it_keeps_the_affine(tmp_path: Path) -> None:
    net = start()
    net.norm("x", "n", 4)
    net.conv("n", "a", (4, 4, 1, 1))
    net.node("Add", ["n", "a"], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["Affine", "Conv", "Add"]


def test_other_readers_and_outputs_keep_the_convolution(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.norm("c", "n", 4)
    net.node("Add", ["n", "c"], "s")
    net.norm("s", "y", 4)
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv", "Affine", "Add", "Affine"]
    assert operators(checked(net.save(tmp_path, "y", "n", "s"))) == [
        "Conv", "Affine", "Add", "Affine",
    ]  # fmt: skip
    graph = checked(net.save(tmp_path, "c", "n"))
    assert operators(graph) == ["Conv", "Affine"]


def test_a_host_operation_reads_the_tensor_too(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (4, 4, 9, 9))
    net.node("Softmax", ["c"], "s", axis=1)
    net.norm("c", "y", 4)
    assert operators(checked(net.save(tmp_path, "y", "s"))) == ["Conv", "Affine"]


def test_affines_merge(tmp_path: Path) -> None:
    net = start()
    net.node("MaxPool", ["x"], "p", kernel_shape=[2, 2])
    net.norm("p", "n", 4)
    net.node("Mul", ["n", net.random("g", (4, 1, 1))], "m")
    net.node("Add", ["m", net.random("o", (1, 4, 1, 1))], "a")
    net.node("Relu", ["a"], "r")
    net.norm("r", "y", 4)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["MaxPool", "Affine", "Affine"]
    assert graph.nodes[1].attributes["clamp"] == (0.0, INF)
    assert graph.nodes[1].inputs == ("p", "r.gain", "r.offset")


@pytest.mark.parametrize("producer", ["Conv", "Add", "Mul", "AveragePool", "Affine"])
def test_clamps_merge_into_their_producer(tmp_path: Path, producer: str) -> None:
    net = start()
    if producer == "Conv":
        net.conv("x", "p", (6, 4, 3, 3))
    elif producer in ("Add", "Mul"):
        net.conv("x", "s", (4, 4, 1, 1))
        net.node(producer, ["x", "s"], "p")
    elif producer == "AveragePool":
        net.node("AveragePool", ["x"], "p", kernel_shape=[2, 2])
    else:
        net.norm("x", "p", 4)
    net.weight("low", np.float32(-0.25))
    net.weight("high", np.float32(0.4))
    net.node("Clip", ["p", "low", "high"], "q")
    net.node("Relu", ["q"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[-1].op == producer
    assert graph.nodes[-1].attributes["clamp"] == (0.0, float(np.float32(0.4)))


@pytest.mark.parametrize("gain", [2.0, -0.5])
def test_one_gain_for_all_channels_moves_through_a_clamp(tmp_path: Path, gain: float) -> None:
    net = start()
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Relu", ["c"], "r")
    net.node("Mul", ["r", net.weight("gain", np.float32(gain))], "m")
    net.node("Add", ["m", net.weight("offset", np.float32(0.5))], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]
    clamp = (0.5, INF) if gain > 0 else (-INF, 0.5)
    assert graph.nodes[0].attributes["clamp"] == clamp


@pytest.mark.parametrize("op", ["MaxPool", "Concat"])
def test_clamps_stay_where_the_producer_has_none(tmp_path: Path, op: str) -> None:
    net = start()
    attributes: dict[str, Any] = {"axis": 1} if op == "Concat" else {"kernel_shape": [2, 2]}
    net.node(op, ["x", "x"] if op == "Concat" else ["x"], "p", **attributes)
    net.node("Relu", ["p"], "q")
    net.node("Clip", ["q", "", net.weight("high", np.float32(0.5))], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == [op, "Table"]
    assert dict(graph.nodes[1].attributes) == {"function": "Clip", "alpha": 0.0, "beta": 0.5}


def test_clip_bounds_are_attributes_in_old_opsets(tmp_path: Path) -> None:
    net = Net(9)
    net.input("x", (1, 4, 5, 5))
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Clip", ["c"], "y", min=0.0, max=6.0)
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[0].attributes["clamp"] == (0.0, 6.0)


def test_an_open_clip_vanishes(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (6, 4, 3, 3))
    net.node("Clip", ["c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]
    assert "clamp" not in graph.nodes[0].attributes


@pytest.mark.parametrize(
    ("first", "second"),
    [((-1.0, 2.0), (0.0, 3.0)), ((0.0, 1.0), (2.0, 3.0)), ((2.0, 3.0), (0.0, 1.0)),
     ((-INF, INF), (0.0, 6.0)), ((0.0, INF), (-INF, 4.0))],
)  # fmt: skip
def test_combined_clamps(first: tuple[float, float], second: tuple[float, float]) -> None:
    x = np.linspace(-5, 8, 131)
    low, high = combined(first, second)
    np.testing.assert_array_equal(np.clip(np.clip(x, *first), *second), np.clip(x, low, high))


def test_folding_rounds_once_from_float64(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (4, 4, 3, 3), bias=True)
    net.norm("c", "y", 4)
    graph = checked(net.save(tmp_path, "y"))
    parts = {item.name: np.frombuffer(item.raw_data, np.float32) for item in net.weights}
    wide = {name: values.astype(np.float64) for name, values in parts.items()}
    gain = wide["y_gamma"] / np.sqrt(wide["y_var"] + np.float32(1e-3).astype(np.float64))
    gain32 = gain.astype(np.float32).astype(np.float64)  # an Affine keeps float32 constants
    offset = (wide["y_beta"] - wide["y_mean"] * gain).astype(np.float32).astype(np.float64)
    weight = (wide["c_w"].reshape(4, -1) * gain32[:, None]).astype(np.float32)
    np.testing.assert_array_equal(graph.constants["y.weight"].reshape(4, -1), weight)
    bias = (wide["c_b"] * gain32 + offset).astype(np.float32)
    np.testing.assert_array_equal(graph.constants["y.bias"], bias)
