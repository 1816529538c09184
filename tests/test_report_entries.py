"""What the report says of one tensor and of weights, number by number."""

from __future__ import annotations

import numpy as np
import pytest

from knightlite.dtypes import S8
from knightlite.quantize.report import feature_entry, weight_entry
from knightlite.quantize.report_entries import decibels, short
from knightlite.quantize.scales.features import Feature, Rule
from knightlite.quantize.scales.weights import QuantizedWeights
from knightlite.quantize.statistics.observers import Observer, Statistics

CODES = np.arange(-100, 100, dtype=np.float32)


def seen(*channels: np.ndarray) -> Statistics:
    observer = Observer("t", len(channels), per_channel=True)
    observer.add(np.stack(channels).reshape(1, len(channels), 1, -1).astype(np.float32))
    return observer.result()


def test_a_tensor_with_one_scale_per_channel() -> None:
    """Channel 0 lies inside; of channel 1, twice as large in steps, a third is cut off."""
    statistics = seen(CODES, 2 * CODES)
    scale = np.asarray([1.0, 1.0], np.float32)
    found = feature_entry(Feature("t", S8, scale, 3, Rule("mse", True, True)), statistics)
    beyond = np.mean(np.abs(2 * CODES + 0.5) > 128)
    assert found.pop("clipped_share") == pytest.approx(beyond / 2, abs=3e-3)
    energy = float(np.sum(CODES**2) + np.sum((2 * CODES) ** 2))
    error = float(np.sum((2 * CODES - np.clip(2 * CODES, -128, 127)) ** 2))
    assert found.pop("sqnr_db") == pytest.approx(10 * np.log10(energy / error), abs=0.2)
    assert found == {
        "name": "t", "type": "s8", "scale": [1.0, 1.0], "group": 3, "method": "mse per channel",
        "minimum": -200.0, "maximum": 198.0,
    }  # fmt: skip


def test_what_readers_do_not_tell_apart_is_not_clipped() -> None:
    statistics = seen(2 * CODES)
    feature = Feature("t", S8, np.asarray(1.0, np.float32), 0, Rule("mse", True))
    assert feature_entry(feature, statistics)["clipped_share"] > 0.3
    felt = feature_entry(feature, statistics, (-100.0, 100.0))
    assert felt["clipped_share"] == 0.0
    assert (felt["minimum"], felt["maximum"]) == (-200.0, 198.0)  # as seen


def test_weights_are_told_by_their_scales() -> None:
    codes, scale = np.full((3, 2, 5, 1), 100, np.int8), np.asarray([0.5, 0.1, 0.3], np.float32)
    wanted = {
        "node": "conv", "shape": [3, 2, 5, 1], "scale_minimum": 0.1, "scale_maximum": 0.5,
    }  # fmt: skip
    exact = 1.01 * codes * scale.reshape(3, 1, 1, 1)  # 101 times its error: 20 log10(101) dB
    for trained, sqnr_db in ((exact, 40.09), (None, None)):
        made = QuantizedWeights(codes, scale, None, np.ones(3, np.float32), (), trained)
        assert weight_entry("conv", made) == {**wanted, "sqnr_db": sqnr_db}


def test_numbers_are_short_and_exact() -> None:
    assert decibels(1000.0, 1.0) == 30.0
    assert decibels(2.0, 1.0) == 3.01
    assert decibels(0.0, 1.0) is decibels(1.0, 0.0) is None
    assert short(np.float32(0.1)) == 0.1
    assert short(np.asarray([0.1, 1e-7], np.float32)) == [0.1, 1e-7]
