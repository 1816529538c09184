"""Picture folders and random data as workloads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from knightlite import dtypes
from knightlite.errors import UsageError
from knightlite.ir import Tensor
from knightlite.preprocess import parse_recipe
from knightlite.quantize.data.workload import PictureFolder
from knightlite.quantize.data_free.workloads import RandomData

Array = NDArray[Any]
RECIPE = parse_recipe(
    """\
description = "pixels as they are"
color = "GRAY"
resize = "none"
resize_size = []
interpolation = "nearest"
crop_size = []
divide_by = 1.0
mean = [0.0]
std = [1.0]
pad_value = 0.0
layout = "nchw"
""",
    "plain",
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Classes 0..2 with four 2x3 pictures each; the grey value is 10 * class + number."""
    for label in range(3):
        (tmp_path / f"c{label}").mkdir()
        for number in range(4):
            image = Image.new("L", (3, 2), 10 * label + number)
            image.save(tmp_path / f"c{label}" / f"{number}.png")
    return tmp_path


def recorder(classes: int) -> tuple[list[Array], Callable[[tuple[Array, ...]], list[Array]]]:
    """What is fed, and a model that answers class = grey / 10 but takes 12 for class 0."""
    fed: list[Array] = []

    def forward(arrays: tuple[Array, ...]) -> list[Array]:
        (x,) = arrays
        fed.append(x)
        grey = x[:, 0, 0, 0]
        guess = np.where(grey == 12, 0, grey // 10).astype(int)
        return [np.eye(classes, dtype=np.float32)[guess].reshape(len(x), classes, 1, 1)]

    return fed, forward


def test_top1_over_class_folders(pictures: Path) -> None:
    workload = PictureFolder(pictures, RECIPE, 5, 2, (1, 1, 2, 3))
    fed, forward = recorder(3)
    right = sum(int(sample.path.parent.name[1:]) == sample.label for sample in workload.samples)
    assert right == 10
    wrong = sum(sample.path.match("c1/2.png") for sample in workload.samples)
    assert workload.run(forward) == 100 * (10 - wrong) / 10
    assert [x.shape for x in fed] == [(2, 1, 2, 3)] * 5
    assert workload.description == f"10 pictures of {pictures.name} with recipe plain"
    assert workload.forwards == 5


def test_labels_give_classes_their_places(pictures: Path, tmp_path: Path) -> None:
    """Of a network of 6 scores, whose classes 0, 1, 2 are called c0, c2 and c1."""
    labels = tmp_path / "labels.txt"
    labels.write_text("c0\nc2\nc1\nc9\n")
    workload = PictureFolder(pictures, RECIPE, 12, 1, (1, 2, 3), labels=labels)
    assert workload.places == (0, 2, 1)
    _, forward = recorder(6)
    assert workload.run(forward) == 100 * 4 / 12
    assert workload.mismatch(3) is None
    assert workload.mismatch(2) == (
        f"{labels} has a class folder at place 2, but the network gives 2 scores; another file of "
        "labels may fit"
    )
    without = PictureFolder(pictures, RECIPE, 12, 1, (1, 2, 3))
    assert without.run(recorder(6)[1]) is None
    assert without.mismatch(6) == (
        f"{pictures.name} has 3 class folders, but the network gives 6 scores; --labels FILE names "
        "the classes in their order"
    )
    flat = PictureFolder(pictures / "c0", RECIPE, 1, 1, (1, 2, 3))
    assert flat.mismatch(3) == (
        "the pictures of c0 lie in no folders of classes; one sub-folder per class gives the metric"
    )
    with pytest.raises(UsageError, match=r"c0 has no folders of classes, which --labels would"):
        PictureFolder(pictures / "c0", RECIPE, 1, 1, (1, 2, 3), labels=labels)


def test_every_run_feeds_the_same(pictures: Path) -> None:
    workload = PictureFolder(pictures, RECIPE, 12, 1, (1, 2, 3), seed=5)
    (first, forward), (second, again) = recorder(3), recorder(3)
    assert workload.run(forward) == workload.run(again) == 100 * 11 / 12
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))


def test_fewer_pictures_than_asked_for(pictures: Path) -> None:
    workload = PictureFolder(pictures, RECIPE, 4, 5, (1, 2, 3))
    fed, forward = recorder(3)
    workload.run(forward)
    assert [len(x) for x in fed] == [5, 5, 2]
    assert workload.forwards == 3
    assert workload.description.startswith("12 pictures of ")
    assert workload.description.endswith(" (all there are; 20 were asked for)")


def test_no_metric_where_classes_do_not_match(pictures: Path) -> None:
    assert PictureFolder(pictures, RECIPE, 3, 2, (1, 2, 3)).run(recorder(4)[1]) is None
    flat = PictureFolder(pictures / "c0", RECIPE, 1, 1, (1, 2, 3))
    assert flat.run(recorder(1)[1]) is None
    assert flat.description == "1 picture of c0 with recipe plain"


def test_missing_folder_is_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        PictureFolder(tmp_path / "none", RECIPE, 1, 1, (1, 2, 3))


def test_pictures_are_decoded_when_their_turn_comes(pictures: Path) -> None:
    """Memory is flat because nothing is kept: a picture replaced between runs is seen."""
    workload = PictureFolder(pictures, RECIPE, 12, 1, (1, 2, 3))
    _, forward = recorder(3)
    before = workload.run(forward)
    Image.new("L", (3, 2), 0).save(pictures / "c2" / "3.png")
    after = workload.run(forward)
    assert (before, after) == (100 * 11 / 12, 100 * 10 / 12)


def test_random_data_is_knights() -> None:
    inputs = (
        Tensor("x", (1, 2, 3, 3), dtypes.F32),
        Tensor("i", (1, 4), dtypes.S8),
        Tensor("u", (1, 50), dtypes.U8),
    )
    fed: list[tuple[Array, ...]] = []

    def forward(arrays: tuple[Array, ...]) -> list[Array]:
        fed.append(arrays)
        return []

    workload = RandomData(inputs, 3, 5)
    assert workload.run(forward) is None
    assert len(fed) == workload.forwards == 3
    x, i, u = fed[0]
    wanted = np.random.RandomState(123).randn(5, 2, 3, 3).astype(np.float32)
    np.testing.assert_array_equal(x, wanted)
    assert [str(item.dtype) for item in (x, i, u)] == ["float32", "int8", "uint8"]
    assert (i.shape, u.min(), u.max()) == ((5, 4), 1, 9)
    assert not np.array_equal(fed[0][0], fed[2][0])  # new noise in every batch
    first = list(fed)
    workload.run(forward)  # and the same noise in every run
    assert all(
        np.array_equal(a, b)
        for one, other in zip(first, fed[3:], strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert workload.description == "random data (seed 123)"
    assert "ranges mean nothing" in workload.warning
