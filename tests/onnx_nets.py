"""Build small ONNX models for tests, and compare a model with its canonical graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knightlite.frontend import load
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float

Array = NDArray[Any]
SHARED = Path(__file__).parent.parent.parent / "shared"
MODELS = SHARED / "data" / "models"
needs_shared = pytest.mark.skipif(not MODELS.is_dir(), reason="needs ../shared/data/models")


class Net:
    """Collects nodes; every method returns the name of the value it made."""

    def __init__(self, opset: int = 13, seed: int = 0) -> None:
        self.opset = opset
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.domains: list[str] = []

    def input(
        self, name: str, shape: Sequence[int | str | None], element: int = TensorProto.FLOAT
    ) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def weight(self, name: str, values: Array | np.generic) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def random(self, name: str, shape: Sequence[int], low: float = -1, high: float = 1) -> str:
        return self.weight(name, self.rng.uniform(low, high, tuple(shape)).astype(np.float32))

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        name = f"{op}_{output}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def placed(self, x: str, shape: Sequence[int], output: str, axis: int = 2) -> str:
        """An operator that the chip has not: numbers in the place of the first along an axis."""
        one = [1 if at == axis else size for at, size in enumerate(shape)]
        at = self.weight(f"{output}_at", np.zeros(one, np.int64))
        new = self.weight(f"{output}_new", np.full(one, 0.25, np.float32))
        return self.node("ScatterElements", [x, at, new], output, axis=axis)

    def conv(self, x: str, output: str, shape: Sequence[int], **attributes: Any) -> str:
        bias = attributes.pop("bias", False)
        inputs = [x, self.random(f"{output}_w", shape, -0.5, 0.5)]
        if bias:
            inputs.append(self.random(f"{output}_b", shape[:1]))
        return self.node("Conv", inputs, output, kernel_shape=list(shape[2:]), **attributes)

    def norm(self, x: str, output: str, channels: int) -> str:
        parts = [
            self.random(f"{output}_{part}", (channels,), low, 1.5)
            for part, low in (("gamma", -1.0), ("beta", -1.0), ("mean", -1.0), ("var", 0.5))
        ]
        return self.node("BatchNormalization", [x, *parts], output, epsilon=1e-3)

    def model(self, *outputs: str, ir_version: int = 7) -> onnx.ModelProto:
        infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "net", self.inputs, infos, self.weights)
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", self.opset),
                *(helper.make_opsetid(domain, 1) for domain in self.domains),
            ],
            ir_version=ir_version,
        )
        model = onnx.shape_inference.infer_shapes(model)
        for item in model.graph.output:  # behind operators that ONNX does not know
            if not item.type.HasField("tensor_type"):
                item.type.tensor_type.elem_type = TensorProto.FLOAT
        return model

    def save(self, folder: Path, *outputs: str, ir_version: int = 7) -> Path:
        path = folder / "net.onnx"
        onnx.save(self.model(*outputs, ir_version=ir_version), path)
        return path


def run(model: onnx.ModelProto | bytes, graph: Graph, seed: int = 0) -> list[Array]:
    """Outputs of ``model`` for seeded random inputs, in the shapes that it declares."""
    rng = np.random.default_rng(seed)
    proto = model if isinstance(model, onnx.ModelProto) else onnx.ModelProto.FromString(model)
    declared = {
        item.name: [dim.dim_value for dim in item.type.tensor_type.shape.dim]
        for item in proto.graph.input
    }
    feeds = {}
    for name in graph.inputs:
        values = rng.normal(0, 1, graph.tensors[name].shape).astype(np.float32)
        whole = 0 not in declared[name]  # else a batch of any size
        feeds[name] = values.reshape(declared[name]) if whole else values
    return list(session(model, threads=2).run(list(graph.outputs), feeds))


def differences(model: onnx.ModelProto | bytes, graph: Graph) -> list[float]:
    """Largest difference of each output, relative to the output's largest magnitude."""
    wanted, found = run(model, graph), run(write_float(graph), graph)
    result = []
    for a, b in zip(wanted, found, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.ptp(a) > 0, "a constant output proves nothing"
        result.append(float(np.abs(a - b).max() / np.abs(a).max()))
    return result


def checked(path: Path, tolerance: float = 1e-5, **options: Any) -> Graph:
    """Load ``path`` and hold the canonical graph to the original's outputs."""
    graph = load(path, **options)
    assert max(differences(path.read_bytes(), graph)) <= tolerance
    return graph


def operators(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]
