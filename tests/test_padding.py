"""Pads that are taken over, that stand alone, that cut, and that repeat the border; Tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from onnx_nets import Net, checked, operators


def start(opset: int = 13) -> Net:
    net = Net(opset)
    net.input("x", (1, 4, 9, 7))
    return net


def padded(pads: list[int], opset: int = 9, **more: Any) -> Net:
    net = start(opset)
    net.node("Pad", ["x"], "p", pads=pads, **more)
    return net


PICTURE = [0, 0, 1, 2, 0, 0, 3, 0]


@pytest.mark.parametrize(
    ("node", "attributes"),
    [
        ("Sigmoid", {}),
        ("MaxPool", {"kernel_shape": [3, 3]}),  # x may be negative: zeros are not its padding
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),  # counts some pads only
        ("Conv", {"auto_pad": "SAME_UPPER"}),
        ("Conv", {"kernel_shape": [1, 1]}),  # a window of zeros only
    ],
)
def test_a_pad_that_nobody_takes_over(
    tmp_path: Path, node: str, attributes: dict[str, Any]
) -> None:
    net = padded([0, 0, 1, 1, 0, 0, 1, 1])
    if node == "Conv":
        kernel = attributes.pop("kernel_shape", [3, 3])
        net.conv("p", "y", (6, 4, *kernel), **attributes)
    else:
        net.node(node, ["p"], "y", **attributes)
    graph = checked(net.save(tmp_path, "y"))
    assert len(graph.nodes) == 2
    assert graph.nodes[0].op == "Pad"
    assert graph.nodes[0].attributes == {"begins": (0, 1, 1), "ends": (0, 1, 1)}


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_zeros_are_taken_over_up_to_the_windows_last_tap(
    tmp_path: Path, kernel: int, dilation: int
) -> None:
    """So many that a window would see zeros only are a Pad of their own, on every side."""
    reach = dilation * (kernel - 1) + 1
    for side in (2, 3, 6, 7):
        for amount in {1, reach - 1, reach} - {0}:
            pads = [0] * 8
            pads[side] = amount
            net = padded(pads)
            size = (kernel, 1) if side in (2, 6) else (1, kernel)
            net.conv("p", "y", (6, 4, *size), dilations=[dilation, dilation])
            made = operators(checked(net.save(tmp_path, "y")))
            assert made == (["Conv"] if amount < reach else ["Pad", "Conv"])


@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("counted", [None, 0, 1])
def test_an_average_counts_the_zeros_in_front_of_it_and_its_own_as_the_file_says(
    tmp_path: Path, own: int, counted: int | None
) -> None:
    net = padded([0, 0, 1, 0, 0, 0, 0, 1])
    more: dict[str, Any] = {} if counted is None else {"count_include_pad": counted}
    if own:
        more["pads"] = [0, 1, 0, 1]
    net.node("AveragePool", ["p"], "y", kernel_shape=[3, 3], **more)
    made = operators(checked(net.save(tmp_path, "y")))
    assert made == (["Pad", "AveragePool"] if own and not counted else ["AveragePool"])


@pytest.mark.parametrize(
    ("more", "total"),
    [({}, (1, 1, 1, 1)), ({"pads": [1, 0, 1, 0], "count_include_pad": 1}, (2, 1, 2, 1))],
)
def test_zeros_that_an_average_takes_over_count(
    tmp_path: Path, more: dict[str, Any], total: tuple[int, ...]
) -> None:
    net = padded([0, 0, 1, 1, 0, 0, 1, 1])
    net.node("AveragePool", ["p"], "y", kernel_shape=[3, 3], **more)
    (node,) = checked(net.save(tmp_path, "y")).nodes
    assert node.op == "AveragePool"
    assert node.attributes["pads"] == node.attributes["counted_pads"] == total


@pytest.mark.parametrize(
    ("place", "pads", "made"),
    [
        (2, [0, 0, 0, 1, 1, 0, 0, 0, 1, 1], ["Conv"]),
        (2, [0, 2, 0, 1, 1, 0, 0, 0, 1, 1], ["Pad", "Conv"]),
        (1, [0, 0, 0, 1, 1, 0, 0, 0, 1, 1], ["Conv"]),
        (2, [0, 0, 0, -1, 0, 0, 0, 0, 0, -2], ["Slice", "Conv"]),
    ],
)
def test_a_pad_of_a_volume_of_depth_one(
    tmp_path: Path, place: int, pads: list[int], made: list[str]
) -> None:
    """[N, C, 1, H, W], as Paddle pads pictures: the convolution behind it takes zeros over."""
    net = start(9)
    net.node("Unsqueeze", ["x"], "u", axes=[place])
    net.node("Pad", ["u"], "p", pads=pads)
    net.node("Squeeze", ["p"], "q", axes=[place])
    net.conv("q", "y", (6, 4 + pads[1], 3, 3))
    assert operators(checked(net.save(tmp_path, "y"))) == made


def test_a_border_of_a_volume_of_depth_one(tmp_path: Path) -> None:
    net = start(9)
    net.node("Unsqueeze", ["x"], "u", axes=[2])
    net.node("Pad", ["u"], "p", pads=[0, 0, 0, 1, 2, 0, 0, 0, 2, 1], mode="reflect")
    net.node("Squeeze", ["p"], "q", axes=[2])
    net.node("Sigmoid", ["q"], "y")
    assert "Concat" in operators(checked(net.save(tmp_path, "y")))


def test_the_depth_itself_is_padded(tmp_path: Path) -> None:
    net = start(9)
    net.node("Unsqueeze", ["x"], "u", axes=[2])
    net.node("Pad", ["u"], "p", pads=[0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    net.node("Sigmoid", ["p"], "y")
    checked(net.save(tmp_path, "y"))


def test_one_reader_takes_over_and_one_does_not(tmp_path: Path) -> None:
    net = padded([0, 0, 1, 1, 0, 0, 1, 1])
    net.conv("p", "c", (4, 4, 3, 3))
    net.node("Sigmoid", ["p"], "s")
    graph = checked(net.save(tmp_path, "c", "s", "p"))
    assert operators(graph) == ["Conv", "Pad", "Table"]


def test_channels(tmp_path: Path) -> None:
    """The shortcut of ResNets for CIFAR: every other pixel, and channels of zeros."""
    net = start(13)
    bounds = {"starts": [0, 0], "ends": [9, 7], "axes": [2, 3], "steps": [2, 2]}
    names = [net.weight(name, np.array(values)) for name, values in bounds.items()]
    net.node("Slice", ["x", *names], "s")
    net.node("Pad", ["s", net.weight("pads", np.array([0, 2, 0, 0, 0, 2, 0, 0]))], "p")
    net.conv("x", "c", (8, 4, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])
    net.node("Add", ["p", "c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Slice", "Pad", "Conv", "Add"]


def test_channels_after_zeros_that_wait(tmp_path: Path) -> None:
    net = padded(PICTURE)
    net.node("Pad", ["p"], "q", pads=[0, 1, 1, 0, 0, 0, 0, 0])
    net.node("Relu", ["q"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert graph.nodes[0].attributes == {"begins": (1, 2, 2), "ends": (0, 3, 0)}


@pytest.mark.parametrize(
    ("pads", "made"),
    [
        ([0, 0, -1, -2, 0, -1, 0, -1], ["Slice", "Table"]),
        ([0, -1, -1, 2, 0, 0, 1, 0], ["Slice", "Pad", "Table"]),
        ([0, 0, 0, 0, 0, 0, 0, 0], ["Table"]),
    ],
)
def test_a_pad_that_cuts(tmp_path: Path, pads: list[int], made: list[str]) -> None:
    net = padded(pads)
    net.node("Sigmoid", ["p"], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == made


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_borders(tmp_path: Path, mode: str) -> None:
    net = padded(PICTURE, mode=mode)
    net.conv("p", "y", (5, 4, 3, 3))
    graph = checked(net.save(tmp_path, "y"))
    assert [op for op in operators(graph) if op != "Slice"] == ["Concat", "Concat", "Conv"]


def test_a_border_has_no_number(tmp_path: Path) -> None:
    """What is padded with where the mode is constant says nothing in another one."""
    net = start(13)
    amounts, number = net.weight("amounts", np.array(PICTURE)), net.weight("n", np.float32(7))
    net.node("Pad", ["x", amounts, number], "p", mode="reflect")
    net.conv("p", "y", (5, 4, 3, 3))
    graph = checked(net.save(tmp_path, "y"))
    assert [op for op in operators(graph) if op != "Slice"] == ["Concat", "Concat", "Conv"]


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("repeats", [[1, 1, 1, 1], [1, 3, 1, 1], [1, 2, 1, 3]])
def test_tile(tmp_path: Path, opset: int, repeats: list[int]) -> None:
    net = start(opset)
    net.node("Tile", ["x", net.weight("repeats", np.array(repeats))], "t")
    net.node("Sigmoid", ["t"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph).count("Concat") == sum(count > 1 for count in repeats)


@pytest.mark.parametrize(
    ("pads", "more", "finding"),
    [
        (PICTURE, {"value": -np.inf}, "Pad Pad_p must pad with a finite number, not with -inf."),
        ([0, 0, 9, 0, 0, 0, 0, 0], {"mode": "reflect"},
         "Pad Pad_p must reflect fewer than 9 elements, not 9."),
    ],
)  # fmt: skip
def test_refused_pads(tmp_path: Path, pads: list[int], more: Any, finding: str) -> None:
    net = padded(pads, **more)
    net.conv("p", "y", (2, 4, 1, 1))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert (caught.value.findings[0].where, caught.value.findings[0].sentence) == ("Pad_p", finding)


def test_many_tiles(tmp_path: Path) -> None:
    net = start()
    net.node("Tile", ["x", net.weight("repeats", np.array([1, 1, 1, 65]))], "y")
    net.conv("y", "c", (2, 4, 1, 1))
    assert operators(checked(net.save(tmp_path, "c"))) == ["Concat", "Conv"]


@pytest.mark.parametrize("pads", [PICTURE, [0, 2, 0, 0, 0, 0, 0, 1]])
def test_pads_of_a_number(tmp_path: Path, pads: list[int]) -> None:
    net = padded(pads, value=-1.5)
    net.conv("p", "y", (2, 4 + pads[1] + pads[5], 3, 3))
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Affine", "Pad", "Conv"]


@pytest.mark.parametrize("least", [-np.inf, float(np.finfo(np.float32).min)])
@pytest.mark.parametrize("opset", [10, 17])
def test_the_least_number_before_pools_is_their_own(
    least: float, opset: int, tmp_path: Path
) -> None:
    """As "same" padding of an even size is exported: more behind than before."""
    net = Net(opset)
    net.conv(net.input("x", (1, 3, 9, 8)), "c", (4, 3, 1, 1))
    pads = [0, 0, 0, 1, 0, 0, 1, 2]
    if opset == 10:
        net.node("Pad", ["c"], "p", pads=pads, value=least)
    else:
        sizes = net.weight("pads", np.array(pads))
        net.node("Pad", ["c", sizes, net.weight("least", np.float32(least))], "p")
    net.node("MaxPool", ["p"], "a", kernel_shape=[3, 3], strides=[2, 2])
    net.node("MaxPool", ["p"], "b", kernel_shape=[4, 4], strides=[2, 2], pads=[1, 0, 0, 1])
    net.node("Tanh", ["a"], "y")
    net.node("Tanh", ["b"], "z")
    graph = checked(net.save(tmp_path, "y", "z"))
    assert sorted(operators(graph)) == ["Conv", "MaxPool", "MaxPool", "Table", "Table"]


@pytest.mark.parametrize("other", ["reader", "window", "channels"])
def test_the_least_number_elsewhere_is_refused(other: str, tmp_path: Path) -> None:
    net = Net(17)
    net.conv(net.input("x", (1, 3, 9, 8)), "c", (4, 3, 1, 1))
    amount = {"window": [0, 0, 3, 0, 0, 0, 0, 0], "channels": [0, 1, 0, 0, 0, 0, 0, 0]}
    pads = net.weight("pads", np.array(amount.get(other, [0, 0, 1, 1, 0, 0, 1, 1])))
    net.node("Pad", ["c", pads, net.weight("least", np.float32(-np.inf))], "p")
    net.node("MaxPool", ["p"], "a", kernel_shape=[3, 3])
    if other == "reader":
        net.node("Sigmoid", ["p"], "s")
    net.node("Tanh", ["a"], "y")
    with pytest.raises(UnsupportedError, match="finite number, not with -inf"):
        load(net.save(tmp_path, "y", *(["s"] if other == "reader" else [])))
