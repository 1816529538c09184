"""Knight's text outputs, to the character."""

from __future__ import annotations

import io

import numpy as np

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
    assert list(files) == ["result-a_b_p.txt", "result-a_b_hwc_p.txt", "result-a_b.npy"]
    assert np.array_equal(np.load(io.BytesIO(files["result-a_b.npy"])), VALUES)
    assert list(outputs.result_files("result-y", VALUES, 3)) == [
        "result-y.3_p.txt",
        "result-y.3_hwc_p.txt",
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
             (outputs.OUTPUT, "y"): "result-y"}  # fmt: skip
    assert {key: stems[key] for key in plain} == plain
    for key in ((outputs.OUTPUT, "head/0"), (outputs.HOST, "p"), (outputs.OUTPUT, "y_hwc")):
        assert stems[key].startswith(f"{key[0]}{key[1].replace('/', '_')}-")
    assert stems.keys() == outputs.result_stems(names, host, shown, ["x", *names, "p"]).keys()
