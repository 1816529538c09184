"""Transposes alone and between Reshapes: known by what they do, not by their spelling."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import knightlite
from knightlite import dtypes
from knightlite.frontend import load, transposes
from knightlite.inference import Runner, float_network, session
from knightlite.ir import GraphBuilder
from knightlite.ops import transpose
from onnx_nets import Net, checked, operators


def start(shape: Sequence[int] = (1, 12, 4, 6)) -> Net:
    net = Net(13)
    net.input("x", shape)
    return net


def steps(net: Net, split: Sequence[int], perm: Sequence[int], joined: Sequence[int]) -> str:
    net.node("Reshape", ["x", net.weight("split", np.array(split))], "parts")
    net.node("Transpose", ["parts"], "moved", perm=list(perm))
    net.node("Reshape", ["moved", net.weight("joined", np.array(joined))], "whole")
    return net.node("MaxPool", ["whole"], "y", kernel_shape=[2, 2])


@pytest.mark.parametrize(
    ("split", "perm", "joined", "op", "attributes"),
    [
        ((1, 3, 4, 4, 6), (0, 2, 1, 3, 4), (1, 12, 4, 6), "ChannelShuffle", {"groups": 3}),
        ((0, 2, 6, -1), (0, 2, 1, 3), (0, -1, 4, 6), "ChannelShuffle", {"groups": 2}),
        ((1, 3, 2, 2, 4, 6), (0, 1, 4, 2, 5, 3), (1, 3, 8, 12), "DepthToSpace",
         {"block": 2, "mode": "CRD"}),
        ((1, 2, 2, 3, 4, 6), (0, 3, 4, 1, 5, 2), (1, 3, 8, 12), "DepthToSpace",
         {"block": 2, "mode": "DCR"}),
        ((1, 12, 2, 2, 3, 2), (0, 1, 3, 5, 2, 4), (1, 48, 2, 3), "SpaceToDepth",
         {"block": 2, "mode": "CRD"}),
        ((1, 12, 2, 2, 3, 2), (0, 3, 5, 1, 2, 4), (1, 48, 2, 3), "SpaceToDepth",
         {"block": 2, "mode": "DCR"}),
        ((1, 12, 24), (0, 2, 1), (1, 4, 6, 12), "SwapPixels", {}),
    ],
)  # fmt: skip
def test_between_reshapes(
    tmp_path: Path, split: Sequence[int], perm: Sequence[int], joined: Sequence[int], op: str,
    attributes: dict[str, object],
) -> None:  # fmt: skip
    net = start()
    steps(net, split, perm, joined)
    graph = checked(net.save(tmp_path, "y"))
    assert (graph.nodes[0].op, graph.nodes[0].attributes) == (op, attributes)


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_every_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    net = start((1, 5, 4, 6))
    net.node("Transpose", ["x"], "t", perm=[0, *order])
    net.node("MaxPool", ["t"], "y", kernel_shape=[2, 2])
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == [*transpose.exchanges((0, *order)), "MaxPool"]
    assert operators(graph).count("SwapChannels") <= 1


def test_transposes_that_undo_each_other(tmp_path: Path) -> None:
    net = start()
    net.node("Transpose", ["x"], "a", perm=[0, 2, 3, 1])
    net.node("Transpose", ["a"], "b", perm=[0, 3, 1, 2])
    net.node("Sigmoid", ["b"], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["Table"]


def test_flattened_behind_a_transpose(tmp_path: Path) -> None:
    """As TensorFlow flattens: rows, columns, channels. The weights are in order, not the pixels."""
    net = start((1, 3, 4, 2))
    net.node("Transpose", ["x"], "t", perm=[0, 2, 3, 1])
    net.node("Flatten", ["t"], "f")
    net.node("MatMul", ["f", net.random("w", (24, 5))], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv"]


def test_at_the_end(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "c", (5, 12, 1, 1))
    net.node("Transpose", ["c"], "y", perm=[0, 3, 1, 2])
    net.node("Sigmoid", ["x"], "s")
    net.node("Reshape", ["s", net.weight("a", np.array([1, 2, 6, 24]))], "p")
    net.node("Transpose", ["p"], "t", perm=[0, 3, 1, 2])
    net.node("Reshape", ["t", net.weight("b", np.array([1, 24, 12]))], "z")
    net.node("Relu", ["z"], "w")
    graph = checked(net.save(tmp_path, "y", "w"))
    assert operators(graph) == ["Conv", "Table"]
    assert [op.op for op in graph.host].count("Transpose") == 2


def test_operators_of_onnx(tmp_path: Path) -> None:
    net = start()
    net.node("DepthToSpace", ["x"], "a", blocksize=2)
    net.node("DepthToSpace", ["x"], "b", blocksize=2, mode="CRD")
    net.node("Add", ["a", "b"], "c")
    net.node("SpaceToDepth", ["c"], "d", blocksize=4)
    net.node("Sigmoid", ["d"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["DepthToSpace", "DepthToSpace", "Add", "SpaceToDepth", "Table"]


def test_what_no_shuffle_does_is_cut_and_stacked(tmp_path: Path) -> None:
    net = start()
    steps(net, (1, 3, 2, 2, 4, 6), (0, 3, 1, 2, 5, 4), (1, 12, 4, 6))
    net.conv("y", "z", (2, 12, 1, 1))
    made = operators(checked(net.save(tmp_path, "z")))
    assert made[-1] == "Conv"
    assert len(made) > 2


def test_a_concat_that_the_host_turns_at_the_end(tmp_path: Path) -> None:
    """Nothing observes a Concat, since its inputs tell its range; and yet it is compared."""
    net = Net()
    x = net.node("Transpose", [net.input("x", (1, 6, 6, 3))], "t", perm=[0, 3, 1, 2])
    c = net.conv(x, "c", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    back = net.node("Transpose", [c], "back", perm=[0, 2, 3, 1])
    path = net.save(tmp_path, net.node("Concat", [back, back], "y", axis=-1))
    pictures = np.random.default_rng(0).normal(0, 1, (4, 6, 6, 3)).astype(np.float32)
    with pytest.warns(UserWarning, match="y: Transpose runs on the host"):
        made = knightlite.quantize(path, data=pictures, bit_width=16)
    (found,) = knightlite.Session(knightlite.compile(made)).run(None, {"x": pictures[:1]})
    (wanted,) = session(path.read_bytes()).run(None, {"x": pictures[:1]})
    np.testing.assert_allclose(found, wanted, atol=1e-2)


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 3, 2, 1), (0, 3, 1, 2), (0, 1, 3, 2)])
@pytest.mark.parametrize(
    "shape", [(1, 6, 5), (4, 6, 1), (1, 7, 1), (5, 1, 1), (1, 1, 7), (4, 1, 5)]
)
def test_products_of_a_single_feature_come_last(
    shape: tuple[int, int, int], perm: tuple[int, ...], tmp_path: Path
) -> None:
    """An axis of size 1 may stand anywhere, until a MatMul makes more of it."""
    channels, *picture = shape
    net = Net()
    net.conv(net.input("x", (1, 3, *picture)), "c", (channels, 3, 1, 1))
    net.node("Transpose", ["c"], "t", perm=list(perm))
    net.random("w", ((1, *shape)[perm[-1]], 5))
    net.node("MatMul", ["t", "w"], "m")
    path = net.save(tmp_path, net.node("Add", ["m", net.random("b", (5,))], "y"))
    graph = load(path)
    x = np.random.default_rng(0).normal(0, 1, (1, 3, *picture)).astype(np.float32)
    (wanted,) = session(path.read_bytes()).run(None, {"x": x})
    found = Runner(float_network(graph)).run((x.reshape(graph.tensors["x"].shape),))
    np.testing.assert_allclose(found["y"], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("declared", [True, False])
def test_what_lies_between_moves_is_quantized_as_what_they_move(declared: bool) -> None:
    """And what they make, where the file does not say how."""
    builder = GraphBuilder("net")
    builder.input("x", (1, 4, 2, 2), dtypes.S8, 0.5)
    asked: list[tuple[str, tuple[int, ...]]] = []

    def declare(name: str, shape: tuple[int, ...]) -> None:
        asked.append((name, shape))
        builder.tensor(name, shape, dtypes.S16, 0.25)

    state: Any = SimpleNamespace(
        builder=builder, declare=declare,
        model=SimpleNamespace(shapes={"y": (1, 4, 2, 2)} if declared else {}),
    )  # fmt: skip
    moves: Any = [("ChannelShuffle", {"groups": 2}), ("SwapChannels", {}), ("ChannelShuffle", {})]
    assert transposes.append_moves(state, "x", moves, "y", (1, 4, 2, 2)) == "y"
    nodes = builder.nodes
    assert [node.op for node in nodes] == [op for op, _ in moves]
    assert [node.inputs[0] for node in nodes] == ["x", nodes[0].output, nodes[1].output]
    for node in nodes[:2]:
        between = builder.tensors[node.output]
        assert (between.dtype, float(between.scale)) == (dtypes.S8, 0.5)  # type: ignore[arg-type]
    made = builder.tensors["y"]
    assert (made.dtype, float(made.scale)) == (  # type: ignore[arg-type]
        (dtypes.S16, 0.25) if declared else (dtypes.S8, 0.5)
    )
    assert asked == ([("y", (1, 4, 2, 2))] if declared else [])
