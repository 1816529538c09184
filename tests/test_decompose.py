"""Operators made of several: reductions, LRN, Div, Mean and chains, PRelu; against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.frontend.survey import survey
from onnx_nets import Net, checked, operators
from test_qdq import assert_equal, quantized, write


def start(opset: int = 13, shape: tuple[int, ...] = (1, 4, 9, 7)) -> Net:
    net = Net(opset)
    net.input("x", shape)
    return net


def refused(net: Net, folder: Path, *outputs: str) -> list[str]:
    """The sentences; a Conv behind every output, which no host takes, keeps all on the chip."""
    ends = []
    for name in outputs:
        net.node("Conv", [name, net.random(f"{name}_end", (2, 4, 1, 1))], f"{name}_conv")
        ends.append(f"{name}_conv")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(folder, *ends))
    return [
        f"{item.where}: {item.sentence}"
        for item in caught.value.findings
        if not item.where.endswith("_conv")
    ]


def survives(net: Net, folder: Path, *outputs: str) -> list[str]:
    """The operators of a net, held to ONNX Runtime and read back from a QDQ file as they were."""
    graph = checked(net.save(folder, *outputs))
    whole = quantized(graph)
    found = load_quantized(write(folder, whole))
    assert_equal(found, whole)
    return operators(graph)


# ------------------------------------------------------------------ reductions


@pytest.mark.parametrize(
    ("kind", "axes", "wanted"),
    [
        ("ReduceMean", [2, 3], ["AveragePool"]),
        ("ReduceMean", [-1], ["AveragePool"]),
        ("ReduceMean", [-3], ["Conv"]),
        ("ReduceSum", [2], ["AveragePool"]),
        ("ReduceSum", [1], ["Conv"]),
        ("ReduceMax", [3, 2], ["MaxPool"]),
        ("ReduceMax", [2], ["MaxPool"]),
        ("ReduceMin", [3], ["MaxPool", "Affine"]),
        ("ReduceL1", [2, 3], ["Table", "AveragePool"]),
        ("ReduceL2", [1], ["Table", "Conv", "Table"]),
        ("ReduceSumSquare", [2, 3], ["Table", "AveragePool"]),
    ],
)
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(
    tmp_path: Path, kind: str, axes: list[int], wanted: list[str], keepdims: int
) -> None:
    net = start()
    net.conv("x", "c", (6, 4, 3, 3), pads=[1, 1, 1, 1])
    if kind == "ReduceSum":
        net.node(kind, ["c", net.weight("axes", np.array(axes))], "r", keepdims=keepdims)
    else:
        net.node(kind, ["c"], "r", axes=axes, keepdims=keepdims)
    assert operators(checked(net.save(tmp_path, "r"))) == ["Conv", *wanted]


def test_reductions_in_newer_opsets_and_of_views(tmp_path: Path) -> None:
    """Axes as an input, none at all, and a picture that was flattened."""
    net = start(18)
    net.node("ReduceMean", ["x", net.weight("axes", np.array([-2, -1]))], "a", keepdims=1)
    net.node("ReduceMax", ["x"], "same", noop_with_empty_axes=1)
    net.node("Mul", ["a", "same"], "b")
    net.node("Reshape", ["b", net.weight("to", np.array([1, 4, 63]))], "flat")
    net.node("ReduceSum", ["flat", net.weight("last", np.array([2]))], "y", keepdims=0)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["AveragePool", "Mul", "AveragePool"]
    assert graph.nodes[2].attributes["gain"] == 63.0


def test_global_max_pool(tmp_path: Path) -> None:
    net = start()
    net.node("GlobalMaxPool", ["x"], "g")
    net.node("Mul", ["x", "g"], "y")
    assert survives(net, tmp_path, "y") == ["MaxPool", "Mul"]


def test_reductions_over_channels_and_over_everything(tmp_path: Path) -> None:
    net = start(18)
    net.node("Sigmoid", ["x"], "s")
    net.node("ReduceMax", ["s", net.weight("one", np.array([1]))], "a")
    net.node("ReduceMean", ["s", net.weight("two", np.array([1, 2]))], "b")
    net.node("ReduceMin", ["s"], "c")
    for name in "abc":
        net.node("Mul", ["s", name], f"m{name}")
        net.conv(f"m{name}", f"y{name}", (2, 4, 1, 1))
    made = survives(net, tmp_path, "ya", "yb", "yc")
    assert [made.count(kind) for kind in ("Max", "Min", "AveragePool", "Conv")] == [2, 2, 1, 4]


# ------------------------------------------------------------------ LRN, Div


@pytest.mark.parametrize("size", [3, 5])
def test_lrn(tmp_path: Path, size: int) -> None:
    net = start(shape=(1, 12, 9, 7))
    net.conv("x", "c", (12, 12, 1, 1))
    net.node("Relu", ["c"], "r")
    net.node("LRN", ["r"], "n", size=size, alpha=0.1, beta=0.75, bias=2.0)
    net.conv("n", "y", (4, 12, 1, 1))
    assert survives(net, tmp_path, "y") == ["Conv", "Table", "Conv", "Table", "Mul", "Conv"]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_window_and_the_defaults_of_lrn(tmp_path: Path, size: int) -> None:
    """Of ONNX: floor((size - 1) / 2) channels before, ceil((size - 1) / 2) behind."""
    net = start(shape=(1, 6, 3, 2))
    net.node("LRN", ["x"], "y", size=size)
    graph = load(net.save(tmp_path, "y"))
    _, band, factor, _ = graph.nodes
    alpha, beta, bias = float(np.float32(1e-4 / size)), 0.75, 1.0
    wanted = [
        [alpha * (c - (size - 1) // 2 <= i <= c + size // 2) for i in range(6)] for c in range(6)
    ]
    assert graph.constants[band.inputs[1]].reshape(6, 6).tolist() == wanted
    assert graph.constants[band.inputs[2]].tolist() == [bias] * 6
    assert factor.attributes == {"function": "Pow", "exponent": -beta}


def test_division(tmp_path: Path) -> None:
    net = start()
    net.node("Sigmoid", ["x"], "s")
    net.node("Add", ["s", "x"], "t")
    net.conv("x", "c", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.node("ReduceL2", ["c"], "norm", axes=[1])
    net.node("Div", ["c", "norm"], "d")
    net.node("Div", [net.weight("one", np.float32(1)), "s"], "i")
    net.node("Mul", ["d", "i"], "y")
    path = net.save(tmp_path, "y")
    graph = checked(path)
    assert operators(graph) == ["Conv", "Table", "Conv", "Table", "Mul", "Table", "Mul"]
    assert graph.nodes[3].attributes["steps"] == ("Sqrt x", "Reciprocal %1")
    said: list[Finding] = []
    load(path, warn=said.append)
    assert tuple(said) == survey(path).findings
    assert [str(item) for item in said] == [
        "Div_d: Div Div_d by features is a Mul by their reciprocal, both in 8 bits: about 30 dB "
        "where the divisor stays within a factor of 20, useless where it comes near 0. Hint: look "
        "at this layer's SQNR, or clip the divisor from below"
    ]


@pytest.mark.parametrize("flat", [False, True])
def test_normalization_as_exporters_write_it(tmp_path: Path, flat: bool) -> None:
    """x / Expand(max(|x|, eps)): the division broadcasts by itself."""
    net = start(shape=(1, 4, 1, 1) if flat else (1, 4, 9, 7))
    net.conv("x", "c", (6, 4, 1, 1))
    x = net.node("Flatten", ["c"], "f") if flat else "c"
    net.node("ReduceL2", [x], "n", axes=[1], keepdims=1)
    net.node("Clip", ["n", net.weight("eps", np.float32(1e-3))], "k")
    net.node("Expand", ["k", net.weight("to", np.array([1, 6] if flat else [1, 6, 9, 7]))], "e")
    net.node("Div", [x, "e"], "y")
    assert survives(net, tmp_path, "y") == ["Conv", "Table", "Conv", "Table", "Mul"]
    found = survey(net.save(tmp_path, "y"))
    assert (found.operators["Expand"].total, found.operators["Expand"].supported) == (1, 1)


@pytest.mark.parametrize("tokens", [False, True])
def test_a_tile_of_one_that_its_reader_broadcasts(tmp_path: Path, tokens: bool) -> None:
    """A query for all tokens, repeated for each: the product broadcasts by itself."""
    net = start()
    x = net.conv("x", "c", (6, 4, 1, 1))
    if tokens:
        net.node("Reshape", ["c", net.weight("flat", np.array([1, 6, 63]))], "f")
        x = net.node("Transpose", ["f"], "t", perm=[0, 2, 1])
    net.node("ReduceMean", [x], "m", axes=[1], keepdims=1)
    counts = [1, 63, 1] if tokens else [1, 6, 1, 1]
    net.node("Tile", ["m", net.weight("counts", np.array(counts))], "e")
    net.node("Mul", ["e", x], "p")
    if tokens:
        net.node("Transpose", ["p"], "q", perm=[0, 2, 1])
        net.node("Reshape", ["q", net.weight("whole", np.array([1, 6, 9, 7]))], "y")
    assert "Concat" not in survives(net, tmp_path, "y" if tokens else "p")


def test_a_tile_of_several_is_a_concat(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (2, 4, 1, 1))
    net.node("Tile", ["c", net.weight("counts", np.array([1, 2, 1, 1]))], "e")
    net.node("Mul", ["e", "x"], "y")
    assert survives(net, tmp_path, "y") == ["Conv", "Concat", "Mul"]


def test_an_expand_that_does_something(tmp_path: Path) -> None:
    net = start()
    net.node("GlobalAveragePool", ["x"], "g")
    net.node("Expand", ["g", net.weight("to", np.array([1, 4, 9, 7]))], "e")
    net.node("Mul", ["e", "e"], "y")
    assert survives(net, tmp_path, "y") == ["AveragePool", "Concat", "Concat", "Table"]


# ------------------------------------------------------------------ chains, gains, broadcasting


def test_chains_of_operands(tmp_path: Path) -> None:
    net = start()
    for name in "abc":
        net.conv("x", name, (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.node("Max", ["a", "b", net.weight("zero", np.float32(-0.5)), "c"], "m")
    net.node("Min", ["m", "x"], "n")
    net.node("Mean", ["n", "a", "b"], "o")
    net.node("Sum", ["o", "c", "x"], "y")
    assert survives(net, tmp_path, "y") == [
        "Conv", "Conv", "Conv", "Max", "Max", "Min", "Add", "Add", "Add", "Add",
    ]  # fmt: skip
    graph = load(net.save(tmp_path, "y"))
    assert graph.nodes[4].attributes["clamp"] == (-0.5, np.inf)
    assert graph.nodes[7].attributes["gain"] == float(np.float32(1 / 3))


@pytest.mark.parametrize("second", [(1, 4, 1, 1), (1, 1, 9, 7), (1, 4, 9, 1), (1, 4, 1, 7)])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Max", "Min"])
def test_broadcasting(tmp_path: Path, op: str, second: tuple[int, ...]) -> None:
    net = start()
    net.conv("x", "c", (4, 4, 1, 1))
    axes = [axis for axis in range(1, 4) if second[axis] == 1]
    net.node("ReduceMean", ["x"], "s", axes=axes)
    net.node(op, ["s", "c"], "y")
    made = "Conv" if axes == [1] else "AveragePool"
    assert sorted(survives(net, tmp_path, "y")) == sorted(["Conv", made, op])


def test_features_with_fewer_axes_are_those_of_the_last_axes(tmp_path: Path) -> None:
    net = start(shape=(1, 7, 9, 7))
    net.node("GlobalAveragePool", ["x"], "g")
    net.node("Flatten", ["g"], "f")
    net.node("Mul", ["x", "f"], "y")
    assert survives(net, tmp_path, "y") == ["AveragePool", "SwapChannels", "Mul"]


def test_constants_that_differ_from_pixel_to_pixel(tmp_path: Path) -> None:
    net = start()
    for index, op in enumerate(("Add", "Sub", "Mul", "Div", "Max", "Min")):
        net.node(op, ["x", net.random(f"c{index}", (1, 1, 9, 7), 0.5, 1)], f"y{index}")
    made = survives(net, tmp_path, *(f"y{index}" for index in range(6)))
    assert made.count("Table") == 1, "one pixel of value 1 serves all"
    assert made.count("ConvTranspose") == 6


# ------------------------------------------------------------------ PRelu


def test_prelu(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (6, 4, 3, 3))
    net.norm("c", "n", 6)
    net.node("PRelu", ["n", net.random("slope", (6, 1, 1))], "p")
    net.node("PRelu", ["p", net.random("one", (1,))], "q")
    net.node("Clip", ["q", net.weight("l", np.float32(-1)), net.weight("h", np.float32(1))], "k")
    net.conv("k", "y", (4, 6, 1, 1))
    assert survives(net, tmp_path, "y") == ["Conv", "PRelu", "Table", "Conv"]


def test_prelu_of_flat_features_and_refusals(tmp_path: Path) -> None:
    net = start()
    net.node("GlobalAveragePool", ["x"], "g")
    net.node("Flatten", ["g"], "f")
    net.node("PRelu", ["f", net.random("slope", (4,))], "p")
    net.node("Gemm", ["p", net.random("w", (4, 3))], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["AveragePool", "PRelu", "Conv"]
    net = start()
    net.node("PRelu", ["x", net.random("slope", (9, 7))], "y")
    net.node("PRelu", ["x", "x"], "z")
    assert refused(net, tmp_path, "y", "z") == [
        "PRelu_y: PRelu PRelu_y must have a slope per channel or one for all, not of shape "
        "(1, 1, 9, 7) on features (1, 4, 9, 7).",
        "PRelu_z: PRelu PRelu_z must have a constant slope.",
    ]


def test_what_a_gain_may_not_pass(tmp_path: Path) -> None:
    """A factor that is negative, differs by channel or comes with an offset stays an Affine."""
    for values in (np.float32(-2), np.linspace(0.5, 2, 4, dtype=np.float32).reshape(4, 1, 1)):
        net = start()
        net.conv("x", "c", (4, 4, 1, 1))
        net.node("Add", ["x", "c"], "a")
        net.node("Mul", ["a", net.weight("factor", values)], "y")
        assert survives(net, tmp_path, "y") == ["Conv", "Add", "Affine"]
    net = start()
    net.conv("x", "c", (4, 4, 1, 1))
    net.node("Relu", [net.node("Mul", ["x", "c"], "a")], "r")
    net.node("Mul", ["r", net.weight("half", np.float32(0.5))], "y")
    assert survives(net, tmp_path, "y") == ["Conv", "Mul"]
    attributes: Any = load(net.save(tmp_path, "y")).nodes[1].attributes
    assert attributes == {"gain": 0.5, "clamp": (0.0, np.inf)}
