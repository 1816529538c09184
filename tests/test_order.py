"""Pictures in another order than is asked for are told from their numbers, and only these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import knightlite
from conftest import DIGITS
from knightlite import Session
from knightlite.api.simulation.order import order_remark
from knightlite.cli.program import run
from knightlite.preprocess import load_recipe, prepare_picture

Array = NDArray[Any]
STEM = "digits_quantize"
CFG = f"{STEM}_r.cfg"


def smooth(seed: int, height: int = 40, width: int = 48, grey: bool = False) -> Array:
    """A picture [1, 3, H, W] of a few waves in each colour, and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(3):
        a, b, phase = rng.uniform(0.05, 0.35, 3)
        planes.append(np.sin(a * y + b * x + 20 * phase) * rng.uniform(0.5, 1) + rng.normal())
    picture = np.stack(planes[:1] * 3 if grey else planes)
    return np.asarray((picture + rng.normal(0, 0.05, picture.shape))[None], np.float32)


def turned(frame: Array) -> Array:
    """The numbers of NHWC in the shape of NCHW."""
    return np.ascontiguousarray(np.moveaxis(frame, 1, -1)).reshape(frame.shape)


def turned_back(frame: Array) -> Array:
    """The numbers of NCHW read as NHWC."""
    count, channels, height, width = frame.shape
    read = frame.reshape(count, height, width, channels)
    return np.ascontiguousarray(np.moveaxis(read, -1, 1))


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_pictures_tell_their_order(seed: int, grey: bool) -> None:
    frame = smooth(seed, grey=grey)
    assert order_remark([frame], "x", None) is None
    found = order_remark([turned(frame)], "x", None)
    assert found == (
        "what is fed to input x looks like pictures in the order NHWC, and is taken for NCHW: rows "
        "are alike in that order only. Hint: array.reshape(-1, 40, 48, 3).transpose(0, 3, 1, 2) "
        "has channels first; reshape alone moves no number"
    )
    found = order_remark([turned_back(frame)], "x", "nhwc")
    assert found is not None
    assert "in the order NCHW, and is taken for NHWC" in found
    assert found.endswith("Hint: -fmt nchw reads it so")


@pytest.mark.parametrize("seed", range(20))
def test_noise_and_small_frames_tell_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert order_remark([rng.normal(size=(1, 3, 32, 32))], "x", None) is None
    assert order_remark([rng.normal(size=(1, 3, 8, 8))], "x", None) is None
    assert order_remark([turned(smooth(seed))[:, :2]], "x", None) is None
    assert order_remark([np.zeros((1, 3, 32, 32))], "x", None) is None


@pytest.mark.parametrize("seed", range(6))
def test_pixels_are_no_codes(seed: int) -> None:
    frame = smooth(seed)
    codes = np.clip(np.rint(frame / np.abs(frame).max() * 127), -128, 127).astype(np.int8)
    assert order_remark([codes], "x", None) is None
    low, high = (end(frame, axis=(2, 3), keepdims=True) for end in (np.min, np.max))
    pixels = np.rint((frame - low) / (high - low) * 255).astype(np.uint8)
    found = order_remark([pixels.view(np.int8)], "x", "nchw")
    assert found == (
        "the bytes fed to input x look like pixels 0 to 255, and are taken for its int8 codes. "
        "Hint: feed float32, prepared as for calibration"
    )
    assert order_remark([pixels], "x", None) is None


def test_files_arrays_and_frames(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The hint of a raw file can be typed, and is the right one."""
    picture = sorted((DIGITS / "test" / "8").iterdir())[0]
    right = prepare_picture(picture, load_recipe("digits"), (3, 32, 32))[None]
    wrong = turned(right)
    wrong.tofile("x.bin")
    np.save("x.npy", wrong)
    assert run(["sim", "--input", "x.bin"]) == 0
    out, err = capsys.readouterr()
    assert "in the order NHWC, and is taken for NCHW" in err
    assert "-fmt nhwc reads it so" in err
    assert run(["sim", "--input", "x.bin", "-fmt", "nhwc"]) == 0
    again, err = capsys.readouterr()
    assert "in the order" not in err
    assert again != out
    right.tofile("y.bin")
    assert run(["sim", "--input", "y.bin"]) == 0
    plain, err = capsys.readouterr()
    assert (plain, "in the order" in err) == (again, False)
    assert run(["sim", "--input", "x.npy"]) == 0
    assert "reshape alone moves no number" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="in the order NHWC"):
        Session(CFG).run(None, {"x": wrong})
    with pytest.warns(UserWarning, match="in the order NHWC"):
        found = knightlite.evaluate([CFG], wrong, workers=1)
    assert len(found.remarks) == 1
    Session(CFG).run(None, {"x": right})
    np.rint(right * 0.35 * 255 + 0.31 * 255).astype(np.uint8).tofile("pixels.bin")
    assert run(["sim", "--input", "pixels.bin"]) == 0
    assert "look like pixels 0 to 255, and are taken for its int8 codes" in capsys.readouterr().err
