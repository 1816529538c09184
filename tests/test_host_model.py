"""A host model that came in a file is its list of operators, and those do no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest

from knightlite.ir import Graph
from knightlite.ops import host, host_model
from program_faults import put_in_a_loop, tail

KINDS = "Reshape, Mul, Slice, TopK"


def elsewhere(model: onnx.ModelProto) -> None:
    """The first constant is said to lie in a file."""
    item = model.graph.initializer[0]
    item.data_location = onnx.TensorProto.EXTERNAL
    item.external_data.add(key="location", value="/etc/passwd")


def short(model: onnx.ModelProto) -> None:
    """A shape has fewer bytes than numbers."""
    item = next(item for item in model.graph.initializer if item.name.endswith("/shape"))
    item.raw_data = b"abc"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda model: put_in_a_loop(model.graph),
         f"must have nodes {KINDS}, not Loop, {KINDS}"),
        (lambda model: model.functions.add(), "must have operators of ONNX 21 and no functions"),
        (lambda model: model.graph.sparse_initializer.add(),
         "must have operators of ONNX 21 and no functions"),
        (lambda model: model.opset_import.add(domain="x", version=1),
         "must have operators of ONNX 21 and no functions"),
        (short, "must have the constants that its operators say"),
        (elsewhere, "must have the constants that its operators say"),
        (lambda model: model.graph.initializer.add(name="more"),
         "must have the constants that its operators say"),
        (lambda model: model.graph.node[1].input.reverse(),
         "must have Mul scaled as its operators say"),
        (lambda model: model.graph.node[1].attribute.add(name="to"),
         "must have Mul scaled as its operators say"),
        (lambda model: model.graph.output.pop(),
         "must have outputs best, places, y, not best, places"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_list(
    change: Callable[[onnx.ModelProto], object], sentence: str
) -> None:
    graph = tail()
    model = host.model(graph)
    assert host_model.problem(model, graph) is None
    change(model)
    assert host_model.problem(model, graph) == sentence


@pytest.mark.parametrize(
    ("op", "sentence"),
    [
        ("Scan", "must have no operator that runs others, such as Scan (scaled)"),
        ("Magic", "must have operators of ONNX 21, not Magic (scaled)"),
        ("Cast", "must have operators as compile writes them (KeyError: 'to')"),
    ],
)
def test_what_a_list_may_not_hold(op: str, sentence: str) -> None:
    graph = tail()
    model = host.model(graph)
    assert host_model.problem(model, changed(graph, op)) == sentence


@pytest.mark.parametrize(
    ("op", "numbers", "sentence"),
    [
        ("Expand", (1 << 16, 1 << 12, 24),
         "must compute at most 268435456 numbers, not 6442450944 (scaled)"),
        ("Expand", None, "must have a known shape of scaled, which Expand makes"),
    ],
)  # fmt: skip
def test_what_would_be_too_much(op: str, numbers: tuple[int, ...] | None, sentence: str) -> None:
    graph = tail()
    step = graph.host[1]
    constants = {} if numbers is None else {"k_gain": np.asarray(numbers, np.int64)}
    inputs = ("flat", "flat" if numbers is None else "k_gain")
    graph = replace(
        graph,
        outputs=("scaled",),
        host=(graph.host[0], replace(step, op=op, inputs=inputs, constants=constants)),
    )
    model = host.share(graph, batch=1)
    model.graph.output.append(onnx.helper.make_tensor_value_info("scaled", 1, None))
    assert host_model.problem(model, graph) == sentence


def changed(graph: Graph, op: str) -> Graph:
    """Another operator in the place of the second."""
    steps = list(graph.host)
    steps[1] = replace(steps[1], op=op)
    return replace(graph, host=tuple(steps))
