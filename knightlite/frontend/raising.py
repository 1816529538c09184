"""A model of an opset older than the reader knows, raised by onnx's own version converter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from knightlite.frontend import opsets

if TYPE_CHECKING:
    import onnx

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
        made = version_converter.convert_version(model, opsets.OLDEST)
    except (checker.ValidationError, RuntimeError, ValueError, IndexError, TypeError):
        return None
    del made.graph.value_info[:]  # of what it inserts, the types are missing; they are inferred
    return made


def _along_an_axis(node: onnx.NodeProto) -> bool:
    """True where the second operand lies along an axis that its shape does not say.

    PRelu's slopes are per channel, and ``axis`` names one. The converter (onnx 1.23) lets slopes
    be, which then go along rows, and moves what lies along channels to the batch.
    """
    names = {item.name for item in node.attribute}
    return node.op_type == "PRelu" or {"broadcast", "axis"} <= names
