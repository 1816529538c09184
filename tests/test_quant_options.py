"""What ``quant`` fills in, records, notes and warns of, option by option."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knightlite import dtypes
from knightlite.api.quantization import calibration_data, in_memory, options, run
from knightlite.api.quantization.input_forms import InputForm
from knightlite.frontend import OpenShapeError
from knightlite.ir import Tensor
from knightlite.options.quantize import QuantizeOptions
from knightlite.talk import Talk
from knightlite.workspace import record

MODEL = Path("n.onnx")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(**more: Any) -> QuantizeOptions:
    return QuantizeOptions(model=MODEL, **more)


@pytest.mark.parametrize(
    ("more", "flags"),
    [
        ({}, ""),
        ({"equalize": True}, ""),
        ({"equalize": True, "load_scales": Path("s")}, "-lsj"),
        ({"equalize": True, "generate_scales": True, "cache": Path("c")}, "-gsj -cd"),
        ({"generate_scales": True, "cache": Path("c")}, ""),
        ({"bit_width": 16}, ""),
        ({"bit_width": 16, "equalize": True, "output_scales": True, "cache": Path("c")},
         "--equalization --output-scales"),
        ({"bit_width": 16, "bias_correction": "sequential", "rounding": "adaptive"},
         "--bias-correction --rounding"),
        ({"bit_width": 16, "bias_correction": "off", "rounding": "nearest", "equalize": False}, ""),
    ],
)  # fmt: skip
def test_steps_that_other_options_leave_out(more: dict[str, Any], flags: str) -> None:
    told = list(in_memory._in_vain(asked(**more)))
    wide = more.get("bit_width") == 16
    assert [
        sentence.split()[0] if wide else sentence.split(" with ")[1].split(":")[0]
        for sentence in told
    ] == flags.split()


def pictures(count: int) -> None:
    Path("pics").mkdir()
    for number in range(count):
        Image.new("RGB", (2, 2)).save(f"pics/{number:03}.png")


@pytest.mark.parametrize(
    ("count", "more", "calls", "said"),
    [
        (3, {}, (3,), "all 3 pictures of pics are taken; -i N takes fewer"),
        (3, {"batch_size": 2}, (2,), "all 3 pictures of pics are taken; -i N takes fewer"),
        (4, {"batch_size": 2}, (2,), "all 4 pictures of pics are taken; -i N takes fewer"),
        (101, {}, (100,), "100 of the 101 pictures of pics are taken; -i N takes more"),
        (3, {"run_mode": "convert"}, (3,), ""),
        (3, {"iterations": (2, 1)}, (2, 1), ""),
        (3, {"function": "feed"}, (), ""),
        (3, {"recipe": None}, (), ""),
        (3, {"data": "none"}, (), ""),
    ],
)
def test_how_many_pictures_are_taken(
    count: int, more: dict[str, Any], calls: tuple[int, ...], said: str
) -> None:
    pictures(count)
    told: list[str] = []
    found = options._with_pictures(
        asked(**{"data": "pics", "recipe": "raw", **more}), Talk(told.append)
    )
    assert (found.iterations, told) == (calls, [said] if said else [])


def test_what_names_the_pictures_again() -> None:
    """A function only where one was named; text for paths."""
    named = asked(
        script=Path("s.py"), function="feed", data="pics", recipe="raw", labels=Path("l.txt"),
        batch_size=3, iterations=(4, 7), seed=5,
    )  # fmt: skip
    wanted = {
        "script": "s.py", "script_python": None, "function": "feed", "data": "pics",
        "recipe": "raw", "labels": "l.txt", "batch_size": 3, "iteration": 7, "seed": 5,
    }  # fmt: skip
    Path("s.py").touch()
    assert run._source(named) == wanted
    assert run._source(replace(named, function=print)) == wanted | {"function": None}
    assert run._source(replace(named, script=None, labels=None)) == wanted | {
        "script": None, "labels": None
    }  # fmt: skip


def test_files_that_a_model_is_made_from() -> None:
    found = run._source_files(
        asked(weight=Path("w"), script=Path("s"), recipe="r.toml", load_scales=Path("l"),
              mix_config=Path("m"))
    )  # fmt: skip
    assert {key: str(path) for key, path in found.items()} == {
        "model": "n.onnx", "weight": "w", "script": "s", "recipe": "r.toml", "scales": "l",
        "mix": "m",
    }  # fmt: skip
    assert set(run._source_files(asked())) == {"model"}


def test_the_float_model_of_the_run_that_left_the_quantized_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last one that did; none where it kept none."""
    monkeypatch.setattr("knightlite.frontend.load", lambda path: path)
    for folder, kept in (("one", "a"), ("one", "b"), ("two", "c"), ("three", "")):
        files = {"onnx": Path(folder) / "n_quantize.onnx"}
        if kept:
            files["float_onnx"] = Path(folder) / kept
        for path in files.values():
            path.parent.mkdir(exist_ok=True)
            path.touch()
        record(".", "quant", "c", {}, files, {})
    for folder, wanted in (("one", "one/b"), ("two", "two/c"), ("three", None), ("four", None)):
        found: Any = run._kept_float(asked(), Path(folder) / "n_quantize.onnx")
        assert found == (None if wanted is None else Path(wanted))


def test_what_is_noted_of_inputs_that_are_not_plain() -> None:
    forms = (
        InputForm("a"),
        InputForm("b", dtypes.U8),
        InputForm("c", None, (1.0, 2.0), (3.0, 4.0)),
        InputForm("d", dtypes.S16, (5.0,), (6.0,)),
    )
    found = in_memory._input_notes(forms)
    assert found is not None
    assert {name: (n.type, n.mean, n.std) for name, n in found.items()} == {
        "b": ("uint8", (), ()), "c": ("float32", (1.0, 2.0), (3.0, 4.0)),
        "d": ("int16", (5.0,), (6.0,)),
    }  # fmt: skip
    assert in_memory._input_notes(forms[:1]) is None


@pytest.mark.parametrize(
    ("scale", "whole"), [(1.0, True), (0.5, False), ([1.0, 1.0], False), (None, False)]
)
def test_an_input_of_scale_1_is_fed_with_integers(scale: Any, whole: bool) -> None:
    values = None if scale is None else np.asarray(scale, np.float32)
    form = calibration_data._form_of(Tensor("x", (1, 2, 1, 1), dtypes.U8, values))
    assert form == InputForm("x", dtypes.U8 if whole else None)


@pytest.mark.parametrize("there", ["model", "weight", "script"])
def test_the_hash_of_what_was_loaded(there: str) -> None:
    """Of the model's file; of its weights where a function builds it; else of the script."""
    named = asked(weight=None if there == "script" else Path("w"), script=Path("s"))
    for name in ("w", "s", *(["n.onnx"] if there == "model" else [])):
        Path(name).write_text(name)
    wanted = {"model": "n.onnx", "weight": "w", "script": "s"}[there]
    assert in_memory._model_sha256(named) == hashlib.sha256(wanted.encode()).hexdigest()


RECIPE = """\
description = "d"
color = "RGB"
resize = "exact"
resize_size = [96, 80]
interpolation = "bilinear"
crop_size = {crop}
divide_by = 1.0
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
pad_value = 0.0
layout = "nchw"
"""


@pytest.mark.parametrize(("crop", "size"), [("[48, 64]", "48 64"), ("[]", "96 80")])
def test_the_size_of_a_recipes_pictures_is_proposed(crop: str, size: str) -> None:
    """Where the channels are known, and the input is one of pictures."""
    Path("r.toml").write_text(RECIPE.format(crop=crop))

    def told(*shape: int | str, recipe: str | None = "r.toml") -> str:
        error = OpenShapeError("open.", shape or None, [shape or None])
        return in_memory._with_sizes(asked(recipe=recipe, data="pics"), error)

    high, wide = size.split()
    found = told("N", 3, "h", "w")
    assert found.startswith(f"recipe r makes pictures of {high} x {wide}: `knightlite quant ")
    assert f"-is 1 3 {size}" in found
    assert {
        told("N", "c", "h", "w"),
        told("N", 3, "h"),
        told(),
        told("N", 3, "h", "w", recipe=None),
    } == {""}
