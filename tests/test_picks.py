"""ArgMax and ArgMin: on the chip where numbers follow, at the end on the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import knightlite
from conformance_checks import MAIN, Pictures, assert_exact, build
from knightlite.cli.program import run
from knightlite.errors import UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.frontend.model_files import canonical_graph, read_network
from knightlite.frontend.survey import OpCount, survey
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.sim.host import quantize
from onnx_nets import Net, operators
from test_recurrent import checked

CLASSES = 5


def scores(classes: int = CLASSES) -> Net:
    net = Net(17)
    net.conv(net.input("x", (1, 3, 6, 8)), "s", (classes, 3, 3, 3), pads=[1, 1, 1, 1])
    return net


def painted(net: Net, index: str, shape: tuple[int, ...]) -> Net:
    """What an index is worth, in the picture again."""
    net.node("Cast", [index], "f", to=TensorProto.FLOAT)
    net.node("Reshape", ["f", net.weight("map", np.array(shape))], "g")
    net.conv("g", "y", (2, shape[1], 1, 1))
    return net


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(
    ("axis", "keepdims", "last", "shape"),
    [(1, 1, 0, (1, 1, 6, 8)), (-3, 0, 1, (1, 1, 6, 8)), (2, 1, 0, (1, 5, 1, 8)),
     (3, 0, 1, (1, 5, 6, 1))],
)  # fmt: skip
def test_in_the_middle(
    kind: str, axis: int, keepdims: int, last: int, shape: tuple[int, ...], tmp_path: Path
) -> None:
    net = scores()
    net.node(kind, ["s"], "i", axis=axis, keepdims=keepdims, select_last_index=last)
    graph = checked(painted(net, "i", shape), tmp_path, "y")
    assert kind in operators(graph)
    assert not graph.host
    assert not [node for node in graph.nodes if node.host]


@pytest.mark.parametrize("way", ["views", "whole numbers", "several readers"])
def test_on_the_way_to_numbers(way: str, tmp_path: Path) -> None:
    net = scores()
    index = net.node("ArgMax", ["s"], "i", axis=1, keepdims=0)
    if way == "views":
        index = net.node("Reshape", [index, net.weight("row", np.array([1, 48]))], "row_of")
        index = net.node("Unsqueeze", [index, net.weight("axes", np.array([1]))], "j")
    elif way == "whole numbers":
        index = net.node("Cast", [index], "j", to=TensorProto.INT32)
    else:
        net.node("Cast", [index], "again", to=TensorProto.FLOAT)
        net.node("Reshape", ["again", net.weight("other", np.array([1, 1, 6, 8]))], "h")
        net.conv("h", "z", (2, 1, 1, 1))
    ends = ("y", "z") if way == "several readers" else ("y",)
    graph = checked(painted(net, index, (1, 1, 6, 8)), tmp_path, *ends)
    assert operators(graph)[:2] == ["Conv", "ArgMax"]


def test_what_reads_whole_numbers_is_left(tmp_path: Path) -> None:
    net = scores()
    net.node("ArgMax", ["s"], "i", axis=1)
    net.node("Equal", ["i", net.weight("two", np.array(2))], "is")
    with pytest.raises(UnsupportedError, match="Equal"):
        checked(painted(net, "is", (1, 1, 6, 8)), tmp_path, "y")


def at_the_end(kind: str, path: Path, **options: Any) -> Graph:
    net = scores()
    net.node(kind, ["s"], "i", axis=1, keepdims=0)
    net.node("Cast", ["i"], "y", to=TensorProto.INT32)
    model = read_network(net.save(path, "y"), None, None)
    general = options.pop("general", False)
    return canonical_graph(replace(model, **options), path, general, lambda finding: None)


def kinds(graph: Graph) -> tuple[list[str], list[str]]:
    return operators(graph), [op.op for op in graph.host if op.op != "Reshape"]


def test_at_the_end(tmp_path: Path) -> None:
    """On the host; what the host has no form of its own for on the chip."""
    assert kinds(at_the_end("ArgMax", tmp_path)) == (["Conv"], ["ArgMax", "Cast"])
    assert kinds(at_the_end("ArgMin", tmp_path)) == (["Conv", "ArgMin"], ["Cast", "Cast"])
    assert kinds(at_the_end("ArgMin", tmp_path, general=True)) == (["Conv"], ["ArgMin", "Cast"])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("classes", [CLASSES, 300])
def test_at_the_end_on_the_chip(bits: int, classes: int, tmp_path: Path) -> None:
    """The same integers are picked of as the host would have, so the same indices."""
    net = scores(classes)
    net.node("ArgMax", ["s"], "y", axis=1)
    path = net.save(tmp_path, "y")
    model, made = read_network(path, None, None), []
    batch = np.random.default_rng(0).normal(0, 1, (4, 3, 6, 8)).astype(np.float32)
    for npu in (False, True):
        wish = replace(model, picks_on_npu=npu)
        graph = canonical_graph(wish, path, False, lambda finding: None)
        settings = Settings(bit_width=bits)
        result = quantize_graph(graph, Pictures(batch), settings, threads=1)
        quantized = tmp_path / "net_quantize.onnx"
        quantized.write_bytes(write_qdq(result.graph, {}).SerializeToString())
        built = build(load_quantized(quantized), MAIN)
        found: dict[str, Any] = {}
        fed = quantize(batch[:1], built.program.meta.inputs[0])
        built.machine.run({"x": fed}, found.__setitem__)
        made.append(found["s"].argmax(1) if not npu else found["y.picked"][:, 0])
        if npu:
            assert kinds(built.compiled.graph) == (["Conv", "ArgMax"], ["Cast"])
            assert found["s"].dtype == np.int16
            assert found["y.picked"].dtype == (np.uint8 if (bits, classes) == (8, 5) else np.int16)
            assert_exact(result.graph, built, np.random.default_rng(1))
    assert np.array_equal(*made)


@pytest.mark.parametrize("npu", [False, True])
def test_what_check_counts(npu: bool, tmp_path: Path) -> None:
    net = scores()
    net.node("ArgMax", ["s"], "y", axis=1)
    found = survey(net.save(tmp_path, "y"), picks_on_npu=npu)
    assert found.operators["ArgMax"] == OpCount(1, 1, 0 if npu else 1)


def test_a_float_network_is_read_back_as_the_one_it_was(tmp_path: Path) -> None:
    graph = at_the_end("ArgMax", tmp_path, picks_on_npu=True)
    again = tmp_path / "again.onnx"
    again.write_bytes(write_float(graph).SerializeToString())
    assert [node.outputs for node in load(again).nodes] == [node.outputs for node in graph.nodes]
    assert kinds(load(again)) == kinds(graph)


@pytest.mark.parametrize("asked", [False, True])
def test_who_picks_at_the_end_is_asked(asked: bool, tmp_path: Path) -> None:
    """By ``--npu-picks``, or ``npu_picks`` in Python."""
    net = scores()
    net.node("ArgMax", ["s"], "y", axis=1)
    path = net.save(tmp_path, "y")
    words = ["quant", "onnx", "-m", str(path), "-i", "2", "-s", str(tmp_path / "out")]
    assert run([*words, *(["--npu-picks"] if asked else [])]) == 0
    data = np.random.default_rng(0).normal(0, 1, (2, 3, 6, 8)).astype(np.float32)
    made = tmp_path / "python_quantize.onnx"
    with pytest.warns(UserWarning, match="runs on the host"):
        made.write_bytes(knightlite.quantize(str(path), data=data, npu_picks=asked).onnx)
    for found in (tmp_path / "out" / "net_quantize.onnx", made):
        graph = load_quantized(found)
        assert ("ArgMax" in operators(graph)) == asked
        assert ("ArgMax" in [item.op for item in graph.host]) != asked
