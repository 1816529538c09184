"""If with a known condition: what the branch that counts computes, whatever it reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from onnx_nets import Net, checked


def branch(name: str, factor: float, inner: onnx.NodeProto | None = None) -> onnx.GraphProto:
    """Its values have the same names as the other branch's; ``c`` is of the graph around it."""
    at = "" if name in ("then", "else") else "inner_"
    weight = numpy_helper.from_array(np.full((1, 4, 1, 1), factor, np.float32), f"{at}w")
    nodes = [helper.make_node("Mul", ["c", f"{at}w"], [f"{at}t"], name="mul")]
    last = helper.make_node("Relu", [f"{at}t"], [f"{at}r"], name="r")
    nodes += [last] if inner is None else [inner]
    result = helper.make_empty_tensor_value_info(f"{at}r")
    result.type.tensor_type.elem_type = TensorProto.FLOAT
    return helper.make_graph(nodes, name, [], [result], [weight])


def net(condition: bool, nested: bool = False) -> Net:
    """The condition is computed from a shape."""
    made = Net()
    made.input("x", (1, 3, 6, 6))
    made.conv("x", "c", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    made.node("Shape", ["c"], "shape")
    made.node("Gather", ["shape", made.weight("one", np.array(1))], "channels", axis=0)
    made.weight("wanted", np.array(4 if condition else 5))
    made.node("Equal", ["channels", "wanted"], "same")
    inner = None
    if nested:
        inner = helper.make_node(
            "If",
            ["same"],
            ["r"],
            name="inner",
            then_branch=branch("a", -2.0),
            else_branch=branch("b", 2.0),
        )
    made.nodes.append(
        helper.make_node(
            "If",
            ["same"],
            ["i"],
            name="outer",
            then_branch=branch("then", 3.0, inner),
            else_branch=branch("else", -0.5),
        )
    )
    made.node("MaxPool", ["i"], "y", kernel_shape=[2, 2], strides=[2, 2])
    return made


@pytest.mark.parametrize(("condition", "nested"), [(True, False), (False, False), (True, True)])
def test_the_branch_that_counts(tmp_path: Path, condition: bool, nested: bool) -> None:
    graph = checked(net(condition, nested).save(tmp_path, "y"))
    assert [node.op for node in graph.nodes] == ["Conv", "MaxPool"]


def test_a_branch_may_hand_on_what_is_around_it(tmp_path: Path) -> None:
    made = Net()
    made.input("x", (1, 3, 6, 6))
    made.conv("x", "c", (4, 3, 3, 3))
    made.weight("yes", np.array([True]))
    handed = helper.make_node("Identity", ["c"], ["h"])
    outer = helper.make_graph([handed], "then", [], [helper.make_tensor_value_info("h", 1, None)])
    made.nodes.append(
        helper.make_node(
            "If", ["yes"], ["i"], name="if", then_branch=outer, else_branch=branch("else", 9.0)
        )
    )
    made.node("Relu", ["i"], "y")
    checked(made.save(tmp_path, "y"))


def test_a_condition_of_the_picture_is_refused(tmp_path: Path) -> None:
    made = Net()
    made.input("x", (1, 4, 6, 6))
    made.node("Relu", ["x"], "c")
    made.node("ReduceMax", ["c"], "top", keepdims=0)
    made.node("Greater", ["top", made.weight("zero", np.float32(0))], "bright")
    made.nodes.append(
        helper.make_node(
            "If",
            ["bright"],
            ["y"],
            name="if",
            then_branch=branch("then", 3.0),
            else_branch=branch("else", 9.0),
        )
    )
    with pytest.raises(UnsupportedError) as caught:
        load(made.save(tmp_path, "y"))
    assert "If is not supported yet." in [item.sentence for item in caught.value.findings]
