"""``-r infer`` and ``-r compare`` of a quantized model: its recipe, and what is odd in the data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import DIGITS
from knightlite.api.quantization import quantize
from knightlite.api.quantization.calibration_data import _reads_folder
from knightlite.cli.program import run
from knightlite.options.quantize import QuantizeOptions
from knightlite.talk import Talk
from refusals import Refusal

INFER = ["quant", "onnx", "-m", "digits_quantize.onnx", "-r", "infer", "-d", "calib", "-i", "4"]
COMPARE = ["quant", "onnx", "-m", "digits.onnx", "-r", "compare", "-d", "calib", "-i", "2"]
LABELS = ["--labels", str(DIGITS / "labels.txt")]
OTHER = "Warning: the recipe is not the one that the model was quantized with. Hint: "
BEYOND = (
    r"Warning: \S+ % of what is fed to input x, 0 to 255, lies beyond \S+ to \S+, the range that "
    r"it was calibrated for, and is cut off there: these look like pixels as they are\. Hint: feed "
    r"what calibration was fed: \(pixel / 255 - mean\) / std, "
)

Capture = pytest.CaptureFixture[str]


def test_labels_beside_the_stored_recipe(here: Path, capsys: Capture) -> None:
    """What the warning of class folders advises works without --recipe, and makes the same."""
    assert run([*INFER, *LABELS]) == 0
    out, err = capsys.readouterr()
    assert out == "metric, quantized model: 100.0000\n"
    assert "the pictures go through the recipe of the quantized model.\n" in err
    assert "Warning" not in err
    assert run([*INFER, *LABELS, "--recipe", "digits"]) == 0
    assert capsys.readouterr().out == out


def test_labels_without_a_folder_or_a_recipe(refused: Refusal) -> None:
    refused(["quant", "-m", "digits.onnx", "-d", "calib", *LABELS], 2,
            "the pictures of calib need a recipe that prepares them.",
            "--recipe with one of *")  # fmt: skip
    none = "--labels orders the class folders of pictures, and no such folder is read."
    refused(["quant", "-m", "digits.onnx", *LABELS], 2, none, "name it with -d DIR --recipe NAME")
    refused([*INFER[:6], *LABELS], 2, none, "name it with -d DIR")


def test_a_script_that_builds_leaves_the_folder_to_be_read() -> None:
    asked: dict[str, Any] = {"script": Path("s.py"), "data": "calib", "labels": Path("labels.txt")}
    assert _reads_folder(QuantizeOptions(model=Path("f"), framework="pytorch", **asked))
    assert not _reads_folder(QuantizeOptions(model=Path("f.onnx"), **asked))


@pytest.mark.parametrize(
    ("words", "hint"),
    [(INFER, "without --recipe that one is taken\n"), (COMPARE, "name the one that quant had\n")],
)
def test_another_recipe(here: Path, capsys: Capture, words: list[str], hint: str) -> None:
    """As ``sim`` says it, with what lies beyond the calibrated range."""
    assert run([*words, "--recipe", "digits"]) == 0
    assert "Warning" not in capsys.readouterr().err
    assert run([*words, "--recipe", "raw"]) == 0
    err = capsys.readouterr().err
    assert OTHER + hint in err
    assert re.search(BEYOND, err)


def test_arrays_are_looked_at(here: Path) -> None:
    """Over all of them, in batches of any size; integers of their own scale need no range."""
    told: list[str] = []
    frames = np.zeros((40, 3, 32, 32), np.float32)
    asked = QuantizeOptions(
        model=Path("digits_quantize.onnx"), run_mode="infer", batch_size=7, batches=frames
    )
    quantize(asked, Talk(warn=told.append))
    assert [item.split(":")[0] for item in told] == ["every value that is fed to input x is 0"]
    told.clear()
    frames[36:] = 255 * np.linspace(0, 1, 1024).reshape(32, 32)
    quantize(asked, Talk(warn=told.append))
    assert len(told) == 1
    assert "numbers that are prepared otherwise" in told[0]
