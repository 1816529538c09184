"""Constant folding against ONNX's own reference implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from knightlite.frontend import constant_folding
from knightlite.frontend.source import SourceNode

Array = NDArray[Any]
DATA = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 7
SHAPE = np.array([1, 64, 7, 7])


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


CASES: list[tuple[str, int, list[Array], dict[str, Any]]] = [
    ("Cast", 13, [SHAPE], {"to": TensorProto.INT32}),
    ("Cast", 13, [DATA], {"to": TensorProto.DOUBLE}),
    ("Concat", 13, [SHAPE, ints(-1)], {"axis": 0}),
    ("Concat", 13, [DATA, DATA], {"axis": -1}),
    ("Div", 13, [ints(-7, 7, 7), ints(2, -2, 2)], {}),
    ("Div", 13, [DATA, np.array(3, np.float32)], {}),
    ("Add", 13, [DATA, DATA[0]], {}),
    ("Sub", 13, [DATA, DATA[0]], {}),
    ("Mul", 13, [SHAPE, ints(2)], {}),
    ("Sqrt", 13, [np.abs(DATA)], {}),
    ("Expand", 13, [DATA[:, :1], ints(1, 3, 1)], {}),
    ("Gather", 13, [SHAPE, np.array(1)], {}),
    ("Gather", 13, [DATA, ints(2, 0)], {"axis": 1}),
    ("Identity", 13, [DATA], {}),
    ("Reshape", 13, [DATA, ints(0, -1)], {}),
    ("Reshape", 14, [np.zeros((0, 3), np.float32), ints(3, 0)], {"allowzero": 1}),
    ("Slice", 9, [DATA], {"starts": [1], "ends": [-1], "axes": [2]}),
    ("Slice", 9, [SHAPE], {"starts": [0], "ends": [1]}),
    ("Slice", 13, [DATA, ints(0, 1), ints(9, 3)], {}),
    ("Slice", 13, [DATA, ints(-1), ints(-(2**63)), ints(1), ints(-1)], {}),
    ("Slice", 13, [DATA, ints(3, 2), ints(0, 0), ints(2, 1), ints(-2, -1)], {}),
    ("Slice", 13, [DATA, ints(3), ints(-4), ints(2), ints(-1)], {}),  # without the first
    ("Slice", 13, [DATA, ints(3), ints(-5), ints(2), ints(-1)], {}),  # with it
    ("Squeeze", 11, [DATA[:, :1]], {"axes": [1]}),
    ("Squeeze", 13, [DATA[:1, :, :1], ints(-1)], {}),
    ("Squeeze", 13, [DATA[:1, :, :1]], {}),
    ("Transpose", 13, [DATA], {"perm": [2, 0, 1]}),
    ("Transpose", 13, [DATA], {}),
    ("Unsqueeze", 11, [DATA], {"axes": [0, 3]}),
    ("Unsqueeze", 13, [DATA, ints(-1, 1)], {}),
    ("ConstantOfShape", 13, [ints(2, 3)], {}),
]


@pytest.mark.parametrize(("op", "opset", "operands", "attributes"), CASES)
def test_against_the_reference(
    op: str, opset: int, operands: list[Array], attributes: dict[str, Any]
) -> None:
    names = tuple(f"i{index}" for index in range(len(operands)))
    node = SourceNode("n", op, "", names, ("o",), attributes)
    found = constant_folding.evaluate(node, operands, opset)
    proto = helper.make_node(op, names, ["o"], **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in zip(names, operands, strict=True)
    ]
    graph = helper.make_graph([proto], "g", infos, [helper.make_empty_tensor_value_info("o")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    (wanted,) = ReferenceEvaluator(model).run(None, dict(zip(names, operands, strict=True)))
    assert found is not None
    assert isinstance(wanted, np.ndarray)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def test_every_operator_has_a_case() -> None:
    assert {case[0] for case in CASES} == set(constant_folding.FUNCTIONS)


def test_constant_of_shape_with_a_value() -> None:
    value = numpy_helper.to_array(numpy_helper.from_array(np.array([5], np.int64)))
    node = SourceNode("n", "ConstantOfShape", "", ("s",), ("o",), {"value": value})
    found = constant_folding.evaluate(node, [ints(2)], 13)
    np.testing.assert_array_equal(found, ints(5, 5), strict=True)


@pytest.mark.parametrize(
    ("op", "operands", "attributes"),
    [
        ("Reshape", [DATA, ints(5, -1)], {}),
        ("Gather", [SHAPE, ints(9)], {}),
        ("Div", [SHAPE, ints(0)], {}),
        ("Concat", [SHAPE, SHAPE], {}),
        ("Slice", [DATA, None, None], {}),
        ("ConstantOfShape", [ints(1 << 20, 1 << 20)], {}),
        ("Expand", [DATA, ints(1 << 40, 2, 3, 4)], {}),
        ("Erf", [DATA], {}),
    ],
)
def test_malformed_and_unknown_nodes_stay(
    op: str, operands: list[Array | None], attributes: dict[str, Any]
) -> None:
    names = tuple(f"i{index}" for index in range(len(operands)))
    node = SourceNode("n", op, "", names, ("o",), attributes)
    assert constant_folding.evaluate(node, operands, 13) is None


def test_shape_and_size() -> None:
    def shape(op: str, **attributes: int) -> Array:
        node = SourceNode("n", op, "", ("x",), ("o",), attributes)
        return constant_folding.evaluate_shape(node, (1, 3, 5, 7))

    np.testing.assert_array_equal(shape("Shape"), ints(1, 3, 5, 7), strict=True)
    np.testing.assert_array_equal(shape("Shape", start=1, end=-1), ints(3, 5), strict=True)
    np.testing.assert_array_equal(shape("Size"), np.asarray(105, np.int64), strict=True)
