"""The plan of a .cfg, read record by record as its declarations say."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from knightlite import dtypes
from knightlite.container import GeneralLayer, plan_bytes
from knightlite.container.plan import GENERAL, HEAD, LAYER, NOWHERE, PLACE, TENSOR, Record
from knightlite.emit.program import _general
from knightlite.ir import GraphBuilder, HostOp
from test_description import RESHAPE, SUM, described


def records(data: bytes, at: int, record: Record, count: int) -> list[dict[str, int]]:
    names = [item.name for item in record.items]
    size = record.form.size
    return [
        dict(zip(names, record.form.unpack_from(data, at + number * size), strict=True))
        for number in range(count)
    ]


def test_general_layers_share_one_list_of_what_they_read() -> None:
    """Each begins where the ones before it end; numbers of tensors, in the order of the table."""
    general = (
        GeneralLayer("g", 1, (RESHAPE,), ("x", "y"), "x"),
        GeneralLayer("h", 2, (SUM,), ("y",), "y", layer_type=1153),
        GeneralLayer("i", 5, (SUM, RESHAPE), ("y", "x", "y"), "gone"),
        GeneralLayer("j", 7, (SUM,), ("x",), "y"),
    )
    meta = replace(described(), general=general)
    data = plan_bytes(meta)
    (head,) = records(data, 0, HEAD, 1)
    assert (head["general_layers"], head["general_reads"]) == (4, 7)
    assert (head["layers"], head["tensors"], head["inputs"], head["outputs"]) == (3, 2, 1, 1)
    at = HEAD.form.size + 3 * LAYER.form.size + 2 * TENSOR.form.size
    found = records(data, at, GENERAL, 4)
    names = ("at", "output", "reads", "first_read", "layer_type")
    assert [tuple(item[name] for name in names) for item in found] == [
        (1, 0, 2, 0, 0), (2, 1, 1, 2, 1153), (5, NOWHERE, 3, 3, 0), (7, 1, 1, 6, 0),
    ]  # fmt: skip
    places = records(data, at + 4 * GENERAL.form.size, PLACE, 1 + 1 + 7)
    assert [item["tensor"] for item in places] == [0, 1, 0, 1, 1, 1, 0, 1, 0]


def test_where_a_program_waits_for_the_host() -> None:
    """Before the first instruction of the layer behind; tensors by their names in the program."""
    net = GraphBuilder("net")
    net.input("x", (1, 2, 1, 2), dtypes.S8, 0.5)
    for op, name, inputs, more in (
        ("Table", "a", ("x",), {}),
        ("General", "g", ("a",), {"reads": ("q",), "makes": "m", "layer_type": 7}),
        ("Table", "b", ("g",), {}),
        ("General", "h", ("b", "a", "b"), {"reads": ("p", "q", "r"), "makes": "m"}),
        ("General", "i", ("h",), {}),
        ("Table", "c", ("i",), {}),
    ):
        net.node(op, inputs, name, cast("dict[str, Any]", more))
        net.tensor(name, (1, 2, 1, 2), dtypes.S8, 0.5)
    graph = net.build(("c",))
    hosts = {
        "g": (HostOp("n", "Abs", ("q",), ("t",)), HostOp("o", "Neg", ("t",), ("m",))),
        "h": (HostOp("s", "Sum", ("r", "p", "q"), ("m",)),),
        "i": (HostOp("u", "Abs", ("h",), ("i",)),),
    }
    graph = graph.with_nodes([replace(n, host=hosts.get(n.output, ())) for n in graph.nodes])
    code = cast("Any", [SimpleNamespace(layer=layer) for layer in (0, 0, 1, 1, 1, 2)])
    found = _general(graph, code)
    assert [(item.name, item.at, item.reads, item.output, item.layer_type) for item in found] == [
        ("g", 2, ("a",), "g", 7), ("h", 5, ("b", "a"), "h", 0), ("i", 5, ("h",), "i", 0),
    ]  # fmt: skip
    assert [[(op.name, *op.inputs, *op.outputs) for op in item.operators] for item in found] == [
        [("n", "a", "t"), ("o", "t", "g")], [("s", "b", "b", "a", "h")], [("u", "h", "i")],
    ]  # fmt: skip
