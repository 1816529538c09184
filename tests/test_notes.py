"""The quantizer's notes in a model: what is written is read, what does not fit is a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from knightlite.api.models.notes import QUANTIZATION, VERSION, notes_in, notes_metadata
from knightlite.container import InputNote, QuantizationNotes
from knightlite.datafiles import calibration_folder
from knightlite.errors import FormatError
from knightlite.version import __version__

PATH = Path("X_quantize.onnx")
RECIPE = (calibration_folder() / "imagenet.toml").read_text(encoding="utf-8")
NOTES = QuantizationNotes(
    bias_correction="fast", bit_width=16, chip="TX510x", data="4 pictures", data_sha256="1" * 64,
    effort="low", input_layout="nchw", method="mse", model_sha256="2" * 64, pictures=4,
    recipe=RECIPE, rounding="nearest", seed=7, inputs={"x": InputNote("uint8", (1.5,), (2.0,))},
    ir_batch=3,
)  # fmt: skip


def model(text: str) -> onnx.ModelProto:
    made = onnx.ModelProto()
    for key, value in ((VERSION, "1"), (QUANTIZATION, text)):
        entry = made.metadata_props.add()
        entry.key, entry.value = key, value
    return made


def test_notes_come_back() -> None:
    written = notes_metadata(NOTES)
    assert written[VERSION] == __version__
    value = json.loads(written[QUANTIZATION])
    assert written[QUANTIZATION] == json.dumps(value, sort_keys=True)
    assert value["inputs"] == {"x": {"type": "uint8", "mean": [1.5], "std": [2.0]}}
    assert notes_in(model(written[QUANTIZATION]), PATH) == NOTES


def test_models_of_others_have_none() -> None:
    assert notes_in(onnx.ModelProto(), PATH) is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"input_layout": "nhwc"}, 'input_layout must be nchw, not "nhwc".'),
        ({"ir_batch": 0}, "ir_batch must be a whole number of at least 1, not 0."),
        ({"ir_batch": True}, "ir_batch must be a whole number of at least 1, not true."),
        ({"recipe": 5}, "recipe must be a text or null, not 5."),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1."),
        ({"color": "RGB"}, 'color must be absent, not "RGB".'),
        ({"inputs": None}, "inputs must be an object, not null."),
    ],
)
def test_notes_that_do_not_fit(changed: dict[str, Any], sentence: str) -> None:
    value = {**json.loads(notes_metadata(NOTES)[QUANTIZATION]), **changed}
    with pytest.raises(FormatError) as caught:
        notes_in(model(json.dumps(value)), PATH)
    assert caught.value.sentence == f"knightlite.quantize in X_quantize.onnx is damaged: {sentence}"
    assert caught.value.hint == "quantize the model again"


def test_notes_that_are_no_notes() -> None:
    for text in ("", "{", "[]", "7"):
        with pytest.raises(
            FormatError, match=r"^knightlite.quantize in X_quantize.onnx is damaged"
        ):
            notes_in(model(text), PATH)
    value = json.loads(notes_metadata(NOTES)[QUANTIZATION])
    value["recipe"] = RECIPE.replace("mean", "m")
    with pytest.raises(
        FormatError, match=r"^X_quantize\.onnx is not a usable recipe, for 2 reasons"
    ):
        notes_in(model(json.dumps(value)), PATH)


def test_notes_that_are_no_text() -> None:
    data = model("here").SerializeToString().replace(b"here", b"h\xff\xffe")
    with pytest.raises(
        FormatError, match=r"is damaged: it is not JSON \('utf-8' codec can't decode"
    ):
        notes_in(onnx.ModelProto.FromString(data), PATH)
