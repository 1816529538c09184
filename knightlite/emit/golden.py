"""X_golden.onnx: the rewritten network in standard integer and float64 ONNX operators.

ONNX Runtime, a third party, computes from it the very bytes that the chip must compute. Every
tensor keeps its name; ``golden_model`` makes all materialised ones outputs on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from knightlite.ir import Graph
from knightlite.ir.graph import flatten_chains
from knightlite.ops import BY_NAME, View
from knightlite.ops.onnx_io import OnnxWriter


def golden_model(
    graph: Graph, extra_outputs: Iterable[str] = (), metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """Integers in, integers out: inputs and chip outputs of the graph, plus ``extra_outputs``."""
    writer = OnnxWriter(f"{graph.name}_golden")
    for name in graph.inputs:
        writer.input(name, graph.tensors[name].shape, graph.tensors[name].dtype)
    for node in flatten_chains(graph.nodes):
        view = View(graph, node)
        features = tuple(name for name in node.inputs if name not in graph.constants)
        BY_NAME[node.op].to_golden(view, writer, features, node.output)
    outputs = dict.fromkeys((*graph.chip_outputs, *extra_outputs))
    for name in outputs:
        if name in graph.inputs:
            continue
        writer.output(name, graph.tensors[name].shape, graph.tensors[name].dtype)
    return writer.model(metadata)
