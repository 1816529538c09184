"""Look a whole model over: every unsupported node at once, and its size. For ``check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from knightlite.errors import Finding
from knightlite.frontend import canonical, interpreter, views
from knightlite.frontend.interpreter import Conversion
from knightlite.frontend.macs import node_macs
from knightlite.frontend.model_files import read_source
from knightlite.frontend.source import SourceModel
from knightlite.frontend.static_shapes import InputShapes
from knightlite.ir import Graph


@dataclass(frozen=True, slots=True)
class OpCount:
    """Nodes of one ONNX operator: all, those that are supported, and those of them on the host."""

    total: int
    supported: int
    host: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """What ``check`` prints. ``graph`` is None where there are errors among the ``findings``.

    ``operators`` by ONNX type, shape computations and Identities included, constants not. ``macs``
    counts the multiply-accumulates of one picture in convolutions, products of matrices and
    recurrent layers, ``npu_macs`` those in nodes that the NPU does. ``parameters`` counts the
    elements of all float constants that nodes read.
    """

    name: str
    graph: Graph | None
    findings: tuple[Finding, ...]
    operators: Mapping[str, OpCount]
    macs: int
    npu_macs: int
    parameters: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that keep the model off the NPU."""
        return tuple(item for item in self.findings if item.severity == "error")


def survey(
    path: str | Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
    general: bool = False,
    conversion: Conversion = interpreter.DEFAULT,
    picks_on_npu: bool = False,
) -> Survey:
    """Survey a float model. Errors: as ``load``, but unsupported nodes are findings."""
    model = read_source(Path(path), weight, framework, input_shapes, conversion)
    model = replace(model, picks_on_npu=picks_on_npu)
    result = canonical.canonicalize(model, general)
    totals = Counter(node.kind for node in model.nodes)
    done = Counter(node.kind for node in model.nodes if node.name in result.supported)
    on_host = result.hosted | _last_views(model, result.graph)
    hosted = Counter(node.kind for node in model.nodes if node.name in on_host)
    folded = Counter(model.folded)
    operators = {
        kind: OpCount(totals[kind] + folded[kind], done[kind] + folded[kind], hosted[kind])
        for kind in sorted(totals | folded)
    }
    counted = [(node, node_macs(model, node)) for node in model.nodes]
    return Survey(
        model.name,
        result.graph,
        result.findings,
        operators,
        sum(count for _, count in counted),
        sum(count for node, count in counted if node.name in result.supported - result.hosted),
        parameters(model),
    )


def _last_views(model: SourceModel, graph: Graph | None) -> frozenset[str]:
    """Nodes that only give an output its shape, which the host does behind the chip."""
    made = {name for op in (graph.host if graph is not None else ()) for name in op.outputs}
    return frozenset(
        node.name
        for node in model.nodes
        if node.op_type in views.VIEWS and not made.isdisjoint(node.outputs)
    )


def parameters(model: SourceModel) -> int:
    """Elements of all float constants that nodes read, shared ones once."""
    read = {name for node in model.nodes for name in node.inputs if name in model.constants}
    arrays = {id(model.constants[name]): model.constants[name] for name in read}
    return sum(
        values.size for values in arrays.values() if np.issubdtype(values.dtype, np.floating)
    )
