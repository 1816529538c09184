"""Convolutions of signals with kernels that no instruction holds: the same numbers, folded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance_checks import MAIN, Pictures, build, judge, single
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net, operators
from test_recurrent import checked


def windows(length: int, taps: int, stride: int, channels: int = 1, **attributes: object) -> Net:
    """As a spectrogram: windows of a signal, then a layer."""
    net = Net(13)
    net.input("x", (1, channels, length))
    net.conv("x", "w", (12, channels, taps), bias=True, strides=[stride], **attributes)
    net.node("Relu", ["w"], "r")
    net.conv("r", "y", (5, 12, 1))
    return net


@pytest.mark.parametrize(
    ("length", "taps", "stride", "channels", "pads"),
    [(1000, 256, 128, 1, None), (1000, 300, 128, 1, None), (900, 257, 64, 2, (10, 30)),
     (700, 400, 160, 1, (200, 200)), (256, 256, 2, 1, None)],
)  # fmt: skip
def test_folded_is_the_convolution(
    length: int, taps: int, stride: int, channels: int, pads: tuple[int, int] | None, tmp_path: Path
) -> None:
    more = {} if pads is None else {"pads": list(pads)}
    graph = checked(windows(length, taps, stride, channels, **more), tmp_path, "y")
    kernels = [graph.constants[node.inputs[1]] for node in graph.nodes if node.op == "Conv"]
    assert max(kernels[0].shape[2:]) == -(-taps // stride)
    assert kernels[0].shape[1] == channels * stride


def test_short_kernels_stay(tmp_path: Path) -> None:
    graph = checked(windows(1000, 255, 128), tmp_path, "y")
    assert operators(graph) == ["Conv", "Conv"]


def test_on_the_chip(tmp_path: Path) -> None:
    graph = checked(windows(1000, 256, 128), tmp_path, "y")
    batch = np.random.default_rng(0).normal(0, 1, (6, *graph.tensors["x"].shape[1:]))
    result = quantize_graph(graph, Pictures(batch.astype(np.float32)), threads=1)
    built = build(result.graph, MAIN)
    verdict = judge(built, result.graph, graph, single("x", batch[:2].astype(np.float32)))
    verdict.check()
    assert verdict.sqnr_db > 25
