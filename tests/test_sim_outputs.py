"""Knight's text outputs, to the character."""

from __future__ import annotations

import binascii
import io
from dataclasses import replace

import numpy as np
import pytest

from assembled import program, tensor
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
    files = outputs.result_files("result-a_b", VALUES)
    assert list(files) == ["result-a_b_p.txt", "result-a_b_hwc.txt", "result-a_b.npy"]
    assert np.array_equal(np.load(io.BytesIO(files["result-a_b.npy"])), VALUES)
    assert list(outputs.result_files("result-y", VALUES, 3)) == [
        "result-y.3_p.txt",
        "result-y.3_hwc.txt",
        "result-y.3.npy",
    ]
    for frame, name in ((None, "result-host-p.npy"), (4, "result-host-p.4.npy")):
        (item,) = outputs.host_file("result-host-p", VALUES[0], frame).items()
        assert item[0] == name
        assert np.array_equal(np.load(io.BytesIO(item[1])), VALUES[0])


def test_what_the_host_computes_has_files_and_what_it_reshapes_has_not() -> None:
    """Behind something computed a Reshape is new, before it the same values as the chip's."""
    steps = [("Reshape", "y", "flat"), ("Softmax", "flat", "p"), ("Reshape", "p", "grid")]
    host = [step(*item) for item in steps]
    assert outputs.host_computed(host, ["flat", "p", "grid", "y"]) == ["p", "grid"]
    assert outputs.delivered_as(["y"], host, ["p", "grid"]) == {"y": ("y",)}
    assert outputs.delivered_as(["y"], host, ["flat", "p", "y"]) == {"y": ("flat", "y")}


def test_outputs_that_are_one_another_are_all_delivered() -> None:
    """Through as many Reshapes as it takes; of two chip outputs each has its own."""
    steps = [("Reshape", "y", "z"), ("Reshape", "z", "w"), ("Reshape", "y", "c"),
             ("Reshape", "b", "d")]  # fmt: skip
    found = outputs.delivered_as(["y", "b"], [step(*item) for item in steps], list("wyzcd"))
    assert found == {"y": ("w", "y", "z", "c"), "b": ("d",)}


def test_values_in_another_order_are_delivered_in_it() -> None:
    """A Transpose at the end: scripts find the network's output, and one file for it alone."""
    steps = [("Transpose", "y", "t"), ("Reshape", "t", "w"), ("Softmax", "t", "p")]
    host = [step(*item) for item in steps]
    moved = outputs.moved_outputs(["y", "z"], host, ["w", "p", "z"])
    assert moved == {"w": "y"}
    stems = outputs.result_stems(["y"], host, ["w"], [])
    assert stems[outputs.OUTPUT, "w"] == "result-w"
    assert outputs.names_of_results(["y", "z"], host, ["w", "p", "z"]) == {"y": "w", "z": "z"}
    assert outputs.names_of_results(["y"], host, ["y", "w"]) == {"y": "y"}
    real = VALUES.reshape(1, 1, 2, 2, 3) * 0.125
    ((name, text),) = outputs.moved_file("result-w", real, 0.125, 2).items()
    assert name == "result-w.2_p.txt"
    assert np.array_equal(outputs.read_text_form(text.decode()), VALUES)


def test_text_forms_are_read_back() -> None:
    several = np.arange(24).reshape(2, 2, 3, 2) - 7
    for form in (outputs.chw_text, outputs.hwc_text):
        read = outputs.read_text_form(form(several))
        assert np.array_equal(read, several)
        assert read.dtype == np.int32
    real = np.array([[0.5, np.inf], [-2.0, 1e-9]], np.float32)
    assert np.array_equal(outputs.read_text_form(outputs.plain_text(real)), real)
    shapes = {(2, 3): (2, 3, 1, 1), (2, 3, 4, 5, 6): (6, 4, 5, 6), (1, 2, 3, 4): (1, 2, 3, 4)}
    for shape, wanted in shapes.items():
        assert outputs.four_axes(np.zeros(shape)).shape == wanted
    for text in ("", "1,2,", "SHAPE:(N:1,C:1)\n1,", "SHAPE:(2)\n1,x,"):
        with pytest.raises(ValueError, match=r".+"):
            outputs.read_text_form(text)


def test_no_result_is_another() -> None:
    """Whatever outputs, what the host computes and inner tensors are called."""
    host = [step("Softmax", "head/0", "p"), step("Softmax", "head_0", "debug-x")]
    long = "stage/" * 90
    names = ["head/0", "head_0", f"{long}a", f"{long}b", "host-p", "y", "y_hwc"]
    shown = ["p", "debug-x", *names]
    stems = outputs.result_stems(names, host, shown, [*names, "x", "p"])
    files = [
        name
        for stem in stems.values()
        for name in (*outputs.result_files(stem, VALUES), *outputs.host_file(stem, VALUES))
    ]
    assert len({name.casefold() for name in files}) == 3 * len(stems)
    assert max(len(name.encode()) for name in files) < 200
    plain = {(outputs.OUTPUT, "head_0"): "result-head_0", (outputs.OUTPUT, "host-p"):
             "result-host-p", (outputs.DEBUG, "x"): "result-debug-x",
             (outputs.OUTPUT, "y"): "result-y", (outputs.OUTPUT, "y_hwc"):
             "result-y_hwc"}  # fmt: skip
    assert {key: stems[key] for key in plain} == plain
    for key in ((outputs.OUTPUT, "head/0"), (outputs.HOST, "p")):
        assert stems[key].startswith(f"{key[0]}{key[1].replace('/', '_')}-")
    assert stems.keys() == outputs.result_stems(names, host, shown, ["x", *names, "p"]).keys()


@pytest.mark.parametrize(
    ("row_stride", "column_stride", "pixel"),
    [
        (12, 4, 4),  # pixels of 3 bytes, 4 apart
        (9, 3, 3),
        (24, 8, 8),
        (40, 4, 4),  # rows may lie further apart: that is not seen
        (4, 8, 3),  # rows beside each other, columns behind: as if it lay densely
        (3, 6, 3),
        (4, 4, 4),
    ],
)
def test_the_crc_is_of_pixels_as_they_lie(row_stride: int, column_stride: int, pixel: int) -> None:
    """2 rows of 3 pixels of 3 bytes, once for every output of the network that they are."""
    entry = tensor("y", "u8", (3, 2, 3), 0, ready=0, row_stride=row_stride,
                   column_stride=column_stride)  # fmt: skip
    meta = program([], outputs=[entry], tensors=[entry]).meta
    values = np.arange(1, 19, dtype=np.uint8).reshape(1, 3, 2, 3)
    lying = b"".join(
        bytes(values[0, :, row, column]).ljust(pixel, b"\0")
        for row in range(2)
        for column in range(3)
    )
    assert outputs.crc16(meta, {"y": values}) == binascii.crc_hqx(lying, 0xFFFF)
    twice = replace(meta, graph_outputs=("y", "again"), host=(step("Reshape", "y", "again"),))
    assert outputs.crc16(twice, {"y": values}) == binascii.crc_hqx(lying * 2, 0xFFFF)
