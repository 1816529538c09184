"""What is wrong with the ranges of features, told with its numbers: tensors by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from float_nets import FloatNet
from knightlite.diagnosis import causes
from knightlite.diagnosis.causes import Suspect, ratio_db, tensor_suspects
from knightlite.diagnosis.probe import Sums
from knightlite.dtypes import S8, S16, U8, DType
from knightlite.ir import Graph, Tensor
from knightlite.quantize.ranges import Density, row_densities
from knightlite.quantize.statistics.observers import Observer

Array = NDArray[Any]
RAMP = np.arange(256.0)


def chain(channels: int = 1) -> Graph:
    """x -> a -> y."""
    net = FloatNet()
    net.conv(net.input("x", 1, 1, 1), "a", channels, weights=np.ones((channels, 1, 1, 1)))
    return net.build(net.conv("a", "y", 1))


def joined() -> Graph:
    """a and b side by side."""
    net = FloatNet()
    x = net.input("x", 1, 1, 1)
    a, b = (net.conv(x, name, 1, weights=np.ones((1, 1, 1, 1))) for name in "ab")
    return net.build(net.conv(net.node("Concat", (a, b), "c"), "y", 1))


def equal_sums(count: int, **more: Array) -> Sums:
    """Of channels that keep 40 dB and reach 1."""
    one = np.ones(count)
    values = dict.fromkeys(Sums.__dataclass_fields__, one)
    return Sums(**{**values, "minimum": -one, "rounding": 1e-4 * one, **more})


def suspects(
    graph: Graph,
    values: Mapping[str, Array],
    scales: Mapping[str, float],
    dtype: DType = U8,
    sums: Mapping[str, Sums] | None = None,
) -> list[Suspect]:
    """Of tensors with these values and scales; those not named hold 0 to 255 as they are."""
    statistics, fixed = {}, []
    for name, tensor in graph.tensors.items():
        if name in graph.constants:
            continue
        observer = Observer(name, 1)
        observer.add(np.asarray(values.get(name, RAMP), np.float32).reshape(1, 1, 1, -1))
        statistics[name] = observer.result()
        scale = np.asarray(scales.get(name, 1.0), np.float32)
        fixed.append(Tensor(name, tensor.shape, dtype if name in scales else U8, scale))
    known = {item.name: equal_sums(item.shape[1]) for item in fixed}
    return tensor_suspects(graph, graph.with_tensors(fixed), statistics, known | dict(sums or {}))


def only(found: list[Suspect], cause: str, layer: str) -> Suspect:
    (suspect,) = found
    assert (suspect.cause, suspect.layer) == (cause, layer)
    return suspect


def test_what_fits_is_no_suspect() -> None:
    assert suspects(chain(), {}, {}) == []


@pytest.mark.parametrize(
    ("dtype", "values", "scale", "limit", "seen", "share"),
    [
        (U8, RAMP, 0.25, "0..63.75", "0 to 255", 191 / 256),
        (S8, RAMP - 128, 0.5, "±63.5", "-128 to 127", 127.5 / 256),
    ],
)
def test_a_range_that_clips(
    dtype: DType, values: Array, scale: float, limit: str, seen: str, share: float
) -> None:
    found = only(suspects(chain(), {"a": values}, {"a": scale}, dtype), causes.CLIPPED, "a")
    facts = found.facts
    better = f"{facts['fitting_limit']:.4g}"
    better = f"±{better}" if dtype == S8 else f"0..{better}"
    assert found.sentence == (
        f"{facts['clipped_share']:.2%} of the values lie beyond {limit} and are clipped; {better} "
        f"would fit (seen: {seen})"
    )
    assert facts["limit"] == scale * dtype.maximum
    assert facts["clipped_share"] == pytest.approx(share, abs=4e-3)
    assert facts["fitting_limit"] == pytest.approx(255 if dtype == U8 else 127.5, rel=0.02)
    assert facts["best_db"] > facts["sqnr_db"] + 3
    assert not found.certain


@pytest.mark.parametrize("layer", ["a", "x"])
def test_a_range_that_is_too_wide(layer: str) -> None:
    """Of an input too: data that stay far within their range are no other data."""
    found = only(suspects(chain(), {}, {layer: 40.0}), causes.TOO_WIDE, layer)
    assert found.sentence == (
        f"the range 0..1.02e+04 spends its codes on values that hardly occur; "
        f"0..{found.facts['fitting_limit']:.4g} would fit (seen: 0 to 255)"
    )
    assert found.facts["sqnr_db"] == pytest.approx(
        10 * np.log10(255**2 / 3 / (40**2 / 12)), abs=0.3
    )


@pytest.mark.parametrize(("loud", "certain"), [(12, False), (13, True)])
def test_an_input_beyond_its_range_is_other_data(loud: int, certain: bool) -> None:
    """From a twentieth of its values on: 13 of 256."""
    values = np.where(256 - loud <= RAMP, 5000.0, RAMP)
    found = only(suspects(chain(), {"x": values}, {"x": 1.0}), causes.DATA_RANGE, "x")
    assert found.sentence.endswith(
        " would fit (seen: 0 to 5000); the data differ from those of calibration"
    )
    assert found.facts["clipped_share"] == pytest.approx(loud / 256, abs=1e-6)
    assert found.certain == certain


def test_a_loud_member_of_a_group() -> None:
    """The scale serves both together best; the quiet member alone would take another."""
    values = {"a": 40 * RAMP, "b": RAMP, "c": RAMP}
    found = only(suspects(joined(), values, dict.fromkeys("abc", 40.0)), causes.GROUP, "a")
    facts = found.facts
    kept = 10 * np.log10(255**2 / 3 / (40**2 / 12))  # nearly uniform: its steps are a sixth of it
    assert facts["sqnr_db"] == pytest.approx(kept, abs=1.5)
    assert facts["ratio"] == pytest.approx(40, rel=1e-3)
    assert facts["quiet"] == "b"
    assert found.sentence == (
        "its range 0..1.02e+04 decides the one scale of its group and is 40.0 times that of b "
        f"(0..255), which keeps {facts['sqnr_db']:.1f} dB, and {facts['best_db']:.1f} with a scale "
        "of its own"
    )


def test_a_scale_that_serves_no_member_of_a_group() -> None:
    """The member that keeps least is named; the share that is cut off is that of the worst."""
    values = {"a": RAMP, "b": RAMP / 2, "c": RAMP}
    found = only(suspects(joined(), values, dict.fromkeys("abc", 0.25)), causes.GROUP, "a")
    assert found.sentence.startswith("the one scale of a, b does not fit: at a 75.00% of the ")
    assert found.facts["clipped_share"] == pytest.approx(0.75, abs=1e-6)
    assert (found.facts["minimum"], found.facts["maximum"]) == (0.0, 255.0)


def test_members_of_a_group_with_scales_of_their_own() -> None:
    found = only(suspects(joined(), {}, {"a": 1.0, "b": 2.0, "c": 1.0}), causes.GROUP, "b")
    assert found.sentence == (
        "it must share one scale and type with a, c, which are only moved, but they differ (b u8 * "
        "2, a u8 * 1)"
    )
    assert found.certain
    assert found.facts == {"scales": {"a": 1.0, "b": 2.0, "c": 1.0}}


# ------------------------------------------------------------------ channels


def channel_suspect(loudness: Array, rounding: Array) -> list[Suspect]:
    count = loudness.size
    sums = equal_sums(count, maximum=loudness, minimum=-loudness, rounding=rounding)
    return suspects(chain(count), {"a": np.append(RAMP, 0.4)}, {"a": 1.0}, sums={"a": sums})


@pytest.mark.parametrize(("next_one", "third"), [(4.0, 1.0), (3.99, 1.0), (8.0, 7.0)])
def test_one_channel_beside_the_rest(next_one: float, third: float) -> None:
    """A twentieth of 40 channels may be loud: two are, four times as much as the next."""
    loudness = np.ones(40)
    loudness[[7, 30, 31]] = next_one, 9.0, third
    found = channel_suspect(loudness, np.full(40, 0.01))
    if next_one < 4 or third > 1:
        assert found == []
        return
    assert only(found, causes.OUTLIER_CHANNEL, "a").sentence == (
        "channels 30, 7 of a reach 9, the next one 4.0 times less: the scale that holds them "
        "leaves the middle channel 20.0 dB"
    )
    assert found[0].facts == {
        "channels": [30, 7], "ratio": 4.0, "median_db": 20.0, "weight_ratio": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("loudest", [16.0, 15.9])
def test_channels_from_loud_to_quiet(loudest: float) -> None:
    """No step of four, and the loudest 16 times the middle one."""
    loudness = np.asarray([loudest, 5.0, 2.0, 1.0, 0.9, 0.8, 0.7])
    found = channel_suspect(loudness, np.asarray([1e-3, 1e-3, 1e-3, 0.02, 0.02, 0.02, 0.02]))
    if loudest < 16:
        assert found == []
        return
    assert only(found, causes.SPREAD, "a").sentence == (
        "one scale serves channels whose ranges differ 16 times (loudest 16, middle 1): half of "
        "the channels keep less than 17.0 dB"
    )


@pytest.mark.parametrize("db", [29.9, 30.1])
def test_channels_that_keep_enough_are_left(db: float) -> None:
    loudness = np.ones(40)
    loudness[7] = 20.0
    found = channel_suspect(loudness, np.full(40, 10 ** (-db / 10)))
    assert len(found) == (db < 30)


@pytest.mark.parametrize(
    ("energy", "error", "db"),
    [(100.0, 1.0, 20.0), (0.0, 1.0, 0.0), (5.0, 0.0, 120.0), (1e20, 1e-5, 120.0)],
)
def test_ratios_end_where_nothing_is_left(energy: float, error: float, db: float) -> None:
    assert ratio_db(energy, error) == db


def test_a_scale_per_channel_clips_a_share_of_all_values() -> None:
    """All of one channel, nothing of the other: half of all."""
    counts = np.zeros((2, 4096))
    counts[:, 2048] = 1.0  # at 1.0
    rows = [Density(row, np.zeros(4096), 0.0, 2.0 / 4096, 0.0, 1.0) for row in counts]
    found = causes.fit(rows, np.asarray([1 / 255, 1 / 2550]), U8)
    assert found.clipped == 0.5
    assert found.scale == 1 / 255
    assert causes.fit(rows, np.asarray(1 / 2550), U8).clipped == 1.0  # one scale, for both


@pytest.mark.parametrize(("dtype", "limit"), [(S8, 127), (S16, 200)])
def test_the_best_range_of_16_bits_is_that_of_the_extremes(dtype: DType, limit: float) -> None:
    """At 8 bits one value of 200,000 is cut off where all others, whole numbers, are exact."""
    observer = Observer("a", 1)
    values = np.tile(np.arange(-50.0, 51), 2000)
    values[0] = 200
    observer.add(values.astype(np.float32).reshape(1, 1, 1, -1))
    rows = row_densities(observer.result())
    found = causes.fit(rows, np.asarray(1.0, np.float32), dtype)
    assert found.best_scale * dtype.maximum == pytest.approx(limit, rel=0.02)
    assert found.gap_db == found.best_db - found.at_db
    assert found.scale == 1.0
