"""Constants of any operator are computed while reading, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import constant_folding, constant_runs, load
from knightlite.frontend.constant_runs import Budget
from knightlite.frontend.source import SourceNode
from onnx_nets import Net, checked

Array = NDArray[Any]


def numbers(net: Net, *values: float, name: str = "") -> str:
    return net.weight(name or f"f{len(net.weights)}", np.array(values, np.float32))


def integers(net: Net, *values: int) -> str:
    return net.weight(f"i{len(net.weights)}", np.array(values, np.int64))


def scalar(net: Net, value: float) -> str:
    return net.weight(f"s{len(net.weights)}", np.float32(value))


def ranged(net: Net) -> None:
    bounds = [scalar(net, value) for value in (1, 9, 2)]
    net.node("Range", bounds, "gain")


def tiled(net: Net) -> None:
    net.node("Tile", [numbers(net, 0.5, -2), integers(net, 2)], "gain")


def chosen(net: Net) -> None:
    net.node("Greater", [numbers(net, 1, -1, 3, -3), scalar(net, 0)], "mask")
    net.node("Where", ["mask", numbers(net, 1, 2, 3, 4), scalar(net, 0.25)], "gain")


def summed(net: Net) -> None:
    net.random("left", (4, 6))
    net.random("right", (6,))
    net.node("Einsum", ["left", "right"], "gain", equation="ij,j->i")


def scattered(net: Net) -> None:
    indices = net.weight("indices", np.array([[2], [0]], np.int64))
    net.node("ConstantOfShape", [integers(net, 4)], "zeros")
    net.node("ScatterND", ["zeros", indices, numbers(net, 5, -6)], "gain")


def ordered(net: Net) -> None:
    """Of two outputs, the second is what is read; the first is read by nobody."""
    data = numbers(net, 4, 1, 9, 2)
    made = helper.make_node("TopK", [data, integers(net, 4)], ["values", "places"], name="topk")
    net.nodes.append(made)
    net.node("Cast", ["places"], "gain", to=1)


def cut(net: Net) -> None:
    data = net.random("both", (8,))
    made = helper.make_node("Split", [data, integers(net, 4, 4)], ["first", "gain"], name="split")
    net.nodes.append(made)
    net.node("Neg", ["first"], "unread")


def found(net: Net) -> None:
    """How much NonZero makes depends on the values."""
    net.node("NonZero", [numbers(net, 1, 1, 1, 1)], "places")
    net.node("Cast", ["places"], "wide", to=1)
    net.node("Reshape", ["wide", integers(net, -1)], "gain")


@pytest.mark.parametrize(
    "island", [ranged, tiled, chosen, summed, scattered, ordered, cut, found]
)  # fmt: skip
def test_a_gain_that_any_operator_makes(tmp_path: Path, island: Callable[[Net], None]) -> None:
    net = Net()
    net.input("x", (1, 3, 6, 6))
    net.conv("x", "c", (4, 3, 3, 3))
    island(net)
    net.node("Unsqueeze", ["gain", integers(net, 1, 2)], "gains")
    net.node("Mul", ["c", "gains"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert [node.op for node in graph.nodes] == ["Conv"]


def test_weights_that_are_computed(tmp_path: Path) -> None:
    """Weight norm, and integers behind a DequantizeLinear: the file is no quantized model."""
    net = Net(17)
    net.input("x", (1, 3, 8, 8))
    net.node("ReduceL2", [net.random("v", (4, 3, 3, 3))], "norm", axes=[1, 2, 3])
    net.node("Div", ["v", "norm"], "direction")
    net.node("Mul", ["direction", net.random("g", (4, 1, 1, 1))], "w1")
    net.node("Conv", ["x", "w1"], "c")
    net.weight("q", net.rng.integers(-128, 128, (5, 4, 3, 3)).astype(np.int8))
    net.weight("scale", net.rng.uniform(0.001, 0.01, 5).astype(np.float32))
    net.weight("zero", np.zeros(5, np.int8))
    net.node("DequantizeLinear", ["q", "scale", "zero"], "w2", axis=0)
    net.node("Conv", ["c", "w2"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert [node.op for node in graph.nodes] == ["Conv", "Conv"]


# ------------------------------------------------------------------ bounds


def stays(node: SourceNode, *operands: Array, budget: Budget | None = None) -> Finding:
    made = constant_folding.values_of(node, operands, 17, budget or Budget())
    assert isinstance(made, Finding)
    return made


def node_of(kind: str, count: int, outputs: tuple[str, ...] = ("o",), **values: Any) -> SourceNode:
    names = tuple(f"i{index}" for index in range(count))
    return SourceNode("n", kind, "", names, outputs, values)


LONG = np.zeros(1 << 21, np.float32)
LONG_ROWS = np.broadcast_to(LONG, (4, 1 << 21))
SIZED: list[tuple[SourceNode, list[Array], int]] = [
    (node_of("Tile", 2), [LONG, np.array([1 << 10])], 1 << 33),
    (node_of("Expand", 2), [np.array(1, np.float32), np.array([1 << 20, 1 << 20])], 1 << 42),
    (node_of("ConstantOfShape", 1), [np.array([1 << 31])], 1 << 33),
    (node_of("Mul", 2), [LONG[:, None], LONG], 1 << 44),
    (node_of("Range", 3), [np.array(0), np.array(1 << 40), np.array(1)], 1 << 43),
    (node_of("Gather", 2), [LONG[None], np.zeros(1 << 12, np.int64)], 1 << 35),
    # pair by pair: beside the 4 x 4 that are made, all 4 * 2^21 * 4 * 4 places in between
    (node_of("Einsum", 3, equation="ij,jk,kl->il"), [LONG_ROWS, LONG_ROWS.T, LONG_ROWS[:, :4]],
     4 * (16 + (1 << 27))),
]  # fmt: skip


@pytest.mark.parametrize(("node", "operands", "size"), SIZED)
def test_what_would_be_too_large_is_never_made(
    node: SourceNode, operands: list[Array], size: int
) -> None:
    finding = stays(node, *operands)
    assert finding.where == "n"
    assert finding.sentence == (
        f"{node.op_type} n reads constants only and would make {size} bytes of them, but "
        f"{1 << 29} of {1 << 29} bytes are left to a model."
    )


MATRIX = np.zeros((1 << 12, 1 << 12), np.float32)
HEAVY: list[tuple[SourceNode, list[Array], int]] = [
    (node_of("MatMul", 2), [MATRIX, MATRIX], 1 << 36),
    # 4 x 3 elements of 4096 products each, along the first axis, or of 3 along the second
    (node_of("Gemm", 2, transA=1), [MATRIX[:, :4], MATRIX[:, :3]], 12 << 12),
    (node_of("Gemm", 2), [MATRIX[:4, :3], MATRIX[:3, :4]], 48),
    (node_of("Einsum", 2, equation="ij,jk->ik"), [MATRIX, MATRIX], 1 << 36),
    (node_of("Einsum", 2, equation="ij,jk->"), [MATRIX, MATRIX], 1 << 36),
    # letters that are not written may be any axis: every element may have all places
    (node_of("Einsum", 2, equation="...ij,...jk->...ik"), [MATRIX[:, :8], MATRIX[:8]], 1 << 48),
    (node_of("Det", 1), [MATRIX[None]], 1 << 24),
    # 5 channels of 62 x 62 elements, each of 3 * 3 * 3 products; 4094 x 4094 of 3 * 3
    (node_of("Conv", 2), [MATRIX[:64, :192].reshape(1, 3, 64, 64), LONG[:135].reshape(5, 3, 3, 3)],
     5 * 62 * 62 * 27),
    (node_of("MaxPool", 1, kernel_shape=[3, 3]), [MATRIX[None, None]], 4094 * 4094 * 9),
]  # fmt: skip


@pytest.mark.parametrize(("node", "operands", "work"), HEAVY)
def test_what_would_take_too_long_is_not_begun(
    node: SourceNode, operands: list[Array], work: int
) -> None:
    read = sum(item.size for item in operands) if node.op_type != "Det" else 0
    total = work + read + constant_runs.RUN_WORK
    finding = stays(node, *operands, budget=Budget(work=total - 1))
    assert finding.sentence == (
        f"{node.op_type} n reads constants only and would take {total} operations to compute, but "
        f"{total - 1} of {1 << 35} are left to a model."
    )


def test_the_bounds_are_of_the_whole_model() -> None:
    budget = Budget(size_bytes=1000)
    node, data = node_of("Erf", 1), np.linspace(-1, 1, 100, dtype=np.float32)
    for _ in range(2):
        assert not isinstance(constant_folding.values_of(node, [data], 17, budget), Finding)
    assert stays(node, data, budget=budget).sentence.endswith(
        "200 of 536870912 bytes are left to a model."
    )


def test_nodes_that_are_not_run() -> None:
    assert stays(node_of("RandomNormal", 0, shape=[2])).sentence == (
        "RandomNormal n makes other numbers at every run."
    )
    body = helper.make_graph([], "body", [], [])
    assert stays(node_of("Loop", 0, body=body)).sentence == (
        "Loop n is not run while reading: its graphs may never end."
    )
    assert stays(node_of("SplitToSequence", 1), np.zeros(4, np.float32)).sentence == (
        "SplitToSequence n reads constants only, but makes no tensor that is known."
    )
    known = stays(
        node_of("NonMaxSuppression", 3), *[np.zeros((1, 2, 4), np.float32)] * 2, np.array(9)
    )
    assert known.sentence == (
        "NonMaxSuppression n reads constants only, but how much it makes is not known before it "
        "has run."
    )
    assert known.hint == "compute it before the export"
    custom = SourceNode("n", "Erf", "my.domain", ("i0",), ("o",), {})
    assert stays(custom, np.zeros(4, np.float32)).sentence == (
        f"{custom.kind} n reads constants only, but is no operator of ONNX."
    )
    assert stays(node_of("Concat", 1, axis=object()), np.zeros(4, np.float32)).sentence.startswith(
        "Concat n is malformed ("
    )
    assert "ONNX Runtime refuses Erf n (" in stays(node_of("Erf", 1), np.array([True])).sentence


def test_the_reason_is_the_finding_of_the_node(tmp_path: Path) -> None:
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    net.node("RandomNormal", [], "noise", shape=[1, 4, 1, 1])
    net.node("Mul", ["x", "noise"], "y")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    (finding,) = caught.value.findings
    assert (finding.where, finding.hint) == ("RandomNormal_noise", "export one of them")
    assert finding.sentence == "RandomNormal RandomNormal_noise makes other numbers at every run."
