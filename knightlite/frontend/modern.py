"""A node of an older opset as nodes of the opset that we write, by ONNX's own converter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import opsets
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.ir import Attribute
from knightlite.ops.onnx_io import OPSET


@dataclass(frozen=True, slots=True)
class Made:
    """One rewritten node, its attributes in our types, and the model with its new constants."""

    node: SourceNode
    attributes: dict[str, Attribute]
    model: SourceModel


def rewritten(node: SourceNode, model: SourceModel) -> Iterator[Made]:
    """The nodes that do in our opset what ``node`` does in the model's; UnsupportedError if none.

    The new constants and shapes of later nodes include those of earlier ones.
    """
    for made in [node] if _unchanged(node, model.opset) else _converted(node, model):
        if made.op_type == "Constant":
            values = made.attributes["value"]
            model = replace(model, constants={**model.constants, made.outputs[0]: values})
            continue
        yield Made(made, {key: _plain(made, key) for key in made.attributes}, model)


def _unchanged(node: SourceNode, opset: int) -> bool:
    from onnx import defs

    try:
        then = defs.get_schema(node.op_type, opsets.version_known(opset), "")
        now = defs.get_schema(node.op_type, OPSET, "")
    except defs.SchemaError:
        raise UnsupportedError(f"{node.kind} is no operator of ONNX up to opset {OPSET}.") from None
    return bool(then.since_version == now.since_version)


def _plain(node: SourceNode, key: str) -> Attribute:
    value = node.attributes[key]
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, int | float) for item in value):
        return tuple(value)
    raise UnsupportedError(
        f"attribute {key} of {node.op_type} {node.name} must be numbers or a word to run on the "
        "host."
    )


def _converted(node: SourceNode, model: SourceModel) -> list[SourceNode]:
    """Through a model of one node."""
    from onnx import helper, numpy_helper, version_converter

    names = dict.fromkeys(name for name in node.inputs if name)
    inputs = [
        helper.make_tensor_value_info(
            name, model.types.get(name, TensorProto.FLOAT), model.shapes.get(name)
        )
        for name in names
        if name not in model.constants
    ]
    constants = [
        numpy_helper.from_array(np.asarray(model.constants[name], order="C"), name)
        for name in names
        if name in model.constants
    ]
    outputs = [
        helper.make_tensor_value_info(
            name, model.types.get(name, TensorProto.FLOAT), model.shapes.get(name)
        )
        for name in node.outputs
        if name
    ]
    made = helper.make_node(
        node.op_type, list(node.inputs), list(node.outputs), node.name, **node.attributes
    )
    graph = helper.make_graph([made], "node", inputs, outputs, constants)
    versions = [helper.make_opsetid("", model.opset)]
    whole = helper.make_model(graph, opset_imports=versions, ir_version=8)
    try:
        found = version_converter.convert_version(whole, OPSET)
    except Exception as error:  # the converter raises RuntimeError, and bare C++ errors
        raise UnsupportedError(
            f"{node.op_type} {node.name} of opset {model.opset} cannot be rewritten for opset "
            f"{OPSET}.",
            f"export the model with opset {OPSET}",
        ) from error
    return [_source(item, node, index) for index, item in enumerate(found.graph.node)]


def _source(item: Any, node: SourceNode, index: int) -> SourceNode:
    from onnx import helper, numpy_helper

    attributes = {}
    for attribute in item.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, TensorProto):
            value = numpy_helper.to_array(value)
        attributes[attribute.name] = value

    def own(name: str) -> str:
        """Names that the converter made are not unique in the model."""
        known = (*node.inputs, *node.outputs)
        return name if not name or name in known else f"{node.outputs[0]}/{name}"

    return SourceNode(
        f"{node.name}/{index}" if index else node.name,
        item.op_type,
        item.domain,
        tuple(map(own, item.input)),
        tuple(map(own, item.output)),
        attributes,
    )
