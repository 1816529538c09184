"""What is known of features whatever they are: masks before a Softmax, answers, empty parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from onnx_nets import Net, checked, operators

CAUSAL = np.where(np.tri(6, dtype=bool), np.float32(0), np.float32(-np.inf))
SOME_ROWS = np.where(np.arange(6)[:, None] < 2, np.float32(-np.inf), CAUSAL)


def scores(opset: int = 17) -> Net:
    """Of six tokens with each other, "s"."""
    net = Net(opset)
    net.input("x", (1, 6, 4))
    net.node("MatMul", ["x", net.random("k", (4, 6))], "s")
    return net


@pytest.mark.parametrize("masked", ["Add", "Where"])
def test_a_mask_of_infinities(tmp_path: Path, masked: str) -> None:
    """What it hides has no share, to the last bit that float32 has."""
    net = scores()
    if masked == "Add":
        net.node("Add", ["s", net.weight("mask", CAUSAL)], "m")
    else:
        net.weight("seen", np.tri(6, dtype=bool)[None])
        net.node("Where", ["seen", "s", net.weight("hidden", np.float32(-np.inf))], "m")
    net.node("Softmax", ["m"], "p", axis=-1)
    net.node("MatMul", ["p", net.random("v", (6, 5))], "y")
    assert "Softmax" in operators(checked(net.save(tmp_path, "y")))


def test_rows_that_are_masked_as_a_whole(tmp_path: Path) -> None:
    """As ONNX's Attention says it: their shares are 0."""
    net = scores()
    net.node("Add", ["s", net.weight("mask", SOME_ROWS)], "m")
    net.node("Softmax", ["m"], "p", axis=-1)
    net.node("ReduceMax", ["m"], "top", axes=[-1])
    net.node("Equal", ["top", net.weight("lowest", np.float32(-np.inf))], "hidden")
    net.node("Where", ["hidden", net.weight("zero", np.float32(0)), "p"], "q")
    net.node("MatMul", ["q", net.random("v", (6, 5))], "y")
    checked(net.save(tmp_path, "y"))


def test_rows_of_no_share_are_refused(tmp_path: Path) -> None:
    net = scores()
    net.node("Add", ["s", net.weight("mask", SOME_ROWS)], "m")
    net.node("Softmax", ["m"], "p", axis=-1)
    net.node("MatMul", ["p", net.random("v", (6, 5))], "y")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert "must be finite, but 18 of its 36 values are NaN" in caught.value.findings[0].sentence


def test_a_mask_that_others_read_stays(tmp_path: Path) -> None:
    """Only shares may forget how low a score was."""
    net = scores()
    net.node("Add", ["s", net.weight("mask", np.maximum(CAUSAL, np.float32(-200)))], "m")
    net.node("Softmax", ["m"], "p", axis=-1)
    net.node("MatMul", ["p", net.random("v", (6, 6))], "z")
    net.node("Add", ["m", "z"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert min(values.min() for values in graph.constants.values()) == -200


@pytest.mark.parametrize(
    ("asked", "operands"), [("IsNaN", ()), ("IsInf", ()), ("Equal", (np.float32(np.inf),))]
)
def test_features_are_finite(
    tmp_path: Path, asked: str, operands: tuple[NDArray[np.generic], ...]
) -> None:
    net = Net(17)
    net.input("x", (1, 4, 5, 6))
    net.conv("x", "c", (4, 4, 1, 1))
    names = [net.weight(f"number{place}", values) for place, values in enumerate(operands)]
    net.node(asked, ["c", *names], "odd")
    net.node("Where", ["odd", net.weight("zero", np.float32(0)), "c"], "w")
    net.conv("w", "y", (4, 4, 1, 1))
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv", "Conv"]


def test_an_empty_part_is_no_part(tmp_path: Path) -> None:
    net = Net(17)
    net.input("x", (1, 4, 5, 6))
    net.weight("none", np.array([0]))
    net.node("Slice", ["x", "none", "none", net.weight("axis", np.array([1]))], "empty")
    net.node("Concat", ["x", "empty", "x"], "c", axis=1)
    net.conv("c", "y", (3, 8, 1, 1))
    checked(net.save(tmp_path, "y"))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_empty_constant_is_no_part(tmp_path: Path, place: int) -> None:
    net = Net(17)
    parts = [net.input("x", (1, 4, 5, 6)), "x"]
    parts.insert(place, net.weight("empty", np.zeros((1, 0, 5, 6), np.float32)))
    net.node("Concat", parts, "c", axis=1)
    net.conv("c", "y", (3, 8, 1, 1))
    checked(net.save(tmp_path, "y"))


def test_casts_like_another(tmp_path: Path) -> None:
    """Of constants they are constants, of features nothing."""
    net = Net(19)
    net.input("x", (1, 4, 5, 6))
    net.node("CastLike", [net.weight("two", np.array(2)), "x"], "factor")
    net.node("Mul", ["x", "factor"], "m")
    net.node("CastLike", ["m", "x"], "same")
    net.conv("same", "y", (3, 4, 1, 1))
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv"]


def test_whole_exponents(tmp_path: Path) -> None:
    """ONNX Runtime has no power of float32 by uint32."""
    net = Net(15)
    net.input("x", (1, 4, 5, 6))
    net.node("Pow", ["x", net.weight("three", np.array(3, np.uint32))], "y")
    graph = load(net.save(tmp_path, "y"))
    assert operators(graph) == ["Table"]
