"""Layers of which not even a row fits FSPM go by columns, and make the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conformance_checks import artificial, build, extreme_inputs, random_inputs, reference, run
from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.ir import Graph
from knightlite.lower import work_of
from knightlite.schedule import LEVELS, cut_columns, cut_means
from knightlite.schedule.choose import smallest
from knightlite.schedule.tiling import geometry
from quantized_nets import QuantizedNet
from random_layers import TX5368

FINE = replace(TX5368, fspm_align_bytes=16)


def window(net: QuantizedNet) -> str:
    """Pads that only the outer parts have; strides, dilations."""
    return net.conv(
        net.input("x", 9, 4, 23), "y", 20, (3, 5), pads=(1, 4, 1, 3), strides=(1, 2),
        dilations=(1, 2),
    )  # fmt: skip


def depthwise(net: QuantizedNet) -> str:
    return net.conv(net.input("x", 8, 4, 17), "y", 8, (3, 3), pads=(1, 1, 1, 1), group=8)


def largest(net: QuantizedNet) -> str:
    x = net.input("x", 9, 4, 23)
    return net.max_pool(x, "y", kernel=(3, 5), strides=(1, 3), pads=(1, 2, 1, 4))


def average(net: QuantizedNet) -> str:
    """Some pads count as elements, some not; they are wider than a part."""
    return net.average_pool(
        net.input("x", 9, 2, 12), "y", kernel=(1, 9), pads=(0, 8, 0, 8), counted_pads=(0, 5, 0, 6)
    )  # fmt: skip


def shares(net: QuantizedNet) -> str:
    return net.node("Softmax", (net.input("x", 30, 1, 19),), "y", dtypes.U8, 1 / 255)


def product(net: QuantizedNet) -> str:
    """The second operand is read whole, whatever its width."""
    names = net.input("x", 42, 1, 21), net.input("w", 12, 1, 21)
    return net.node("MatMul", names, "y", dtypes.S8, 0.3, groups=2, form="values")


def gated(net: QuantizedNet) -> str:
    """A factor for each channel stays whole."""
    names = net.input("x", 32, 3, 25), net.input("g", 32, 1, 1)
    return net.node("Mul", names, "y", dtypes.S8, 1.0)


def masked(net: QuantizedNet) -> str:
    """A factor for each pixel is cut."""
    names = net.input("x", 32, 3, 25), net.input("m", 1, 3, 25)
    return net.node("Mul", names, "y", dtypes.S16, 0.1)


def chain(net: QuantizedNet) -> str:
    """In front of the matrix engine, behind it, and a residual: one layer of three nodes."""
    x = net.input("x", 24, 3, 30)
    y = net.conv(net.affine(x, "t"), "c", 24, (3, 3), pads=(1, 1, 1, 1))
    return net.add(y, x, "y")


def looked_up(net: QuantizedNet) -> str:
    y = net.conv(net.input("x", 24, 3, 30), "c", 20, (1, 3), pads=(0, 1, 0, 1))
    return net.table(y, "y")


NETS = (window, depthwise, largest, average, shares, product, gated, masked, chain, looked_up)


def check_parts(graph: Graph, share: float, level: int, rng: np.random.Generator) -> int:
    """How many layers went by columns where FSPM is a share of what the widest row takes."""
    whole = build(graph, artificial(FINE), level).compiled.graph
    needs = []
    for node in whole.nodes:
        shape = geometry(whole, work_of(whole, node), FINE)
        needs.append(shape.fspm_bytes(smallest(shape)))
    room = int(max(needs) * share) // 16 * 16
    built = build(graph, artificial(replace(FINE, fspm_bytes=room)), level)
    assert all(node.op != "Copy" for node in built.compiled.graph.nodes)  # nor at level 0
    for inputs in (random_inputs(graph, rng), *extreme_inputs(graph)):
        found, wanted = run(built, inputs), reference(graph, inputs)
        assert all(np.array_equal(found[name], wanted[name]) for name in graph.outputs)
    return sum(item[1] == "cut_columns" for item in built.compiled.explanations.sentences)


@pytest.mark.parametrize("make", NETS)
def test_parts_of_columns_make_the_same_bytes(
    make: Callable[[QuantizedNet], str], rng: np.random.Generator
) -> None:
    net = QuantizedNet()
    assert check_parts(net.build(make(net)), 0.7, 0, rng)


@pytest.mark.parametrize("level", range(1, len(LEVELS)))
@pytest.mark.parametrize("make", [window, chain])
def test_parts_at_every_level(
    make: Callable[[QuantizedNet], str], level: int, rng: np.random.Generator
) -> None:
    net = QuantizedNet()
    assert check_parts(net.build(make(net)), 0.45, level, rng)


def test_what_fits_stays_as_it_is_and_as_few_parts_as_fit_are_made() -> None:
    net = QuantizedNet()
    graph = net.build(window(net))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), FINE)
    need = shape.fspm_bytes(smallest(shape))
    same, told = cut_columns(graph, replace(FINE, fspm_bytes=need))
    assert (same, told) == (graph, [])
    cut, told = cut_columns(graph, replace(FINE, fspm_bytes=need - 1))
    assert told == [("y", "is done in 2 parts of its columns")]
    assert [node.op for node in cut.nodes] == ["Slice", "Conv", "Slice", "Conv", "Concat"]
    # 11 outputs: 0 to 4 read from 4 pixels before the picture on, 5 to 10 to 2 behind it
    slices = [cut.nodes[at].attributes for at in (0, 2)]
    assert [(item["starts"], item["ends"]) for item in slices] == [
        ((0, 0, 0), (9, 4, 13)), ((0, 0, 6), (9, 4, 23))
    ]  # fmt: skip
    assert [cut.nodes[at].attributes["pads"] for at in (1, 3)] == [(1, 4, 1, 0), (1, 0, 1, 2)]
    _, told = cut_columns(graph, replace(FINE, fspm_bytes=need * 7 // 10))
    assert told == [("y", "is done in 3 parts of its columns")]


def test_sums_of_some_inputs_may_take_more_room_than_all_inputs() -> None:
    """A tile of 32 of 40 inputs has sums of 4 bytes in FSPM; one of all of them has none."""
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 40, 1, 20), "y", 16))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), FINE)
    least = smallest(shape)
    whole = shape.fspm_bytes(replace(least, ins=40))
    assert whole < shape.fspm_bytes(least)
    assert cut_columns(graph, replace(FINE, fspm_bytes=whole))[1] == []


def test_what_does_not_go_by_columns_is_told() -> None:
    net = QuantizedNet()
    x = net.input("x", 16, 2, 40)
    graph = net.build(net.moved("DepthToSpace", (x,), "y", block=2, mode="DCR"))
    same, told = cut_columns(graph, replace(FINE, fspm_bytes=64))
    assert same.nodes == graph.nodes
    assert told == [("y", "not even a row fits FSPM, and it is not done by columns")]


def mean(dtype: DType, height: int = 5, width: int = 96) -> Graph:
    """A mean over a whole picture, with a merged activation."""
    net = QuantizedNet()
    x = net.input("x", 6, height, width, dtype)
    window = {"kernel": (height, width), "clamp": (0.0, np.inf)}
    return net.build(net.average_pool(x, "y", 0.03, **window))


@pytest.mark.parametrize("level", range(len(LEVELS)))
@pytest.mark.parametrize("dtype", [dtypes.S8, dtypes.U8], ids=str)
@pytest.mark.parametrize("width", [96, 128])
def test_a_mean_of_more_than_fspm_adds_up_runs_first(
    dtype: DType, width: int, level: int, rng: np.random.Generator
) -> None:
    graph = mean(dtype, width=width)
    run_of = {96: 32, 128: 128}[width]
    built = build(graph, artificial(replace(FINE, fspm_bytes=1536)), level)
    assert ("y", "cut_columns", f"adds up runs of {run_of} columns first") in (
        built.compiled.explanations.sentences
    )
    for inputs in (random_inputs(graph, rng), *extreme_inputs(graph)):
        assert np.array_equal(run(built, inputs)["y"], reference(graph, inputs)["y"])


def test_means_that_stay_as_they_are() -> None:
    """What fits; sums of 16 bits, of odd widths, of windows with pads; chips of 8 bits only."""
    small = replace(FINE, fspm_bytes=1536)
    assert not cut_means(mean(dtypes.S8), FINE)[1]
    assert cut_means(mean(dtypes.S8), small)[1]
    longest = cut_means(mean(dtypes.S8, width=256), small)[1]  # of 129 values the sum may overflow
    assert longest == [("y", "adds up runs of 128 columns first")]
    assert not cut_means(mean(dtypes.S16), small)[1]
    assert not cut_means(mean(dtypes.S8, width=95), small)[1]
    assert not cut_means(mean(dtypes.S8), replace(small, bit_widths=(8,)))[1]
    net = QuantizedNet()
    x = net.input("x", 6, 5, 96)
    padded = net.build(net.average_pool(x, "y", kernel=(5, 96), pads=(0, 1, 0, 0)))
    assert not cut_means(padded, small)[1]
