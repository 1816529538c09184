"""What runs after the chip: trailing Softmax and ArgMax, and outputs in their own shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from knightlite import dtypes
from knightlite.errors import Finding
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ir import HostOp

HOST = ("Softmax", "ArgMax")


def append(
    state: Importer,
    op: str,
    source: str,
    output: str,
    attributes: Mapping[str, Any],
    shape: Shape,
) -> str:
    """Append a host operation and describe its output (ArgMax: integers); returns the output."""
    integers = op == "ArgMax" or any(
        item.output == source and state.builder.tensors[source].dtype == dtypes.S32
        for item in state.builder.host
    )
    state.builder.host.append(HostOp(output, op, source, output, dict(attributes)))
    return state.builder.tensor(output, shape, dtypes.S32 if integers else dtypes.F32)


def compute(state: Importer, node: SourceNode) -> None:
    """Softmax and ArgMax in the shape the file gives their input."""
    name, output = node.inputs[0], node.outputs[0]
    shape = state.seen(name)
    source = _as_seen(state, name)
    if node.op_type == "ArgMax":
        axis = int(node.attributes.get("axis", 0)) % len(shape)
        attributes = {"axis": axis, "keepdims": int(node.attributes.get("keepdims", 1))}
        append(state, "ArgMax", source, output, attributes, state.seen(output))
    elif state.model.opset < 13:
        axis = int(node.attributes.get("axis", 1)) % len(shape)
        _old_softmax(state, source, output, shape, axis)
    else:
        axis = int(node.attributes.get("axis", -1)) % len(shape)
        append(state, "Softmax", source, output, {"axis": axis}, shape)
    state.values[output] = Value(output, on_host=True)


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


def _as_seen(state: Importer, name: str) -> str:
    """The tensor behind ``name`` in its ONNX shape, through a Reshape where they differ."""
    value, shape = state.value(name), state.seen(name)
    if value.on_host or shape == state.shape(name):
        return value.tensor
    if any(op.output == name for op in state.builder.host):
        return name
    if name in state.model.outputs:
        return deliver(state, name)
    free = name != value.tensor and name not in state.builder.tensors
    output = name if free else state.builder.fresh(f"{name}.reshaped")
    return append(state, "Reshape", value.tensor, output, {"shape": shape}, shape)


# ------------------------------------------------------------------ network outputs


def check_output(state: Importer, name: str) -> None:
    """Findings for an output that the chip cannot deliver."""
    value, text = state.values.get(name), ""
    if name in state.model.constants:
        text = "the network output is a constant."
    elif value is None:
        text = "" if state.failed else "the network output is not computed by any node."
    elif value.pads:
        text = "the network output must not be a Pad."
    elif value.tensor in state.builder.inputs:
        text = "the network output is the network input itself."
    if text:
        state.findings.append(Finding(name, text))


def deliver(state: Importer, name: str) -> str:
    """Output ``name`` in its ONNX shape, under its own name."""
    value, shape = state.value(name), state.seen(name)
    if any(op.output == name for op in state.builder.host):
        return name
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
