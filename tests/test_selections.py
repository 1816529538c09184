"""Where with a constant condition, exactly; others are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import load
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


def test_a_condition_of_features_is_refused(tmp_path: Path) -> None:
    made = Net(16)
    made.input("x", (1, 4, 5, 6))
    made.conv("x", "a", (4, 4, 1, 1))
    made.node("Greater", ["a", made.weight("zero", np.float32(0))], "m")
    made.node("Where", ["m", "a", "x"], "w")
    made.conv("w", "y", (2, 4, 1, 1))
    with pytest.raises(UnsupportedError) as caught:
        load(made.save(tmp_path, "y"))
    assert [item.sentence for item in caught.value.findings] == [
        "Greater is not supported yet.",
        "Where Where_w must have a constant condition, not one that depends on features.",
    ]
