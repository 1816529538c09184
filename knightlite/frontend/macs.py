"""Multiply-accumulates of the nodes of a source model."""

from __future__ import annotations

import numpy as np

from knightlite.frontend.source import SourceModel, SourceNode

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
RECURRENT = ("GRU", "LSTM", "RNN")


def node_macs(model: SourceModel, node: SourceNode) -> int:
    """Multiply-accumulates of a node with weights, groups included; 0 where unknown.

    Those of a ConvTranspose are counted at its input: every pixel meets all taps. A recurrent layer
    multiplies by all its weights, those of its state included, at every step.
    """
    if node.domain or node.op_type not in (*WEIGHTED, *RECURRENT):
        return 0
    if node.op_type in RECURRENT:
        return _recurrent(model, node)
    shapes = [model.shapes.get(name) for name in (*node.inputs[:2], node.outputs[0])]
    left, right, output = shapes
    if left is None or right is None or output is None:
        return 0
    if node.op_type == "ConvTranspose":
        return int(np.prod(left, dtype=np.int64)) * int(np.prod(right[1:]))
    if node.op_type == "Conv":
        depth = int(np.prod(right[1:]))
    else:
        depth = left[0] if node.attributes.get("transA", 0) else left[-1]
    return int(np.prod(output, dtype=np.int64)) * depth


def _recurrent(model: SourceModel, node: SourceNode) -> int:
    shapes = [model.shapes.get(name) for name in node.inputs[:3]]
    if len(shapes) < 3 or any(shape is None or len(shape) != 3 for shape in shapes):
        return 0
    sequence, *weights = (shape for shape in shapes if shape is not None)
    steps = sequence[0] * sequence[1]  # and sequences; their order depends on the layout
    return steps * sum(int(np.prod(shape, dtype=np.int64)) for shape in weights)
