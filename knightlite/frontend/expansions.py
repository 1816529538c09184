"""An Expand or Tile whose readers broadcast anyway is left out: ``x / Expand(n)`` is ``x / n``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite.frontend.source import Shape, SourceModel, SourceNode

REPEATING = ("Expand", "Tile")
BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean")


def leave_out(model: SourceModel) -> SourceModel:
    """The model without the Expands and Tiles that make no difference to their readers."""
    sources = {
        node.outputs[0]: node.inputs[0]
        for node in model.nodes
        if node.op_type in REPEATING and not node.domain and _is_idle(model, node)
    }
    nodes = [
        replace(node, inputs=tuple(sources.get(name, name) for name in node.inputs))
        for node in model.nodes
        if node.outputs[0] not in sources
    ]
    return replace(model, nodes=tuple(nodes))


def _is_idle(model: SourceModel, node: SourceNode) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    if output in model.outputs or output in model.quantized or source in model.constants:
        return False
    readers = [item for item in model.nodes if output in item.inputs]
    return all(_broadcasts(model, reader, output, source) for reader in readers)


def _broadcasts(model: SourceModel, reader: SourceNode, output: str, source: str) -> bool:
    """True where ``reader`` computes the same from ``source`` as from what it was expanded to."""
    names = [source if name == output else name for name in reader.inputs]
    shapes = [model.shapes.get(name) for name in (*names, reader.outputs[0])]
    if reader.domain or reader.op_type not in BROADCASTING or None in shapes:
        return False
    *operands, wanted = [shape for shape in shapes if shape is not None]
    same_rank = len(model.shapes[source]) == len(wanted)
    return same_rank and _broadcast(operands) == wanted


def _broadcast(shapes: list[Shape]) -> Shape | None:
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        return None
