"""Networks of large weights: no copies of them, run in stretches, the same values and bytes."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from float_nets import PADS, RELU, FloatNet, Pictures
from knightlite import dtypes
from knightlite.frontend import load, load_quantized
from knightlite.frontend.onnx_file import take_constants
from knightlite.inference import (
    Network,
    PictureRuns,
    Runner,
    float_network,
    networks,
    quantized_network,
    stretches,
)
from knightlite.ir import Graph, large
from knightlite.onnx_models import float_parts, qdq_parts
from knightlite.ops import onnx_parts
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.onnx_parts import ModelParts, parts_of
from knightlite.quantize.pipeline import quantize_graph
from onnx_nets import Net

Array = NDArray[Any]


def small_limits(patch: pytest.MonkeyPatch) -> None:
    """What is large, at the size of tests."""
    patch.setattr(onnx_parts, "LARGE_BYTES", 1 << 12)
    patch.setattr("knightlite.ops.onnx_io.LARGE_BYTES", 1 << 12)
    patch.setattr(large, "PAGED_BYTES", 1 << 14)
    patch.setattr(large, "BLOCK_BYTES", 1 << 18)
    patch.setattr(stretches, "WHOLE_BYTES", 0)
    patch.setattr(stretches, "STRETCH_BYTES", 1 << 14)
    patch.setattr(stretches, "CHANNELS", 16)


# ------------------------------------------------------------------ files


def written() -> ModelParts:
    rng = np.random.default_rng(0)
    writer = OnnxWriter("net")
    writer.input("x", ["N", 40], dtypes.F32)
    writer.constant("small", np.arange(5))
    weights = writer.constant("weights", rng.normal(0, 1, (40, 60)).astype(np.float32))
    # of a transposed convolution: not contiguous
    integers = rng.integers(-9, 9, (70, 90)).astype(np.int8)
    writer.constant("turned", np.swapaxes(integers, 0, 1))
    writer.node("MatMul", ["x", weights], "y")
    writer.output("y", ["N", 60], dtypes.F32)
    return writer.parts({"key": "value"})


def test_pieces_are_the_bytes_of_the_whole_and_are_taken_apart_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_limits(monkeypatch)
    parts = written()
    assert list(parts.arrays) == ["weights", "turned"]
    data = parts.to_bytes()
    assert data == parts.whole().SerializeToString(deterministic=True)
    (skeleton, arrays) = parts_of(data)
    assert onnx.ModelProto.FromString(skeleton) == parts.skeleton
    assert {name: bytes(raw) for name, raw in arrays.items()} == {
        name: values.tobytes() for name, values in parts.arrays.items()
    }
    for damaged in (data[:10], data[: len(data) // 2], data[:-3], b"\xff" * 5000, b""):
        assert parts_of(damaged) == (damaged, {})


@pytest.mark.parametrize("later", ["large", "typed", "small"])
def test_of_two_weights_of_a_name_the_later_one_counts_whatever_their_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, later: str
) -> None:
    """As in ONNX Runtime. ``later``: its values are raw bytes, typed numbers, or few."""
    net = Net()
    net.input("x", [1, 8, 6, 6])
    net.conv("x", "y", (32, 8, 3, 3))
    model = net.model("y")
    first = model.graph.initializer[0]
    values = numpy_helper.to_array(first)
    if later == "small":
        del model.graph.input[:]
        values = values[:, :, :1, :1]
    again = numpy_helper.from_array(2 * values, first.name)
    if later == "typed":
        kind = onnx.TensorProto.FLOAT
        again = onnx.helper.make_tensor(first.name, kind, values.shape, (2 * values).ravel())
    model.graph.initializer.append(again)
    data = model.SerializeToString()
    small_limits(monkeypatch)
    skeleton, arrays = parts_of(data)
    assert list(arrays) == [first.name]
    found = take_constants(onnx.ModelProto.FromString(skeleton), tmp_path, arrays)
    np.testing.assert_array_equal(found[first.name], 2 * values)


def test_a_file_says_the_same_of_its_weights_whatever_their_size(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    net = Net()
    net.input("x", [1, 8, 6, 6])
    net.conv("x", "a", (32, 8, 3, 3), bias=True)
    net.node("Flatten", ["a"], "flat", axis=1)
    net.node("Gemm", ["flat", net.random("w", (24, 512))], "b", transB=1, alpha=0.5)
    net.node("MatMul", ["b", net.random("v", (24, 16))], "y")
    path = net.save(tmp_path, "y")
    before = load(path)
    small_limits(monkeypatch)
    after = load(path)
    assert before.constants.keys() == after.constants.keys()
    assert all(np.array_equal(before.constants[name], after.constants[name])
               for name in before.constants)  # fmt: skip
    assert float_parts(before).to_bytes() == float_parts(after).to_bytes()


def test_paged_values_are_the_same_and_end_with_their_array(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_limits(monkeypatch)
    values = np.random.default_rng(0).normal(0, 1, (50, 9, 30))
    kept = large.paged(values)
    assert kept is not values
    assert np.array_equal(kept, values)
    assert large.paged(kept) is kept
    assert large.paged(kept[:40]).base is not None
    large.let_go()
    assert np.array_equal(kept, values)
    small = values[:1]
    assert large.paged(small) is small
    (file,) = (weakref.ref(file) for file in large._FILES if file is large._file_of(kept))
    del kept
    gc.collect()  # what holds a memory view may be part of a cycle
    assert file() is None


def test_without_room_for_a_file_values_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small_limits(monkeypatch)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    values = np.zeros((100, 100))
    assert large.paged(values) is values


# ------------------------------------------------------------------ stretches


def dense_tail() -> FloatNet:
    """Convolutions, a branch, a sum, an average; then layers of many weights."""
    net = FloatNet("tail")
    net.input("x", 3, 12, 12)
    net.conv("x", "stem", 32, (3, 3), pads=PADS, clamp=RELU)
    net.conv("stem", "left", 32, (3, 3), pads=PADS, clamp=RELU)
    net.node("Add", ("left", "stem"), "sum", clamp=RELU)
    net.pool("sum", "pooled")
    net.conv("pooled", "a", 80, (6, 6), clamp=RELU)
    net.conv("a", "b", 96, clamp=RELU)
    net.conv("b", "grouped", 96, group=2)  # large too, but never in blocks
    net.conv("grouped", "wide", 48)
    return net


def with_host(net: FloatNet) -> Graph:
    net.host("Reshape", "wide", "flat", shape=(1, 48))
    net.host("Softmax", "flat", "probabilities", axis=1)
    return net.build("probabilities", "b")


def averaged(net: FloatNet) -> Graph:
    """Large weights whose result is averaged, in which order ONNX Runtime decides."""
    net.conv("sum", "deep", 128, (3, 3), pads=PADS)
    net.average("deep", "mean")
    net.conv("mean", "logits", 64)
    return net.build("logits", "wide")


Made = tuple[list[dict[str, bytes]], int]


def delivered(network: Network, names: list[str]) -> Made:
    """The bytes of the named tensors by both ways to run a network, and its number of models."""
    pictures = np.concatenate(Pictures((3, 12, 12), 4, 2).batches)
    by_call = Runner(network, 1).values((pictures,))
    with PictureRuns(network, 2, names[1:]) as runs:
        found = runs.give(
            (pictures,),
            lambda _, values: [values[name] for name in network.delivered],
            lambda _, values: {name: item.copy() for name, item in values.items()},
        )
        by_stream = dict(zip(network.delivered, list(found), strict=True))
    models = len(network.model) if isinstance(network.model, tuple) else 1
    return [
        {name: values[name].tobytes() for name in names} for values in (by_call, by_stream)
    ], models


@pytest.mark.parametrize("ends", [with_host, averaged], ids=lambda item: item.__name__)
def test_stretches_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, ends: Callable[[FloatNet], Graph]
) -> None:
    graph = ends(dense_tail())
    quantized = quantize_graph(graph, Pictures((3, 12, 12)), threads=1).graph
    inner = [node.output for node in graph.nodes if node.output not in graph.outputs]
    kinds = [(graph, float_network, inner), (quantized, quantized_network, ["x", *inner])]
    whole = [delivered(make(item, some), [*item.outputs, *some]) for item, make, some in kinds]
    small_limits(monkeypatch)
    cut = [delivered(make(item, some), [*item.outputs, *some]) for item, make, some in kinds]
    assert [models for _, models in whole] == [1, 1]
    assert all(models > 8 for _, models in cut)
    assert [found for found, _ in cut] == [found for found, _ in whole]


def test_only_convolutions_read_what_crosses(monkeypatch: pytest.MonkeyPatch) -> None:
    """``deep`` is averaged: it is neither cut into blocks nor apart from its average."""
    small_limits(monkeypatch)
    graph = averaged(dense_tail())
    parts = stretches.stretches(graph, ("logits",))
    (home,) = [part for part in parts if any(node.name == "deep" for node in part.graph.nodes)]
    assert "mean" in {node.name for node in home.graph.nodes}
    names = [node.name for part in parts for node in part.graph.nodes]
    blocks = [name for name in names if "/" in name]
    assert blocks[:5] == [f"a/{row}" for row in range(0, 80, 16)]
    assert not any(name.startswith("deep/") for name in blocks)
    crossing = {
        node.op
        for part in parts[1:]
        for name in part.graph.inputs
        for node in part.graph.consumers()[name]
    }
    assert crossing == {"Conv", "Concat"}
    opened = [networks.opened(float_network(graph), 1).outputs for _ in range(2)]
    assert opened == [("logits", "wide")] * 2


# ------------------------------------------------------------------ memory


def test_memory_is_less_than_a_copy_of_the_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Load, quantize, write and read again, beyond the file's bytes and the integers.

    Arrays and bytes are counted; mapped files and what ONNX Runtime has for itself are not.
    """
    net = Net()
    net.input("x", [1, 16, 32, 32])
    net.node("Flatten", ["x"], "flat", axis=1)
    weights, bias = net.random("w", (128, 1 << 14)), net.random("c", (128,))
    net.node("Gemm", ["flat", weights, bias], "y", transB=1)
    path = net.save(tmp_path, "y")
    size = 8 << 20
    small_limits(monkeypatch)
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 1 << 20)
    pictures = Pictures((16, 32, 32), 2, 1)
    shares: dict[str, float] = {}

    def measured(name: str, step: Callable[[], Any]) -> Any:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        made = step()
        shares[name] = (tracemalloc.get_traced_memory()[1] - before) / size
        return made

    tracemalloc.start()
    try:
        graph = measured("load", lambda: load(path))
        quantized = measured("quantize", lambda: quantize_graph(graph, pictures, threads=1)).graph
        target = tmp_path / "net_quantize.onnx"
        pieces = qdq_parts(quantized, {}).pieces()
        with target.open("wb") as stream:
            measured("write", lambda: stream.writelines(pieces))
        measured("read", lambda: load_quantized(target))
    finally:
        tracemalloc.stop()
    most = {"load": 1.1, "quantize": 1.0, "write": 0.1, "read": 0.5}
    assert all(shares[name] < most[name] for name in most), shares
