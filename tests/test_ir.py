"""The graph's records, its builder, and every promise that ``verify`` holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from knightlite import dtypes
from knightlite.errors import ModelError
from knightlite.ir import Graph, GraphBuilder, HostOp, Node, Tensor, verify
from knightlite.ir.graph import flatten_chains
from knightlite.ir.verify import problems


def small() -> Graph:
    """x -> Conv a -> Table b, Add c of both, and a Softmax on the host."""
    builder = GraphBuilder("small")
    builder.input("x", (1, 3, 4, 4))
    builder.constant("w", np.zeros((3, 3, 1, 1), np.float32))
    builder.node("Conv", ("x", "w"), builder.tensor("a", (1, 3, 4, 4)))
    builder.node("Table", ("a",), builder.tensor("b", (1, 3, 4, 4)), {"function": "Clip"})
    builder.node("Add", ("a", "b"), builder.tensor("c", (1, 3, 4, 4)))
    builder.host.append(HostOp("flat", "Reshape", ("c",), ("c2",), {"shape": (1, 48)}))
    builder.host.append(HostOp("soft", "Softmax", ("c2",), ("y",), {"axis": 1}))
    return builder.build(("y", "b"))


def test_builder_and_lookups() -> None:
    graph = small()
    verify(graph)
    assert graph.inputs == ("x",)
    assert [node.name for node in graph.nodes] == ["a", "b", "c"]
    assert graph.producers()["b"].op == "Table"
    assert [node.name for node in graph.consumers()["a"]] == ["b", "c"]
    assert graph.tensor("w").dtype is dtypes.F32
    assert graph.tensor("a").elements == 48
    assert graph.before_host("y") == ("c",)
    assert graph.chip_outputs == ("c", "b")


def test_fresh_names() -> None:
    builder = GraphBuilder("g")
    assert builder.fresh("t") == "t"
    builder.tensor("t", (1,))
    builder.tensor("t_1", (1,))
    assert builder.fresh("t") == "t_2"


def test_scales_are_float32() -> None:
    builder = GraphBuilder("g")
    builder.tensor("t", (1, 2, 1, 1), dtypes.S8, 0.1)
    builder.tensor("c", (1, 2, 1, 1), dtypes.S8, np.array([0.1, 0.2]))
    scale = builder.tensors["t"].scale
    assert scale is not None
    assert (scale.dtype, scale.shape) == (np.dtype(np.float32), ())
    assert not builder.tensors["t"].per_channel
    assert builder.tensors["c"].per_channel


def test_graphs_are_changed_by_copies() -> None:
    graph = small()
    wider = graph.with_tensors([Tensor("new", (1,), dtypes.S8)])
    assert "new" in wider.tensors
    assert "new" not in graph.tensors
    assert graph.with_nodes(graph.nodes[:1]).nodes == graph.nodes[:1]
    assert set(graph.with_constants({"k": np.zeros(1)}).constants) == {"w", "k"}


def test_only_output() -> None:
    assert Node("n", "Conv", (), ("y",)).output == "y"
    with pytest.raises(ValueError, match="too many values"):
        _ = Node("n", "Split", (), ("y", "z")).output


def test_chains_are_opened() -> None:
    first, second, third = small().nodes
    chain = Node("chain", "Chain", ("x",), ("b",), {}, (first, second))
    assert flatten_chains([chain, third]) == [first, second, third]
    verify(small().with_nodes([chain, third]))


def broken(**changes: object) -> Graph:
    return replace(small(), **changes)  # type: ignore[arg-type]  # any field of Graph


GRAPH = small()
A, B, C = GRAPH.nodes


@pytest.mark.parametrize(
    ("graph", "sentences"),
    [
        (
            GRAPH.with_nodes([B, A, C]),
            ["b: input a is not defined before it is read."],
        ),
        (
            GRAPH.with_nodes([A, B, C, replace(C, outputs=("b",))]),
            ["c: the node name is used twice.", "c: output b is defined twice."],
        ),
        (
            broken(tensors={k: v for k, v in GRAPH.tensors.items() if k != "b"}),
            ["b: output b has no tensor description."],
        ),
        (
            broken(host=(replace(GRAPH.host[1], inputs=("nothing",)),)),
            ["soft: host input nothing is not defined."],
        ),
        (broken(outputs=("y", "z")), ["z: the graph output is not defined."]),
        (
            GRAPH.with_constants({"w": np.zeros((3, 3, 1, 2), np.float32)}),
            ["w: the constant and its tensor description differ."],
        ),
        (
            GRAPH.with_constants({"w": np.zeros((3, 3, 1, 1), np.int8)}),
            ["w: the constant and its tensor description differ."],
        ),
        (
            broken(inputs=()),
            ["a: input x is not defined before it is read."],
        ),
    ],
)
def test_every_broken_promise(graph: Graph, sentences: list[str]) -> None:
    assert [str(finding) for finding in problems(graph)] == sentences
    with pytest.raises(ModelError) as caught:
        verify(graph)
    assert caught.value.sentence == f"graph small is inconsistent: {sentences[0]}"
    assert [str(finding) for finding in caught.value.findings] == sentences
