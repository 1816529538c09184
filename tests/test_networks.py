"""Whole networks: the canonical graph computes what the file computes in ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from knightlite.errors import UnsupportedError
from knightlite.frontend import load, paddle
from onnx_nets import MODELS, checked, differences, needs_shared

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
TOLERANCE = 1e-5  # of the output's magnitude


@needs_shared
@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("densenet40_cifar10", {"Conv": 40, "Affine": 39, "Concat": 36, "AveragePool": 3}),
        ("mobilenet_v1_0.25", {"Conv": 28, "AveragePool": 1}),
        ("resnet20_cifar10", {"Conv": 22, "Add": 9, "AveragePool": 1}),
        ("resnet8_cifar10", {"Conv": 10, "Add": 3, "AveragePool": 1}),
        ("squeezenet1.1", {"Conv": 26, "MaxPool": 3, "Concat": 8, "AveragePool": 1}),
        ("vww_96", {"Conv": 28, "AveragePool": 1}),
    ],
)
def test_onnx_networks(name: str, operators: dict[str, int]) -> None:
    graph = checked(MODELS / f"{name}.onnx", TOLERANCE)
    assert graph.name == name
    assert Counter(node.op for node in graph.nodes) == operators
    assert [op.op for op in graph.host] == ["Reshape"]


@needs_shared
def test_paddle_classifier() -> None:
    path = MODELS / "ppocr_cls" / "ocrV3_cls.pdmodel"
    graph = load(path, input_shapes=[(1, 3, 48, 192)])
    assert Counter(node.op for node in graph.nodes) == {
        "Conv": 54, "Table": 27, "AveragePool": 10, "Mul": 9, "Add": 7, "MaxPool": 1,
    }  # fmt: skip
    assert [op.op for op in graph.host] == ["Reshape", "Softmax"]
    assert graph.outputs == ("softmax_0.tmp_0",)
    assert max(differences(paddle.to_onnx(path), graph)) <= TOLERANCE


def with_random_weights(name: str, folder: Path) -> Path:
    """A light model whose ConstantOfShape weights are replaced by seeded random ones."""
    model = onnx.load(LIGHT / f"{name}.onnx")
    rng = np.random.default_rng(0)
    shapes = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        if len(shape) > 1:
            values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        else:
            values = rng.uniform(0.5, 1.5, shape)
        weight = numpy_helper.from_array(values.astype(np.float32), node.output[0])
        model.graph.initializer.append(weight)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    if nodes[-1].op_type == "Softmax":  # random logits saturate it: compare what it reads as well
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(nodes[-1].input[0], onnx.TensorProto.FLOAT, None)
        )
    model.ir_version = 4  # the weights need not be inputs
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("light_squeezenet", {"Conv": 26, "MaxPool": 3, "Concat": 8, "AveragePool": 1}),
        ("light_densenet121", {"Conv": 121, "Affine": 62, "Concat": 58, "AveragePool": 4,
                               "MaxPool": 1}),
        ("light_inception_v2", {"Conv": 70, "MaxPool": 5, "AveragePool": 8, "Concat": 10}),
        ("light_resnet50", {"Conv": 54, "MaxPool": 1, "Add": 16, "AveragePool": 1}),
    ],
)  # fmt: skip
def test_light_networks(tmp_path: Path, name: str, operators: dict[str, int]) -> None:
    path = with_random_weights(name, tmp_path)
    graph = checked(path, TOLERANCE)
    assert Counter(node.op for node in graph.nodes) == operators


@pytest.mark.parametrize(
    ("name", "findings"),
    [
        ("light_bvlc_alexnet", {"Conv": 3, "LRN": 2}),
        ("light_inception_v1", {"LRN": 2}),
        ("light_shufflenet", {"Conv": 32, "Transpose": 16}),
        ("light_zfnet512", {"LRN": 2}),
    ],
)
def test_light_networks_with_unsupported_nodes(name: str, findings: dict[str, int]) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(LIGHT / f"{name}.onnx")
    kinds = Counter(item.sentence.split()[0].rstrip(":") for item in caught.value.findings)
    assert kinds == findings
