"""What runs after the chip: trailing operators that it cannot do, and outputs in their own shape.

A trailing node that the chip refuses becomes a host operation where ``tail`` allows it, and then so
does everything behind it. Softmax and ArgMax at the end always do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from knightlite import dtypes
from knightlite.errors import Finding, UnsupportedError
from knightlite.frontend import compute as chip
from knightlite.frontend import modern
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.frontend.tail import VIEWS
from knightlite.ir import Attribute, HostOp
from knightlite.ops import host as kinds

HOST = ("Softmax", "ArgMax")


def append(
    state: Importer,
    op: str,
    source: str,
    output: str,
    attributes: Mapping[str, Any],
    shape: Shape,
) -> str:
    """Append a host operation of one input and describe its output; returns the output."""
    _append(state, HostOp(output, op, (source,), (output,), dict(attributes)), (shape,))
    return output


def _append(state: Importer, op: HostOp, shapes: tuple[Shape, ...]) -> None:
    """Integers come of ArgMax, and of what only moves integers."""
    tensors = state.builder.tensors
    made = {output for item in state.builder.host for output in item.outputs}
    integers = op.op == "ArgMax" or any(
        name in made and tensors[name].dtype == dtypes.S32 for name in op.inputs
    )
    state.builder.host.append(op)
    for output, shape in zip(op.outputs, shapes, strict=True):
        state.builder.tensor(output, shape, dtypes.S32 if integers else dtypes.F32)


def compute(state: Importer, node: SourceNode) -> None:
    """Append ``node`` in the shapes that the file gives its inputs; UnsupportedError says why not.

    Of several outputs, those that nothing reads are written too.
    """
    features = state.features(node)
    if not features or not all(map(state.values.get, features)):
        raise UnsupportedError(f"{node.op_type} {node.name} must read features that are known.")
    handler = HANDLERS.get(node.op_type)
    if handler is not None:
        handler(state, node)
    elif state.tail.general:
        _general(state, node)
    else:
        raise UnsupportedError(f"{node.kind} is not supported yet.")
    for name in node.outputs:
        if name:
            state.values[name] = Value(name, on_host=True)


def softmax(state: Importer, node: SourceNode) -> None:
    """At the end of the network on the host, elsewhere on the chip: there it is quantized."""
    if node.name in state.tail.built_in and node.outputs[0] not in state.model.quantized:
        compute(state, node)
        return
    axis = int(node.attributes.get("axis", 1 if state.model.opset < 13 else -1))
    attributes = {"axis": axis % len(state.seen(node.inputs[0]))}
    chip.compute(state, replace(node, attributes=attributes))


# ------------------------------------------------------------------ the operators


def _argmax(state: Importer, node: SourceNode) -> None:
    source, output = _source(state, node), node.outputs[0]
    axis = int(node.attributes.get("axis", 0)) % len(state.seen(node.inputs[0]))
    if node.attributes.get("select_last_index", 0):
        raise UnsupportedError(f"ArgMax {node.name} must have select_last_index 0.")
    attributes = {"axis": axis, "keepdims": int(node.attributes.get("keepdims", 1))}
    append(state, "ArgMax", source, output, attributes, state.seen(output))


def _softmax(state: Importer, node: SourceNode) -> None:
    source, output, shape = _source(state, node), node.outputs[0], state.seen(node.inputs[0])
    if state.model.opset < 13:
        axis = int(node.attributes.get("axis", 1)) % len(shape)
        _old_softmax(state, source, output, shape, axis)
    else:
        axis = int(node.attributes.get("axis", -1)) % len(shape)
        append(state, "Softmax", source, output, {"axis": axis}, shape)


def _old_softmax(state: Importer, source: str, output: str, shape: Shape, axis: int) -> None:
    """Before opset 13 Softmax ran over all axes from ``axis`` on, taken together."""
    rest = shape[axis:]
    long = [index for index, size in enumerate(rest) if size != 1]
    if len(long) <= 1:
        where = axis + (long[0] if long else 0)
        append(state, "Softmax", source, output, {"axis": where}, shape)
        return
    flat = (*shape[:axis], int(np.prod(rest)))
    before, after = (state.builder.fresh(f"{output}.{part}") for part in ("flat", "softmax"))
    append(state, "Reshape", source, before, {"shape": flat}, flat)
    append(state, "Softmax", before, after, {"axis": axis}, flat)
    append(state, "Reshape", after, output, {"shape": shape}, shape)


def _view(state: Importer, node: SourceNode) -> None:
    target = state.seen(node.outputs[0])
    source = _source(state, node)
    append(state, "Reshape", source, node.outputs[0], {"shape": target}, target)


def _transpose(state: Importer, node: SourceNode) -> None:
    rank = len(state.seen(node.inputs[0]))
    perm = tuple(int(axis) for axis in node.attributes.get("perm", range(rank)[::-1]))
    output = node.outputs[0]
    append(state, "Transpose", _source(state, node), output, {"perm": perm}, state.seen(output))


def _slice(state: Importer, node: SourceNode) -> None:
    """Constant starts, ends, axes and steps, as attributes (opset 9) or inputs."""
    found: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(kinds.SLICE, start=1):
        if name in node.attributes:
            found[name] = tuple(int(item) for item in node.attributes[name])
        elif index < len(node.inputs) and node.inputs[index]:
            values = state.model.constants.get(node.inputs[index])
            if values is None:
                raise UnsupportedError(f"Slice {node.name} must have constant {name}.")
            found[name] = tuple(int(item) for item in values.reshape(-1))
    found.setdefault("axes", tuple(range(len(found["starts"]))))
    found.setdefault("steps", (1,) * len(found["starts"]))
    rank, output = len(state.seen(node.inputs[0])), node.outputs[0]
    found["axes"] = tuple(axis % rank for axis in found["axes"])
    append(state, "Slice", _source(state, node), output, found, state.seen(output))


def _split(state: Importer, node: SourceNode) -> None:
    """One Slice for every part."""
    source, shape = _source(state, node), state.seen(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(shape)
    start = 0
    for output in node.outputs:
        end = start + state.seen(output)[axis]
        part = {"starts": (start,), "ends": (end,), "axes": (axis,), "steps": (1,)}
        append(state, "Slice", source, output, part, state.seen(output))
        start = end


def _same(state: Importer, node: SourceNode) -> None:
    """Concat and the element-wise operators: the same node, its constants beside it."""
    attributes: dict[str, Attribute] = {}
    if node.op_type == "Concat":
        attributes["axis"] = int(node.attributes.get("axis", 1)) % len(state.seen(node.outputs[0]))
    elif node.attributes:
        given = ", ".join(sorted(node.attributes))
        raise UnsupportedError(f"{node.op_type} {node.name} must have no attributes, not {given}.")
    _with_operands(state, node, attributes)


def _with_operands(state: Importer, node: SourceNode, attributes: Mapping[str, Attribute]) -> None:
    names, constants = [], {}
    for index, name in enumerate(node.inputs):
        if name in state.model.constants:
            values = state.model.constants[name]
            if np.issubdtype(values.dtype, np.floating):
                values = values.astype(np.float32)
                if not np.all(np.isfinite(values)):
                    raise UnsupportedError(f"the constant {name} must be finite.")
            constants[f"{node.outputs[0]}/{index}"] = values
            names.append(f"{node.outputs[0]}/{index}")
        else:
            names.append(_as_seen(state, name) if name else "")
    outputs = tuple(name for name in node.outputs if name)
    written = {name: _attribute(node, name, value) for name, value in attributes.items()}
    op = HostOp(outputs[0], node.op_type, tuple(names), outputs, written, constants)
    _append(state, op, tuple(state.model.shapes.get(name, ()) for name in outputs))


def _attribute(node: SourceNode, name: str, value: Any) -> Attribute:
    """An attribute as a host operation holds it; UnsupportedError for what a .cfg cannot hold."""
    items = tuple(
        item.decode(errors="replace") if isinstance(item, bytes) else item
        for item in (value if isinstance(value, (list, tuple)) else (value,))
    )
    if not all(isinstance(item, (int, str)) or _is_finite(item) for item in items):
        raise UnsupportedError(
            f"attribute {name} of {node.op_type} {node.name} must be finite numbers or texts."
        )
    return items if isinstance(value, (list, tuple)) else items[0]


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _general(state: Importer, node: SourceNode) -> None:
    """Any operator, rewritten for the opset of the files that we write."""
    for made in modern.rewritten(node, state.model):
        state.model = made.model
        _with_operands(state, made.node, made.attributes)
        for name in made.node.outputs:
            state.values[name] = Value(name, on_host=True)


HANDLERS: dict[str, Callable[[Importer, SourceNode], None]] = {
    **dict.fromkeys((*kinds.UNARY, *kinds.BINARY, "Concat"), _same),
    **dict.fromkeys(VIEWS, _view),
    "ArgMax": _argmax,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Transpose": _transpose,
}


def _source(state: Importer, node: SourceNode) -> str:
    return _as_seen(state, node.inputs[0])


def _as_seen(state: Importer, name: str) -> str:
    """The tensor behind ``name`` in its ONNX shape, through a Reshape where they differ."""
    value = state.value(name)
    if value.turned:
        return _turned(state, name)
    if value.pads:
        return _padded(state, name)
    if value.on_host or state.seen(name) == state.shape(name):
        return value.tensor
    shape = state.seen(name)
    if _on_host(state, name):
        return name
    if name in state.model.outputs:
        return deliver(state, name)
    output = _own_name(state, name, "reshaped")
    return append(state, "Reshape", value.tensor, output, {"shape": shape}, shape)


def _own_name(state: Importer, name: str, done: str) -> str:
    """``name`` itself where it is free: so the written file gives the same names again."""
    free = name != state.value(name).tensor and name not in state.builder.tensors
    return name if free else state.builder.fresh(f"{name}.{done}")


def _padded(state: Importer, name: str) -> str:
    """The zeros of a Pad that waited for its reader."""
    value, shape = state.value(name), state.padded_shape(name)
    top, left, bottom, right = value.pads or (0, 0, 0, 0)
    pads = (0, 0, top, left, 0, 0, bottom, right)
    output = state.builder.fresh(f"{name}.padded")
    append(state, "Pad", value.tensor, output, {"pads": pads}, shape)
    state.values[name] = Value(output, on_host=True)
    return output


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


def _on_host(state: Importer, name: str) -> bool:
    return any(name in op.outputs for op in state.builder.host)


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
    if _on_host(state, name):
        return name
    value, shape = state.value(name), state.seen(name)
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
