"""Figures over one picture, the same one again, or a constant are said to be no verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import knightlite
from conftest import DIGITS
from knightlite.cli.program import run
from knightlite.preprocess import load_recipe
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


def test_pictures_that_are_one(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--recipe", "digits", "-s", "q", "--effort", "normal", "-i", "4"]
    for folder, alike in (("same", True), ("apart", False)):
        assert run(["quant", "-m", net, "-d", folder, *words]) == 0
        err = capsys.readouterr().err
        assert ("the 4 pictures that were compared are one and the same" in err) == alike


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
    ("recipe", "told"),
    [
        ("digits", ""),
        ("imagenet_pm1", ""),  # near enough to be another choice
        ("raw", "with recipe raw the pictures spread "),
        ("unit.toml", "with recipe unit the pictures spread 0.0014 times as wide as those that "),
    ],
)
def test_pictures_that_training_did_not_see(
    here: Path, capsys: pytest.CaptureFixture[str], recipe: str, told: str
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
    words = ["-d", "flat", "--recipe", named, "-s", "q", "--equalization", "off"]
    assert run(["quant", "-m", "digits.pdmodel", *words]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert ("BatchNorm saw in training" in err) == bool(told)
    assert ("that of recipe digits gives what it saw" in err) == bool(told)
