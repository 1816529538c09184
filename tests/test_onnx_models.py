"""What is written runs in ONNX Runtime and means what the operators' references say."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from float_nets import FloatNet, small_net
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import batchable, write_float, write_qdq
from knightlite.ops import ALL_OPS, OpDef, View

Array = NDArray[Any]
CASES = [
    pytest.param(op, graph, id=f"{op.name}-{graph.name}")
    for op in ALL_OPS
    for graph in op.samples()
]
FEW_VALUES = ("small", "large")  # affine gains at the ends of their range, on purpose


def shaped(graph: Graph, name: str) -> Array:
    scale = graph.tensors[name].scale
    assert scale is not None
    return scale.reshape((1, -1, 1, 1)) if scale.ndim else scale


def integers(graph: Graph) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    found = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        low, high = tensor.dtype.minimum, tensor.dtype.maximum
        found[name] = rng.integers(low, high + 1, tensor.shape).astype(tensor.dtype.numpy)
    return found


@pytest.mark.parametrize(("op", "graph"), CASES)
def test_qdq_is_within_one_step_of_the_reference(op: OpDef, graph: Graph) -> None:
    model = write_qdq(graph, {})
    inputs = integers(graph)
    feeds = {name: x.astype(np.float32) * shaped(graph, name) for name, x in inputs.items()}
    (found,) = session(model, 1).run(None, feeds)
    # as anybody opens it, with all that ONNX Runtime does to quantized models
    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    codes = np.rint(found / shaped(graph, graph.outputs[0])).astype(np.int64)
    expected = op.reference(View(graph, graph.nodes[0]), tuple(inputs.values())).astype(np.int64)
    assert codes.shape == expected.shape
    assert np.abs(codes - expected).max() <= 1
    assert len(np.unique(expected)) > 4 or graph.name in FEW_VALUES

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    plain = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    step = shaped(graph, graph.outputs[0])  # float sums in another order may round elsewhere
    assert np.abs(plain.run(None, feeds)[0] - found).max() <= 1.001 * step.max()


def numpy_conv(x: Array, weights: Array, bias: Array) -> Array:
    return np.asarray(np.einsum("nchw,oc->nohw", x, weights[:, :, 0, 0]) + bias[:, None, None])


def test_float_model_and_its_extra_outputs() -> None:
    net = FloatNet()
    net.input("x", 3, 4, 4)
    net.conv("x", "a", 5, clamp=(-0.5, 0.25))
    net.affine("a", "b")
    graph = net.build("b")
    x = np.random.default_rng(3).normal(0, 1, (7, 3, 4, 4)).astype(np.float32)
    b, a = session(write_float(graph, ["a", "b"]), 1).run(None, {"x": x})
    constants = graph.constants
    exact = numpy_conv(x, constants["a.weight"], constants["a.bias"]).clip(-0.5, 0.25)
    assert np.allclose(a, exact, atol=1e-6)
    assert exact.min() == -0.5
    gain, offset = (constants[f"b.{part}"][:, None, None] for part in ("gain", "offset"))
    assert np.allclose(b, exact * gain + offset, atol=1e-5)


def test_host_operations_keep_names_batch_and_types() -> None:
    net = FloatNet()
    net.input("x", 2, 1, 1)
    net.conv("x", "scores", 5)
    net.host("Reshape", "scores", "flat", shape=(1, 5))
    net.host("Softmax", "flat", "soft", axis=-1)
    net.host("ArgMax", "flat", "best", axis=1, keepdims=0)
    graph = net.build("soft", "best")
    assert batchable(graph)
    model = write_float(graph)
    described = {
        item.name: (
            item.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in item.type.tensor_type.shape.dim],
        )
        for item in model.graph.output
    }
    assert described == {
        "soft": (onnx.TensorProto.FLOAT, ["N", 5]),
        "best": (onnx.TensorProto.INT64, ["N"]),
    }
    x = np.random.default_rng(3).normal(0, 1, (4, 2, 1, 1)).astype(np.float32)
    soft, best = session(model, 1).run(None, {"x": x})
    scores = numpy_conv(x, graph.constants["scores.weight"], graph.constants["scores.bias"])
    exponents = np.exp(scores.reshape(4, 5))
    assert np.allclose(soft, exponents / exponents.sum(axis=1, keepdims=True), atol=1e-6)
    assert best.tolist() == scores.reshape(4, 5).argmax(axis=1).tolist()


def test_a_reshape_without_a_batch_axis_is_not_batchable() -> None:
    net = FloatNet()
    net.input("x", 2, 1, 1)
    net.conv("x", "scores", 5)
    net.host("Reshape", "scores", "flat", shape=(5,))
    graph = net.build("flat")
    assert not batchable(graph)
    x = np.ones((1, 2, 1, 1), np.float32)
    assert session(write_float(graph), 1).run(None, {"x": x})[0].shape == (5,)


def test_the_form_of_the_file() -> None:
    """Names, opset and metadata are what docs/file-formats promises."""
    (graph,) = (item for item in ALL_OPS[0].samples() if item.name == "relu6")
    model = write_qdq(graph, {"knightlite.version": "1", "knightlite.quantize": "{}"})
    assert model.opset_import[0].version == 21
    assert [(item.key, item.value) for item in model.metadata_props] == [
        ("knightlite.quantize", "{}"), ("knightlite.version", "1"),
    ]  # fmt: skip
    nodes = [(node.op_type, list(node.input), list(node.output)) for node in model.graph.node]
    assert nodes == [
        ("QuantizeLinear", ["x", "x/scale", "x/zero"], ["x/q"]),
        ("DequantizeLinear", ["x/q", "x/scale", "x/zero"], ["x/dq"]),
        ("DequantizeLinear", ["w", "w/scale", "w/zero"], ["w/dq"]),
        ("DequantizeLinear", ["b", "b/scale", "b/zero"], ["b/dq"]),
        ("Conv", ["x/dq", "w/dq", "b/dq"], ["y/linear"]),
        ("Clip", ["y/linear", "y/float/low", "y/float/high"], ["y/float"]),
        ("QuantizeLinear", ["y/float", "y/scale", "y/zero"], ["y/q"]),
        ("DequantizeLinear", ["y/q", "y/scale", "y/zero"], ["y"]),
    ]


def test_names_that_collide_with_ours_stay_apart() -> None:
    net = FloatNet()
    net.input("x", 2, 3, 3)
    net.conv("x", "y/linear", 4, clamp=(0.0, 6.0))
    net.conv("y/linear", "y", 4, clamp=(0.0, 6.0))
    graph = net.build("y")
    x = np.random.default_rng(0).normal(0, 1, (1, 2, 3, 3)).astype(np.float32)
    held = graph.constants
    inner = numpy_conv(x, held["y/linear.weight"], held["y/linear.bias"]).clip(0, 6)
    outer = numpy_conv(inner, held["y.weight"], held["y.bias"]).clip(0, 6)
    assert np.allclose(session(write_float(graph), 1).run(None, {"x": x})[0], outer, atol=1e-5)


def test_the_same_graph_gives_the_same_bytes() -> None:
    first, second = (write_float(small_net()).SerializeToString() for _ in range(2))
    assert first == second
