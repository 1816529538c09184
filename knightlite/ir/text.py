"""The text form of a graph: one line per node, for ``--dump``, golden files and eyes."""

from __future__ import annotations

import numpy as np

from knightlite.ir.graph import Graph, Node, Tensor


def graph_text(graph: Graph) -> str:
    """Inputs, nodes (the parts of a chain indented below it), host operations, outputs.

    Constants are named by type and shape, not by value: the form is for reading and comparing
    structure.
    """
    lines = [f"graph {graph.name}"]
    lines += [f"input {_typed(graph.tensors[name])}" for name in graph.inputs]
    for node in graph.nodes:
        lines.append(_line(graph, node))
        lines += [f"  {_line(graph, part)}" for part in node.parts]
    for op in graph.host:
        outputs, inputs = ", ".join(op.outputs), ", ".join(op.inputs)
        lines.append(f"host {outputs} = {op.op}({inputs}){_attributes(op.attributes)}")
    lines += [f"output {name}" for name in graph.outputs]
    return "\n".join(lines) + "\n"


def _line(graph: Graph, node: Node) -> str:
    inputs = ", ".join(
        _typed(graph.tensors[name]) if name in graph.constants else name for name in node.inputs
    )
    return (
        f"{_typed(graph.tensors[node.output])} = {node.op}({inputs}){_attributes(node.attributes)}"
    )


def _typed(tensor: Tensor) -> str:
    scale = ""
    if tensor.scale is not None:
        low, high = float(np.min(tensor.scale)), float(np.max(tensor.scale))
        scale = f" scale {low:.6g}" + (f"..{high:.6g}" if tensor.per_channel else "")
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.name}: {tensor.dtype} {shape}{scale}"


def _attributes(attributes: object) -> str:
    if not attributes:
        return ""
    assert isinstance(attributes, dict)
    return " {" + ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes)) + "}"
