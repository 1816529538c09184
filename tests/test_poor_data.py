"""Figures over one picture, the same one again, or a constant are said to be no verdict."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import knightlite
from conftest import DIGITS
from knightlite.api.quantization import poor_data
from knightlite.cli.program import run
from knightlite.preprocess import load_recipe
from knightlite.quantize.data import PictureFolder
from knightlite.quantize.steps.judgement import Burden, StepResult, judge
from knightlite.quantize.steps.walk import Errors
from onnx_nets import Net

WORDS = ["--recipe", "digits", "-s", "q", "--effort", "low"]


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network of a layer; beside it a folder of one picture four times, and four others."""
    monkeypatch.chdir(tmp_path)
    made = Net()
    made.conv(made.input("x", [1, 3, 32, 32]), "y", (4, 3, 3, 3), strides=[4, 4], bias=True)
    made.save(tmp_path, "y")
    for folder in ("same", "apart"):
        (tmp_path / folder).mkdir()
        for number, path in enumerate(sorted((DIGITS / "test" / "3").iterdir())[:4]):
            first = sorted((DIGITS / "test" / "3").iterdir())[0]
            shutil.copy(first if folder == "same" else path, f"{folder}/{number}.png")
    return "net.onnx"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (["-d", "apart", "-i", "4"], ""),
        (["-d", "apart", "-i", "1"], "one picture is no calibration: ranges follow what it "),
        (["-d", "same", "-i", "1"], "Hint: -i 4 takes more\n"),
    ],
)
def test_one_picture_is_no_calibration(
    net: str, capsys: pytest.CaptureFixture[str], data: list[str], told: str
) -> None:
    assert run(["quant", "-m", net, *data, *WORDS]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert ("no calibration" in err) == bool(told)


@pytest.mark.parametrize("effort", ["low", "normal"])
def test_pictures_that_are_one(net: str, capsys: pytest.CaptureFixture[str], effort: str) -> None:
    """Those that a cache stands for too."""
    words = ["--recipe", "digits", "-s", "q", "--effort", effort, "-i", "4"]
    for folder, alike in (("same", True), ("apart", False)):
        for _ in range(2):
            assert run(["quant", "-m", net, "-d", folder, *words, "-cd", f"{folder}.npz"]) == 0
            err = capsys.readouterr().err
            assert ("the 4 pictures that were fed are one and the same" in err) == alike


@pytest.mark.parametrize("effort", ["low", "normal"])
def test_copies_of_one_array(net: str, effort: str) -> None:
    """All of all batches count: the last that differs ends it."""
    data = np.repeat(np.random.RandomState(0).rand(1, 3, 32, 32).astype(np.float32), 8, 0)
    with pytest.warns(UserWarning, match="the 8 pictures that were fed are one and the same"):
        knightlite.quantize(net, data=data, effort=effort)
    data[7, 0, 0, 0] += 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        knightlite.quantize(net, data=data, effort=effort)
    assert not [item for item in caught if "one and the same" in str(item.message)]


def test_a_constant_calibrates_nothing(net: str) -> None:
    with pytest.warns(UserWarning, match=r"fed to input x is 0: nothing can be calibrated on that"):
        knightlite.quantize(net, data=np.zeros((3, 3, 32, 32), np.float32), effort="low")


def test_a_gain_without_scatter_is_no_verdict() -> None:
    """60 dB, the most there is, of pictures that become exact all at once: they are one."""
    ones, energy = np.ones(8), np.full(8, 100.0)

    def errors(noise: object) -> Errors:
        return Errors(energy, np.asarray(noise, np.float64), energy, energy)

    found = judge([errors(ones)], [errors(ones * 0)])
    assert found.alike
    assert StepResult("step", found, found.kept(Burden.DOUBTFUL), 0.0).sentence == (
        "step: kept; +60.00 dB on each of 8 pictures that give the same errors, as one and the "
        "same does: that is no evidence"
    )
    apart = judge([errors(ones)], [errors(ones / np.arange(2, 10))])
    assert not apart.alike
    assert " dB \u00b1 " in StepResult("step", apart, True, 0.0).sentence
    energy = energy[:1]
    assert not judge([errors(ones[:1])], [errors(ones[:1] / 2)]).alike


@pytest.mark.parametrize(
    ("recipe", "told", "effort"),
    [
        ("digits", "", "low"),
        ("imagenet_pm1", "", "low"),  # near enough to be another choice
        ("raw", "with recipe raw the pictures spread ", "low"),
        ("raw", "with recipe raw the pictures spread ", "normal"),
        ("unit.toml", "with recipe unit the pictures spread 0.0014 times as wide as those that ",
         "low"),
    ],
)  # fmt: skip
def test_pictures_that_training_did_not_see(
    here: Path, capsys: pytest.CaptureFixture[str], recipe: str, told: str, effort: str
) -> None:
    """The first BatchNorm knows what its pictures were: no labels are needed."""
    text = load_recipe("digits").text
    for old, new in (
        ("[0.31, 0.31, 0.31]", "[0.0, 0.0, 0.0]"),
        ("[0.35, 0.35, 0.35]", "[255, 255, 255]"),
    ):
        text = text.replace(old, new)
    Path("unit.toml").write_text(text)
    Path("raw.toml").write_text(load_recipe("digits").raw().text)
    named = "raw.toml" if recipe == "raw" else recipe
    Path("flat").mkdir()
    for number, path in enumerate(sorted((DIGITS / "calib").rglob("*.png"))[:192:12]):
        shutil.copy(path, f"flat/{number}.png")
    if recipe == "imagenet_pm1":
        Path("pm.toml").write_text(
            load_recipe("digits").text.replace("0.31", "0.5").replace("0.35", "0.5")
        )
        named = "pm.toml"
    words = ["-d", "flat", "--recipe", named, "-s", "q", "--effort", effort]
    if effort == "normal":
        words += ["--equalization", "off"]
    assert run(["quant", "-m", "digits.pdmodel", *words]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert ("BatchNorm saw in training" in err) == bool(told)
    nearest = "; of the recipes that ship, mean and std of digits come nearest to it, and 16 "
    assert (nearest in err) == bool(told)


def test_pictures_looked_at_are_those_of_the_whole_folder_however_it_lies(tmp_path: Path) -> None:
    """The same of a flat folder, of classes, and of fewer that calibrate; others by a seed."""
    for number, path in enumerate(sorted((DIGITS / "calib").rglob("*.png"))[:192:4]):
        for folder in (tmp_path / "flat", tmp_path / "apart" / str(number // 10)):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{number:03}.png")
    (tmp_path / "apart" / "0" / "000.png").write_bytes(b"no picture")
    (tmp_path / "flat" / "000.png").write_bytes(b"no picture")

    def looked(name: str, count: int, seed: int = 0) -> bytes:
        shape = (3, 32, 32)
        folder = PictureFolder(tmp_path / name, load_recipe("digits"), count, 1, shape, seed)
        found = poor_data._looked_at(folder)
        assert found.shape == (16, *shape)
        return found.tobytes()

    first = looked("flat", 48)
    assert first == looked("apart", 48) == looked("apart", 16)
    assert first != looked("flat", 48, 1)
