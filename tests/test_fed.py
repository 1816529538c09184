"""What is fed far from the range of calibration is said; what is like calibration never is."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import knightlite
from conftest import DIGITS
from knightlite import Session
from knightlite.api.simulation.fed import Range, integer_range, looked_at, remark
from knightlite.cli.program import run
from knightlite.preprocess import load_recipe, prepare_picture

Array = NDArray[Any]
STEM = "digits_quantize"
FORMS = (f"{STEM}.onnx", f"{STEM}_golden.onnx", f"{STEM}_r.cfg")
IMAGENET = load_recipe("imagenet")
MEAN, STD = (np.reshape(item, (3, 1, 1)) for item in (IMAGENET.mean, IMAGENET.std))
KNOWN = integer_range("x", np.dtype(np.int8), 0.0208, IMAGENET.text)
PIXELS = np.random.default_rng(7).integers(20, 236, (4, 3, 24, 24))
FORMULA = (
    "Hint: feed what calibration was fed: (pixel / 255 - mean) / std, mean 0.485 0.456 0.406, std "
    "0.229 0.224 0.225, pixels 0 to 255 in the order RGB"
)


def usual(pixels: Array) -> Array:
    return np.asarray((pixels / 255 - MEAN) / STD)


def told(frames: Array, known: Range = KNOWN) -> str | None:
    return remark((frame[None] for frame in frames), known)


@pytest.mark.parametrize(
    "frames",
    [
        usual(PIXELS),
        usual(PIXELS)[:, ::-1],  # another order of colours is within the range
        usual(PIXELS // 8 + 100),  # faint
        usual(PIXELS // 2),  # dark
        usual(np.clip(PIXELS + 100, 0, 255)),  # bright, but for a few pixels
    ],
)
def test_pictures_as_in_calibration_are_not_odd(frames: Array) -> None:
    assert told(frames) is None


def test_an_outlier_in_a_hundred_is_not_odd() -> None:
    frames = usual(PIXELS)
    frames[:, :, 0, :2] = 9
    assert told(frames) is None
    frames[:, :, 0, :] = 9
    assert str(told(frames)).startswith("4.1")


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (
            PIXELS.astype(float),
            "100 % of what is fed to input x, 20 to 235, lies beyond -2.662 to 2.642, the range "
            "that it was calibrated for, and is cut off there: these look like pixels as they are.",
        ),
        (
            (usual(PIXELS) - MEAN) / STD,
            "these look like numbers that are prepared otherwise, or twice.",
        ),
        (
            usual(PIXELS / 255),
            "what is fed to input x lies within 0.28 % of -2.662 to 2.642, the range that it was "
            "calibrated for, in every channel: blank pictures, or numbers that were divided or "
            "normalized once too often.",
        ),
        (
            PIXELS / 255,
            "nothing that is fed to input x, 0.07843 to 0.9216, is below 0, and it was calibrated "
            "for -2.662 to 2.642: pixels of which no mean was subtracted look like that.",
        ),
        (
            PIXELS * 0.0,
            "every value that is fed to input x is 0: blank pictures, or data that were never "
            "filled in.",
        ),
    ],
)
def test_pictures_that_are_prepared_otherwise(frames: Array, sentence: str) -> None:
    found = told(frames)
    assert found is not None
    assert f"{sentence} {FORMULA}" in found
    assert told(frames[:1]) is not None


def test_a_network_that_normalizes_itself_is_fed_pixels() -> None:
    known = integer_range("x", np.dtype(np.uint8), 1.0, IMAGENET.raw().text)
    assert told(PIXELS.astype(float), known) is None
    for frames in (PIXELS / 255, usual(PIXELS)):
        found = told(frames, known)
        assert found is not None
        assert found.endswith("was fed: pixels 0 to 255 in the order RGB, not normalized")


def test_vectors_and_inputs_without_a_recipe() -> None:
    """A channel of one value spans nothing, and numbers that are no pictures may lie on a side."""
    known = integer_range("v", np.dtype(np.int8), 0.02, None, "arrays of 3 frames")
    assert told(np.linspace(0, 1, 40).reshape(1, 40, 1, 1), known) is None
    assert told(np.linspace(0, 0.01, 40).reshape(1, 40, 1, 1), known) is not None
    pictures = told(PIXELS / 255, known)
    assert pictures is not None
    assert pictures.endswith("Hint: feed what calibration was fed: arrays of 3 frames")
    assert told(PIXELS[:, :2] / 255, known) is None


def test_each_channel_has_its_own_range() -> None:
    scales = np.array([0.02, 0.2, 2.0])
    known = integer_range("x", np.dtype(np.int8), scales, None)
    frames = np.random.default_rng(1).uniform(-1, 1, (1, 3, 8, 8)) * 127 * scales[:, None, None]
    assert told(frames, known) is None
    assert told(frames[:, ::-1], known) is not None


def test_a_zero_point_moves_the_range() -> None:
    known = integer_range("x", np.dtype(np.uint8), 0.02, None, "", np.array(128, np.uint8))
    assert (known.low.tolist(), known.high.tolist()) == ([-2.56], [2.54])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 100, 1000])
def test_frames_that_are_looked_at(count: int) -> None:
    found = looked_at(count)
    assert found[0] == 0
    assert min(count, 9) <= len(found) <= 16
    assert max(np.diff(found), default=1) * len(found) >= count


def prepared() -> Array:
    paths = [path for label in "237" for path in sorted((DIGITS / "test" / label).iterdir())[:4]]
    recipe = load_recipe("digits")
    return np.stack([prepare_picture(path, recipe, (3, 32, 32)) for path in paths])


@pytest.fixture(scope="module")
def digits() -> Array:
    return prepared()


def pixels(frames: Array) -> Array:
    return np.rint((frames * 0.35 + 0.31) * 255).astype(np.float32)


@pytest.mark.parametrize(
    ("made", "odd"),
    [(lambda x: x, ""), (pixels, "pixels as they are"), (lambda x: pixels(x) / 255, "no mean")],
)
def test_sim_says_it(
    here: Path,
    digits: Array,
    capsys: pytest.CaptureFixture[str],
    made: Callable[[Array], Array],
    odd: str,
) -> None:
    frames = made(digits)
    np.save("frames.npy", frames)
    frames.tofile("frames.bin")
    for name in ("frames.npy", "frames.bin"):
        assert run(["sim", "--input", name, "-fc", "12", "--json"]) == 0
        out, err = capsys.readouterr()
        remarks = json.loads(out)["remarks"]
        assert ([odd in item for item in remarks] == [True]) if odd else not remarks
        assert ("calibrated for" in err) == bool(odd)
    assert run(["eval", *FORMS, "--data", "frames.npy", "-j", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["remarks"] == remarks
    assert err.count("calibrated for") == bool(odd)


def test_one_form_of_each_kind_tells(here: Path, digits: Array) -> None:
    for name in FORMS:
        with pytest.warns(UserWarning, match="these look like pixels as they are"):
            found = knightlite.evaluate([name], pixels(digits), workers=1)
        assert len(found.remarks) == 1
        assert not knightlite.evaluate([name], digits, workers=1).remarks
    assert not knightlite.evaluate(["digits.onnx"], pixels(digits), workers=1).remarks


def test_a_picture_through_another_recipe_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next((DIGITS / "test" / "3").iterdir())
    text = load_recipe("digits").text
    Path("raw.toml").write_text(load_recipe("digits").raw().text)
    assert text != Path("raw.toml").read_text()
    assert run(["sim", "--input", str(picture)]) == 0
    assert "calibrated for" not in capsys.readouterr().err
    assert run(["sim", "--input", str(picture), "--recipe", "raw.toml"]) == 0
    assert "pixels as they are" in capsys.readouterr().err


def test_a_session_says_it_once(here: Path, digits: Array) -> None:
    session = Session(f"{STEM}_r.cfg")
    session.run(None, {"x": digits})
    session.run(None, {"x": np.zeros_like(digits)})  # as programs warm up
    with pytest.warns(UserWarning, match="these look like pixels as they are") as caught:
        session.run(None, {"x": pixels(digits)})
    assert caught[0].filename == __file__
    session.run_integers({"x": pixels(digits)})
    with pytest.warns(UserWarning, match="no mean was subtracted"):
        Session(f"{STEM}_r.cfg").run_integers({"x": pixels(digits) / 255})


def test_integers_are_taken_as_they_are(here: Path) -> None:
    """They are the input's own, whose range they cannot leave."""
    session = Session(f"{STEM}_r.cfg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        session.run(None, {"x": np.zeros((1, 3, 32, 32), np.int8)})
