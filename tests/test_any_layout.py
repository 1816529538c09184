"""Networks whose values are no pictures: any rank, parts of axes, batches in the middle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightlite.frontend import factors, rearranging, wanted
from knightlite.frontend.factors import Factors
from onnx_nets import Net, operators
from test_carrying import ints, same
from test_refused_nodes import drop_unread
from token_nets import gathered

SHAPE = (1, 6, 4, 5)
Layer = Callable[[Net], str]


def ones(net: Net, *shape: int) -> str:
    return net.random(f"r{len(net.weights)}", shape, 0.5, 1.5)


def tile(net: Net, *repeats: int) -> str:
    return net.node("Tile", ["x", ints(net, *repeats)], "y")


def sliced(net: Net, x: str, *bounds: int) -> str:
    return net.node("Slice", [x, *(ints(net, at) for at in bounds)], "y")


def padded(net: Net, mode: str, *pads: int, of: str = "x") -> str:
    return net.node("Pad", [of, ints(net, *pads)], "y", mode=mode)


def reduced(net: Net, kind: str, x: str, *axes: int, keepdims: int = 0) -> str:
    return net.node(kind, [x, ints(net, *axes)], "y", keepdims=keepdims)


# x and z are features; "row" is x as [1, K], "flat" as [1, C, K], "deep" as [1, 2, 3, 2, 2, 5]
LAYERS: dict[str, Layer] = {
    "many tiles": lambda net: tile(net, 1, 1, 65, 2),
    "tiles of the batch": lambda net: tile(net, 2, 1, 1, 1),
    "tiles of a view": lambda net: net.node("Tile", ["flat", ints(net, 1, 1, 2)], "y"),
    "conv of a view": lambda net: net.conv("flat", "y", (2, 6, 3)),
    "pool of a view": lambda net: net.node("MaxPool", ["flat"], "y", kernel_shape=[2]),
    "gemm of a column": lambda net: net.node("Gemm", ["row", ones(net, 1, 4)], "y", transA=1),
    "a matrix for each": lambda net: net.node("MatMul", ["x", ones(net, 1, 6, 5, 3)], "y"),
    "matrices in front": lambda net: net.node("MatMul", [ones(net, 1, 6, 3, 4), "x"], "y"),
    "a matrix in front": lambda net: net.node("MatMul", [ones(net, 3, 4), "x"], "y"),
    "a vector behind": lambda net: net.node("MatMul", ["x", ones(net, 5)], "y"),
    "a stack of pictures": lambda net: net.node("Concat", ["x", "z", "x"], "y", axis=0),
    "backwards": lambda net: sliced(net, "x", 3, 0, 2, -1),
    "every other channel": lambda net: sliced(net, "x", 0, 6, 1, 2),
    "part of a part": lambda net: sliced(net, "deep", 1, 3, 2, 1),
    "backwards to the end": lambda net: sliced(net, "deep", -1, -100, 4, -1),
    "max with a row": lambda net: net.node("Max", ["x", ones(net, 5)], "y"),
    "more axes": lambda net: net.node("Add", ["x", ones(net, 2, 1, 6, 4, 5)], "y"),
    "a constant per pixel": lambda net: net.node("Mul", ["x", ones(net, 6, 4, 5)], "y"),
    "fewer axes": lambda net: net.node("Add", ["deep", ones(net, 3, 1, 1, 5)], "y"),
    "joined by the last axes": lambda net: net.node("Sub", ["x", "z"], "y"),
    "norm of a row": lambda net: net.node(
        "BatchNormalization", ["row", *[ones(net, 120) for _ in range(4)]], "y"
    ),
    "softmax of the batch": lambda net: net.node("Softmax", ["deep"], "y", axis=2),
    "softmax of rows": lambda net: net.node("Softmax", ["x"], "y", axis=2),
    "one token": lambda net: gathered(net, "flat", 2, 7),
    "one of the first axes": lambda net: gathered(net, "deep", 1, 1),
    "tokens in disorder": lambda net: gathered(net, "flat", 2, 3, 1, 1, 19, 0),
    "largest of part": lambda net: reduced(net, "ReduceMax", "deep", 1, 3),
    "smallest of channels": lambda net: reduced(net, "ReduceMin", "x", 1, keepdims=1),
    "means of part": lambda net: reduced(net, "ReduceMean", "deep", 2, 5),
    "sum of everything": lambda net: net.node(
        "Mul", ["x", net.node("ReduceMean", ["x"], "m")], "y"
    ),
    "norms of part": lambda net: reduced(net, "ReduceL2", "deep", 1),
    "wrapped channels": lambda net: padded(net, "wrap", 0, 2, 0, 0, 0, 1, 0, 1),
    "reflected channels": lambda net: padded(net, "reflect", 0, 2, 1, 0, 0, 0, 0, 4),
    "edges and cuts": lambda net: padded(net, "edge", 0, 0, -1, 0, 0, 1, 2, 0),
    "zeros of the batch": lambda net: padded(net, "constant", 1, 0, 0, 0, 0, 0, 0, 2),
    "zeros in the middle": lambda net: padded(
        net, "constant", 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, of="deep"
    ),
    "expanded": lambda net: net.node("Expand", ["mean", ints(net, 3, 6, 2, 1)], "y"),
    "crossed": lambda net: net.node(
        "Concat", ["deep", net.node("Transpose", ["deep"], "c", perm=[0, 1, 2, 4, 3, 5])], "y",
        axis=3,
    ),
    "crossed sum": lambda net: net.node(
        "Add", ["deep", net.node("Transpose", ["deep"], "c", perm=[0, 1, 2, 4, 3, 5])], "y"
    ),
    "features by features": lambda net: net.node(
        "MatMul", ["x", net.node("Transpose", ["z"], "c", perm=[0, 1, 3, 2])], "y"
    ),
    "part broadcast": lambda net: net.node(
        "Mul", ["deep", net.node("ReduceMean", ["deep"], "c", axes=[1, 3])], "y"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_any_layout(tmp_path: Path, name: str) -> None:
    """The canonical graph gives what the file gives."""
    net = Net(13 if name == "part broadcast" else 18)  # where axes are attributes
    net.input("x", SHAPE)
    net.input("z", SHAPE)
    net.node("Reshape", ["x", ints(net, 1, 6, 20)], "flat")
    net.node("Reshape", ["x", ints(net, 1, 120)], "row")
    net.node("Reshape", ["x", ints(net, 1, 2, 3, 2, 2, 5)], "deep")
    net.node("GlobalAveragePool", ["z"], "mean")
    end = net.node("Sigmoid", [LAYERS[name](net)], "end")
    drop_unread(net, end)
    assert "Table" in operators(same(net, tmp_path, end))


# ------------------------------------------------------------------ layers that know tokens

NORMS: dict[str, Callable[[Net], str]] = {
    "LayerNormalization": lambda net: net.node(
        "LayerNormalization", ["flat", ones(net, 20), ones(net, 20)], "y"
    ),
    "of three axes": lambda net: net.node(
        "LayerNormalization", ["x", ones(net, 6, 4, 5), ones(net, 6, 4, 5)], "y", axis=1
    ),
    "without offset": lambda net: net.node(
        "LayerNormalization", ["turned", ones(net, 6)], "y", epsilon=0.1
    ),
    "InstanceNormalization": lambda net: net.node(
        "InstanceNormalization", ["x", ones(net, 6), ones(net, 6)], "y"
    ),
    "InstanceNormalization of signals": lambda net: net.node(
        "InstanceNormalization", ["flat", ones(net, 6), ones(net, 6)], "y"
    ),
    "GroupNormalization": lambda net: net.node(
        "GroupNormalization", ["x", ones(net, 6), ones(net, 6)], "y", num_groups=2
    ),
}  # fmt: skip


def without_mean(axis: int) -> Callable[[Net], str]:
    shape = (6, 4, 5)[axis % 4 - 1 :]
    return lambda net: net.node(
        "SimplifiedLayerNormalization", ["x", ones(net, *shape)], "y", axis=axis, epsilon=0.01
    )


@pytest.mark.parametrize("axis", [-1, 1, 2, -2])
def test_norms_without_a_mean(tmp_path: Path, axis: int) -> None:
    """Over the root of the mean square: nothing is taken away before."""
    net = Net(17)
    net.input("x", SHAPE)
    made = operators(same(net, tmp_path, net.node("Tanh", [without_mean(axis)(net)], "end")))
    assert made.count("Sub") == 0


PER_PIXEL = ("LayerNormalization", "of three axes")  # gains that no convolution has by channel


@pytest.mark.parametrize("name", NORMS)
def test_norms(tmp_path: Path, name: str) -> None:
    net = Net(21)
    net.input("x", SHAPE)
    net.node("Reshape", ["x", ints(net, 1, 6, 20)], "flat")
    net.node("Transpose", ["flat"], "turned", perm=[0, 2, 1])
    end = net.node("Tanh", [NORMS[name](net)], "end")
    drop_unread(net, end)
    made = operators(same(net, tmp_path, end))
    assert [made.count(kind) for kind in ("Sub", "Mul")] == [1, 1 + (name in PER_PIXEL)]


# ------------------------------------------------------------------ the algebra


@st.composite
def layouts(draw: Any) -> tuple[Factors, tuple[int, ...]]:
    """Factors at random places, and how the file joins them to axes."""
    sizes = tuple(draw(st.lists(st.sampled_from([2, 3, 4]), min_size=1, max_size=5)))
    order = draw(st.permutations(range(len(sizes))))
    first, second = sorted(draw(st.tuples(*[st.integers(0, len(sizes))] * 2)))
    places = (tuple(order[:first]), tuple(order[first:second]), tuple(order[second:]))
    ends = sorted(draw(st.sets(st.integers(1, len(sizes)))) | {len(sizes)})
    seen = tuple(
        int(np.prod(sizes[start:end])) for start, end in zip([0, *ends], ends, strict=False)
    )
    return Factors(sizes, places), seen


def laid_out(made: Factors) -> np.ndarray[Any, Any]:
    """The tensor whose elements are numbered in the file's order."""
    numbered = np.arange(int(np.prod(made.sizes))).reshape(made.sizes)
    return numbered.transpose([i for place in made.places for i in place]).reshape(made.shape)


@settings(deadline=None, max_examples=60)
@given(layouts(), st.randoms(use_true_random=False))
def test_views_move_nothing(layout: tuple[Factors, tuple[int, ...]], random: Any) -> None:
    made, seen = layout
    tensor = laid_out(made)
    parts = factors.split_for(factors.joined(made), seen)
    assert parts is not None
    np.testing.assert_array_equal(laid_out(parts), tensor)
    order = list(range(len(seen)))
    random.shuffle(order)
    turned = factors.transposed(parts, seen, order)
    numbers = np.arange(tensor.size).reshape(seen).transpose(order).reshape(-1)
    np.testing.assert_array_equal(numbers[laid_out(turned)], tensor)


@settings(deadline=None, max_examples=40)
@given(layouts(), layouts())
def test_steps_bring_factors_to_their_places(
    layout: tuple[Factors, tuple[int, ...]], other: tuple[Factors, tuple[int, ...]]
) -> None:
    """Carried out on an array, what a search finds gives the tensor of the places wanted."""
    made = layout[0]
    count = len(made.sizes)
    cuts = [len(place) for place in other[0].places]
    order = [i for place in other[0].places for i in place if i < count]
    order += [i for i in range(count) if i not in order]
    first, second = min(cuts[0], count), min(cuts[0] + cuts[1], count)
    target = (tuple(order[:first]), tuple(order[first:second]), tuple(order[second:]))
    found = rearranging.search(made, wanted.exactly(target))
    if found is None:
        return
    x = laid_out(made)
    for step in found[1]:
        x = carried_out(x, step)
    np.testing.assert_array_equal(x, laid_out(made.placed(target)))


@pytest.mark.parametrize("target", list(itertools.permutations(((0,), (1,), (2,)))))
def test_a_search_finds_what_is_cheaper_than_it_may_be(target: Any) -> None:
    """What costs just as much as is allowed is none; in place, nothing is to be done."""
    made = Factors((2, 3, 4), ((0,), (1,), (2,)))
    found = rearranging.search(made, wanted.exactly(target))
    assert found is not None
    cost, steps, places = found
    assert places == target
    assert (cost == 0) == (steps == ()) == (target == made.places)
    assert rearranging.search(made, wanted.exactly(target), cost) is None
    assert rearranging.search(made, wanted.exactly(target), cost + 1) == found


def carried_out(x: np.ndarray[Any, Any], step: rearranging.Step) -> np.ndarray[Any, Any]:
    from knightlite.ops import depth_to_space, shuffle
    from knightlite.ops.rearranging import rearrange

    given_values = dict(step.attributes)
    if step.op == "Stack":
        axis = step.source + 1
        pieces = (
            [np.take(x, range(k, x.shape[axis], step.parts), axis) for k in range(step.parts)]
            if step.inner
            else np.split(x, step.parts, axis)
        )
        return np.concatenate(pieces, step.target + 1)
    if step.op == "SwapPixels":
        return x.transpose(0, 1, 3, 2)
    if step.op == "SwapChannels":
        return x.transpose(0, 3, 2, 1)
    if step.op == "ChannelShuffle":
        return rearrange(x, shuffle.steps(x.shape, int(given_values["groups"])))
    steps = depth_to_space.depth_steps if step.op == "DepthToSpace" else depth_to_space.space_steps
    return rearrange(x, steps(x.shape, int(given_values["block"]), str(given_values["mode"])))


# ------------------------------------------------------------------ inputs


@pytest.mark.parametrize("shape", [(7,), (5, 6), (2, 3, 4), (1, 1, 2, 3, 4), (2, 1, 3, 1, 4, 1)])
def test_inputs_of_any_rank(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Up to six axes, of which three are longer than 1: no element moves to enter."""
    net = Net(13)
    net.node("Sigmoid", [net.input("x", shape)], "s")
    net.node("Sub", ["s", net.node("ReduceMean", ["s"], "m")], "y")
    assert operators(same(net, tmp_path, "y"))[0] == "Table"
