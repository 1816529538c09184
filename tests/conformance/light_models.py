"""The nine light models of the onnx wheel with seeded weights in place of their constant ones.

The wheel ships networks without weights: each is a ConstantOfShape. Here they become random values
whose spread keeps activations alive (He), and BatchNorms get the statistics they see in a picture:
the model is written once with every BatchNorm taken apart into the mean and variance of its own
input, run, and what it measured is put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from knightlite.inference import session

Array = NDArray[Any]
NAMES = (
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet",
    "squeezenet", "vgg19", "zfnet512",
)  # fmt: skip
FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SEED = 0


def seeded(name: str, picture: Array) -> onnx.ModelProto:
    """Light model ``name`` with weights; ``picture`` [1, 3, H, W] is what its BatchNorms see."""
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    fill_weights(model, np.random.default_rng(SEED))
    statistics = measure(model, picture)
    for item in model.graph.initializer:
        if item.name in statistics:
            item.CopyFrom(numpy_helper.from_array(statistics[item.name], item.name))
    return model


def input_shape(name: str) -> tuple[int, ...]:
    """Shape [1, 3, H, W] of the one input that is no weight."""
    graph = onnx.load(FOLDER / f"light_{name}.onnx").graph
    weights = {item.name for item in graph.initializer}
    (entry,) = (item for item in graph.input if item.name not in weights)
    return tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim)


def fill_weights(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Replace every ConstantOfShape node by an initializer of random values."""
    graph = model.graph
    held = {item.name: item for item in graph.initializer}
    readers = {name: (node, place) for node in graph.node for place, name in enumerate(node.input)}
    made = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            continue
        shape = tuple(int(size) for size in numpy_helper.to_array(held[node.input[0]]))
        reader, place = readers[node.output[0]]
        if reader.op_type == "Unsqueeze":  # Caffe's Scale: Mul, then Add
            reader, _ = readers[reader.output[0]]
        values = weights(reader, place, shape, rng)
        made.append(numpy_helper.from_array(values, node.output[0]))
    kept = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(made)
    read = {name for node in kept for name in node.input}
    for item in [item for item in graph.initializer if item.name not in read]:
        graph.initializer.remove(item)
    kept_inputs = [item for item in graph.input if item.name in read - _held(graph)]
    del graph.input[:]
    graph.input.extend(kept_inputs)
    model.ir_version = 8  # version 3 wants every weight among the inputs


def weights(
    reader: onnx.NodeProto, place: int, shape: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Random float32 values for input ``place`` of ``reader``."""
    values = rng.standard_normal(shape, np.float32)
    if reader.op_type in ("Conv", "Gemm") and place == 1:
        transposed = any(item.name == "transB" and item.i for item in reader.attribute)
        depth = shape[0] if reader.op_type == "Gemm" and not transposed else np.prod(shape[1:])
        values *= np.float32((2 / depth) ** 0.5)
        depthwise = reader.op_type == "Conv" and shape[1] == 1
        return np.abs(values) if depthwise else values  # random ones amplify every rounding
    if reader.op_type == "BatchNormalization" and place == 4:
        return np.ones(shape, np.float32)  # the variance: measured below
    if reader.op_type == "Mul" or (reader.op_type == "BatchNormalization" and place == 1):
        return 1 + np.float32(0.2) * values
    return np.float32(0.2) * values


def measure(model: onnx.ModelProto, picture: Array) -> Mapping[str, Array]:
    """Mean and variance of every BatchNorm's input, by the names of their initializers."""
    apart = onnx.ModelProto()
    apart.CopyFrom(model)
    graph = apart.graph
    nodes: list[onnx.NodeProto] = []
    measured: dict[str, str] = {}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        x, gain, offset, mean, variance = node.input
        own = [f"{node.output[0]}/mean", f"{node.output[0]}/variance"]
        measured.update(zip(own, (mean, variance), strict=True))
        axes: dict[str, Any] = {"axes": [0, 2, 3], "keepdims": 0}
        square, meaned = f"{x}/{own[0]}/square", f"{x}/{own[0]}/mean_square"
        squared_mean = f"{own[0]}/square"
        nodes += [
            helper.make_node("ReduceMean", [x], [own[0]], **axes),
            helper.make_node("Mul", [x, x], [square]),
            helper.make_node("ReduceMean", [square], [meaned], **axes),
            helper.make_node("Mul", [own[0], own[0]], [squared_mean]),
            helper.make_node("Sub", [meaned, squared_mean], [own[1]]),
            helper.make_node("BatchNormalization", [x, gain, offset, *own], node.output),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in measured
    )
    if not measured:
        return {}
    found = session(apart, 2).run(list(measured), {graph.input[0].name: picture})
    return dict(zip(measured.values(), found, strict=True))


def _held(graph: onnx.GraphProto) -> set[str]:
    return {item.name for item in graph.initializer}
