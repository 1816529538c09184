"""Pictures of the calibration that are met again: said by eval and diagnose, named by compare."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from knightlite.api.comparison import compare
from knightlite.api.diagnosis import _say_of_calibration
from knightlite.api.evaluation import evaluate_models
from knightlite.api.models.calibration_pictures import (
    calibration_pictures,
    met_again,
    met_again_told,
    quant_run,
)
from knightlite.options.compare import CompareOptions
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.preprocess import load_recipe
from knightlite.quantize.data import PictureFolder
from knightlite.talk import Talk
from knightlite.workspace import Record, open_workspace, sha256_of

MODEL = "digits_quantize.onnx"
TOLD = (
    "{} among those that digits_quantize.onnx was calibrated on: on others it may keep less. "
    "Hint: name pictures that quant has not seen"
)


@pytest.mark.parametrize(
    ("count", "of", "told"),
    [
        (0, 5, ""), (2, 5, "2 of the 5 pictures are"), (5, 5, "all pictures are"),
        (1, 1, "the picture is"),
    ],
)  # fmt: skip
def test_how_many_are_said(count: int, of: int, told: str) -> None:
    assert met_again_told(count, of, MODEL) == (TOLD.format(told) if told else "")


def test_pictures_are_known_by_what_they_hold(tmp_path: Path) -> None:
    texts = {"a": "one", "b": "two", "same/c": "one", "d": "six", "e": "longer"}
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    known = [tmp_path / name for name in ("a", "b")]
    assert met_again(known, [tmp_path / name for name in texts]) == 3
    assert met_again(known, [tmp_path / name for name in ("d", "e", "gone")]) == 0
    assert met_again([], known) == 0


def last_run() -> Record:
    found = quant_run(open_workspace(), (sha256_of(MODEL),))
    assert found is not None
    return found


def test_the_manifest_tells_which_pictures_were_fed_in_their_order(here: Path) -> None:
    space, run = open_workspace(), last_run()
    known = calibration_pictures(space, run)
    assert {*known} == {*Path("calib").glob("*/*.png")}
    assert quant_run(space, ("0" * 64,)) is None
    source = dict(run.options["source"])
    for change in ({"script": "s.py"}, {"data": None}, {"data": "gone"}, {"seed": "x"}):
        changed = replace(run, options={**run.options, "source": source | change})
        assert calibration_pictures(space, changed) == []
    fewer = replace(run, options={**run.options, "source": source | {"iteration": 4}})
    assert calibration_pictures(space, fewer) == known[:4]
    assert calibration_pictures(space, replace(run, options={})) == []


def test_eval_and_diagnose_say_that_pictures_are_those_of_the_calibration(here: Path) -> None:
    """Whatever they are called, and of a compiled network too; of other pictures nothing."""
    Path("test").mkdir()
    for label in "01":
        (first,) = Path("calib", label).glob("*.png")
        shutil.copy(first, f"test/{label}.png")
        Path(f"test/other{label}.png").write_bytes(first.read_bytes() + b" ")
    for models, folder, told in (
        (("digits.onnx", MODEL), "test", "2 of the 4 pictures are"),
        (("digits_quantize_r.cfg",), "calib", "all pictures are"),
        (("digits.onnx",), "calib", ""),
    ):
        said: list[str] = []
        asked = EvaluateOptions(
            data=Path(folder), models=tuple(map(Path, models)), recipe="digits", workers=1
        )
        found = evaluate_models(asked, Talk(warn=said.append))
        wanted = [TOLD.format(told)] if told else []
        assert [item for item in said if "calibrated on" in item] == wanted
        assert [item for item in found.remarks if "calibrated on" in item] == wanted
    work = PictureFolder(Path("test"), load_recipe("digits"), 4, 1, (1, 3, 32, 32))
    said = []
    _say_of_calibration(DiagnoseOptions(), last_run(), work, Talk(say=said.append))
    _say_of_calibration(DiagnoseOptions(), None, work, Talk(say=said.append))
    assert said == [TOLD.format("2 of the 4 pictures are")]


def test_compare_names_the_frame(here: Path) -> None:
    """The picture, where preparing it gives the sample; else what is known of it."""

    def told(**asked: Any) -> list[str]:
        said: list[str] = []
        compare(CompareOptions(level=0, **asked), Talk(say=said.append))
        return [item for item in said if item.startswith("compared is")]

    last = calibration_pictures(open_workspace(), last_run())[-1]
    one = "compared is one frame: inputs/x.bin, "
    assert told() == [f"{one}which is the picture {last}."]
    first = calibration_pictures(open_workspace(), last_run())[0]
    last.write_bytes(first.read_bytes())
    assert told() == [f"{one}the last that quant was fed."]
    last.write_bytes(b"no picture")
    assert told() == [f"{one}the last that quant was fed."]
