"""What the host reads and makes: chip tensors in their ONNX shape, and the network's outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnx import TensorProto

from knightlite import dtypes
from knightlite.errors import Finding
from knightlite.frontend.element_types import INTEGERS
from knightlite.frontend.importer import IN_ORDER, Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ir import HostOp


def append(
    state: Importer,
    op: str,
    source: str,
    output: str,
    attributes: Mapping[str, Any],
    shape: Shape,
) -> str:
    """Append a host operation of one input and describe its output; returns the output."""
    add(state, HostOp(output, op, (source,), (output,), dict(attributes)), (shape,))
    return output


def add(state: Importer, op: HostOp, shapes: tuple[Shape, ...]) -> None:
    """Append a host operation and describe what it makes."""
    state.builder.host.append(op)
    for output, shape in zip(op.outputs, shapes, strict=True):
        integers = _makes_integers(state, op, output)
        state.builder.tensor(output, shape, dtypes.S32 if integers else dtypes.F32)


def _makes_integers(state: Importer, op: HostOp, output: str) -> bool:
    """Whether an output is of whole numbers.

    The file's type tells, but where it is that of an input: integers of the network's input are
    real numbers here.
    """
    if op.op == "Cast":
        to = op.attributes["to"]
        return to in INTEGERS if isinstance(to, int) else not str(to).startswith("float")
    types = state.model.types
    if types.get(output) == TensorProto.FLOAT:
        return False
    chosen = types.get(output) in INTEGERS and not any(
        types.get(name) in INTEGERS for name in op.inputs
    )
    return chosen or op.op == "ArgMax" or any(is_integer(state, name) for name in op.inputs)


def is_made(state: Importer, name: str) -> bool:
    """True for what the host makes."""
    return any(name in op.outputs for op in state.builder.host)


def is_integer(state: Importer, name: str) -> bool:
    """True for what the host made as integers."""
    return is_made(state, name) and state.builder.tensors[name].dtype == dtypes.S32


def source_of(state: Importer, node: SourceNode) -> str:
    """The first input of ``node``, as :func:`as_seen` has it."""
    return as_seen(state, node.inputs[0])


def as_seen(state: Importer, name: str) -> str:
    """The tensor behind ``name`` in its ONNX shape, through a Reshape where they differ."""
    value = state.value(name)
    if value.factors is not None:
        return _unfactored(state, name)
    if value.order != IN_ORDER:
        return _reordered(state, name)
    if value.turned:
        return _turned(state, name)
    if value.pads:
        return _padded(state, name)
    if value.on_host or state.seen(name) == state.shape(name):
        return value.tensor
    shape = state.seen(name)
    if is_made(state, name):
        return name
    if name in state.model.outputs:
        return deliver(state, name)
    output = _own_name(state, name, "reshaped")
    return append(state, "Reshape", value.tensor, output, {"shape": shape}, shape)


def _own_name(state: Importer, name: str, done: str) -> str:
    """``name`` itself where it is free: so the written file gives the same names again."""
    free = name != state.value(name).tensor and name not in state.builder.tensors
    return name if free else state.builder.fresh(f"{name}.{done}")


def leave_name(state: Importer, name: str) -> None:
    """The name belongs to the value in the order its user knows: a tensor in another one goes."""
    value = state.value(name)
    if value.tensor == name and (value.factors is not None or value.order != IN_ORDER):
        state.rename(name, state.builder.fresh(f"{name}.nchw"))


def _padded(state: Importer, name: str) -> str:
    """The zeros of a Pad that waited for its reader."""
    value, shape = state.value(name), state.padded_shape(name)
    top, left, bottom, right = value.pads or (0, 0, 0, 0)
    pads = (0, 0, top, left, 0, 0, bottom, right)
    output = state.builder.fresh(f"{name}.padded")
    append(state, "Pad", value.tensor, output, {"pads": pads}, shape)
    state.values[name] = Value(output, on_host=True)
    return output


def _reordered(state: Importer, name: str) -> str:
    """A tensor that the file has in another order: a Transpose, and the file's shape."""
    value, seen = state.value(name), state.seen(name)
    if value.pads:
        value = replace(value, tensor=_padded(state, name))
    tensor, is_output = value.tensor, name in state.model.outputs
    if tensor == name:  # the name belongs to the value in the order its user knows
        tensor = state.builder.fresh(f"{name}.nchw")
        state.rename(name, tensor)
    sizes = state.builder.tensors[tensor].shape
    shape = tuple(sizes[axis] for axis in value.order)
    free = name if name not in state.builder.tensors else state.builder.fresh(f"{name}.turned")
    turned = free if shape == seen else state.builder.fresh(f"{name}.turned")
    append(state, "Transpose", tensor, turned, {"perm": value.order}, shape)
    if shape != seen:
        append(state, "Reshape", turned, free, {"shape": seen}, seen)
    assert not is_output or free == name, f"{name} is made by another operator"
    state.values[name] = Value(free, on_host=True)
    return free


def _unfactored(state: Importer, name: str) -> str:
    """A tensor of any layout: split, transposed, and joined as the file has it."""
    value, seen = state.value(name), state.seen(name)
    assert value.factors is not None
    sizes, places = value.factors.sizes, value.factors.places
    tensor = value.tensor
    if tensor == name:
        tensor = state.builder.fresh(f"{name}.nchw")
        state.rename(name, tensor)
    lying = [index for place in places for index in place]
    split = (1, *(sizes[index] for index in lying))
    order = (0, *(1 + lying.index(index) for index in range(len(sizes))))
    source = tensor
    for op, attributes, shape in (
        ("Reshape", {"shape": split}, split),
        ("Transpose", {"perm": order}, (1, *sizes)),
    ):
        if (op == "Reshape" and shape == state.builder.tensors[source].shape) or (
            op == "Transpose" and order == tuple(range(len(order)))
        ):
            continue
        made = state.builder.fresh(f"{name}.{op.lower()}d")
        source = append(state, op, source, made, attributes, shape)
    free = name if name not in state.builder.tensors else state.builder.fresh(f"{name}.seen")
    append(state, "Reshape", source, free, {"shape": seen}, seen)
    state.values[name] = Value(free, on_host=True)
    return free


def _turned(state: Importer, name: str) -> str:
    """The Transpose that waited for its reader."""
    value = state.value(name)
    assert value.turned is not None
    source, (split, order) = value.tensor, value.turned
    if split != state.shape(name):
        parts = state.builder.fresh(f"{name}.parts")
        source = append(state, "Reshape", source, parts, {"shape": split}, split)
    output = _own_name(state, name, "turned")
    append(state, "Transpose", source, output, {"perm": order}, state.seen(name))
    state.values[name] = Value(output, on_host=True)
    return output


# ------------------------------------------------------------------ concatenations at the end


def sink_concats(state: Importer) -> None:
    """Concats that only the host reads are done by the host: then no branch shares its scale.

    Not where the host only reshapes the result for the user: such a network ends with its Concat.
    """
    builder = state.builder
    for node in reversed(builder.nodes[:]):
        if node.op != "Concat" or not _joined_by_host_only(state, node.output):
            continue
        builder.nodes.remove(node)
        axis = node.attributes.get("axis", 1)
        op = HostOp(node.output, "Concat", node.inputs, node.outputs, {"axis": axis})
        builder.host.insert(0, op)
        for key, value in state.values.items():
            if value is not None and value.tensor == node.output:
                state.values[key] = replace(value, on_host=True)


def _joined_by_host_only(state: Importer, name: str) -> bool:
    builder = state.builder
    if any(name in node.inputs for node in builder.nodes) or name in state.model.outputs:
        return False
    readers = [op for op in builder.host if name in op.inputs]
    read = {item for op in builder.host for item in op.inputs}
    return any(op.op != "Reshape" or op.output in read for op in readers)


# ------------------------------------------------------------------ network outputs


def check_output(state: Importer, name: str) -> None:
    """Findings for an output that the chip cannot deliver."""
    value, text = state.values.get(name), ""
    if name in state.model.constants:
        text = "the network output is a constant."
    elif value is None:
        text = "" if state.failed else "the network output is not computed by any node."
    elif value.tensor in state.builder.inputs:
        text = "the network output is the network input itself."
    if text:
        state.findings.append(Finding(name, text))


def deliver(state: Importer, name: str) -> str:
    """Output ``name`` in its ONNX shape, under its own name."""
    if is_made(state, name):
        return name
    value, shape = state.value(name), state.seen(name)
    if value.factors is not None:
        return _unfactored(state, name)
    if value.order != IN_ORDER:
        return _reordered(state, name)
    if value.tensor == name and shape == state.shape(name):
        return name
    shared = value.tensor in state.model.outputs or value.on_host
    if shape == state.shape(name) and not shared:
        state.rename(value.tensor, name)
        return name
    tensor = value.tensor
    if tensor == name:  # the name belongs to the output in the shape its user knows
        tensor = state.builder.fresh(f"{name}.nchw")
        state.rename(name, tensor)
    return append(state, "Reshape", tensor, name, {"shape": shape}, shape)
