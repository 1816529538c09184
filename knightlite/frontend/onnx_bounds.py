"""What an ONNX model asks for, compared with the limits before anything is made of it.

Looked at: functions (which may call one another, each several times), graphs within graphs, the
kinds of attributes and elements (ONNX's own helpers fail on unknown numbers), texts that are none,
nodes and graphs without outputs, and how many elements tensors claim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from knightlite import limits
from knightlite.errors import ModelError

if TYPE_CHECKING:
    import onnx

AGAIN = "export or copy the model again"
SHOWN_BYTES = 40  # of a text that is none
Key = tuple[str, str]  # domain and name of a function
Wrong = Callable[[str], ModelError]


def require_bounded(model: onnx.ModelProto, where: str) -> None:
    """ModelError, naming ``where``, where ``model`` has no bounds or a kind that ONNX lacks."""

    def wrong(reason: str) -> ModelError:
        return ModelError(f"{where} is damaged: {reason}.", AGAIN)

    _check_texts(model, wrong)
    if not model.graph.output:
        raise wrong("its graph has no output")
    functions = {(item.domain, item.name): item for item in model.functions}
    bodies = [(item.node, f"function {item.name}") for item in model.functions]
    for nodes, place in [(model.graph.node, "the graph"), *bodies]:
        for graph_nodes in _graphs(nodes, place, wrong):
            _check_nodes(graph_nodes, wrong)
    _check_values(model.graph, wrong)
    count = _written_out(model.graph.node, functions, wrong)
    if count > limits.MODEL_NODES:
        raise wrong(f"it has {count} nodes, and at most {limits.MODEL_NODES} are read")


def require_elements(
    shape: Sequence[int], what: str, error: Callable[[str], Exception] = ModelError
) -> None:
    """``error`` where a shape has more axes or elements than any tensor that is read."""
    if len(shape) > limits.TENSOR_AXES:
        raise error(f"{what} has {len(shape)} axes, and at most {limits.TENSOR_AXES} are read.")
    if math.prod(shape) > limits.TENSOR_ELEMENTS:
        sizes = " x ".join(map(str, shape))
        raise error(f"{what} has {sizes} elements, and at most {limits.TENSOR_ELEMENTS} are read.")


# ------------------------------------------------------------------ texts


def _check_texts(message: Any, wrong: Wrong) -> None:
    """All names and texts of a message and those within it; no deeper than protobuf reads them.

    What is no UTF-8 protobuf hands on as bytes, and ONNX Runtime's own errors trip over it.
    """
    from google.protobuf.message import Message

    for field, value in message.ListFields():
        values = (value,) if isinstance(value, (str, bytes, Message)) else value
        if field.type == field.TYPE_STRING:
            for text in values:
                if not isinstance(text, str):
                    raise wrong(f"its {field.name} {text[:SHOWN_BYTES]!r} is not UTF-8 text")
        elif field.type == field.TYPE_MESSAGE:
            for inner in values:
                _check_texts(inner, wrong)


# ------------------------------------------------------------------ nodes


def _graphs(nodes: Iterable[Any], place: str, wrong: Wrong) -> Iterator[list[Any]]:
    """The nodes of a graph, and of those within its attributes, however deep."""
    level = [list(nodes)]
    for _ in range(limits.MODEL_DEPTH):
        yield from level
        level = [
            list(graph.node)
            for graph_nodes in level
            for node in graph_nodes
            for attribute in node.attribute
            for graph in ([attribute.g] if attribute.HasField("g") else attribute.graphs)
        ]
        if not level:
            return
    raise wrong(f"{place} has graphs more than {limits.MODEL_DEPTH} deep within one another")


def _check_nodes(nodes: Iterable[Any], wrong: Wrong) -> None:
    from onnx import AttributeProto

    known = set(AttributeProto.AttributeType.values()) - {AttributeProto.UNDEFINED}
    for node in nodes:
        kind = node.op_type or "a node without a type"
        if not any(node.output):
            raise wrong(f"{kind} {node.name or ''}".rstrip() + " has no output")
        for item in node.attribute:
            what = f"attribute {item.name} of {kind} {node.name or ''}".rstrip()
            if item.type not in known:
                raise wrong(f"{what} is of the unknown kind {item.type}")
            if item.type == AttributeProto.TENSOR:
                _check_tensor(item.t, what, wrong)
            elif item.type == AttributeProto.SPARSE_TENSOR:
                _check_tensor(item.sparse_tensor.values, what, wrong)
            elif item.type == AttributeProto.TENSORS:
                for tensor in item.tensors:
                    _check_tensor(tensor, what, wrong)


# ------------------------------------------------------------------ tensors


def _check_values(graph: Any, wrong: Wrong) -> None:
    for tensor in graph.initializer:
        _check_tensor(tensor, f"tensor {tensor.name}", wrong)
    for item in (*graph.input, *graph.output, *graph.value_info):
        if item.type.HasField("tensor_type"):
            kind = item.type.tensor_type.elem_type
            if kind and kind not in _element_kinds():
                raise wrong(f"{item.name} has elements of the unknown kind {kind}")


def _check_tensor(tensor: Any, what: str, wrong: Wrong) -> None:
    if tensor.data_type not in _element_kinds():
        raise wrong(f"{what} has elements of the unknown kind {tensor.data_type}")
    if any(size < 0 for size in tensor.dims):
        raise wrong(f"{what} has the shape {list(tensor.dims)}")
    require_elements(tensor.dims, what, lambda sentence: wrong(sentence.rstrip(".")))
    for entry in tensor.external_data:
        if "\0" in entry.key or "\0" in entry.value:
            raise wrong(f"{what} keeps its data in a file whose name holds a zero byte")


@cache
def _element_kinds() -> frozenset[int]:
    from onnx import TensorProto

    return frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}


# ------------------------------------------------------------------ functions


def _written_out(nodes: Iterable[Any], functions: Mapping[Key, Any], wrong: Wrong) -> int:
    """How many nodes there are where every function stands written out."""
    counted: dict[Key, int] = {}

    def count(nodes: Iterable[Any], depth: int, within: str) -> int:
        if depth > limits.MODEL_DEPTH:
            raise wrong(
                f"its functions call one another more than {limits.MODEL_DEPTH} deep, "
                f"such as {within}"
            )
        total = 0
        for graph_nodes in _graphs(nodes, within, wrong):
            for node in graph_nodes:
                key = (node.domain, node.op_type)
                called = functions.get(key)
                if called is not None and key not in counted:
                    counted[key] = count(called.node, depth + 1, f"function {called.name}")
                total += 1 if called is None else counted[key]
        return total

    return count(nodes, 0, "the graph")
