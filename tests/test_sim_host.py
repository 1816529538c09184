"""Quantizing inputs, dequantizing outputs, and the operators behind the chip."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assembled import tensor
from knightlite.errors import DataError, FormatError
from knightlite.sim import host


def test_quantize_divides_in_float32_and_rounds_to_even() -> None:
    entry = tensor("x", "s8", (2, 1, 3), 0, scale=[0.5, 0.1])
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


def meta(*steps: dict[str, Any], last: str = "y") -> dict[str, Any]:
    return {
        "outputs": [tensor("y", "s16", (4, 1, 1), 0, scale=0.25)],
        "host": list(steps),
        "graph_outputs": [last],
    }


VALUES = np.array([4, -8, 12, 12], np.int16).reshape(1, 4, 1, 1)


def step(op: str, source: str, target: str, **attributes: Any) -> dict[str, Any]:
    return {
        "name": op.lower(),
        "op": op,
        "inputs": [source],
        "outputs": [target],
        "attributes": attributes,
        "constants": {},
    }


def test_dequantize_and_reshape() -> None:
    found = host.finish(meta(step("Reshape", "y", "z", shape=[0, -1]), last="z"), {"y": VALUES})
    assert list(found) == ["z"]
    assert found["z"].dtype == np.float32
    assert found["z"].tolist() == [[1.0, -2.0, 3.0, 3.0]]
    assert host.finish(meta(), {"y": VALUES})["y"].shape == (1, 4, 1, 1)


def test_softmax_and_argmax() -> None:
    chain = [step("Reshape", "y", "z", shape=[1, 4]), step("Softmax", "z", "p", axis=-1)]
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


def test_unknown_operator() -> None:
    with pytest.raises(
        FormatError,
        match=r"^host operator topk must be one of ArgMax, .*, not TopK\.$",
    ):
        host.finish(meta(step("TopK", "y", "z"), last="z"), {"y": VALUES})
