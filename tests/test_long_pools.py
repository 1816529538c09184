"""Pools over more pixels than a window holds: the same numbers, by two pools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance_checks import MAIN, Pictures, build, judge, single
from knightlite.frontend.instruction_sizes import LARGEST, LONGEST
from knightlite.frontend.long_pools import _parts
from knightlite.lower import work
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net, operators
from test_recurrent import checked

# a product, a prime, both axes, an axis of one pixel, nearly the largest
SIZES = [(300, 300), (257, 3), (1, 1000), (509, 260), (1, 65_024)]


def pooled(op: str, size: tuple[int, int], channels: int = 3) -> Net:
    net = Net(13)
    net.conv(net.input("x", (1, channels, *size)), "w", (channels, channels, 1, 1), bias=True)
    net.node(op, ["w"], "p")
    net.conv("p", "y", (16, channels, 1, 1))
    return net


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_the_same_numbers(op: str, size: tuple[int, int], tmp_path: Path) -> None:
    graph = checked(pooled(op, size), tmp_path, "y")
    pools = [node for node in graph.nodes if node.op in ("AveragePool", "MaxPool")]
    assert len(pools) == 2
    kernels = np.array([node.attributes["kernel"] for node in pools])
    assert kernels.max() <= LONGEST
    assert all(np.prod(kernels, axis=0) >= size)


@pytest.mark.parametrize("axes", [[2], [3], [2, 3]])
def test_along_one_axis(axes: list[int], tmp_path: Path) -> None:
    net = Net(13)
    net.conv(net.input("x", (1, 3, 263, 4 if 3 not in axes else 270)), "w", (3, 3, 1, 1))
    net.node("ReduceMean", ["w"], "m", axes=axes, keepdims=1)
    net.conv("m", "y", (5, 3, 1, 1))
    graph = checked(net, tmp_path, "y")
    assert operators(graph).count("AveragePool") == 2


def test_what_fits_stays(tmp_path: Path) -> None:
    graph = checked(pooled("GlobalAveragePool", (255, 255), 2), tmp_path, "y")
    assert operators(graph).count("AveragePool") == 1


@pytest.mark.parametrize("length", [256, 257, 510, 511, 12_289, 65_025])
def test_parts(length: int) -> None:
    """Neither too long; the product is the length wherever it has such parts."""
    a, b = _parts(length)
    assert max(a, b) <= LONGEST
    assert (b - 1) * a < length <= a * b
    exact = any(length % k == 0 and length // k <= LONGEST for k in range(1, LONGEST + 1))
    assert (a * b == length) == exact


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_on_the_chip(op: str, tmp_path: Path) -> None:
    graph = checked(pooled(op, (1, 307), 32), tmp_path, "y")
    rng = np.random.default_rng(0)
    batch = rng.normal(0, 1, (6, *graph.tensors["x"].shape[1:])) + rng.normal(0, 2, (6, 32, 1, 1))
    result = quantize_graph(graph, Pictures(batch.astype(np.float32)), threads=1)
    built = build(result.graph, MAIN)
    verdict = judge(built, result.graph, graph, single("x", batch[:2].astype(np.float32)))
    verdict.check()
    assert verdict.sqnr_db > 25


@pytest.mark.parametrize("size", [(1, 320), (300, 2), (2, 257)], ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_dense_layers_of_long_rows(size: tuple[int, int], turned: bool, tmp_path: Path) -> None:
    """Their window would be the whole picture: what is too long becomes the channels."""
    net = Net(13)
    net.conv(net.input("x", (1, 4, *size)), "w", (3, 4, 1, 1))
    perm = [0, 3, 1, 2] if turned else [0, 1, 2, 3]
    net.node("Transpose", ["w"], "t", perm=perm)
    net.node("Flatten", ["t"], "f")
    net.node("Gemm", ["f", net.random("m", (3 * size[0] * size[1], 5))], "y")
    graph = checked(net, tmp_path, "y")
    (kernel,) = [
        graph.constants[node.inputs[1]].shape for node in graph.nodes[1:] if node.op == "Conv"
    ]
    assert max(kernel[2:]) <= LONGEST


def test_sizes_are_those_of_instructions() -> None:
    assert (LONGEST, LARGEST) == (work.LARGEST_WINDOW, work.LARGEST_SIZE)


def test_shares_of_many_rows_stay_in_size(tmp_path: Path) -> None:
    """8 heads of 49 queries and 196 keys are more channels than a tensor has."""
    net = Net(13)
    net.input("x", (1, 8, 49, 196))
    net.node("Softmax", ["x"], "s", axis=-1)
    net.node("Relu", ["s"], "y")
    graph = checked(net, tmp_path, "y")
    assert all(max(tensor.shape) <= LARGEST for tensor in graph.tensors.values())
