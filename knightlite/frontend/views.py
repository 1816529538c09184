"""Nodes that compute nothing: views of the same elements, and no-ops."""

from __future__ import annotations

from dataclasses import replace

from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import axis_orders, carrying, constant_runs, padding, transposes
from knightlite.frontend.host import require_all_elements
from knightlite.frontend.host_values import is_integer
from knightlite.frontend.importer import IN_ORDER, Importer, Turned, Value
from knightlite.frontend.source import SourceNode

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
SAME = ("Identity", "Dropout", "Cast")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def same(state: Importer, node: SourceNode) -> None:
    """Identity, Dropout and a Cast between float types change nothing."""
    if node.op_type == "Cast":
        if is_integer(state, state.value(node.inputs[0]).tensor):
            raise UnsupportedError("Cast of integers is not supported yet.")
        if node.attributes.get("to") not in FLOATS:
            kind = TensorProto.DataType.Name(node.attributes.get("to", 0)).lower()
            raise UnsupportedError(f"Cast of features to {kind} is not supported yet.")
    elif node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
        unknown = node.inputs[2] not in state.model.constants
        if unknown or constant_runs.is_random(node, state.model.constants):
            raise UnsupportedError(
                f"Dropout {node.name} must be in inference form, not training form.",
                "export the model after calling its eval()",
            )
    state.values[node.outputs[0]] = state.value(node.inputs[0])


def view(state: Importer, node: SourceNode) -> None:
    """Reshape and its kin keep the elements in their order; so does a Transpose of ones."""
    source, target = state.seen(node.inputs[0]), state.seen(node.outputs[0])
    require_all_elements(node, source, target)
    value, output = state.value(node.inputs[0]), node.outputs[0]
    moves = node.op_type == "Transpose" and (
        output in state.model.quantized or transposes.moves_elements(state, node)
    )
    reordered = _reordered(state, node) if moves else None
    if reordered is not None:
        state.values[output] = reordered
        return
    if value.order != IN_ORDER and (
        moves or axis_orders.groups(target, state.padded_shape(node.inputs[0]), value.order) is None
    ):
        node = _as_turned(state, node)
        value = state.value(node.inputs[0])
    if moves:
        transposes.transpose(state, node)
    elif value.turned is not None:
        transposes.reshaped(state, node)
    else:
        if value.pads is not None and not _hands_on(state, node):
            padding.settle(state, node.inputs[0])
            value = state.value(node.inputs[0])
        state.values[output] = state.stand_in(output) if value.stands_in else value


def _reordered(state: Importer, node: SourceNode) -> Value | None:
    """What a Transpose makes where its readers take any order, or where it turns back."""
    output, readers = node.outputs[0], state.readers(node.outputs[0])
    at_end = readers == {"output"} and node.name in state.tail.nodes  # the host copies it anyway
    if output in state.model.quantized or at_end:
        return None
    made = axis_orders.transposed(state, node)
    if made is None or made.order == IN_ORDER:
        return made
    four = len(state.seen(output)) == 4 and state.value(node.inputs[0]).order == IN_ORDER
    return made if not four or readers & (carrying.CARRIED | set(VIEWS)) else None


def _as_turned(state: Importer, node: SourceNode) -> SourceNode:
    """The node reading its input as a Transpose that waits."""
    name = node.inputs[0]
    value, shape = state.value(name), state.shape(name)
    waiting = f"{name}.waiting"
    seen = tuple(shape[axis] for axis in value.order)
    if node.op_type == "Transpose" and state.seen(name) != seen:
        axis_orders.settle(state, name)
        return node
    state.model = replace(state.model, shapes={**state.model.shapes, waiting: seen})
    state.values[waiting] = replace(value, order=IN_ORDER, turned=Turned(shape, value.order))
    return replace(node, inputs=(waiting, *node.inputs[1:]))


def _hands_on(state: Importer, node: SourceNode) -> bool:
    """True where zeros that wait may go on waiting: every reader of the view takes them over."""
    output = node.outputs[0]
    return state.seen(output) == state.padded_shape(node.inputs[0]) and state.readers(
        output
    ) <= set(padding.TAKERS)
