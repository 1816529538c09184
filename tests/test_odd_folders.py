"""Folders and pictures that are not what they are taken for: a level too high, numbers as text."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import DIGITS
from knightlite import Session
from knightlite.api.evaluation.at_chance import warn_of_strangers
from knightlite.cli.program import run
from knightlite.errors import DataError
from knightlite.preprocess import list_pictures, turned_remark
from knightlite.talk import Talk

CFG = "digits_quantize_r.cfg"


def folders(root: Path, *names: str) -> Path:
    """A picture in each."""
    for name in names:
        (root / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(root / name / "a.png")
    return root


@pytest.mark.parametrize(
    ("names", "high"),
    [
        (("train/cat", "train/dog", "val/cat", "val/dog"), True),
        (("train/cat", "train/dog", "val/cat", "val/cow"), False),  # one in common: by chance
        (("cat", "dog"), False),
        (("cat/a", "cat/b", "dog/a", "dog/b", "cow"), False),
        (("cat/day", "cat/night", "dog/day", "dog/night"), True),
        (("train/cat", "train/dog"), False),
    ],
)
def test_a_folder_a_level_too_high(tmp_path: Path, names: tuple[str, ...], high: bool) -> None:
    found = list_pictures(folders(tmp_path / "data", *names)).too_high
    assert bool(found) == high
    if names[0] == "train/cat" and high:
        assert found == (
            f"the folders train, val of {tmp_path / 'data'} are taken for classes, and each holds "
            f"the folders cat, dog: where those are the classes, name {tmp_path / 'data' / 'train'}"
        )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([*map(str, range(10))], ""),
        ([*map(str, range(12))], "score 2 is taken for folder 10."),
        ([f"{number:02d}" for number in range(12)], ""),
        (["a", *map(str, range(12))], ""),
        (["5", "40", "300"], "score 0 is taken for folder 300."),
    ],
)
def test_numbers_in_the_order_of_text(tmp_path: Path, names: list[str], said: str) -> None:
    found = list_pictures(folders(tmp_path / "data", *names))
    assert said in found.misordered(None)
    assert bool(found.misordered(None)) == bool(said)
    assert not found.misordered(tmp_path / "labels.txt")


def test_commands_say_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "val"):
        shutil.copytree("calib", f"up/{name}")
    said = "the folders train, val of up are taken for classes, and each holds the folders 0, 1"
    assert run(["eval", CFG, "--data", "up", "-j", "1"]) == 2
    assert said in capsys.readouterr().err
    words = ["--recipe", "digits", "-i", "2", "-s", "q", "--effort", "low"]
    assert run(["quant", "-m", "digits.onnx", "-d", "up", *words]) == 0
    assert said in capsys.readouterr().err
    assert run(["eval", CFG, "--data", "up/val", "-j", "1"]) == 0
    assert "taken for" not in capsys.readouterr().err


def test_a_picture_that_is_marked_to_be_turned(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = Image.open(next((DIGITS / "test" / "3").iterdir())).convert("RGB")
    for mark in (1, 6):
        exif = picture.getexif()
        exif[0x0112] = mark
        picture.save(f"{mark}.jpg", exif=exif)
    assert run(["sim", "--input", "6.jpg"]) == 0
    said = "6.jpg is marked to be shown turned or mirrored (EXIF orientation 6), and is fed as it"
    assert said in capsys.readouterr().err
    session = Session(CFG)
    with pytest.warns(UserWarning, match="EXIF orientation 6"):
        session.prepare("6.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.prepare("1.jpg")
    Path("none.jpg").write_text("no picture")
    assert turned_remark(Path("none.jpg")) == turned_remark(Path("gone.jpg")) == ""


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((1, 32, 32, 3), "array.transpose(0, 3, 1, 2) has channels first"),
        ((32, 32, 3), "array.transpose(2, 0, 1)[None] has channels first, and is a batch of one"),
        ((3, 32, 31), "the first axis counts frames: array[None] makes one frame a batch of one"),
    ],
)
def test_an_array_of_another_shape(here: Path, shape: tuple[int, ...], hint: str) -> None:
    with pytest.raises(DataError) as caught:
        Session(CFG).run(None, {"x": np.zeros(shape, np.float32)})
    assert caught.value.hint == hint


def test_another_network_is_told() -> None:
    said: list[str] = []
    rows = [("b.onnx", -0.45, 20.0), ("c.onnx", 5.0, 70.0), ("d.onnx", None, 100.0)]
    warn_of_strangers("a.onnx", rows, Talk(warn=said.append))
    (only,) = said
    assert only.startswith(
        "b.onnx keeps -0.5 dB of the scores of a.onnx and 20 % of its best classes: it is another "
        "network"
    )
