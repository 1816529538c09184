"""Comparisons of features in numbers: the values of the file, and exactly equal on the chip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from conformance_checks import MAIN, Pictures, build, judge, single
from knightlite.errors import UnsupportedError
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.sim.host import quantize
from onnx_nets import Net, operators
from test_recurrent import checked

SHAPE = (1, 4, 6, 5)


def two() -> Net:
    """Features a and b of whole numbers: often equal, either often the larger one."""
    net = Net(17)
    net.node("Floor", [net.input("x", SHAPE)], "a")
    net.node("MaxPool", ["x"], "p", kernel_shape=[1, 2], pads=[0, 0, 0, 1])
    net.node("Sub", ["p", net.weight("near", np.float32(0.6))], "q")
    net.node("Floor", ["q"], "b")
    return net


def delivered(net: Net, condition: str) -> Net:
    net.node("Cast", [condition], "m", to=TensorProto.FLOAT)
    net.node("Add", ["m", "b"], "y")
    return net


@pytest.mark.parametrize("kind", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
@pytest.mark.parametrize("other", ["b", "number", "per channel"])
@pytest.mark.parametrize("swapped", [False, True])
def test_comparisons(kind: str, other: str, swapped: bool, tmp_path: Path) -> None:
    net = two()
    if other == "number":
        other = net.weight("k", np.float32(-1))
    elif other == "per channel":
        other = net.weight("k", np.array([-1, 0, 1, -2], np.float32).reshape(4, 1, 1))
    net.node(kind, [other, "a"] if swapped else ["a", other], "c")
    checked(delivered(net, "c"), tmp_path, "y")


@pytest.mark.parametrize("kind", ["And", "Or", "Xor", "Not"])
def test_truth_values_of_truth_values(kind: str, tmp_path: Path) -> None:
    net = two()
    net.node("Greater", ["a", net.weight("k", np.float32(-1))], "c")
    net.node("Equal", ["a", "b"], "d")
    net.node(kind, ["c"] if kind == "Not" else ["c", "d"], "e")
    checked(delivered(net, "e"), tmp_path, "y")


@pytest.mark.parametrize("branches", [("a", "b"), ("a", "zero"), ("zero", "b"), ("two", "three")])
def test_what_is_chosen(branches: tuple[str, str], tmp_path: Path) -> None:
    net = two()
    for name, value in (("zero", 0), ("two", 2), ("three", 3)):
        net.weight(name, np.float32(value))
    net.node("LessOrEqual", ["a", "b"], "c")
    net.node("Where", ["c", *branches], "w")
    net.node("Add", ["w", "b"], "y")
    checked(net, tmp_path, "y")


def test_an_activation_with_a_choice_is_a_table(tmp_path: Path) -> None:
    """ELU as it is spelled out by exporters."""
    net = Net(17)
    net.conv(net.input("x", SHAPE), "v", (4, 4, 1, 1))
    net.node("Exp", ["v"], "e")
    net.node("Sub", ["e", net.weight("one", np.float32(1))], "f")
    net.node("Greater", ["v", net.weight("zero", np.float32(0))], "c")
    net.node("Where", ["c", "v", "f"], "y")
    assert operators(checked(net, tmp_path, "y")) == ["Conv", "Table"]


@pytest.mark.parametrize("reader", ["output", "integers", "infinite"])
def test_what_numbers_cannot_stand_for_is_left(reader: str, tmp_path: Path) -> None:
    net = two()
    net.node("Equal", ["a", "b"], "c" if reader != "output" else "y")
    if reader == "integers":
        net.node("Cast", ["c"], "i", to=TensorProto.INT64)
        net.node("Cast", ["i"], "f", to=TensorProto.FLOAT)
        net.node("Mul", ["f", "b"], "y")
    elif reader == "infinite":
        net.node("Where", ["c", "b", net.weight("k", np.float32(-np.inf))], "y")
    with pytest.raises(UnsupportedError, match="Equal"):
        checked(net, tmp_path, "y")


@pytest.mark.parametrize("bits", [8, 16])
def test_peaks_of_a_heat_map_on_the_chip(bits: int, tmp_path: Path) -> None:
    """Every peak of the integers that the heat map has is one of the result, and nothing else."""
    net = Net(17)
    net.conv(net.input("x", (1, 3, 16, 16)), "v", (2, 3, 3, 3), pads=[1, 1, 1, 1])
    net.node("Sigmoid", ["v"], "h")
    net.node("MaxPool", ["h"], "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    net.node("Equal", ["p", "h"], "c")
    net.node("Cast", ["c"], "m", to=TensorProto.FLOAT)
    net.node("Mul", ["h", "m"], "k")
    net.conv("k", "y", (2, 2, 1, 1))
    graph = checked(net, tmp_path, "y")
    batch = np.random.default_rng(0).normal(0, 1, (6, 3, 16, 16)).astype(np.float32)
    result = quantize_graph(graph, Pictures(batch), Settings(bit_width=bits), threads=1)
    built = build(result.graph, MAIN)
    verdict = judge(built, result.graph, graph, single("x", batch[:2]))
    assert not verdict.wrong
    assert (verdict.differing, max(verdict.lsb.values())) <= (0, 1)
    found: dict[str, Any] = {}
    built.machine.run({"x": quantize(batch[:1], built.program.meta.inputs[0])}, found.__setitem__)
    heat, highest, kept = (found[name].astype(int) for name in ("h", "p", "k"))
    assert np.array_equal(kept, np.where(heat == highest, heat, 0))
    assert 0 < np.count_nonzero(kept) < kept.size / 2
