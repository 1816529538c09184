"""A model of an opset older than the reader knows, raised by onnx's own version converter.

Which keeps a Scan of opset 8 as it is, though its first axis is a batch: that of one frame is
written here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from knightlite.frontend import opsets

if TYPE_CHECKING:
    import onnx

SCANNING = 8  # the only opset whose Scan has a batch
BROADCASTING = 7  # from here on shapes broadcast as numpy's; before, operators said how


def raised(model: onnx.ModelProto, apart: Mapping[str, memoryview]) -> onnx.ModelProto | None:
    """The model as opset OLDEST has it; None where the converter cannot, or not rightly.

    ``apart``: values of initializers that the model lacks, as the file has them; these are put in.
    """
    from onnx import TensorProto, checker, version_converter

    version = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    if version < BROADCASTING and any(_along_an_axis(node) for node in model.graph.node):
        return None
    if any(item.data_location == TensorProto.EXTERNAL for item in model.graph.initializer):
        return None  # the converter knows no folder
    for item in model.graph.initializer:
        own = any(field.name.endswith("_data") for field, _ in item.ListFields())
        if not own and item.name in apart:
            item.raw_data = bytes(apart[item.name])
    try:
        checker.check_model(model)  # the converter trusts what it reads
        if version == SCANNING and any(node.op_type == "Scan" for node in _all_nodes(model.graph)):
            return _of_one_frame(model)
        made = version_converter.convert_version(model, opsets.OLDEST)
    except (checker.ValidationError, RuntimeError, ValueError, IndexError, TypeError):
        return None
    del made.graph.value_info[:]  # of what it inserts, the types are missing; they are inferred
    return made


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Those of graphs in attributes too."""
    for node in graph.node:
        yield node
        for item in node.attribute:
            yield from _all_nodes(item.g)


def _of_one_frame(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with Scans of opset 9; None where anything else is another operator there."""
    from onnx import defs, shape_inference

    scans = [node for node in model.graph.node if node.op_type == "Scan"]
    for node in _all_nodes(model.graph):
        then, now = (
            defs.get_schema(node.op_type, version, node.domain).since_version
            for version in (SCANNING, opsets.OLDEST)
        )
        if then != now and node not in scans:
            return None
    inferred = shape_inference.infer_shapes(model).graph
    batches = {
        item.name: item.type.tensor_type.shape.dim[0].dim_value
        for item in (*inferred.input, *inferred.value_info)
        if item.type.tensor_type.shape.dim
    }
    batches |= {item.name: next(iter(item.dims), 0) for item in inferred.initializer}
    for node in scans:
        if node.input[0] or any(batches.get(name) != 1 for name in node.input[1:]):
            return None
    made: onnx.ModelProto = type(model).FromString(model.SerializeToString())
    del made.graph.node[:]
    for node in model.graph.node:
        made.graph.node.extend(_scan(node) if node.op_type == "Scan" else [node])
    for item in made.opset_import:
        if item.domain in ("", "ai.onnx"):
            item.version = opsets.OLDEST
    return made


def _scan(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """A Scan without its batch, which is taken from its operands and put before its results."""
    from onnx import helper

    stem = next(name for name in node.output if name)
    inputs = [f"{stem}/frame{at}" for at in range(len(node.input) - 1)]
    outputs = [name and f"{name}/frame" for name in node.output]
    given = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    if "directions" in given:
        given["scan_input_directions"] = given.pop("directions")
    before = [
        helper.make_node("Squeeze", [old], [new], axes=[0])
        for old, new in zip(node.input[1:], inputs, strict=True)
    ]
    behind = [
        helper.make_node("Unsqueeze", [new], [old], axes=[0])
        for new, old in zip(outputs, node.output, strict=True)
        if old
    ]
    return [*before, helper.make_node("Scan", inputs, outputs, node.name, **given), *behind]


def _along_an_axis(node: onnx.NodeProto) -> bool:
    """True where the second operand lies along an axis that its shape does not say.

    PRelu's slopes are per channel, and ``axis`` names one. The converter (onnx 1.23) lets slopes
    be, which then go along rows, and moves what lies along channels to the batch.
    """
    names = {item.name for item in node.attribute}
    return node.op_type == "PRelu" or {"broadcast", "axis"} <= names
