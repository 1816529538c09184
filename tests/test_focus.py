"""Focus stems become one convolution where that is exact, and run as they are where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knightlite.frontend import load
from onnx_nets import Net, checked, operators

CELLS = ((0, 0), (1, 0), (0, 1), (1, 1))


def stacked(
    cells: tuple[tuple[int, int], ...] = CELLS, block: int = 2, size: tuple[int, int] = (12, 8)
) -> Net:
    """Slices with one step each, two after another, as PyTorch exports x[..., dy::2, dx::2]."""
    net = Net(13)
    net.input("x", (1, 3, *size))
    net.weight("step", np.array([block]))
    net.weight("end", np.array([2**31]))
    for axis in (2, 3):
        net.weight(f"axis{axis}", np.array([axis]))
    names = []
    for index, (dy, dx) in enumerate(cells):
        rows = net.weight(f"row{index}", np.array([dy]))
        columns = net.weight(f"column{index}", np.array([dx]))
        net.node("Slice", ["x", rows, "end", "axis2", "step"], f"r{index}")
        names.append(net.node("Slice", [f"r{index}", columns, "end", "axis3", "step"], f"c{index}"))
    net.node("Concat", names, "f", axis=1)
    return net


@pytest.mark.parametrize("stride", [1, 2])
def test_folded(tmp_path: Path, stride: int) -> None:
    net = stacked()
    net.conv("f", "c", (5, 12, 3, 3), pads=[1, 1, 1, 1], strides=[stride, stride], bias=True)
    net.node("Relu", ["c"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]
    attributes = graph.nodes[0].attributes
    assert attributes["strides"] == (2 * stride, 2 * stride)
    assert attributes["pads"] == (2, 2, 2, 2)
    assert graph.constants[graph.nodes[0].inputs[1]].shape == (5, 3, 6, 6)


def test_some_cells_in_any_order(tmp_path: Path) -> None:
    net = stacked(((2, 1), (0, 2), (2, 1)), 3, (9, 6))
    net.conv("f", "y", (5, 9, 2, 2))
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv"]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth(tmp_path: Path, mode: str) -> None:
    net = Net(13)
    net.input("x", (1, 3, 12, 8))
    if mode == "DCR":
        net.node("SpaceToDepth", ["x"], "s", blocksize=2)
    else:
        net.node("Reshape", ["x", net.weight("a", np.array([1, 3, 6, 2, 4, 2]))], "p")
        net.node("Transpose", ["p"], "t", perm=[0, 1, 3, 5, 2, 4])
        net.node("Reshape", ["t", net.weight("b", np.array([1, 12, 6, 4]))], "s")
    net.conv("s", "y", (5, 12, 3, 3), pads=[0, 1, 1, 0])
    assert operators(checked(net.save(tmp_path, "y"))) == ["Conv"]


@pytest.mark.parametrize(("kernel", "op"), [(85, ["Conv"]), (86, ["SpaceToDepth", "Conv"])])
def test_a_kernel_may_become_as_large_as_its_field(
    tmp_path: Path, kernel: int, op: list[str]
) -> None:
    """Blocks of 3: 255 rows and columns, not 258."""
    net = Net(13)
    net.input("x", (1, 1, 261, 261))
    net.node("SpaceToDepth", ["x"], "s", blocksize=3)
    net.conv("s", "y", (1, 9, kernel, 1))
    assert operators(load(net.save(tmp_path, "y"))) == op


def test_another_reader_keeps_the_stack(tmp_path: Path) -> None:
    net = stacked()
    net.conv("f", "y", (5, 12, 3, 3))
    net.node("Sigmoid", ["f"], "z")
    kept = checked(net.save(tmp_path, "y", "z"))
    assert sorted(set(operators(kept))) == ["Concat", "Conv", "Slice", "Table"]


@pytest.mark.parametrize(
    ("size", "shape", "more"),
    [
        ((12, 7), (5, 12, 3, 3), {}),  # columns of different numbers cannot be joined: odd rows
        ((12, 8), (5, 12, 2, 2), {"dilations": [2, 2]}),
        ((12, 8), (4, 3, 3, 3), {"group": 4}),
    ],
)
def test_what_does_not_fold(
    tmp_path: Path, size: tuple[int, int], shape: tuple[int, ...], more: dict[str, object]
) -> None:
    cells = CELLS if size[1] % 2 == 0 else ((0, 0), (1, 0), (0, 0), (1, 0))
    net = stacked(cells, size=size)
    net.conv("f", "y", shape, **more)
    assert "Concat" in operators(checked(net.save(tmp_path, "y")))
