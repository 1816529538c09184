"""Streaming histograms equal one-shot ones exactly, whatever the order; errors name the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.quantize.statistics import observers
from knightlite.quantize.statistics.observers import (
    CHANNEL_BINS,
    CHUNK,
    LARGE,
    MOST_COUNTED,
    MOST_COUNTED_LATER,
    TENSOR_BINS,
    WELL_COUNTED,
    Observer,
    Statistics,
    add_statistics,
    with_exponent,
)

Array = NDArray[Any]


def observe(pictures: list[Array], **options: Any) -> Statistics:
    observer = Observer("t", pictures[0].shape[1], **options)
    for picture in pictures:
        observer.add(picture)
    return observer.result()


def same(first: Statistics, second: Statistics) -> bool:
    left, right = first.histogram, second.histogram
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("positive", "negative", "zeros", "exponent")
    ) and (first.count, first.minimum.tolist(), first.maximum.tolist()) == (
        second.count, second.minimum.tolist(), second.maximum.tolist(),
    )  # fmt: skip


def brute_counts(values: Array, bins: int, exponent: int) -> tuple[list[int], list[int], int]:
    """Counts straight from the definition, with Python's exact floats."""
    width = 2.0**exponent / bins
    positive, negative, zeros = [0] * bins, [0] * bins, 0
    for value in values.reshape(-1).tolist():
        place = int(abs(value) / width)
        if value == 0:
            zeros += 1
        elif value > 0 or place == 0:
            positive[place] += 1
        else:
            negative[place] += 1
    return positive, negative, zeros


def pictures(seed: int, sizes: list[float], channels: int = 3) -> list[Array]:
    """Pictures of very different magnitude, some with exact zeros, some all zero."""
    rng = np.random.default_rng(seed)
    made = []
    for size in sizes:
        values = rng.normal(0, size, (1, channels, 4, 5)).astype(np.float32)
        values[rng.random(values.shape) < 0.3] = 0
        made.append(values)
    return made


SIZES = st.lists(st.sampled_from([0.0, 1e-30, 1e-4, 0.3, 1.0, 7.0, 3e4]), min_size=1, max_size=6)


@given(st.integers(0, 2**32 - 1), SIZES, st.randoms(use_true_random=False))
def test_growth_is_exact_in_any_order(seed: int, sizes: list[float], random: Any) -> None:
    parts = pictures(seed, sizes)
    streamed = observe(parts)
    assert same(streamed, observe([np.concatenate(parts)]))
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert same(streamed, observe(shuffled))
    whole = np.concatenate(parts)
    histogram = streamed.histogram
    exponent = int(histogram.exponent[0])
    positive, negative, zeros = brute_counts(whole, TENSOR_BINS, exponent)
    assert histogram.positive[0].tolist() == positive
    assert histogram.negative[0].tolist() == negative
    assert histogram.zeros.tolist() == [zeros]
    assert streamed.count == whole.size
    largest = float(np.abs(whole).max())
    if largest >= 1e-29:
        assert 2.0**exponent / 2 <= largest < 2.0**exponent


@given(st.integers(0, 2**32 - 1), SIZES)
def test_channels_are_counted_apart(seed: int, sizes: list[float]) -> None:
    parts = pictures(seed, sizes)
    for part in parts:
        part *= np.asarray([1, 100, 0], np.float32)[:, None, None]
    found = observe(parts, per_channel=True)
    whole = np.concatenate(parts)
    for channel in range(3):
        values = whole[:, channel]
        exponent = int(found.histogram.exponent[channel])
        positive, negative, zeros = brute_counts(values, CHANNEL_BINS, exponent)
        assert found.histogram.positive[channel].tolist() == positive
        assert found.histogram.negative[channel].tolist() == negative
        assert int(found.histogram.zeros[channel]) == zeros
        assert found.minimum[channel] == values.min()
        assert found.maximum[channel] == values.max()


def test_values_beyond_one_chunk_and_a_nonnegative_tensor() -> None:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.normal(0, 1, (1, 5, 150, 150)), 0).astype(np.float32)
    assert CHUNK < values.size < MOST_COUNTED
    positive = observe([values], signed=False)
    both = observe([values])
    assert np.array_equal(positive.histogram.positive, both.histogram.positive)
    assert positive.histogram.negative.sum() == 0
    assert int(positive.histogram.positive.sum() + positive.histogram.zeros[0]) == values.size
    channels = observe([values], per_channel=True, signed=False).histogram
    assert int(channels.positive.sum() + channels.zeros.sum()) == values.size


@pytest.mark.parametrize("per_channel", [False, True])
def test_of_a_large_tensor_every_third_value_is_counted(per_channel: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (1, 4, 200, 250)).astype(np.float32)
    values[0, 2, 0, 1:4] = 50.0, -60.0, 45.0  # few: of a channel all of them are counted
    found = observe([values], per_channel=per_channel, mean=True)
    twice = np.concatenate([values, values])
    assert same(
        observe([twice], per_channel=per_channel), observe([values] * 2, per_channel=per_channel)
    )
    bins = found.histogram.bins
    rows = values.reshape(4 if per_channel else 1, -1)
    for row, (all_values, histogram) in enumerate(zip(rows, found.histogram.positive, strict=True)):
        exponent = int(found.histogram.exponent[row])
        least = np.float32(LARGE) * np.abs(all_values).max() if per_channel else np.inf
        large = np.abs(all_values) >= least
        counted = np.where(large, np.float32(0), all_values)[::3]
        positive, negative, zeros = brute_counts(counted, bins, exponent)
        more, fewer, _ = brute_counts(all_values[large], bins, exponent)
        # each stands for three
        assert histogram.tolist() == [3 * a + b for a, b in zip(positive, more, strict=True)]
        assert found.histogram.negative[row].tolist() == [
            3 * a + b for a, b in zip(negative, fewer, strict=True)
        ]
        assert int(found.histogram.zeros[row]) == 3 * (zeros - int(large[::3].sum()))
        assert found.minimum[row] == all_values.min()
        assert found.maximum[row] == all_values.max()
    assert found.count == values.size
    assert found.mean is not None
    assert np.allclose(found.mean, values.mean(axis=(0, 2, 3)), atol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
def test_no_column_is_left_out(per_channel: bool) -> None:
    values = np.zeros((1, 4, 384, 96), np.float32)  # a stride of 3 would miss it
    values[..., 1] = 1.0
    values[..., 2] = -0.75
    found = observe([values], per_channel=per_channel).histogram
    each = values.size / 96
    assert float(found.positive.sum()) == pytest.approx(each, rel=0.01)
    assert float(found.negative.sum()) == pytest.approx(each, rel=0.01)


def test_many_large_values_are_sampled_row_by_row() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.6, 0.9, (1, 4, 200, 250)).astype(np.float32)
    values[0, 1] = rng.uniform(0.01, 0.3, (200, 250))
    values[0, 1, 0, 1] = 0.9  # not every third
    counts = observe([values], per_channel=True, signed=False).histogram.positive
    assert np.all(counts[[0, 2, 3]] % 3 == 0)
    assert (int(counts[1].max()) % 3, int((counts[1] % 3).sum())) == (0, 1)


def test_the_second_loudest_picture_of_each_channel_is_known() -> None:
    parts = pictures(0, [1.0, 3.0, 2.0, 0.5])
    found = observe(parts, per_channel=True)
    peaks = np.sort([np.abs(part).max(axis=(0, 2, 3)) for part in parts], axis=0)
    assert found.second is not None
    assert found.second.tolist() == peaks[-2].tolist()
    assert found.absmax.tolist() == peaks[-1].tolist()
    only = observe(parts[:1], per_channel=True).second
    assert only is not None
    assert not only.any()
    assert observe(parts).second is None


def test_many_pictures_are_counted_less_finely_but_weigh_the_same() -> None:
    rng = np.random.default_rng(0)
    shape = (1, 4, 150, 150)
    first = rng.uniform(0.1, 0.4, shape).astype(np.float32)
    later = rng.uniform(0.6, 0.9, shape).astype(np.float32)
    assert MOST_COUNTED_LATER < first.size < MOST_COUNTED
    pictures = [first] * WELL_COUNTED + [later] * WELL_COUNTED
    counts = observe(pictures, signed=False).histogram.positive[0]
    half = TENSOR_BINS // 2  # the range is [0, 1)
    assert int(counts[:half].sum()) == WELL_COUNTED * first.size
    assert int(counts[half:].sum()) == pytest.approx(WELL_COUNTED * first.size, rel=1e-3)
    assert not np.any(counts[half:] % 11)  # every eleventh value, 8,182 of 90,000
    silent = observe([0 * first] * (WELL_COUNTED + 1)).histogram.zeros
    assert silent.tolist() == [WELL_COUNTED * first.size + 11 * 8182]
    channels = observe(pictures, per_channel=True, signed=False).histogram.positive
    assert int(channels.sum()) == pytest.approx(2 * WELL_COUNTED * first.size, rel=1e-3)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_more_values_than_32_bits_count(
    per_channel: bool, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts change to 64 bits before they would overflow, loud pictures and quiet ones alike."""
    rng = np.random.default_rng(0)
    pictures = [size * rng.uniform(0, 1, (1, 2, 5, 5)).astype(np.float32) for size in (1, 9, 2, 50)]
    options = {"per_channel": per_channel, "signed": signed}
    wanted = observe(pictures, **options)
    assert wanted.histogram.positive.dtype == (np.int32 if per_channel else np.int64)
    monkeypatch.setattr(observers, "NARROW_LIMIT", 75)  # in the second picture
    found = observe(pictures, **options)
    assert found.histogram.positive.dtype == np.int64
    assert same(found, wanted)


def test_counts_do_not_overflow() -> None:
    ones, many = np.ones((1, 1, 5, 5), np.float32), (2**31 - 1) // 25
    observer = Observer("t", 1)
    observer.add(ones)
    (counts,) = observer._kinds.arrays()
    counts *= many  # as if there had been so many pictures
    observer._count *= many
    observer.add(ones)
    assert observer.result().histogram.positive.max() == 25 * (many + 1) > 2**31 - 1


def test_means_per_channel_and_whole_numbers() -> None:
    values = np.arange(48, dtype=np.float32).reshape(2, 3, 2, 4)
    found = observe([values[:1], values[1:]], mean=True, integral=True)
    assert found.mean is not None
    assert found.mean.tolist() == values.astype(np.float64).mean(axis=(0, 2, 3)).tolist()
    assert found.integral
    assert not observe([values, values + np.float32(0.5)], integral=True).integral
    assert not observe([values]).integral
    assert observe([values]).mean is None
    assert observe([values - 40]).absmax.tolist() == [40.0]


def test_a_concatenation_has_the_sum_of_its_parts() -> None:
    quiet, loud = pictures(1, [0.01, 0.02]), pictures(2, [4.0, 90.0], channels=2)
    joined = [np.concatenate(pair, axis=1) for pair in zip(quiet, loud, strict=True)]
    summed = add_statistics([observe(quiet, mean=True), observe(loud, mean=True)])
    expected = observe(joined, mean=True)
    assert same(summed, expected)
    assert summed.mean is not None
    assert expected.mean is not None
    assert summed.mean == pytest.approx(expected.mean, abs=1e-8 * 90)  # float32 sums of pictures
    assert add_statistics([observe(quiet), observe(loud)]).mean is None


def test_a_wider_range_merges_exactly() -> None:
    values = pictures(4, [1.0])[0]
    narrow = observe([values]).histogram
    exponent = int(narrow.exponent[0]) + 3
    wide = with_exponent(narrow, exponent)
    positive, negative, zeros = brute_counts(values, TENSOR_BINS, exponent)
    assert wide.positive[0].tolist() == positive
    assert wide.negative[0].tolist() == negative
    assert wide.zeros.tolist() == [zeros]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("per_channel", [False, True])
def test_numbers_that_are_not_finite(bad: float, per_channel: bool) -> None:
    values = np.ones((1, 3, 2, 2), np.float32)
    values[0, 1, 1, 0] = bad
    with pytest.raises(DataError) as caught:
        observe([values], per_channel=per_channel)
    assert caught.value.sentence == (
        "tensor t must hold finite numbers, but it holds NaN or infinity."
    )
    assert caught.value.hint.startswith("check the calibration data")


def test_no_picture_at_all() -> None:
    with pytest.raises(DataError, match=r"^tensor t was never computed: there is no calibration"):
        Observer("t", 3).result()
