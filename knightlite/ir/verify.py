"""Structural promises of a graph, checked between passes: names, order, single assignment."""

from __future__ import annotations

from knightlite.errors import Finding, ModelError
from knightlite.ir.graph import Graph, flatten_chains


def problems(graph: Graph) -> list[Finding]:
    """Every broken promise: undefined or doubly defined tensors, order, missing descriptions."""
    found: list[Finding] = []
    defined = set(graph.inputs) | set(graph.constants)
    names: set[str] = set()
    for node in flatten_chains(graph.nodes):
        if node.name in names:
            found.append(Finding(node.name, "the node name is used twice."))
        names.add(node.name)
        for name in node.inputs:
            if name not in defined:
                found.append(Finding(node.name, f"input {name} is not defined before it is read."))
        for name in node.outputs:
            if name in defined:
                found.append(Finding(node.name, f"output {name} is defined twice."))
            defined.add(name)
            if name not in graph.tensors:
                found.append(Finding(node.name, f"output {name} has no tensor description."))
    for op in graph.host:
        for name in op.features:
            if name not in defined:
                found.append(Finding(op.name, f"host input {name} is not defined."))
        defined.update(op.outputs)
    found.extend(
        Finding(name, "the graph output is not defined.")
        for name in graph.outputs
        if name not in defined
    )
    for state in graph.states:
        one, other = (graph.tensors.get(name) for name in (state.input, state.output))
        if one is None or other is None or not one.is_like(other):
            found.append(Finding(state.input, f"it and its state {state.output} must be alike."))
    for name, values in graph.constants.items():
        tensor = graph.tensors.get(name)
        if tensor is None or tensor.shape != values.shape or tensor.dtype.numpy != values.dtype:
            found.append(Finding(name, "the constant and its tensor description differ."))
    return found


def verify(graph: Graph) -> None:
    """Raise :class:`ModelError` with all findings where the graph breaks a promise."""
    found = problems(graph)
    if found:
        raise ModelError(f"graph {graph.name} is inconsistent: {found[0]}", findings=found)
