"""Parts of a network: between two layers, and with inner tensors as further outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knightlite.errors import UsageError, suggestion
from knightlite.ir.graph import Graph, HostOp
from knightlite.name_lists import names_in


def part(graph: Graph, first: str | None, last: str | None) -> Graph:
    """The nodes that need node ``first`` and that node ``last`` needs; None: from, to the end.

    What a kept node reads from outside becomes a network input; what ``last`` writes is the output.
    UsageError where a name is no node's, nothing lies between them, or no output is left.
    """
    names = [node.name for node in graph.nodes]
    for name in (first, last):
        if name is not None and name not in names:
            raise UsageError(
                f"{graph.name} has no layer called {name}.",
                suggestion(name, names, "`knightlite explain` lists them"),
            )
    producers = graph.producers()
    behind: set[str] = set()
    for node in graph.nodes:
        feeds = {producers[name].name for name in node.inputs if name in producers}
        if first is None or node.name == first or feeds & behind:
            behind.add(node.name)
    before = {node.name for node in graph.nodes} if last is None else set[str]()
    for node in reversed(graph.nodes):
        if node.name == last or node.name in before:
            before.add(node.name)
            before |= {producers[name].name for name in node.inputs if name in producers}
    nodes = tuple(node for node in graph.nodes if node.name in behind & before)
    if not nodes:
        raise UsageError(
            f"layer {last} of {graph.name} does not need layer {first}.",
            "name the earlier one as the first (--start-layer-name), the later one as the last "
            "(--end-layer-name)",
        )
    made = {node.output for node in nodes}
    read = dict.fromkeys(name for node in nodes for name in node.inputs)
    inputs = tuple(name for name in read if name not in made and name not in graph.constants)
    if last is None:
        outputs = tuple(name for name in graph.outputs if made.issuperset(graph.before_host(name)))
        if not outputs:
            raise UsageError(f"no output of {graph.name} is computed behind layer {first} alone.")
        host = tuple(op for op in graph.host if made.issuperset(_sources(graph, op)))
        return replace(graph, nodes=nodes, inputs=inputs, outputs=outputs, host=host)
    (output,) = (node.output for node in nodes if node.name == last)
    return replace(graph, nodes=nodes, inputs=inputs, outputs=(output,), host=())


def _sources(graph: Graph, op: HostOp) -> set[str]:
    """The chip tensors that a host operation is computed from."""
    return {source for name in op.outputs for source in graph.before_host(name)}


def with_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """The network that also delivers these tensors; UsageError for one that no node writes."""
    known = graph.producers()
    names = names_in(names, known)
    for name in names:
        if name not in known:
            raise UsageError(
                f"{graph.name} has no tensor called {name} that could be an output.",
                suggestion(name, known),
            )
    return replace(graph, outputs=tuple(dict.fromkeys((*graph.outputs, *names))))
