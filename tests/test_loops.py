"""Loop with a known number of turns: what its body computes, turn by turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from knightlite import limits
from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from knightlite.inference import session
from onnx_nets import Net, checked

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def body(
    *nodes: onnx.NodeProto, given: str, results: tuple[str, ...], goes_on: str = "go"
) -> onnx.GraphProto:
    """A body of turn number ``i``, condition ``go`` and one state ``given``."""
    inputs = [
        helper.make_tensor_value_info("i", INT64, []),
        helper.make_tensor_value_info("go", BOOL, []),
        helper.make_tensor_value_info(given, FLOAT, None),
    ]
    made = [helper.make_tensor_value_info(goes_on, BOOL, [])]
    made += [helper.make_tensor_value_info(name, FLOAT, None) for name in results]
    half = numpy_helper.from_array(np.array([0.5, -2, 3, 1], np.float32), "half")
    return helper.make_graph(list(nodes), "body", inputs, made, [half])


def arithmetic(name: str = "") -> onnx.GraphProto:
    """t * half + i, which is stacked too; ``name``: of what is around, added to it."""
    nodes = [
        helper.make_node("Cast", ["i"], ["turn"], to=FLOAT),
        helper.make_node("Mul", ["t", "half"], ["less"], name="mul"),
        helper.make_node("Add", ["less", "turn"], ["next"]),
        helper.make_node("Add", ["next", name or "half"], ["shown"]),
    ]
    return body(*nodes, given="t", results=("next", "shown"))


def looped(net: Net, state: str, outputs: list[str], graph: onnx.GraphProto, turns: int) -> None:
    """A Loop without a name."""
    count = net.weight(f"turns_{outputs[0]}", np.array(turns))
    net.nodes.append(helper.make_node("Loop", [count, "", state], outputs, body=graph))


@pytest.mark.parametrize("opset", [11, 17])
def test_a_loop_of_constants(tmp_path: Path, opset: int) -> None:
    """Its state is a gain, what it stacks an offset; two of them; then nothing is left."""
    net = Net(opset)
    net.input("x", (1, 3, 6, 6))
    net.conv("x", "c", (4, 3, 3, 3))
    looped(net, net.random("t0", (4,)), ["gain", "rows"], arithmetic(), 3)
    looped(net, net.random("u0", (4,)), ["other", "unread"], arithmetic("gain"), 5)
    net.node("Add", ["gain", "other"], "both")
    net.node("Reshape", ["both", net.weight("column", np.array([4, 1, 1]))], "gains")
    net.node("ReduceMean", ["rows"], "mean", axes=[0], keepdims=0)
    net.node("Reshape", ["mean", "column"], "offsets")
    net.node("Mul", ["c", "gains"], "m")
    net.node("Add", ["m", "offsets"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert [node.op for node in graph.nodes] == ["Conv"]


def test_a_loop_over_features(tmp_path: Path) -> None:
    """A convolution in every turn, whose weights are around; a loop within it."""
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    net.random("w", (4, 4, 3, 3), -0.5, 0.5)
    inner = body(
        helper.make_node("Mul", ["v", "around"], ["scaled"]), given="v", results=("scaled",)
    )
    turns = numpy_helper.from_array(np.array(2), "turns")
    graph = body(
        helper.make_node("Constant", [], ["inner_turns"], value=turns),
        helper.make_node("Conv", ["t", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["around"]),
        helper.make_node("Loop", ["inner_turns", "", "around"], ["cubed"], body=inner),
        helper.make_node("Tanh", ["cubed"], ["next"]),
        helper.make_node("Identity", ["go"], ["still"]),
        given="t",
        results=("next",),
        goes_on="still",
    )
    looped(net, "x", ["y"], graph, 3)
    path = net.save(tmp_path, "y")
    made = checked(path)
    assert [node.op for node in made.nodes].count("Conv") == 3
    x = net.rng.normal(0, 1, (1, 4, 6, 6)).astype(np.float32)
    assert np.ptp(session(path.read_bytes()).run(None, {"x": x})[0]) > 0.1


@pytest.mark.parametrize("where", ["around", "initializer", "node", "nowhere"])
def test_a_condition_that_always_holds(tmp_path: Path, where: str) -> None:
    """As torch writes it: a constant of the graph around the body; or one of its own."""
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    holds = numpy_helper.from_array(np.array(True), "true")
    nodes = [helper.make_node("Neg", ["t"], ["next"])]
    if where == "around":
        net.weight("true", np.array(True))
    elif where == "node":
        nodes.append(helper.make_node("Constant", [], ["true"], value=holds))
    elif where == "nowhere":
        nodes.append(helper.make_node("Less", ["i", "i"], ["true"]))
    nodes.append(helper.make_node("Identity", ["true"], ["still"]))
    graph = body(*nodes, given="t", results=("next",), goes_on="still")
    if where == "initializer":
        graph.initializer.append(holds)
    count, first = net.weight("turns", np.array(3)), net.weight("first", np.array(True))
    inputs = [count, first, net.conv("x", "c", (4, 4, 3, 3))]
    net.nodes.append(helper.make_node("Loop", inputs, ["z"], name="loop", body=graph))
    net.node("Relu", ["z"], "y")
    path = net.save(tmp_path, "y")
    if where == "nowhere":
        with pytest.raises(UnsupportedError, match="loop: Loop is not supported yet"):
            load(path)
    else:
        assert [node.op for node in checked(path).nodes] == ["Conv"]


@pytest.mark.parametrize("turns", [0, -3])
def test_a_loop_without_turns_hands_on_its_state(tmp_path: Path, turns: int) -> None:
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    graph = body(helper.make_node("Neg", ["t"], ["next"]), given="t", results=("next",))
    looped(net, net.conv("x", "c", (4, 4, 3, 3)), ["z"], graph, turns)
    net.node("Relu", ["z"], "y")
    assert [node.op for node in checked(net.save(tmp_path, "y")).nodes] == ["Conv"]


def test_rows_that_no_turn_stacks_have_no_shape(tmp_path: Path) -> None:
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    net.conv("x", "c", (4, 4, 3, 3))
    looped(net, net.random("t0", (4,)), ["gain", "rows"], arithmetic(), 0)
    net.node("ReduceSum", ["rows", net.weight("first", np.array([0]))], "sum", keepdims=0)
    net.node("Add", ["gain", "sum"], "both")
    net.node("Reshape", ["both", net.weight("column", np.array([4, 1, 1]))], "gains")
    net.node("Mul", ["c", "gains"], "y")
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert caught.value.findings[0].sentence.startswith("Loop ")


def test_turns_that_are_not_known_or_too_many(tmp_path: Path) -> None:
    """Counted by the picture, ended by a condition, or more than a model may have nodes."""
    for case in ("counted", "ended", "many"):
        net = Net(17)
        net.input("x", (1, 4, 6, 6))
        net.conv("x", "c", (4, 4, 3, 3))
        net.node("ReduceSum", ["c"], "sum", keepdims=0)
        net.node("Cast", ["sum"], "seen", to=INT64)
        nodes = [
            helper.make_node("Neg", ["t"], ["next"]),
            helper.make_node("Less", ["i", "seen"], ["low"]),
        ]
        ended = case == "ended"
        graph = body(*nodes, given="t", results=("next",), goes_on="low" if ended else "go")
        net.weight("turns", np.array(3 if ended else 1 << 40))
        inputs = ["seen" if case == "counted" else "turns", "", "c"]
        net.nodes.append(helper.make_node("Loop", inputs, ["y"], name="loop", body=graph))
        with pytest.raises(UnsupportedError) as caught:
            load(net.save(tmp_path, "y"))
        said = {item.where: item.sentence for item in caught.value.findings}
        assert said["loop"] == "Loop is not supported yet."


@pytest.mark.parametrize(("most", "runs"), [(34, True), (33, False)])
def test_loops_in_loops_share_what_a_model_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, runs: bool
) -> None:
    """16 nodes stand there with the turns of the outer loop; those of the inner ones are 18 more.

    Each has three turns of a node and of the constant that is its number.
    """
    monkeypatch.setattr(limits, "MODEL_NODES", most)
    net = Net(17)
    net.input("x", (1, 4, 6, 6))
    net.conv("x", "c", (4, 4, 3, 3))
    net.weight("three", np.array(3))
    more = helper.make_node("Add", ["v", "half"], ["more"])
    inner = body(more, given="v", results=("more",))
    outer = helper.make_node("Loop", ["three", "", "t"], ["next"], name="inner", body=inner)
    looped(net, net.random("t0", (4,)), ["gain"], body(outer, given="t", results=("next",)), 3)
    net.node("Reshape", ["gain", net.weight("column", np.array([4, 1, 1]))], "gains")
    net.node("Mul", ["c", "gains"], "y")
    path = net.save(tmp_path, "y")
    if runs:
        assert [node.op for node in checked(path).nodes] == ["Conv"]
        return
    with pytest.raises(UnsupportedError) as caught:
        load(path)
    assert caught.value.findings[0].where == "gain/2/inner"
