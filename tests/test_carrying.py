"""Layers on [N, H, W, C], [N, C, L] and [N, L, C]: no Transpose is left, signals are rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightlite.frontend import axis_orders, load
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float
from onnx_nets import Net, operators

MOVES = ("SwapPixels", "SwapChannels")


def same(net: Net, folder: Path, *outputs: str) -> Graph:
    """The canonical graph, held to the file's outputs on the same elements."""
    path = net.save(folder, *outputs)
    graph = load(path)
    original, made = session(path.read_bytes(), 1), session(write_float(graph), 1)
    shapes = {item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
              for item in net.inputs}  # fmt: skip
    feeds = {name: net.rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    wanted = original.run(list(outputs), feeds)
    given = {name: feeds[name].reshape(graph.tensors[name].shape) for name in graph.inputs}
    for have, want in zip(made.run(list(outputs), given), wanted, strict=True):
        assert have.shape == want.shape
        assert np.ptp(want) > 0, "a constant output proves nothing"
        np.testing.assert_allclose(have, want, atol=1e-4 * np.abs(want).max())
    return graph


# ------------------------------------------------------------------ channels last

Layer = Callable[[Net, str], str]
CHANNELS, ROWS, COLUMNS = 6, 5, 4


def ints(net: Net, *values: int) -> str:
    return net.weight(f"i{len(net.weights)}", np.array(values, np.int64))


def per_channel(net: Net, x: str) -> str:
    net.node("Mul", [x, net.random("gain", (CHANNELS,))], "m")
    return net.node("Add", [net.random("offset", (1, 1, 1, CHANNELS)), "m"], "l")


def divided(net: Net, x: str) -> str:
    return net.node("Div", [x, net.random("by", (CHANNELS,), 1, 2)], "l")


def rectified(net: Net, x: str) -> str:
    net.node("PRelu", [x, net.random("slope", (1, 1, CHANNELS))], "p")
    net.node("Sigmoid", ["p"], "s")
    return net.node("Mul", ["p", "s"], "l")


def excited(net: Net, x: str) -> str:
    """Squeeze and excitation as Keras writes it."""
    net.node("ReduceMean", [x], "mean", axes=[1, 2], keepdims=1)
    net.node("MatMul", ["mean", net.random("w1", (CHANNELS, 3))], "h")
    net.node("Relu", ["h"], "r")
    net.node("MatMul", ["r", net.random("w2", (3, CHANNELS))], "g")
    net.node("Sigmoid", ["g"], "s")
    return net.node("Mul", [x, "s"], "l")


def dense(net: Net, x: str) -> str:
    net.node("MatMul", [x, net.random("w", (CHANNELS, CHANNELS))], "d")
    return net.node("Add", ["d", net.random("b", (CHANNELS,))], "l")


def dense_in_rows(net: Net, x: str) -> str:
    """As tf2onnx writes it: pixels become rows of a matrix."""
    net.node("Reshape", [x, ints(net, -1, CHANNELS)], "rows")
    net.node("Gemm", ["rows", net.random("w", (CHANNELS, CHANNELS)), net.random("b", (CHANNELS,))],
             "d", transB=1, alpha=0.5, beta=2.0)  # fmt: skip
    return net.node("Reshape", ["d", ints(net, 1, ROWS, COLUMNS, CHANNELS)], "l")


def joined(net: Net, x: str) -> str:
    net.node("Relu", [x], "r")
    net.node("Concat", [x, "r"], "j", axis=-1)
    return net.node("Slice", ["j", ints(net, 3), ints(net, 3 + CHANNELS), ints(net, 3)], "l")


def halved(net: Net, x: str) -> str:
    net.node("Split", [x, ints(net, 2, 4)], "a", axis=3)
    net.nodes[-1].output.append("b")
    net.node("Neg", ["a"], "n")
    return net.node("Concat", ["b", "n"], "l", axis=3)


def bordered(net: Net, x: str) -> str:
    net.node("Pad", [x, ints(net, 0, 1, 0, 0, 0, 0, 2, 0)], "p")
    return net.node(
        "Slice", ["p", ints(net, 1, 0), ints(net, ROWS + 1, COLUMNS), ints(net, 1, 2)], "l"
    )


def doubled(net: Net, x: str) -> str:
    net.node("Tile", [x, ints(net, 1, 1, 1, 2)], "t")
    return net.node("Slice", ["t", ints(net, 1), ints(net, 1 + CHANNELS), ints(net, 3)], "l")


def scored(net: Net, x: str) -> str:
    return net.node("Softmax", [x], "l", axis=-1)


@pytest.mark.parametrize(
    "layer",
    [per_channel, divided, rectified, excited, dense, dense_in_rows, joined, halved,
     bordered, doubled, scored],
)  # fmt: skip
def test_between_transposes_to_channels_last_and_back(tmp_path: Path, layer: Layer) -> None:
    net = Net()
    net.input("x", (1, 3, ROWS, COLUMNS))
    net.conv("x", "c", (CHANNELS, 3, 1, 1))
    net.node("Transpose", ["c"], "last", perm=[0, 2, 3, 1])
    net.node("Transpose", [layer(net, "last")], "first", perm=[0, 3, 1, 2])
    net.conv("first", "y", (2, CHANNELS, 3, 3), pads=[1, 1, 1, 1])
    graph = same(net, tmp_path, "y")
    assert not set(MOVES) & set(operators(graph))
    assert not graph.host


def test_pooled_and_flattened_behind_channels_last(tmp_path: Path) -> None:
    """Both heads that Keras has: over the means of channels, and over all pixels."""
    net = Net()
    net.input("x", (1, 3, ROWS, COLUMNS))
    net.conv("x", "c", (CHANNELS, 3, 1, 1))
    net.node("Transpose", ["c"], "last", perm=[0, 2, 3, 1])
    net.node("ReduceMean", ["last"], "mean", axes=[1, 2], keepdims=0)
    net.node("Gemm", ["mean", net.random("w1", (CHANNELS, 7))], "y")
    net.node("Reshape", ["last", ints(net, 1, -1)], "flat")
    net.node("Gemm", ["flat", net.random("w2", (4, CHANNELS * ROWS * COLUMNS))], "z", transB=1)
    graph = same(net, tmp_path, "y", "z")
    assert sorted(operators(graph)) == ["AveragePool", "Conv", "Conv", "Conv"]


def test_an_output_with_channels_last_is_turned_by_the_host(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, ROWS, COLUMNS))
    net.conv("x", "c", (CHANNELS, 3, 1, 1))
    net.node("Transpose", ["c"], "last", perm=[0, 2, 3, 1])
    net.node("Add", ["last", net.random("offset", (CHANNELS,))], "a")
    net.node("Reshape", ["a", ints(net, 1, ROWS * COLUMNS, CHANNELS)], "y")
    graph = same(net, tmp_path, "y", "a")
    assert operators(graph) == ["Conv"]
    assert {op.op for op in graph.host} == {"Transpose", "Reshape"}


def test_features_in_two_orders_meet(tmp_path: Path) -> None:
    """One of them moves, whichever it is."""
    net = Net()
    net.input("x", (1, 4, 4, 4))
    net.conv("x", "c", (4, 4, 1, 1))
    net.node("Transpose", ["c"], "t", perm=[0, 2, 3, 1])
    net.node("Add", ["c", "t"], "a")
    net.conv("a", "y", (2, 4, 1, 1))
    graph = same(net, tmp_path, "y")
    assert set(MOVES) & set(operators(graph))


# ------------------------------------------------------------------ signals


def signal(shape: Sequence[int] = (1, 6, 20)) -> Net:
    net = Net(13)
    net.input("x", shape)
    return net


def convolved(net: Net, x: str) -> str:
    net.conv(x, "a", (8, 6, 5), pads=[2, 1], strides=[2], bias=True)
    net.norm("a", "n", 8)
    return net.conv("n", "l", (8, 1, 3), group=8, dilations=[2], pads=[2, 2])


def spread(net: Net, x: str) -> str:
    weights = net.random("w", (6, 3, 4))
    return net.node(
        "ConvTranspose", [x, weights], "l", strides=[2], pads=[1, 0], output_padding=[1]
    )


def pooled(net: Net, x: str) -> str:
    net.node("MaxPool", [x], "m", kernel_shape=[3], strides=[2], pads=[1, 1])
    net.node("AveragePool", [x], "v", kernel_shape=[3], strides=[2], pads=[1, 1], ceil_mode=1)
    net.node("Slice", ["v", ints(net, 0), ints(net, 10), ints(net, 2)], "s")
    return net.node("Concat", ["m", "s"], "l", axis=1)


def resized(net: Net, x: str) -> str:
    scales = net.weight("scales", np.array([1, 1, 2], np.float32))
    return net.node("Resize", [x, "", scales], "l", mode="nearest",
                    coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip


def gated(net: Net, x: str) -> str:
    net.node("GlobalAveragePool", [x], "g")
    net.node("Sigmoid", ["g"], "s")
    net.node("Mul", [x, "s"], "m")
    return net.node("Add", ["m", net.random("offset", (6, 1))], "l")


def padded(net: Net, x: str) -> str:
    net.node("Pad", [x, ints(net, 0, 0, 3, 0, 0, 2)], "p")
    return net.conv("p", "l", (4, 6, 3))


def attended(net: Net, x: str) -> str:
    """ECA: a convolution along the channels of their means."""
    net.node("ReduceMean", [x], "all", axes=[2], keepdims=1)
    net.node("Transpose", ["all"], "t", perm=[0, 2, 1])
    net.conv("t", "c", (1, 1, 3), pads=[1, 1])
    net.node("Transpose", ["c"], "u", perm=[0, 2, 1])
    net.node("Sigmoid", ["u"], "s")
    return net.node("Mul", [x, "s"], "l")


def mixed(net: Net, x: str) -> str:
    """Dense along the signal, then across channels."""
    net.node("MatMul", [x, net.random("w1", (20, 20))], "t")
    net.node("Transpose", ["t"], "u", perm=[0, 2, 1])
    net.node("MatMul", ["u", net.random("w2", (6, 6))], "v")
    return net.node("Transpose", ["v"], "l", perm=[0, 2, 1])


@pytest.mark.parametrize(
    "layer", [convolved, spread, pooled, resized, gated, padded, attended, mixed]
)  # fmt: skip
def test_signals_are_pictures_of_one_row(tmp_path: Path, layer: Layer) -> None:
    net = signal()
    net.node("Relu", [layer(net, "x")], "r")
    net.node("ReduceMean", ["r"], "mean", axes=[2], keepdims=0)
    net.node("Identity", ["r"], "y")
    graph = same(net, tmp_path, "y", "mean")
    assert graph.tensors["x"].shape == (1, 6, 1, 20)


@pytest.mark.parametrize(
    ("shape", "views", "canonical"),
    [
        ((1, 12), (), (1, 12, 1, 1)),
        ((1, 1, 12), ((1, 12),), (1, 12, 1, 1)),
        ((1, 12), ((1, 1, 12),), (1, 1, 1, 12)),
        ((1, 12), ((1, 1, 12), (1, 1, 3, 4)), (1, 1, 3, 4)),
    ],
)
def test_an_input_lies_as_its_reader_sees_it(
    tmp_path: Path, shape: tuple[int, ...], views: Sequence[tuple[int, ...]], canonical: Any
) -> None:
    net = signal(shape)
    name, seen = "x", shape
    for seen in views:
        name = net.node("Reshape", [name, ints(net, *seen)], f"v{len(net.nodes)}")
    if len(seen) == 2:
        net.node("Gemm", [name, net.random("w", (12, 5))], "y")
    else:
        net.conv(name, "y", (5, 1, *(3 for _ in seen[2:])))
    graph = same(net, tmp_path, "y")
    assert graph.tensors["x"].shape == canonical
    assert len(graph.nodes) == 1


def test_sequences_of_features(tmp_path: Path) -> None:
    """[N, L, C] into a Conv1D of Keras."""
    net = signal((1, 20, 6))
    net.node("Transpose", ["x"], "t", perm=[0, 2, 1])
    net.conv("t", "c", (8, 6, 3))
    net.node("Transpose", ["c"], "u", perm=[0, 2, 1])
    net.node("Add", ["u", net.random("b", (8,))], "y")
    graph = same(net, tmp_path, "y")
    assert [kind for kind in operators(graph) if kind not in MOVES] == ["Conv"]


def test_a_part_of_an_axis_is_put_in_a_row(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 6, 4, 4))
    net.node("Transpose", ["x"], "t", perm=[0, 2, 3, 1])
    net.node("Reshape", ["t", ints(net, 1, 16, 6)], "rows")
    net.node("Slice", ["rows", ints(net, 3), ints(net, 9), ints(net, 1)], "s")
    net.node("MatMul", ["s", net.random("w", (6, 5))], "y")
    assert operators(same(net, tmp_path, "y"))[-1] == "Conv"


@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-2, 1), (-2, -3)])
def test_a_pad_of_some_axes_is_one_of_all(tmp_path: Path, axes: tuple[int, ...]) -> None:
    """On [N, H, W, C], rows and columns: 1 and 0 before, 2 and 3 behind."""
    begins, ends = {1: 1, 2: 0}, {1: 2, 2: 3}
    named = [amounts[axis % 4] for amounts in (begins, ends) for axis in axes]
    made = []
    for pads, where in (((0, 1, 0, 0, 0, 2, 3, 0), ()), (named, axes)):
        net = Net(18)
        net.input("x", (1, 4, 5, 6))
        net.node("Transpose", ["x"], "t", perm=[0, 2, 3, 1])
        more = ["", ints(net, *where)] if where else []
        net.node("Pad", ["t", ints(net, *pads), *more], "p")
        net.node("Transpose", ["p"], "u", perm=[0, 3, 1, 2])
        net.node("Sigmoid", [net.conv("u", "c", (4, 4, 3, 3))], "y")
        made.append(load(net.save(tmp_path, "y")))
    whole, some = ([(node.op, node.attributes) for node in graph.nodes] for graph in made)
    assert some == whole


# ------------------------------------------------------------------ groups

sizes = st.tuples(st.just(1), *[st.integers(1, 4)] * 3)
orders = st.sampled_from([(0, *order) for order in permutations((1, 2, 3))])


@settings(max_examples=200)
@given(shape=sizes, order=orders, data=st.data())
def test_groups_say_where_elements_are(
    shape: tuple[int, ...], order: tuple[int, ...], data: st.DataObject
) -> None:
    """Any regrouping of the axes in order is found, and means the same elements."""
    ordered = [shape[axis] for axis in order]
    cuts = sorted(data.draw(st.sets(st.integers(1, 3))))
    seen = tuple(int(np.prod(ordered[a:b])) for a, b in zip([0, *cuts], [*cuts, 4], strict=True))
    found = axis_orders.groups(seen, shape, order)
    assert found is not None
    assert tuple(int(np.prod([shape[axis] for axis in group])) for group in found) == seen
    long = [axis for group in found for axis in group if shape[axis] != 1]
    assert long == [axis for axis in order if shape[axis] != 1]


def test_axes_that_are_split_have_no_groups() -> None:
    assert axis_orders.groups((1, 2, 3, 4, 5), (1, 6, 4, 5)) is None
    assert axis_orders.groups((1, 5, 24), (1, 6, 4, 5)) is None


@pytest.mark.parametrize(
    ("pads", "include", "stride"), [((2, 2), 1, 1), ((2, 1), 0, 1), ((0, 0), 0, 2)]
)
def test_averages_over_neighbouring_channels(
    tmp_path: Path, pads: tuple[int, int], include: int, stride: int
) -> None:
    """A pool of volumes: so PyTorch and Paddle export local response normalization."""
    net = Net()
    net.input("x", (1, 8, 4, 5))
    net.node("Mul", ["x", "x"], "s")
    net.node("Unsqueeze", ["s", ints(net, 1)], "volume")
    net.node("AveragePool", ["volume"], "p", kernel_shape=[4, 1, 1], strides=[stride, 1, 1],
             pads=[pads[0], 0, 0, pads[1], 0, 0], count_include_pad=include)  # fmt: skip
    net.node("Squeeze", ["p", ints(net, 1)], "y")
    assert operators(same(net, tmp_path, "y")) == ["Table", "Conv"]


@pytest.mark.parametrize("layer", ["BatchNormalization", "Softmax"])
def test_what_needs_channels_first_has_them(tmp_path: Path, layer: str) -> None:
    """A norm of rows is one of channels once the tensor itself is turned."""
    net = Net()
    net.input("x", (1, 3, ROWS, COLUMNS))
    net.conv("x", "c", (CHANNELS, 3, 1, 1))
    net.node("Transpose", ["c"], "t", perm=[0, 2, 3, 1])
    if layer == "Softmax":
        net.node("Softmax", ["t"], "n", axis=1)
    else:
        net.norm("t", "n", ROWS)
    net.conv("n", "y", (2, ROWS, 1, 1))
    assert set(MOVES) & set(operators(same(net, tmp_path, "y")))


def test_a_concat_of_one_is_none(tmp_path: Path) -> None:
    net = signal()
    net.conv("x", "c", (4, 6, 3))
    net.node("Concat", ["c"], "y", axis=2)
    assert operators(same(net, tmp_path, "y")) == ["Conv"]
