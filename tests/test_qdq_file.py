"""What the benchmark counts in QDQ files: operators left in float, requantized inputs of Concat."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
Lines = list[tuple[str, str, str]]


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    sys.modules.pop("qdq_file", None)


def graph_of(lines: Lines) -> Any:
    """Lines are (operator, inputs, output); a Q or DQ reads "value scale"."""
    from qdq_file import QdqFile

    scales = {"s": 0.5, "t": 0.25}
    weights = [
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in scales.items()
    ]
    weights += [numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), "w")]
    weights += [numpy_helper.from_array(np.array([1, -1]), "shape")]
    nodes = [helper.make_node(kind, read.split(), [output]) for kind, read, output in lines]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", lines[-1][2])]
    return QdqFile(helper.make_model(helper.make_graph(nodes, "g", [info[0]], [info[1]], weights)))


Q, DQ = "QuantizeLinear", "DequantizeLinear"
IN: Lines = [(Q, "x s", "x/q"), (DQ, "x/q s", "x/d")]
OUT: Lines = [(Q, "y s", "y/q"), (DQ, "y/q s", "out")]


@pytest.mark.parametrize(
    ("middle", "left"),
    [
        ([("Conv", "x/d w", "y")], {}),
        ([("Conv", "x/d w", "a"), ("Relu", "a", "y")], {}),
        ([("Sigmoid", "x/d", "a"), ("Mul", "x/d a", "y")], {}),
        ([("Conv", "x/d w", "c"), ("Sigmoid", "c", "a"), ("Mul", "c a", "y")], {}),
        ([("Conv", "x/d w", "a"), ("Conv", "a w", "y")], {"Conv": 1}),
        ([("Conv", "x/d w", "a"), ("Add", "a x/d", "y")], {"Add": 1}),
        (
            [("Conv", "x/d w", "a"), ("Concat", "a x/d", "b"), ("Relu", "b", "y")],
            {"Concat": 1, "Relu": 1},
        ),
        ([("Shape", "x/d", "n"), ("Concat", "n shape", "sizes"), ("Resize", "x/d sizes", "y")], {}),
    ],
)
def test_operators_left_in_float(middle: Lines, left: dict[str, int]) -> None:
    assert graph_of([*IN, *middle, *OUT]).float_ops() == left


def test_before_the_first_q_and_behind_the_last_dq_nothing_counts() -> None:
    before: Lines = [("Conv", "x w", "x/c"), (Q, "x/c s", "x/q"), (DQ, "x/q s", "x/d")]
    assert graph_of([*before, ("Conv", "x/d w", "y"), *OUT]).float_ops() == {}
    behind: Lines = [("Conv", "out w", "a"), ("Conv", "a w", "b"), ("Softmax", "b", "p")]
    assert graph_of([*IN, ("Conv", "x/d w", "y"), *OUT, *behind]).float_ops() == {}


def test_inputs_of_a_concat_with_another_scale() -> None:
    lines: Lines = [*IN, (Q, "x t", "z/q"), (DQ, "z/q t", "z/d"), ("Concat", "x/d z/d z/d", "y")]
    assert graph_of([*lines, *OUT]).concat_requantizes() == 2
    assert graph_of([*lines, (Q, "y t", "y/q"), (DQ, "y/q t", "out")]).concat_requantizes() == 1
    assert graph_of([*lines, ("Relu", "y", "out")]).concat_requantizes() == 0


def test_logits_stand_before_the_softmax() -> None:
    soft: Lines = [("Conv", "x/d w", "y"), *OUT, ("Softmax", "out", "p")]
    assert graph_of([*IN, *soft]).logits() == "out"
    assert graph_of([*IN, *soft, ("Reshape", "p shape", "r")]).logits() == "out"
    assert graph_of([*IN, *soft[:-1]]).logits() == "out"
    quantized: Lines = [("Conv", "x/d w", "l"), ("Softmax", "l", "y"), *OUT]
    assert graph_of([*IN, *quantized]).logits() == "l"


def test_constants_are_no_features() -> None:
    weights: Lines = [(Q, "w s", "w/q"), (DQ, "w/q s", "w/d")]
    found = graph_of([*weights, *IN, ("Conv", "x/d w/d", "y"), *OUT])
    assert found.float_ops() == {}
