"""Nodes that compute nothing: views of the same elements, no-ops, and a Pad that waits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import padding
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
SAME = ("Identity", "Dropout", "Cast")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def same(state: Importer, node: SourceNode) -> None:
    """Identity, Dropout and a Cast between float types change nothing."""
    if node.op_type == "Cast":
        if node.attributes.get("to") not in FLOATS:
            kind = TensorProto.DataType.Name(node.attributes.get("to", 0)).lower()
            raise UnsupportedError(f"Cast of features to {kind} is not supported yet.")
    elif node.op_type == "Dropout" and len(node.inputs) > 2 and node.inputs[2]:
        training = state.model.constants.get(node.inputs[2])
        if training is None or bool(np.any(training)):
            raise UnsupportedError(
                f"Dropout {node.name} must be in inference form, not training form.",
                "export the model after calling its eval()",
            )
    state.values[node.outputs[0]] = state.value(node.inputs[0])


def view(state: Importer, node: SourceNode) -> None:
    """Reshape and its kin keep the elements in their order; so does a Transpose of ones."""
    source, target = state.seen(node.inputs[0]), state.seen(node.outputs[0])
    if node.op_type == "Transpose":
        perm = node.attributes.get("perm", tuple(range(len(source)))[::-1])
        moved = [axis for axis in perm if source[axis] != 1]
        if moved != sorted(moved):
            raise UnsupportedError(f"Transpose {list(perm)} of {source} is not supported yet.")
    if int(np.prod(source)) != int(np.prod(target)):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must keep all elements, not turn {source} into {target}."
        )
    value, output = state.value(node.inputs[0]), node.outputs[0]
    state.values[output] = state.stand_in(output) if value.stands_in else value


def pad(state: Importer, node: SourceNode) -> None:
    """A constant Pad with zeros waits for its reader."""
    value = state.value(node.inputs[0])
    if state.seen(node.inputs[0]) != state.padded_shape(node.inputs[0]):
        raise UnsupportedError(f"Pad {node.name} must read [N, C, H, W] features.")
    pads = padding.pads_of(node, state.model.constants)
    both = value.pads or (0, 0, 0, 0)
    total = (both[0] + pads[0], both[1] + pads[1], both[2] + pads[2], both[3] + pads[3])
    state.values[node.outputs[0]] = replace(value, pads=total if any(total) else None)
