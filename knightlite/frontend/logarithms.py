"""LogSoftmax in the middle of a network: differences, a sum of exponentials and its logarithm.

::

    LogSoftmax(x)  =>  d - Log(ReduceSum(Exp(d)))    with d = x - ReduceMax(x)

A share of 8 bits has no logarithm to speak of, so none is computed: what comes out is as fine as
its own steps. At the end of a network the host does it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.frontend.steps import Steps

KIND = "LogSoftmax"
OF_ONE_AXIS = 13  # from this opset on; before, over all axes from its axis on


def spelled_out(model: SourceModel, trailing: Collection[str]) -> SourceModel:
    """The model with the operator spelled out; not for ``trailing`` nodes, which the host has."""
    if model.quantized or not any(_is_spelled(node, model, trailing) for node in model.nodes):
        return model
    nodes: list[SourceNode] = []
    constants, shapes, types = dict(model.constants), dict(model.shapes), dict(model.types)
    for node in model.nodes:
        made = [node]
        if _is_spelled(node, model, trailing):
            steps = Steps(node, model.opset, constants, shapes, types)
            made = steps.finished(_logarithms(steps))
        nodes += made
    return replace(model, nodes=tuple(nodes), constants=constants, shapes=shapes, types=types)


def _is_spelled(node: SourceNode, model: SourceModel, trailing: Collection[str]) -> bool:
    known = node.op_type == KIND and not node.domain and node.name not in trailing
    return known and node.inputs[0] in model.shapes and node.inputs[0] not in model.constants


def _logarithms(steps: Steps) -> str:
    x, given = steps.node.inputs[0], steps.node.attributes
    shape, old = steps.shape(x), steps.opset < OF_ONE_AXIS
    axis = int(given.get("axis", 1 if old else -1)) % len(shape)
    axes = list(range(axis, len(shape))) if old else [axis]
    kept = tuple(1 if at in axes else size for at, size in enumerate(shape))
    over = {"axes": axes, "keepdims": 1}
    largest = steps.node_of("ReduceMax", [x], kept, over)
    apart = steps.node_of("Sub", [x, largest], shape)
    shares = steps.node_of("Exp", [apart], shape)
    total = steps.node_of("ReduceSum", [shares], kept, over)
    return steps.node_of("Sub", [apart, steps.node_of("Log", [total], kept)], shape)
