"""Files of labels, as eval, quant, diagnose and sim read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from knightlite.api.simulation.run import _best
from knightlite.errors import DataError, UsageError
from knightlite.preprocess import ImageFolder, class_places, counted_from_one, misfit, read_labels


def folder(*classes: str) -> ImageFolder:
    return ImageFolder(Path("D"), classes, ())


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("cat\ndog\n\n", ("cat", "dog")),
        ("cat\n\ndog\n", ("cat", "1", "dog")),  # a line is a class, also an empty one
        ("\ufeffcat\r\ndog", ("cat", "dog")),
        ("1:dog\n\n 0 : cat \n", ("cat", "dog")),
        ("3:a:b\n0:c\n", ("c", "1", "2", "a:b")),
        ("0:cat\ndog: a pet\n", ("0:cat", "dog: a pet")),  # not all are numbered
        ("²:two\n", ("²:two",)),
        ("0:cat\n1048575:last", ("cat", *map(str, range(1, 1048575)), "last")),
    ],
)
def test_labels(tmp_path: Path, text: str, labels: tuple[str, ...]) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert read_labels(path) == labels


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b" \n\n", "labels file {} is empty."),
        (b"\xff", "labels file {} cannot be read: it is not UTF-8 text."),
        (
            b"1:x\n0:a\n\n0:b",
            "lines 2 and 4 of labels file {} give one number, 0, to a and to b.",
        ),
        (b"0:a\n1048576:b", "labels file {} numbers a class 1048576, more than 1048575."),
    ],
)
def test_no_labels(tmp_path: Path, text: bytes, sentence: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text)
    with pytest.raises(DataError) as caught:
        read_labels(path)
    assert caught.value.sentence == sentence.format(path)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("b\nx\na\n", (2, 0)),
        ("b the second\nx\na first\n", (2, 0)),
        ("4:a\n1:b\n", (4, 1)),
        ("a b\nb\na\n", (2, 1)),  # a whole line before a first word
        ("a b\na c\nb\n", (0, 2)),  # the first of two
    ],
)
def test_places_of_class_folders(tmp_path: Path, text: str, places: tuple[int, ...]) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    assert class_places(folder("a", "b"), path) == places


def test_places_without_labels_and_labels_without_classes(tmp_path: Path) -> None:
    assert class_places(folder("b", "a"), None) == (0, 1)
    assert class_places(folder(), None) == ()
    with pytest.raises(UsageError) as caught:
        class_places(folder(), tmp_path / "labels.txt")
    assert caught.value.sentence == "D has no folders of classes, which --labels would order."


def test_class_folders_that_no_line_names(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("a\nc\n")
    with pytest.raises(DataError) as caught:
        class_places(folder("a", "b", "d"), path)
    assert caught.value.sentence == f"2 of 3 class folders are not in {path}, such as b."


def test_a_class_folder_that_stands_on_two_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("crane\na\n\ncrane\nb\na")
    assert read_labels(path) == ("crane", "a", "2", "crane", "b", "a")
    assert class_places(folder("b"), path) == (4,)
    with pytest.raises(DataError) as caught:
        class_places(folder("a", "b"), path)
    assert caught.value.sentence == (
        f"a stands on lines 2 and 6 of labels file {path}: which score is that class's is not "
        "known."
    )


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("1:a\n3:c\n2:b", "the file counts classes from 1, scores from 0",
         "the first class has the index 0"),
        ("a\nb\nc\na", "a stands on lines 1 and 4 of the file", "one line for each class"),
        ("1:a\n3:c", "the names may be those of another network",
         "name a file of as many lines as there are scores"),
        ("a\na", "the names may be those of another network",
         "name a file of as many lines as there are scores"),
    ],
)  # fmt: skip
def test_why_a_file_has_not_a_class_for_each_of_three_scores(
    tmp_path: Path, text: str, why: str, hint: str
) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    assert misfit(path, 3) == (why, hint)
    assert counted_from_one(path) == (3 if text.startswith("1:a\n3:c\n2") else 0)


def test_the_best_classes_of_a_frame() -> None:
    """Five of them, the first of equal ones first; an output that scores no classes has none."""
    scores = np.array([[0.5, 2.0, -1.0, 2.0, 0.0, 1.5, 0.25]])
    best = _best(scores, None)
    assert [(guess.index, guess.score) for guess in best] == [
        (1, 2.0),
        (3, 2.0),
        (5, 1.5),
        (0, 0.5),
        (6, 0.25),
    ]
    assert {guess.label for guess in best} == {None}
    assert [guess.index for guess in _best(scores[:, :2], None)] == [1, 0]
    assert [len(_best(np.zeros(shape), None)) for shape in ((1, 1), (3,), (1, 3, 2, 1))] == [0] * 3
    named = _best(scores, ("a", "b", "c", "d", "e"))
    assert [guess.label for guess in named] == ["b", "d", "5", "a", "6"]
    assert [len(_best(np.zeros(shape), ("a",))) for shape in ((1, 1), (3,), (1, 3, 2, 1))] == [
        1,
        3,
        5,
    ]
