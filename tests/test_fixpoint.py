"""What was written is read as it was: the float network that `quant` leaves is the one it read.

So `diagnose` finds every tensor of the quantized network in it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from knightlite.frontend import load
from knightlite.ir import Graph
from knightlite.onnx_models import write_float
from knightlite.ops import table_functions
from onnx_nets import Net, checked
from token_nets import mobilevit, vit

Behind = Callable[[Net, str, str], str]


def number(net: Net, name: str, value: float) -> str:
    return net.weight(name, np.float32(value))


def reciprocal_root(net: Net, x: str, y: str) -> str:
    moved = net.node("Add", [net.node("Mul", [x, x], "square"), number(net, "e", 0.5)], "moved")
    mean = net.conv(moved, "mean", (1, 4, 1, 1))
    size = net.node("Abs", [mean], "size")
    safe = net.node("Add", [size, number(net, "f", 0.25)], "safe")
    return net.node("Div", [number(net, "one", 1), net.node("Sqrt", [safe], "root")], y)


def behind(op: str, *operands: float | str) -> Behind:
    """A Tanh behind a conv and an operator of a number, on either side."""

    def make(net: Net, x: str, y: str) -> str:
        inputs = [x if isinstance(item, str) else number(net, "n", item) for item in operands]
        return net.node("Tanh", [net.node(op, inputs, "moved")], y)

    return make


def swish(net: Net, x: str, y: str) -> str:
    """HardSwish in between gains and offsets."""
    first = net.node("Mul", [x, number(net, "k", 1.5)], "first")
    moved = net.node("Add", [first, number(net, "l", 0.75)], "moved")
    made = net.node("HardSwish", [moved], "swish")
    then = net.node("Mul", [made, number(net, "g", 0.5)], "then")
    return net.node("Add", [then, number(net, "h", -0.25)], y)


BEHIND: dict[str, Behind] = {
    "reciprocal root": reciprocal_root,
    "x + n": behind("Add", "x", 0.5),
    "n - x": behind("Sub", 0.5, "x"),
    "x - n": behind("Sub", "x", 0.5),
    "n * x": behind("Mul", -2.0, "x"),
    "x / n": behind("Div", "x", 4.0),
    "n / x": behind("Div", 0.5, "x"),
    "swish": swish,
}


def convolved(make: Behind) -> Net:
    net = Net(14)
    net.input("x", (1, 3, 6, 6))
    make(net, net.conv("x", "c", (4, 3, 1, 1), bias=True), "y")
    return net


def again(graph: Graph, folder: Path) -> Graph:
    path = folder / "again.onnx"
    path.write_bytes(write_float(graph).SerializeToString())
    return load(path)


def assert_fixed(graph: Graph, folder: Path) -> None:
    found = again(graph, folder)
    assert found.nodes == graph.nodes
    shapes = {name: tensor.shape for name, tensor in graph.tensors.items()}
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == shapes
    for name, values in graph.constants.items():
        assert np.array_equal(found.constants[name], values), name


@pytest.mark.parametrize("make", BEHIND.values(), ids=BEHIND)
def test_behind_a_convolution(tmp_path: Path, make: Behind) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(convolved(make).model("y").SerializeToString())
    assert_fixed(checked(path), tmp_path)


@pytest.mark.parametrize("make", [vit, mobilevit])
def test_tokens(tmp_path: Path, make: Callable[[], Net]) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(make().model("y").SerializeToString())
    assert_fixed(load(path), tmp_path)


def test_a_gain_and_offset_in_front_of_a_table_are_the_convolutions(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(convolved(swish).model("y").SerializeToString())
    graph = load(path)
    assert [node.op for node in graph.nodes] == ["Conv", "Table"]
    steps = table_functions.steps_of(graph.nodes[1])
    assert [step.op for step in steps] == ["HardSwish", "Mul", "Add"]
