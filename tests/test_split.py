"""Split, Slice and Concat of every axis, as files of every opset write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from onnx_nets import Net, checked, operators


def start(opset: int = 13, shape: tuple[int, ...] = (1, 6, 9, 8)) -> Net:
    net = Net(opset)
    net.input("x", shape)
    return net


def split(net: Net, x: str, outputs: list[str], inputs: tuple[str, ...] = (), **more: Any) -> None:
    net.nodes.append(helper.make_node("Split", [x, *inputs], outputs, name="Split", **more))


def refusal(net: Net, folder: Path, *outputs: str) -> list[str]:
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(folder, *outputs))
    return [f"{item.where}: {item.sentence}" for item in caught.value.findings]


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("axis", [1, -1])
def test_split(tmp_path: Path, opset: int, axis: int) -> None:
    net = start(opset)
    net.node("Relu", ["x"], "r")
    sizes = [2, 4] if axis == 1 else [3, 5]
    if opset == 11:
        split(net, "r", ["a", "b"], axis=axis, split=sizes)
    else:
        split(net, "r", ["a", "b"], (net.weight("sizes", np.array(sizes)),), axis=axis)
    graph = checked(net.save(tmp_path, "a", "b"))
    assert operators(graph) == ["Table", "Slice", "Slice"]


@pytest.mark.parametrize(("opset", "more"), [(13, {}), (18, {"num_outputs": 4})])
def test_equal_parts(tmp_path: Path, opset: int, more: dict[str, Any]) -> None:
    """Parts that nobody reads are not cut; the last of num_outputs may be smaller."""
    net = start(opset, (1, 8 if opset == 13 else 7, 4, 4))
    split(net, "x", ["a", "b", "c", "d"], axis=1, **more)
    net.node("Relu", ["b"], "y")
    net.node("Sigmoid", ["d"], "z")
    graph = checked(net.save(tmp_path, "y", "z"))
    assert operators(graph) == ["Slice", "Slice", "Table", "Table"]
    assert [node.attributes["starts"] for node in graph.nodes[:2]] == [(2, 0, 0), (6, 0, 0)]


def test_split_of_a_vector(tmp_path: Path) -> None:
    net = start(13, (1, 6, 1, 1))
    net.node("Flatten", ["x"], "f")
    split(net, "f", ["a", "b"], (net.weight("sizes", np.array([2, 4])),), axis=1)
    net.node("Relu", ["b"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Slice", "Table"]


def test_split_into_conv_branches(tmp_path: Path) -> None:
    net = start()
    split(net, "x", ["a", "b"], (net.weight("sizes", np.array([3, 3])),), axis=1)
    net.conv("b", "c", (3, 3, 3, 3), pads=[1, 1, 1, 1])
    net.node("Concat", ["a", "c"], "y", axis=1)
    assert operators(checked(net.save(tmp_path, "y"))) == ["Slice", "Slice", "Conv", "Concat"]


@pytest.mark.parametrize("opset", [9, 13])
def test_slice(tmp_path: Path, opset: int) -> None:
    """Negative bounds, ends beyond the end, axes left out."""
    net = start(opset)
    if opset == 9:
        net.node("Slice", ["x"], "a", starts=[0, 1, -7], ends=[1, -1, 10**9])
    else:
        bounds = ([-5, 0], [2**62, 5], [1, 3], [1, 2])
        names = [
            net.weight(name, np.array(values))
            for name, values in zip(("starts", "ends", "axes", "steps"), bounds, strict=True)
        ]
        net.node("Slice", ["x", *names], "a")
    net.node("Relu", ["a"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Slice", "Table"]
    assert graph.tensors["a"].shape == ((1, 4, 7, 8) if opset == 9 else (1, 5, 9, 3))


@pytest.mark.parametrize("axis", [2, 3, -1])
def test_concat_of_rows_and_columns(tmp_path: Path, axis: int) -> None:
    net = start()
    net.conv("x", "a", (6, 6, 1, 1))
    net.node("Relu", ["x"], "b")
    net.node("Concat", ["a", "b", "a"], "y", axis=axis)
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[-1].attributes == {"axis": axis % 4}


@pytest.mark.parametrize("bounds", [([5], [0], [1], [-1]), ([0], [6], [1], [2])])
def test_slices_backwards_and_with_gaps(tmp_path: Path, bounds: Any) -> None:
    net = start()
    names = [
        net.weight(name, np.array(values))
        for name, values in zip(("starts", "ends", "axes", "steps"), bounds, strict=True)
    ]
    net.node("Slice", ["x", *names], "a")
    net.conv("a", "y", (4, 5 if bounds[3] == [-1] else 3, 1, 1))
    made = operators(checked(net.save(tmp_path, "y")))
    assert made == [*["Slice"] * (len(made) - 2), "Concat", "Conv"]


def test_concats_with_constants_and_of_views(tmp_path: Path) -> None:
    net = start()
    net.node("Concat", ["x", net.random("w", (1, 6, 9, 8))], "a", axis=1)
    net.node("Reshape", ["x", net.weight("flat", np.array([1, 6, 72]))], "r")
    net.node("Concat", ["r", "r"], "b", axis=2)
    net.conv("a", "c", (4, 12, 1, 1))
    net.node("Reshape", ["b", net.weight("back", np.array([1, 6, 9, 16]))], "s")
    net.conv("s", "d", (4, 6, 1, 1))
    made = operators(checked(net.save(tmp_path, "c", "d")))
    assert [made.count(kind) for kind in ("ConvTranspose", "Conv")] == [2, 2]


def test_sizes_must_be_known(tmp_path: Path) -> None:
    net = start()
    net.input("s", ("n",), 7)
    split(net, "x", ["a", "b"], ("s",), axis=1)
    assert any("Split" in item for item in refusal(net, tmp_path, "a", "b"))
