"""LogSoftmax: spelled out on the chip in the middle of a network, on the host at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance_checks import MAIN, Pictures, build, judge, single
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from onnx_nets import Net, operators
from test_recurrent import checked

SHAPE = (1, 6, 3, 5)


def behind(axis: int, opset: int = 17, channels: int = 6, classes: int = 6) -> Net:
    """LogSoftmax between two convolutions."""
    net = Net(opset)
    net.conv(net.input("x", (1, channels, *SHAPE[2:])), "c", (classes, channels, 1, 1))
    net.node("Mul", ["c", net.weight("sharp", np.float32(6))], "s")
    net.node("LogSoftmax", ["s"], "l", axis=axis)
    net.conv("l", "y", (3, classes, 1, 1))
    return net


@pytest.mark.parametrize(("axis", "opset"), [(1, 17), (2, 17), (-1, 13), (1, 11), (3, 11)])
def test_any_axis(axis: int, opset: int, tmp_path: Path) -> None:
    """Before opset 13 over all axes from the first on."""
    graph = checked(behind(axis, opset), tmp_path, "y")
    assert not graph.host
    assert operators(graph).count("Table") == 2


def test_at_the_end_it_stays_on_the_host(tmp_path: Path) -> None:
    graph = checked(behind(1), tmp_path, "l")
    assert (operators(graph), [op.op for op in graph.host]) == (["Conv"], ["LogSoftmax"])


@pytest.mark.parametrize(("bits", "classes", "least_db"), [(8, 21, 35), (16, 21, 70), (8, 60, 25)])
def test_on_the_chip(bits: int, classes: int, least_db: float, tmp_path: Path) -> None:
    """As fine as its steps, whatever the logits: no share is so small that it has no logarithm."""
    graph = checked(behind(1, channels=8, classes=classes), tmp_path, "y")
    batch = np.random.default_rng(0).normal(0, 1, (2, 8, 3, 5)).astype(np.float32)
    result = quantize_graph(graph, Pictures(batch), Settings(bit_width=bits), threads=1)
    verdict = judge(build(result.graph, MAIN), result.graph, graph, single("x", batch[:1]))
    assert not verdict.wrong
    assert (verdict.differing, max(verdict.lsb.values())) <= (0, 1)
    assert verdict.sqnr_db > least_db
