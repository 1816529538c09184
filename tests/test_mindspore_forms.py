"""ONNX as ``mindspore.export(..., file_format="ONNX")`` writes it: opset 11, its own spellings.

The graphs are written by hand after MindSpore's exporter; MindSpore itself is not needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from knightlite.ir import Graph
from onnx_nets import Net, checked, operators

OPSET = 11


@pytest.fixture
def net() -> Net:
    made = Net(OPSET)
    made.input("x", (1, 3, 12, 12))
    return made


def constant(net: Net, name: str, values: object, dtype: type = np.float32) -> str:
    return net.weight(name, np.asarray(values, dtype))


def dense(net: Net, x: str, output: str, inputs: int, outputs: int) -> str:
    """Gemm without a bias, then BiasAdd."""
    weight = net.random(f"{output}_w", (outputs, inputs), -0.5, 0.5)
    net.node("Gemm", [x, weight], f"{output}_product", transA=0, transB=1)
    return net.node("Add", [f"{output}_product", net.random(f"{output}_b", (outputs,))], output)


def test_residual_network(tmp_path: Path, net: Net) -> None:
    net.conv(
        "x", "c1", (8, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2], dilations=[1, 1], group=1
    )
    net.norm("c1", "n1", 8)
    net.node("Relu", ["n1"], "r1")
    net.node("MaxPool", ["r1"], "p1", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    net.conv("p1", "c2", (8, 8, 3, 3), pads=[1, 1, 1, 1], auto_pad="NOTSET", strides=[1, 1])
    net.norm("c2", "n2", 8)
    net.node("Add", ["n2", "p1"], "s")
    net.node("Relu", ["s"], "r2")
    net.node("ReduceMean", ["r2"], "m", axes=[2, 3], keepdims=1)
    net.node("Flatten", ["m"], "f", axis=1)
    dense(net, "f", "y", 8, 5)
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "MaxPool", "Conv", "Add", "AveragePool", "Conv"]


def test_training_form_is_refused(tmp_path: Path, net: Net) -> None:
    """Five outputs mean batch statistics, for ONNX Runtime too; nothing need read them."""
    net.norm("x", "y", 3)
    net.nodes[-1].output.extend(["mean_", "var_", "saved_mean", "saved_var"])
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert caught.value.findings[0].sentence == (
        "BatchNormalization BatchNormalization_y must be in inference form with one output, not in "
        "training form with 5."
    )


def test_outputs_without_a_name_are_none(tmp_path: Path, net: Net) -> None:
    """Not run in ONNX Runtime, which such a node ends."""
    net.norm("x", "b", 3)
    net.nodes[-1].output.extend(["", "", "", ""])
    net.node("Sigmoid", ["b"], "y")
    assert operators(load(net.save(tmp_path, "y"))) == ["Affine", "Table"]


def classified(tmp_path: Path, net: Net, features: str, channels: int) -> Graph:
    dense(net, features, "y", channels, 4)
    return checked(net.save(tmp_path, "y"))


def test_mean_without_kept_axes(tmp_path: Path, net: Net) -> None:
    net.node("ReduceMean", ["x"], "m", axes=[2, 3], keepdims=0)
    assert operators(classified(tmp_path, net, "m", 3)) == ["AveragePool", "Conv"]


@pytest.mark.parametrize("shape", [[1, 48], [-1, 48], [1, -1], [0, -1]])
def test_reshape_before_the_classifier(tmp_path: Path, net: Net, shape: list[int]) -> None:
    net.node("AveragePool", ["x"], "p", kernel_shape=[3, 3], strides=[3, 3], auto_pad="VALID")
    net.node("Reshape", ["p", constant(net, "shape", shape, np.int64)], "f")
    graph = classified(tmp_path, net, "f", 48)
    assert operators(graph) == ["AveragePool", "Conv"]


def test_matmul_with_a_transposed_weight(tmp_path: Path, net: Net) -> None:
    net.node("GlobalAveragePool", ["x"], "p")
    net.node("Squeeze", ["p"], "f", axes=[2, 3])
    net.node("Transpose", [net.random("w", (5, 3))], "wt", perm=[1, 0])
    net.node("MatMul", ["f", "wt"], "m")
    net.node("Add", ["m", net.random("b", (5,))], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["AveragePool", "Conv"]


def test_bias_as_an_add_of_channels(tmp_path: Path, net: Net) -> None:
    net.conv("x", "c", (4, 3, 1, 1), auto_pad="VALID")
    net.node("Unsqueeze", [net.random("b", (4,))], "bias", axes=[0, 2, 3])
    net.node("Add", ["c", "bias"], "y")
    (node,) = checked(net.save(tmp_path, "y")).nodes
    assert (node.op, len(node.inputs)) == ("Conv", 3)


def test_relu6_is_a_clip_with_inputs(tmp_path: Path, net: Net) -> None:
    net.conv("x", "c", (6, 3, 3, 3), auto_pad="SAME_UPPER", group=1)
    net.node("Clip", ["c", constant(net, "low", 0.0), constant(net, "high", 6.0)], "a")
    net.conv("a", "d", (6, 1, 3, 3), pads=[0, 0, 1, 1], strides=[2, 2], group=6)
    net.node("Clip", ["d", "low", "high"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert [node.attributes["clamp"] for node in graph.nodes] == [(0.0, 6.0)] * 2


def test_pad_with_inputs(tmp_path: Path, net: Net) -> None:
    pads = constant(net, "pads", [0, 0, 1, 2, 0, 0, 2, 1], np.int64)
    net.node("Pad", ["x", pads, constant(net, "zero", 0.0)], "p", mode="constant")
    net.conv("p", "y", (4, 3, 3, 3), auto_pad="VALID")
    (node,) = checked(net.save(tmp_path, "y")).nodes
    assert node.attributes["pads"] == (1, 2, 2, 1)


def test_average_pool_that_counts_no_padding(tmp_path: Path, net: Net) -> None:
    net.node(
        "AveragePool", ["x"], "y", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER",
        count_include_pad=0,
    )  # fmt: skip
    assert operators(checked(net.save(tmp_path, "y"))) == ["AveragePool"]


def test_a_cast_between_floats(tmp_path: Path, net: Net) -> None:
    net.node("Cast", ["x"], "f", to=TensorProto.FLOAT)
    net.node("Sigmoid", ["f"], "y")
    assert operators(checked(net.save(tmp_path, "y"))) == ["Table"]


def test_softmax_at_the_end(tmp_path: Path, net: Net) -> None:
    net.node("Flatten", ["x"], "f", axis=1)
    dense(net, "f", "d", 432, 7)
    net.node("Softmax", ["d"], "y", axis=-1)
    graph = checked(net.save(tmp_path, "y"))
    assert [op.op for op in graph.host][-1] == "Softmax"
