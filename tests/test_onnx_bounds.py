"""Bounds of an ONNX file before anything is made of it: at each limit, and one beyond."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from knightlite import limits
from knightlite.errors import ModelError
from knightlite.frontend import onnx_bounds
from knightlite.frontend.onnx_bounds import require_bounded

FLOAT = TensorProto.FLOAT


def tensor(*dims: int, kind: int = FLOAT, **external: str) -> TensorProto:
    made = TensorProto(name="t", dims=dims, data_type=kind)
    for key, value in external.items():
        made.external_data.add(key=key, value=value)
    return made


def model(*nodes: onnx.NodeProto, **more: Any) -> onnx.ModelProto:
    y = helper.make_tensor_value_info("y", FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", more.pop("inputs", []), [y], **more)
    return helper.make_model(graph)


def node(**attributes: Any) -> onnx.NodeProto:
    """A node whose attributes are protos as they are."""
    made = onnx.NodeProto(op_type="Op", name="n", output=["o"])
    for key, (kind, values) in attributes.items():
        made.attribute.append(AttributeProto(name=key, type=kind, **values))
    return made


def nested(depth: int) -> onnx.NodeProto:
    """A node within so many graphs."""
    inner = node()
    for _ in range(depth):
        inner = node(body=(AttributeProto.GRAPH, {"g": helper.make_graph([inner], "g", [], [])}))
    return inner


def called(depth: int) -> onnx.ModelProto:
    """Functions that call one another twice."""
    found = model(helper.make_node("f0", [], ["o"], domain="d"))
    for place in range(depth):
        inner = f"f{place + 1}" if place + 1 < depth else "Op"
        domain = "d" if place + 1 < depth else ""
        body = [helper.make_node(inner, [], [f"o{turn}"], domain=domain) for turn in range(2)]
        opsets = [helper.make_opsetid("", 13)]
        found.functions.append(helper.make_function("d", f"f{place}", [], [], body, opsets))
    return found


def test_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MODEL_NODES", 8)
    monkeypatch.setattr(limits, "MODEL_DEPTH", 5)
    monkeypatch.setattr(limits, "TENSOR_AXES", 3)
    monkeypatch.setattr(limits, "TENSOR_ELEMENTS", 12)
    require_bounded(model(*[node()] * 8), "m")
    require_bounded(called(3), "m")
    require_bounded(model(nested(4)), "m")
    require_bounded(model(initializer=[tensor(2, 3, 2), tensor(0)]), "m")


SHAPE = "{} has the shape [2, -1]"
KIND = "{} has elements of the unknown kind 99"
IN_NODE = "attribute a of Op n"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: model(*[node()] * 9), "it has 9 nodes, and at most 8 are read"),
        (lambda: model(nested(5)), "the graph has graphs more than 5 deep within one another"),
        (lambda: model(initializer=[tensor(1, 1, 1, 1)]),
         "tensor t has 4 axes, and at most 3 are read"),
        (lambda: model(initializer=[tensor(2, 7)]),
         "tensor t has 2 x 7 elements, and at most 12 are read"),
        (lambda: model(initializer=[tensor(2, -1)]), SHAPE.format("tensor t")),
        (lambda: model(initializer=[tensor(2, kind=99)]), KIND.format("tensor t")),
        (lambda: model(initializer=[tensor(2, location="a\0b")]),
         "tensor t keeps its data in a file whose name holds a zero byte"),
        (lambda: model(node(a=(AttributeProto.TENSOR, {"t": tensor(2, -1)}))),
         SHAPE.format(IN_NODE)),
        (lambda: model(node(a=(AttributeProto.TENSORS,
                               {"tensors": [tensor(1), tensor(1, kind=99)]}))),
         KIND.format(IN_NODE)),
        (lambda: model(node(a=(AttributeProto.SPARSE_TENSOR, {
            "sparse_tensor": onnx.SparseTensorProto(values=tensor(2, kind=99))}))),
         KIND.format(IN_NODE)),
        (lambda: model(node(a=(0, {}))), f"{IN_NODE} is of the unknown kind 0"),
        (lambda: model(inputs=[helper.make_tensor_value_info("x", 99, [1])]),
         "x has elements of the unknown kind 99"),
    ],
)  # fmt: skip
def test_beyond_the_bounds(made: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MODEL_NODES", 8)
    monkeypatch.setattr(limits, "MODEL_DEPTH", 5)
    monkeypatch.setattr(limits, "TENSOR_AXES", 3)
    monkeypatch.setattr(limits, "TENSOR_ELEMENTS", 12)
    with pytest.raises(ModelError) as caught:
        require_bounded(made(), "m")
    assert caught.value.sentence == f"m is damaged: {reason}."


def test_functions_count_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MODEL_NODES", 7)
    with pytest.raises(ModelError) as caught:
        require_bounded(called(3), "m")
    assert "it has 8 nodes, and at most 7 are read" in caught.value.sentence


class Read(SimpleNamespace):
    """A function that counts how often its nodes are asked for."""

    @property
    def node(self) -> list[SimpleNamespace]:
        self.times += 1
        return self.nodes  # type: ignore[no-any-return]


def test_no_function_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine of them, each calls the next one three times: 3^9 nodes, each read once."""
    calls = [
        SimpleNamespace(domain="", op_type=f"f{place}", attribute=[]) for place in range(1, 10)
    ]
    functions = {
        ("", f"f{place}"): Read(name=f"f{place}", nodes=[calls[place]] * 3, times=0)
        for place in range(9)
    }
    first = [SimpleNamespace(domain="", op_type="f0", attribute=[])]
    monkeypatch.setattr(limits, "MODEL_DEPTH", 20)
    assert onnx_bounds._written_out(first, functions, ModelError) == 3**9
    assert {item.times for item in functions.values()} == {1}
