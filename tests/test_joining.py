"""Outputs of the parts of a batch become one array each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.inference.joining import join_parts

Array = NDArray[Any]


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ([np.arange(6).reshape(1, 6)], np.arange(6).reshape(1, 6)),
        ([np.zeros((2, 3)), np.ones((1, 3))], np.array([[0] * 3, [0] * 3, [1] * 3])),
        ([np.array(4), np.array(5), np.array(6)], np.array([4, 5, 6])),  # no axis of pictures
        ([np.array(4)], np.array(4)),
        ([np.zeros((0, 2)), np.ones((1, 2))], np.ones((1, 2))),  # nothing was found in one
    ],
)
def test_join(parts: list[Array], wanted: Array) -> None:
    found = join_parts(["y", "z"], [{"y": part, "x": part, "z": 2 * part} for part in parts])
    assert list(found) == ["y", "z"]
    assert found["y"].shape == wanted.shape
    assert np.array_equal(found["y"], wanted)
    assert np.array_equal(found["z"], 2 * wanted)


@pytest.mark.parametrize("other", [(1, 4), (1, 3, 1)])
def test_shapes_that_do_not_fit(other: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as caught:
        join_parts(["y"], [{"y": np.zeros(shape)} for shape in ((1, 3), (1, 3), other)])
    assert caught.value.sentence == (
        f"output y must have one shape in all pictures of a batch, not (1, 3) and {other}."
    )
