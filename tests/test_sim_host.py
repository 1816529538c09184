"""Quantizing inputs, dequantizing outputs, and the operators behind the chip."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from assembled import program, tensor
from knightlite.container import Description, HostOperator
from knightlite.container.description import Attribute
from knightlite.errors import DataError, FormatError
from knightlite.sim import host


def test_quantize_divides_in_float32_and_rounds_to_even() -> None:
    entry = tensor("x", "s8", (2, 1, 3), 0, scale=(0.5, 0.1))
    x = np.array([[[[0.25, 0.75, -100.0]], [[0.25, 0.35, 100.0]]]], np.float32)
    found = host.quantize(x, entry)
    assert found.dtype == np.int8
    by_hand = np.float32(0.35) / np.float32(0.1)
    assert found.tolist() == [[[[0, 2, -128]], [[2, int(np.rint(by_hand)), 127]]]]


def test_quantize_refuses() -> None:
    entry = tensor("x", "u8", (1, 1, 2), 0)
    with pytest.raises(DataError, match=r"^input x must hold numbers, not NaN\.$"):
        host.quantize(np.array([[[[0, np.nan]]]], np.float32), entry)
    with pytest.raises(
        DataError, match=r"^input x must have shape \(1, 1, 1, 2\), not \(1, 2\)\.$"
    ):
        host.quantize(np.zeros((1, 2), np.float32), entry)


def meta(*steps: HostOperator, last: str = "y") -> Description:
    output = tensor("y", "s16", (4, 1, 1), 0, scale=0.25)
    return program([], outputs=[output], host=steps, graph_outputs=(last,)).meta


VALUES = np.array([4, -8, 12, 12], np.int16).reshape(1, 4, 1, 1)


def step(op: str, source: str, target: str, **attributes: Attribute) -> HostOperator:
    return HostOperator(op.lower(), op, (source,), (target,), attributes, {})


def test_dequantize_and_reshape() -> None:
    found = host.finish(meta(step("Reshape", "y", "z", shape=(0, -1)), last="z"), {"y": VALUES})
    assert list(found) == ["z"]
    assert found["z"].dtype == np.float32
    assert found["z"].tolist() == [[1.0, -2.0, 3.0, 3.0]]
    assert host.finish(meta(), {"y": VALUES})["y"].shape == (1, 4, 1, 1)


def test_softmax_and_argmax() -> None:
    chain = [step("Reshape", "y", "z", shape=(1, 4)), step("Softmax", "z", "p", axis=-1)]
    found = host.finish(meta(*chain, last="p"), {"y": VALUES})["p"]
    assert found.dtype == np.float32
    exact = np.exp(np.array([1, -2, 3, 3.0]))
    assert np.array_equal(found[0], (exact / exact.sum()).astype(np.float32)) or np.allclose(
        found[0], exact / exact.sum(), rtol=3e-7, atol=0
    )
    top = step("ArgMax", "z", "top", axis=1, keepdims=0)
    result = host.finish(meta(chain[0], top, last="top"), {"y": VALUES})["top"]
    assert result.tolist() == [2]  # the first of equal values
    assert result.dtype == np.int64


@pytest.mark.parametrize(
    "made",
    [
        step("Softmax", "y", "z"),
        step("Softmax", "y", "z", axis=9),
        step("Softmax", "y", "z", axis="a"),
        step("Reshape", "y", "z", shape=(5,)),
        step("Reshape", "y", "z", shape=5),
        step("Reshape", "", "z", shape=(4,)),
        step("Transpose", "y", "z", perm=(0, 0, 1, 2)),
        step("Concat", "y", "z", axis=1.5),
        step("Pad", "y", "z", pads=(0,) * 7),
        step("Pad", "y", "z", pads=(0, 0, 0, -9, 0, 0, 0, 0)),
        step("Slice", "y", "z", starts=(0,), ends=(1,), axes=(5,), steps=(1,)),
        step("Slice", "y", "z", starts=(0,), ends=(1,), axes=(1,), steps=(0,)),
        step("Add", "y", "z"),
    ],
    ids=str,
)
def test_operators_that_do_not_fit(made: HostOperator) -> None:
    with pytest.raises(FormatError) as caught:
        host.finish(meta(made, last="z"), {"y": VALUES})
    told = re.escape(f"host operator {made.name} ({made.op}) does not fit what it reads")
    assert re.fullmatch(rf"{told} \(.+\)\.", caught.value.sentence)
    assert caught.value.hint == "compile the model again"


def test_results_are_bounded_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = step("Pad", "y", "z", pads=(0, 0, 0, 0, 0, 0, 1 << 40, 0))
    several = replace(step("Exp", "y", "z"), outputs=("z", "w"))
    for made, elements, outputs in ((wide, 4 * (1 << 40) + 4, 1), (several, 4, 2)):
        with pytest.raises(FormatError, match=rf"\({elements} elements for {outputs} outputs\)\.$"):
            host.finish(meta(made, last="z"), {"y": VALUES})
    chain = [
        replace(step("Concat", name, following, axis=1), inputs=(name, name))
        for name, following in pairwise(["y", *(f"z{number}" for number in range(40))])
    ]
    monkeypatch.setattr(host, "MAX_ELEMENTS", 512)
    with pytest.raises(FormatError, match=r"\(1024 elements for 1 outputs\)\.$"):
        host.finish(meta(*chain, last="z39"), {"y": VALUES})


@pytest.mark.parametrize(
    ("start", "end", "steps", "found"),
    [
        (0, 4, 1, [1, -2, 3, 3]),
        (1, 3, 1, [-2, 3]),
        (-1, -5, -1, [3, 3, -2, 1]),  # beyond the first: all of them
        (-1, -4, -1, [3, 3, -2]),  # the first itself is the end, and left out
        (3, -(1 << 62), -2, [3, -2]),
        (-3, 1 << 62, 2, [-2, 3]),
    ],
)
def test_slices_end_as_those_of_onnx(start: int, end: int, steps: int, found: list[int]) -> None:
    given = {"starts": (start,), "ends": (end,), "axes": (1,), "steps": (steps,)}
    sliced = host.finish(meta(step("Slice", "y", "z", **given), last="z"), {"y": VALUES})["z"]
    assert sliced.ravel().tolist() == found


def test_unknown_operator() -> None:
    with pytest.raises(
        FormatError,
        match=r"^host operator topk must be one of ArgMax, .*, not TopK\.$",
    ):
        host.finish(meta(step("TopK", "y", "z"), last="z"), {"y": VALUES})
