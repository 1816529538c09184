"""A resolved model as ONNX again: what a converter made, whether the NPU can run it or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from knightlite.frontend.normalization import SUFFIX, require_normalization
from knightlite.frontend.source import Shape, SourceModel, SourceNode

if TYPE_CHECKING:
    import onnx

MAX_IR_VERSION = 10  # what ONNX Runtime and onnx of the supported versions read


def write_source(model: SourceModel) -> onnx.ModelProto:
    """``model`` for batch 1, its constants computed, inputs that nothing reads left out."""
    from onnx import helper, numpy_helper

    read = {name for node in model.nodes for name in (*node.inputs, *node.captured)}
    read.update(model.outputs)
    domains = sorted({node.domain for node in model.nodes} - {""})
    graph = helper.make_graph(
        [_node(node) for node in model.nodes],
        model.name,
        [_described(model, name) for name in model.read_inputs],
        [_described(model, name) for name in model.outputs],
        [
            numpy_helper.from_array(np.asarray(values, order="C"), name)
            for name, values in model.constants.items()
            if name in read
        ],
    )
    opsets = [helper.make_opsetid("", model.opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=MAX_IR_VERSION, producer_name="knightlite"
    )


def _node(node: SourceNode) -> onnx.NodeProto:
    from onnx import helper, numpy_helper

    attributes = {
        key: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in node.attributes.items()
    }
    return helper.make_node(
        node.op_type, node.inputs, node.outputs, node.name, domain=node.domain, **attributes
    )


def _described(model: SourceModel, name: str) -> onnx.ValueInfoProto:
    from onnx import helper

    element, shape = model.types.get(name), model.shapes.get(name)
    if element is None:
        return helper.make_empty_tensor_value_info(name)
    return helper.make_tensor_value_info(name, element, shape)


def normalize_source(
    model: SourceModel, name: str, mean: Sequence[float], std: Sequence[float]
) -> SourceModel:
    """The model with ``(x - mean) / std`` behind input ``name``; UsageError as for a graph."""
    shape = model.shapes[name]
    require_normalization(name, shape[1], mean, std)
    inner = name
    while inner in model.shapes or inner in model.constants:
        inner += SUFFIX
    constants: Mapping[str, Any] = {
        f"{inner}.mean": _per_channel(mean, shape),
        f"{inner}.std": _per_channel(std, shape),
    }
    nodes = [
        replace(node, inputs=tuple(inner if item == name else item for item in node.inputs))
        for node in model.nodes
    ]
    centred = f"{inner}.centred"
    first = (
        SourceNode(centred, "Sub", "", (name, f"{inner}.mean"), (centred,), {}),
        SourceNode(inner, "Div", "", (centred, f"{inner}.std"), (inner,), {}),
    )
    return replace(
        model,
        nodes=(*first, *nodes),
        constants={**model.constants, **constants},
        shapes={**model.shapes, centred: shape, inner: shape},
    )


def _per_channel(values: Sequence[float], shape: Shape) -> Any:
    return np.asarray(values, np.float32).reshape(-1, *(1,) * (len(shape) - 2))
