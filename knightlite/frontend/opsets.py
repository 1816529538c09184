"""Which versions of ONNX's operators are read: those up to opset 21, and later ones that are alike.

A later version counts as alike where inputs, outputs and attributes are the same: then it only
takes further types. A new attribute at its default changes nothing either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from knightlite.frontend.source import SourceNode

if TYPE_CHECKING:
    from onnx import defs

OLDEST, KNOWN = 9, 21  # KNOWN: the newest whose operators are all known


def newest() -> int:
    """The newest opset that the installed onnx describes."""
    from onnx import defs

    return defs.onnx_opset_version()


def version_known(opset: int) -> int:
    """The opset by which nodes of ``opset`` are read."""
    return min(opset, KNOWN)


def meaning(node: SourceNode, opset: int) -> int:
    """The oldest opset in which ``node`` of ``opset`` means the same: every runtime has that."""
    from onnx import defs

    try:
        return int(defs.get_schema(node.op_type, opset, node.domain).since_version)
    except defs.SchemaError:
        return opset  # another sentence says that there is no such operator


def difference(node: SourceNode, opset: int) -> str:
    """What ``node`` of ``opset`` says that no version up to KNOWN does; "" where it is alike."""
    from onnx import defs

    if opset <= KNOWN or node.domain:
        return ""
    try:
        now = defs.get_schema(node.op_type, opset, "")
        known = defs.get_schema(node.op_type, KNOWN, "")
    except defs.SchemaError:
        return ""  # another sentence says that there is no such operator
    if now.since_version == known.since_version:
        return ""
    if _operands(now.inputs) != _operands(known.inputs):
        return "other inputs"
    if _operands(now.outputs) != _operands(known.outputs):
        return "other outputs"
    for name, attribute in now.attributes.items():
        default = _default(attribute)
        if name not in known.attributes:
            if name in node.attributes and node.attributes[name] != default:
                return f"a new attribute {name}"
        elif default != _default(known.attributes[name]) and name not in node.attributes:
            return f"another default of {name}"
    gone = sorted(known.attributes.keys() - now.attributes.keys())
    return f"no attribute {gone[0]}" if gone else ""


def _operands(listed: Any) -> list[tuple[str, Any]]:
    return [(item.name, item.option) for item in listed]


def _default(attribute: defs.OpSchema.Attribute) -> Any:
    from onnx import helper

    if not attribute.default_value.type:
        return None
    value = helper.get_attribute_value(attribute.default_value)
    if isinstance(value, bytes):
        return value.decode()
    return value.tolist() if isinstance(value, np.ndarray) else value
