"""Where with a constant condition, exactly; others are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from knightlite.dtypes import U8
from knightlite.errors import UnsupportedError
from knightlite.frontend import load
from knightlite.inference import session
from knightlite.onnx_models import write_float
from onnx_nets import Net, checked, operators

MASK = np.array([True, False, True, False]).reshape(1, 4, 1, 1)


def net(first: str, second: str, mask: NDArray[np.bool_] = MASK) -> Net:
    made = Net(16)
    made.input("x", (1, 3, 5, 6))
    made.conv("x", "a", (4, 3, 3, 3))
    made.conv("x", "b", (4, 3, 3, 3))
    made.weight("mask", mask)
    made.weight("hidden", np.where(MASK, np.float32(-np.inf), np.float32(2)))
    made.random("number", (1, 4, 1, 1))
    made.node("Where", ["mask", first, second], "w")
    made.conv("w", "y", (2, 4, 1, 1))
    return made


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        ("a", "number", ["Conv", "Conv"]),
        ("number", "a", ["Conv", "Conv"]),
        ("a", "hidden", ["Conv", "Conv"]),  # what the mask hides need not be finite
        ("a", "b", ["Conv", "Conv", "Add", "Conv"]),
    ],
)
def test_masks(tmp_path: Path, first: str, second: str, left: list[str]) -> None:
    assert operators(checked(net(first, second).save(tmp_path, "y"))) == left


def test_one_answer_for_all(tmp_path: Path) -> None:
    graph = checked(net("a", "number", np.array(True)).save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Conv"]


def test_chosen_infinities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError) as caught:
        load(net("hidden", "a").save(tmp_path, "y"))
    assert caught.value.findings[0].sentence == (
        "Where Where_w must choose finite numbers, not -inf."
    )


def fed(first: str, second: str, element: int = TensorProto.FLOAT) -> Net:
    """A condition that the network is fed, for features and numbers."""
    made = Net(16)
    made.input("mask", (1, 4, 3, 4), TensorProto.BOOL)
    made.conv(made.input("x", (1, 3, 5, 6)), "a", (4, 3, 3, 3))
    made.conv("x", "b", (4, 3, 3, 3))
    made.weight("number", np.arange(12).reshape(3, 4).astype(tensor_dtype_to_np_dtype(element)))
    made.weight("other", np.full((), -2, tensor_dtype_to_np_dtype(element)))
    made.node("Where", ["mask", first, second], "w")
    return made


@pytest.mark.parametrize(
    ("first", "second", "made_of"),
    [
        ("a", "b", ["Affine", "Conv", "Conv", "Mul", "Mul", "Add", "Conv"]),
        ("a", "other", ["Conv", "Mul", "Affine", "Add", "Conv"]),
        ("other", "a", ["Affine", "Conv", "Affine", "Mul", "Add", "Conv"]),
        ("number", "other", ["Slice", "Table", "ConvTranspose", "Mul", "Conv"]),
    ],
)
def test_a_condition_that_is_fed(
    first: str, second: str, made_of: list[str], tmp_path: Path
) -> None:
    """0 and 1 at scale 1: what is chosen goes through a product with one of them."""
    made = fed(first, second)
    made.node("Relu", [made.conv("w", "c", (2, 4, 1, 1))], "y")
    path = made.save(tmp_path, "y")
    graph = load(path)
    assert graph.integer_inputs == {"mask": U8}
    assert sorted(operators(graph)) == sorted(made_of)
    feeds = {"x": made.rng.normal(0, 1, (1, 3, 5, 6)).astype(np.float32)}
    mask = made.rng.integers(0, 2, (1, 4, 3, 4)).astype(bool)
    (wanted,) = session(path.read_bytes(), 1).run(["y"], {**feeds, "mask": mask})
    given = {**feeds, "mask": mask.astype(np.float32)}
    needed = {name: given[name] for name in graph.inputs}
    (found,) = session(write_float(graph), 1).run(["y"], needed)
    assert np.ptp(wanted) > 0
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_whole_numbers_that_a_fed_condition_chooses_are_refused(tmp_path: Path) -> None:
    made = fed("number", "other", TensorProto.INT64)
    made.node("Cast", ["w"], "y", to=TensorProto.FLOAT)
    made.nodes.insert(0, made.nodes.pop(1))
    with pytest.raises(UnsupportedError) as caught:
        load(made.save(tmp_path, "y"))
    assert "Where Where_w must choose real numbers, not int64." in {
        item.sentence for item in caught.value.findings
    }


def test_truth_values_that_are_more_than_a_condition_are_refused(tmp_path: Path) -> None:
    made = fed("a", "other")
    made.node("Not", ["mask"], "n")
    made.node("Cast", ["n"], "real", to=TensorProto.FLOAT)
    made.node("Mul", ["w", "real"], "y")
    with pytest.raises(UnsupportedError) as caught:
        load(made.save(tmp_path, "y"))
    assert "the network input mask must be of numbers, not of bool." in {
        item.sentence for item in caught.value.findings
    }


def test_a_condition_of_features_is_refused(tmp_path: Path) -> None:
    made = Net(16)
    made.input("x", (1, 4, 5, 6))
    made.conv("x", "a", (4, 4, 1, 1))
    made.node("Greater", ["a", made.weight("zero", np.float32(0))], "m")
    made.node("Where", ["m", "a", "x"], "w")
    made.conv("w", "y", (2, 4, 1, 1))
    with pytest.raises(UnsupportedError) as caught:
        load(made.save(tmp_path, "y", "m"))  # truth values that leave are the host's
    assert [item.sentence for item in caught.value.findings] == [
        "Greater is not supported yet.",
        "Where Where_w must have a constant condition, not one that depends on features.",
    ]
