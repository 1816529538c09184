"""Operators that ONNX defines by others: attention, rotary embedding, gated units and the like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper
from onnx.reference import ReferenceEvaluator

from knightlite.frontend import load
from knightlite.inference import session
from knightlite.onnx_models import write_float
from onnx_nets import operators

pytestmark = pytest.mark.skipif(
    defs.onnx_opset_version() < 24, reason="this onnx does not define them"
)


def saved(
    folder: Path, opset: int, node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]
) -> tuple[Path, dict[str, np.ndarray]]:
    """A network of one node, and numbers to feed it with."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    ]
    outputs = [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)]
    graph = helper.make_graph([node], "net", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    rng = np.random.default_rng(0)
    feeds = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return path, feeds


NODES = [
    (24, helper.make_node("Swish", ["x"], ["y"], alpha=1.5), {"x": (1, 4, 5, 6)}),
    (24, helper.make_node("Swish", ["x"], ["y"]), {"x": (1, 4, 5, 6)}),  # by its default
    (
        23,
        helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=1, softcap=2.0),
        {"q": (1, 2, 5, 4), "k": (1, 2, 5, 4), "v": (1, 2, 5, 3)},
    ),
    (
        23,
        helper.make_node("Attention", ["q", "k", "v"], ["y"], q_num_heads=4, kv_num_heads=2),
        {"q": (1, 5, 16), "k": (1, 6, 8), "v": (1, 6, 8)},
    ),
    (
        13,
        helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[2, 3]),
        {"x": (1, 4, 5, 6)},
    ),
]


@pytest.mark.parametrize(("opset", "node", "shapes"), NODES)
def test_bodies(
    tmp_path: Path, opset: int, node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]
) -> None:
    """Of features in every place: onnx's own evaluator says the same."""
    path, feeds = saved(tmp_path, opset, node, shapes)
    graph = load(path)
    given = {name: feeds[name].reshape(graph.tensors[name].shape) for name in graph.inputs}
    (found,) = session(write_float(graph), 1).run(None, given)
    (wanted,) = map(np.asarray, ReferenceEvaluator(str(path)).run(None, feeds))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert "General" not in operators(graph)
