"""Is a host model that came in a file nothing but the operators that the file lists?

A list of operators cannot say much that does harm: it knows no subgraphs, so no loops, and no other
files. So a model is held to the one that its list makes, node by node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from knightlite.ir import Graph, HostOp
from knightlite.ops import host
from knightlite.ops.onnx_io import OPSET

if TYPE_CHECKING:
    import onnx

MAX_ELEMENTS = 1 << 28  # of a value that is computed
# what they make may be larger than all that they read, by what they read
GROWING = frozenset({"ConstantOfShape", "EyeLike", "Expand", "OneHot", "Range", "Resize", "Tile"})
# what an operator raises whose attributes are not as the compiler writes them
UNFIT = (AssertionError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def problem(model: onnx.ModelProto, graph: Graph) -> str | None:
    """What is wrong with a host model, as the end of a sentence; None where it is sound.

    ``graph``: the chip's outputs, the list of operators and the network's outputs.
    """
    odd = operators_problem(graph.host)
    if odd is not None:
        return odd
    from onnx.checker import ValidationError

    try:
        wanted = host.share(graph, batch=1)
    except (*UNFIT, ValidationError) as error:
        return f"must have operators as compile writes them ({type(error).__name__}: {error})"
    return _difference(model, wanted, graph) or size_problem(wanted)


def operators_problem(operators: Iterable[HostOp]) -> str | None:
    """The first that is none of ONNX's, or runs others."""
    return next(filter(None, map(_operator_problem, operators)), None)


def _operator_problem(op: HostOp) -> str | None:
    """Operators are those of ONNX that run nothing but themselves."""
    from onnx import defs

    graphs = (defs.OpSchema.AttrType.GRAPH, defs.OpSchema.AttrType.GRAPHS)
    if not defs.has(op.op, OPSET):
        return f"must have operators of ONNX {OPSET}, not {op.op} ({op.name})"
    attributes = defs.get_schema(op.op, OPSET).attributes.values()
    if any(item.type in graphs for item in attributes):
        return f"must have no operator that runs others, such as {op.op} ({op.name})"
    return None


def _difference(model: onnx.ModelProto, wanted: onnx.ModelProto, graph: Graph) -> str | None:
    """The first thing in which a model is not what its operators make."""
    found = model.graph
    opsets = [(item.domain, item.version) for item in model.opset_import]
    if opsets != [("", OPSET)] or model.functions or found.sparse_initializer:
        return f"must have operators of ONNX {OPSET} and no functions"
    for what, one, other in (
        ("inputs", {item.name for item in found.input}, {item.name for item in wanted.graph.input}),
        ("outputs", [item.name for item in found.output], list(graph.outputs)),
        ("nodes", [item.op_type for item in found.node], [op.op for op in graph.host]),
    ):
        if one != other:
            return f"must have {what} {_listed(other)}, not {_listed(one)}"
    for mine, theirs in zip(wanted.graph.node, found.node, strict=True):
        if mine != theirs:
            return f"must have {mine.op_type} {mine.output[0]} as its operators say"
    have, need = ({item.name: item for item in side.initializer} for side in (found, wanted.graph))
    if have.keys() != need.keys() or any(_differ(have[name], need[name]) for name in have):
        return "must have the constants that its operators say"
    return None


def _differ(found: onnx.TensorProto, wanted: onnx.TensorProto) -> bool:
    """Whether two constants differ; a Reshape may keep the first axis (0), or say that it is 1."""
    if found == wanted:
        return False
    if not wanted.name.endswith("/shape") or found.external_data:
        return True
    from onnx import numpy_helper

    try:
        one, other = (numpy_helper.to_array(item).tolist() for item in (found, wanted))
    except (ValueError, TypeError, KeyError):  # its data do not fit its shape
        return True
    return one[1:] != other[1:] or {*one[:1], *other[:1]} != {0, 1}


def size_problem(model: onnx.ModelProto) -> str | None:
    """Values whose size is beyond reason, or not known where an operator could make it so."""
    known = host.shapes(model)
    for node in model.graph.node:
        for name in node.output:
            shape, _ = known.get(name, (None, 0))
            sizes = [item for item in shape or () if isinstance(item, int)]
            count = math.prod(sizes)
            if count > MAX_ELEMENTS:
                return f"must compute at most {MAX_ELEMENTS} numbers, not {count} ({name})"
            if node.op_type in GROWING and (shape is None or len(sizes) != len(shape)):
                return f"must have a known shape of {name}, which {node.op_type} makes"
    return None


def _listed(names: object) -> str:
    return ", ".join(map(str, names)) if isinstance(names, (list, set)) else str(names)
