"""Knight's text outputs, to the character."""

from __future__ import annotations

import io

import numpy as np

from assembled import program
from knightlite.sim import outputs
from test_sim_host import step

VALUES = np.array([[[[1, -2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]]], np.int16)


def test_chw() -> None:
    assert outputs.chw_text(VALUES) == (
        "SHAPE:(N:1, C:2, H:2, W:3)\nC[0]:\n1,-2,3,\n4,5,6,\nC[1]:\n7,8,9,\n10,11,12,\n"
    )


def test_hwc() -> None:
    assert outputs.hwc_text(VALUES) == (
        "SHAPE:(N:1,H:2,W:3,C:2)\n"
        "HW[0,0]:\n1,7,\nHW[0,1]:\n-2,8,\nHW[0,2]:\n3,9,\n"
        "HW[1,0]:\n4,10,\nHW[1,1]:\n5,11,\nHW[1,2]:\n6,12,\n"
    )


def test_files() -> None:
    files = outputs.result_files({"a/b": VALUES})
    assert list(files) == ["result-a_b_p.txt", "result-a_b_hwc_p.txt", "result-a_b.npy"]
    assert np.array_equal(np.load(io.BytesIO(files["result-a_b.npy"])), VALUES)
    assert list(outputs.result_files({"y": VALUES}, 3)) == [
        "result-y.3_p.txt",
        "result-y.3_hwc_p.txt",
        "result-y.3.npy",
    ]
    assert outputs.file_stem("a/b", "conv/1") == "result-conv_1-a_b"


def test_what_the_host_computes_has_files_and_what_it_reshapes_has_not() -> None:
    """Behind something computed a Reshape is new, before it the same values as the chip's."""
    steps = [("Reshape", "y", "flat"), ("Softmax", "flat", "p"), ("Reshape", "p", "grid")]
    meta = program([], host=tuple(step(*item) for item in steps)).meta
    values = {name: VALUES for name in ("y", "flat", "p", "grid")}
    for frame, names in (
        (None, ["result-host-p.npy", "result-host-grid.npy"]),
        (4, ["result-host-p.4.npy", "result-host-grid.4.npy"]),
    ):
        found = outputs.host_files(meta, values, frame)
        assert list(found) == names
        assert np.array_equal(np.load(io.BytesIO(found[names[1]])), VALUES)
