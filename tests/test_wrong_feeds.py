"""What users feed by mistake: refused with what would be right, in words that can be typed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import knightlite
from conftest import DIGITS
from knightlite import Session
from knightlite.cli.program import run
from knightlite.datafiles import calibration_folder
from knightlite.errors import DataError
from knightlite.preprocess import list_recipes, load_recipe, parse_recipe, prepare_picture

Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"
CFG = f"{STEM}_r.cfg"
FORMULA = "(pixel / 255 - mean) / std, mean 0.31 0.31 0.31, std 0.35 0.35 0.35, pixels 0 to 255"


def told(words: Sequence[str], code: int, capsys: Capture) -> str:
    """What a command says where it fails."""
    capsys.readouterr()
    assert run(list(words)) == code
    return capsys.readouterr().err


def test_a_folder_is_for_eval(here: Path, capsys: Capture) -> None:
    """The command that is named runs."""
    folder = here / "a few"
    shutil.copytree(DIGITS / "test" / "3", folder, ignore=lambda *_: _[1][3:])
    said = told(["sim", "--input", "a few"], 2, capsys)
    assert "input a few is a folder, and sim runs what a file holds." in said
    named = re.search(r"Hint: `(.*)` runs all its pictures; or name one, as (.*)\n", said)
    assert named is not None
    assert run([*shlex.split(named[1])[1:], "-j", "1"]) == 0
    assert "Accuracy on 3 pictures" in capsys.readouterr().out
    assert run(["sim", "--input", named[2]]) == 0
    (here / "empty").mkdir()
    assert "Hint: name a file inside it\n" in told(["sim", "--input", "empty"], 2, capsys)


def test_a_file_that_a_stage_left_elsewhere_is_named(here: Path, capsys: Capture) -> None:
    """The manifest knows where it lies; what was typed wrongly is not said again."""
    said = told(["sim", "--input", "input/x.bin"], 2, capsys)
    assert "input file input/x.bin does not exist." in said
    assert "Hint: quant left inputs/x.bin\n" in said
    (here / "inputs/x.bin").unlink()
    assert "Hint: there is no folder input; " in told(["sim", "--input", "input/x.bin"], 2, capsys)
    assert run(["profile", "-s", "out"]) == 0
    name = "digits_quantize_r.profile.json"
    said = told(["profile", "--diff", f"out/{name}", name], 2, capsys)
    assert f"profile {name} does not exist." in said
    assert f"Hint: profile left out/{name}\n" in said


def test_pixels_in_place_of_floats(here: Path, capsys: Capture) -> None:
    """The type alone makes no input of them: what calibration did with them is said."""
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    np.save("x.npy", pixels)
    for words in (["sim", "--input", "x.npy"], ["eval", CFG, "--data", "x.npy"]):
        said = told(words, 1, capsys)
        assert "x.npy must hold floats" in said
        assert f"pixels are prepared as calibration had them: {FORMULA}" in said
        assert "array.astype('float32') is only the first step" in said
    with pytest.raises(DataError, match="must be floats or int8, not uint8") as caught:
        Session(CFG).run(None, {"x": pixels})
    assert FORMULA in caught.value.hint
    said = told(["eval", "digits.onnx", "--data", "x.npy"], 1, capsys)
    assert "normalize pixels as the training did, then array.astype('float32')" in said


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_frame_of_what_is_no_number_is_named(here: Path, capsys: Capture, value: float) -> None:
    frames = np.random.default_rng(1).normal(0, 0.5, (4, 3, 32, 32)).astype(np.float32)
    frames[2, 1, 5, 5] = value
    np.save("x.npy", frames)
    what = "NaN" if np.isnan(value) else "infinite values"
    for model in ("digits.onnx", CFG):  # a float model would give NaN of it
        said = told(["eval", model, "--data", "x.npy", "-j", "1"], 1, capsys)
        assert f"frame 2 of x.npy must hold numbers, not {what}." in said
    if np.isnan(value):
        said = told(["sim", "--input", "x.npy", "-fc", "4"], 1, capsys)
        assert "frame 2 of input x must hold numbers, not NaN." in said
        with pytest.raises(DataError, match="frame 2 of input x must hold numbers, not NaN"):
            Session(CFG).run(None, {"x": frames})
        with pytest.raises(DataError, match=r"^input x must hold numbers, not NaN"):
            Session(CFG).run(None, {"x": frames[2:3]})


def test_frames_with_channels_last(here: Path) -> None:
    frames = np.zeros((2, 32, 32, 3), np.float32)
    with pytest.raises(DataError, match="must hold frames") as caught:
        knightlite.evaluate([CFG], frames, workers=1)
    assert caught.value.hint.startswith("array.transpose(0, 3, 1, 2) has channels first")


@pytest.mark.parametrize(
    ("shape", "size", "kind"),
    [((3, 32, 32), (28, 28), "RGB"), ((3, 32, 32), (32, 32), "RGB"), ((1, 28, 28), (28, 28), "L"),
     ((3, 224, 224), (300, 500), "RGB"), ((3, 48, 192), (20, 90), "RGB")],
)  # fmt: skip
def test_recipes_that_fit_are_named(shape: Any, size: tuple[int, int], kind: str) -> None:
    """Those that are named do and normalize alike; the copy that is told of does too."""
    picture = Image.new(kind, size[::-1], 90)
    for name in list_recipes():
        recipe = load_recipe(name)
        try:
            assert prepare_picture(picture, recipe, shape).shape == shape
            continue
        except DataError as error:
            hint = error.hint
        if len(recipe.mean) != shape[0]:
            assert hint.endswith(f"write one of your own, as those in {calibration_folder()}")
            continue
        named, _, copied = hint.rpartition("a copy of ")
        file, changes = re.fullmatch(r"(.*) with (.*) fits", copied).groups()  # type: ignore[union-attr]  # else it fails
        assert file == str(calibration_folder() / f"{name}.toml")
        text = recipe.text
        for change in changes.split(" and "):
            key = change.partition(" = ")[0]
            text = re.sub(rf"(?m)^{key} = .*$", change, text)
        made = prepare_picture(picture, parse_recipe(text, "copy"), shape)
        for other in re.findall(r"[a-z]\w+(?=,| fit)", named):
            assert np.allclose(prepare_picture(picture, load_recipe(other), shape), made)


def test_a_picture_that_does_not_fit_keeps_the_stored_normalization(
    here: Path, capsys: Capture
) -> None:
    """Another recipe of the right shape would feed other numbers."""
    Image.new("RGB", (20, 20)).save("small.png")
    Path("own.toml").write_text(
        load_recipe("digits")
        .text.replace('"exact"', '"none"')
        .replace("resize_size = [32, 32]", "resize_size = []")
    )
    said = told(["sim", "--input", "small.png", "--recipe", "own.toml"], 1, capsys)
    assert "Hint: the recipe of the .cfg fits, which is taken without another\n" in said
    Path("few").mkdir()
    shutil.copy("small.png", "few")
    words = ["quant", "-m", "digits.onnx", "-d", "few", "--recipe", "own.toml", "-s", "q"]
    said = told(words, 1, capsys)
    assert "digits fits and normalizes alike; or a copy of recipe own (" in said
    assert ') with resize = "exact" fits\n' in said


def test_stored_recipes_are_called_as_what_they_are(here: Path, capsys: Capture) -> None:
    Image.new("RGB", (20, 20)).save("small.png")
    text = load_recipe("cifar10").text
    Path("own.toml").write_text(text)
    said = told(["sim", "--input", "small.png", "--recipe", "own.toml"], 1, capsys)
    assert "becomes 3x20x20 with recipe own, but the model's input is 3x32x32" in said
    knightlite.quantize("digits.onnx", data="calib", recipe="own.toml", effort="low").save("q")
    Path("few").mkdir()
    shutil.copy("small.png", "few")
    said = told(["eval", "q/digits_quantize.onnx", "--data", "few", "-j", "1"], 1, capsys)
    assert "becomes 3x20x20 with the recipe of the models, but" in said
    assert f'a copy of {calibration_folder()}/cifar10.toml with resize = "exact" fits\n' in said


def test_the_first_of_several_faults_is_told_once(here: Path, capsys: Capture) -> None:
    text = load_recipe("digits").text.replace('"RGB"', '"GBR"').replace("pad_value", "pad_valu")
    Path("own.toml").write_text(text)
    said = told(["eval", CFG, "--data", "calib", "--recipe", "own.toml"], 1, capsys)
    assert said.count("key pad_valu is not known.") == 1
    assert said.count("key pad_value is missing.") == 1
    assert said.count('color must be one of "RGB"') == 1


@pytest.mark.parametrize(("name", "near"), [("dump", "q"), ("inputs", "q"), (".", "./q")])
def test_a_folder_beside_that_of_quant_is_told_from_it(
    here: Path, capsys: Capture, name: str, near: str
) -> None:
    """``-qd dump``: what ``quant -du`` leaves is in the folder that is meant."""
    Path("q/dump").mkdir(parents=True)
    Path("q/inputs").mkdir()
    Path("q/dump/dump.json").write_text("{}")
    shutil.move(f"{STEM}.onnx", "q")
    given = name if name == "." else f"q/{name}"
    said = told(["compare", "-qd", given, "--config", CFG], 2, capsys)
    what = ", which holds values of layers," if name == "dump" else ""
    assert f"{given}{what} must hold one quantized model, not 0." in said
    assert said.endswith(f"X_quantize.onnx and inputs/, here {Path(near)}\n")
