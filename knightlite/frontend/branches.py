"""If with a condition that is known: the branch that counts takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite.frontend.source import SourceNode

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


def known(nodes: Sequence[SourceNode], constants: Mapping[str, Array]) -> dict[str, str]:
    """Ifs whose condition is a constant, by their first output: the attribute of the branch."""
    return {
        node.outputs[0]: "then_branch" if bool(constants[node.inputs[0]].all()) else "else_branch"
        for node in nodes
        if node.op_type == "If"
        and not node.domain
        and node.inputs[0] in constants
        and constants[node.inputs[0]].size == 1
    }


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Let the graph have these nodes, some of which may be its own."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def inlined(nodes: Sequence[onnx.NodeProto], chosen: Mapping[str, str]) -> list[onnx.NodeProto]:
    """The nodes with those of the chosen branches in the places of their Ifs."""
    found: list[onnx.NodeProto] = []
    for node in nodes:
        branch = chosen.get(node.output[0]) if node.op_type == "If" and node.output else None
        if branch is None:
            found.append(node)
            continue
        (graph,) = [item.g for item in node.attribute if item.name == branch]
        found += _moved(graph, node)
    return found


def _moved(branch: onnx.GraphProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The branch's initializers and nodes under names of their own, then what the If gave."""
    from onnx import helper

    own = {item.name for item in branch.initializer}
    own |= {name for item in branch.node for name in item.output if name}
    stem = node.output[0]  # names of nodes need not be unique
    names = {name: f"{stem}/{name}" for name in own}
    moved = [
        helper.make_node("Constant", [], [names[item.name]], name=names[item.name], value=item)
        for item in branch.initializer
    ]
    for item in branch.node:
        copy = type(item).FromString(item.SerializeToString())
        copy.name = f"{stem}/{item.name}" if item.name else ""
        rename_values(copy, names)
        moved.append(copy)
    for inner, output in zip(branch.output, node.output, strict=False):
        if output:
            source = names.get(inner.name, inner.name)
            moved.append(helper.make_node("Identity", [source], [output], name=f"{stem}/{output}"))
    return moved


def rename_values(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """New names in a node and in the graphs that it holds, where these do not hide them."""
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            hidden = {item.name for item in (*graph.input, *graph.initializer)}
            hidden |= {name for item in graph.node for name in item.output}
            inner = {key: name for key, name in names.items() if key not in hidden}
            for item in graph.node:
                rename_values(item, inner)
            for result in graph.output:
                result.name = inner.get(result.name, result.name)
