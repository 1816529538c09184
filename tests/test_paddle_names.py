"""Paddle's names of values survive the conversion: by copies, by parameters, and as asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from conftest import DIGITS
from knightlite.errors import UsageError
from knightlite.frontend import load, paddle_names
from knightlite.frontend.paddle_program import Block, parse_program

Node = tuple[str, str, str]  # kind, inputs, output


def network(nodes: Sequence[Node], *outputs: str) -> onnx.ModelProto:
    made = [helper.make_node(kind, read.split(), [output]) for kind, read, output in nodes]
    inputs, ends = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
        for names in (("x",), outputs)
    )
    return helper.make_model(helper.make_graph(made, "net", inputs, ends))


def values(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in (*node.input, *node.output)]


COPIES = paddle_names.copies_of(network(
    [("Relu", "x", "Relu.1"), ("Identity", "Relu.1", "relu_0"), ("Identity", "relu_0", "cast.0"),
     ("Neg", "cast.0", "neg_0"), ("Identity", "neg_0", "assign_0"), ("Abs", "neg_0", "abs_0")],
    "abs_0",
))  # fmt: skip
VARIABLES = ["x", "relu_0", "neg_0", "assign_0", "lost_0", "abs_0"]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ([], ["x", "relu_0", "relu_0", "neg_0", "neg_0", "abs_0"]),
        (["assign_0 abs_0"], ["x", "relu_0", "relu_0", "assign_0", "assign_0", "abs_0"]),
        (["cast.0"], ["x", "cast.0", "cast.0", "neg_0", "neg_0", "abs_0"]),
    ],
)
def test_a_copy_gives_its_name(asked: list[str], wanted: list[str]) -> None:
    """The program's, not the converter's; of several, the one that is asked for."""
    model = network(
        [("Relu", "x", "Relu.1"), ("Neg", "Relu.1", "neg_0"), ("Abs", "neg_0", "abs_0")], "abs_0"
    )
    paddle_names.variables_back(model, COPIES, VARIABLES, asked)
    assert values(model) == wanted


def test_a_value_of_another_kind_is_not_the_same() -> None:
    model = network([("Exp", "x", "Relu.1"), ("Abs", "Relu.1", "abs_0")], "abs_0")
    paddle_names.variables_back(model, COPIES, VARIABLES, [])
    assert values(model) == ["x", "Relu.1", "Relu.1", "abs_0"]


LAYERS: list[Node] = [
    ("Conv", "x c_0.w_0", "p.0"), ("Reshape", "c_0.b_0 shape", "p.1"), ("Add", "p.0 p.1", "Add.1"),
    ("Identity", "Add.1", "p.2"), ("Conv", "p.2 d_0.w_0", "p.3"), ("Conv", "p.3 d_0.w_0", "p.4"),
    ("MatMul", "p.4 linear_0.w_0", "p.5"), ("Add", "linear_0.b_0 p.5", "fetch_name_0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "end"), [([], "fetch_name_0"), (["linear_0.tmp_1"], "linear_0.tmp_1")]
)
def test_what_a_layer_gives_is_named_after_its_parameters(asked: list[str], end: str) -> None:
    """A layer that is used twice names nothing; an output keeps its name unless it is asked for."""
    model = network(LAYERS, "fetch_name_0")
    paddle_names.after_parameters(model, asked)
    made = [node.output[0] for node in model.graph.node]
    assert made == ["c_0.tmp_0", "p.1", "c_0.tmp_1", "p.2", "p.3", "p.4", "linear_0.tmp_0", end]
    assert [item.name for item in model.graph.output] == [end]


@pytest.mark.skipif(
    importlib.util.find_spec("paddle2onnx") is None, reason="paddle2onnx is for Python < 3.13"
)
def test_every_value_of_a_program_has_its_name() -> None:
    """A DenseNet: concatenations too; -on takes them, and says the nearest of what is gone."""
    path = DIGITS / "digits.pdmodel"
    block = Block.of(parse_program(path.read_bytes(), path))
    variables = set(block.shapes)
    made = {name for node in load(path).nodes for name in node.outputs}
    assert {f"concat_{number}.tmp_0" for number in range(12)} <= made
    assert made - variables == {"linear_0.tmp_1.nchw"}
    assert load(path, outputs=["concat_4.tmp_0"]).outputs == ("concat_4.tmp_0",)
    with pytest.raises(UsageError) as caught:
        load(path, outputs=["concat_44.tmp_0"])
    assert "concat_4.tmp_0" in caught.value.hint
