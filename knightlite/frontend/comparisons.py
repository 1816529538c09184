"""Comparisons of features, and what is chosen by them, in numbers: true is 1, false is 0.

::

    Equal(a, b)           =>  1 - |Sign(a - b)|
    Greater(a, b)         =>  Relu(Sign(a - b));  GreaterOrEqual: 1 - Relu(Sign(b - a))
    And, Or, Xor, Not     =>  Mul, Max, |a - b|, 1 - a
    Where(c, a, b)        =>  Mul(c, a) + Mul(1 - c, b)      without a part that is 0

Two integers of one scale are equal or not as the reals that they stand for: the peaks of a heat map
(a MaxPool equal to what it reads) are found exactly. Truth values that anything else reads, or that
are an output, stay as they are: the host computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.steps import REALS, Steps

COMPARED = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
JOINED = ("And", "Or", "Xor", "Not")
CHOSEN = "Where"


def spelled_out(model: SourceModel) -> SourceModel:
    """The model with such nodes in numbers."""
    truths = _truths(model)
    if not truths:
        return model
    nodes: list[SourceNode] = []
    constants, shapes, types = dict(model.constants), dict(model.shapes), dict(model.types)
    for node in model.nodes:
        made = None
        if node.outputs[0] in truths or (node.op_type == CHOSEN and node.inputs[0] in truths):
            steps = Steps(node, model.opset, constants, shapes, types)
            last = RULES[node.op_type](steps)
            made = None if last is None else steps.finished(last)
            if made is not None and node.outputs[0] in truths:
                types[node.outputs[0]] = TensorProto.FLOAT
        nodes += [node] if made is None else made
    return replace(model, nodes=tuple(nodes), constants=constants, shapes=shapes, types=types)


def _truths(model: SourceModel) -> frozenset[str]:
    """Truth values made of real features that only each other, Where and Cast read."""
    if model.quantized:
        return frozenset()
    made = {
        node.outputs[0]: node
        for node in model.nodes
        if not node.domain and (node.op_type in JOINED or _compares_reals(node, model))
    }
    readers: dict[str, list[SourceNode]] = {}
    for node in model.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    while True:
        lost = {
            name
            for name, node in made.items()
            if name in model.outputs
            or not all(_takes(reader, name, made, model) for reader in readers.get(name, ()))
            or (node.op_type in JOINED and not _joins(node, made, model))
        }
        if not lost:
            return frozenset(made)
        made = {name: node for name, node in made.items() if name not in lost}


def _compares_reals(node: SourceNode, model: SourceModel) -> bool:
    """True for features, whose shapes are known, beside features or finite numbers."""
    if node.op_type not in COMPARED:
        return False
    features = [name for name in node.inputs if name not in model.constants]
    numbers = [model.constants[name] for name in node.inputs if name in model.constants]
    return (
        bool(features)
        and all(name in model.shapes for name in (*features, node.outputs[0]))
        and all(model.types.get(name) in REALS for name in features)
        and all(np.isfinite(values).all() for values in numbers)
    )


def _joins(node: SourceNode, made: Mapping[str, SourceNode], model: SourceModel) -> bool:
    features = [name for name in node.inputs if name not in model.constants]
    return bool(features) and all(name in made for name in features)


def _takes(
    reader: SourceNode, name: str, made: Mapping[str, SourceNode], model: SourceModel
) -> bool:
    """True for a reader to which a truth value may as well be a number."""
    if reader.op_type == CHOSEN:
        branches = reader.inputs[1:]
        real = model.types.get(reader.outputs[0]) in REALS and reader.outputs[0] in model.shapes
        finite = all(np.isfinite(model.constants.get(item, 0)).all() for item in branches)
        return reader.inputs[0] == name and name not in branches and real and finite
    if reader.op_type == "Cast":
        return int(reader.attributes["to"]) in REALS
    return reader.outputs[0] in made


# ------------------------------------------------------------------ the rules


def _shape(steps: Steps) -> Shape:
    return steps.shapes[steps.node.outputs[0]]


def _number(steps: Steps, name: str) -> str:
    """An operand; a constant of truth values or of another type as float32."""
    if name not in steps.constants:
        return name
    values = steps.constants[name]
    return name if values.dtype == np.float32 else steps.constant(values.astype(np.float32))


def _inverse(steps: Steps, name: str) -> str:
    """1 - the value; the Relu says that it is not negative, and costs nothing."""
    one, shape = steps.constant(np.ones((), np.float32)), steps.shape(name)
    return steps.node_of("Relu", [steps.node_of("Sub", [one, name], shape)], shape)


def _sign(steps: Steps, a: str, b: str) -> str:
    shape = _shape(steps)
    apart = steps.node_of("Sub", [_number(steps, a), _number(steps, b)], shape)
    return steps.node_of("Sign", [apart], shape)


def _compared(steps: Steps) -> str:
    kind, (a, b) = steps.node.op_type, steps.node.inputs
    if kind == "Equal":
        return _inverse(steps, steps.node_of("Abs", [_sign(steps, a, b)], _shape(steps)))
    if kind in ("Less", "GreaterOrEqual"):
        a, b = b, a
    strictly = steps.node_of("Relu", [_sign(steps, a, b)], _shape(steps))
    return strictly if kind in ("Greater", "Less") else _inverse(steps, strictly)


def _joined(steps: Steps) -> str:
    kind, shape = steps.node.op_type, _shape(steps)
    names = [_number(steps, name) for name in steps.node.inputs]
    if kind == "Not":
        return _inverse(steps, names[0])
    if kind == "Xor":
        return steps.node_of("Abs", [steps.node_of("Sub", names, shape)], shape)
    return steps.node_of("Mul" if kind == "And" else "Max", names, shape)


def _chosen(steps: Steps) -> str:
    condition, *branches = steps.node.inputs
    shape, terms = _shape(steps), []
    for name, inverse in zip(branches, (False, True), strict=True):
        if name in steps.constants and not steps.constants[name].any():
            continue
        mask = _inverse(steps, condition) if inverse else condition
        terms.append(steps.node_of("Mul", [mask, _number(steps, name)], shape))
    if not terms:
        terms = [steps.node_of("Mul", [condition, steps.constant(np.zeros((), np.float32))], shape)]
    return terms[0] if len(terms) == 1 else steps.node_of("Add", terms, shape)


RULES: Mapping[str, Callable[[Steps], str]] = {
    **dict.fromkeys(COMPARED, _compared),
    **dict.fromkeys(JOINED, _joined),
    CHOSEN: _chosen,
}
