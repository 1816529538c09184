"""A picture that is much louder than the others does not decide a scale alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.quantize.ranges.densities import density, even_row_densities
from knightlite.quantize.ranges.least_squares import mse
from knightlite.quantize.ranges.scale_errors import clipped_share
from knightlite.quantize.statistics.loudness import LOUD, Kinds
from knightlite.quantize.statistics.observers import (
    Observer,
    Statistics,
    add_statistics,
    with_exponent,
)


def pictures(loudness: Sequence[float], seed: int = 0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, 1, (1, 4, 16, 16)) * size).astype(np.float32) for size in loudness]


def seen(items: Sequence[NDArray[np.float32]], **more: Any) -> Statistics:
    observer = Observer("x", 4, **more)
    for item in items:
        observer.add(item)
    return observer.result()


def scale(statistics: Statistics) -> float:
    return float(mse([even_row_densities(statistics)[0]], dtypes.S8)[0])


@pytest.mark.parametrize("place", [0, 1, 50, 99])
def test_a_loud_picture_does_not_decide_a_scale_alone(place: int) -> None:
    """70 times as loud as 99 others it had 70 times their scale; now less than half of that."""
    loudness = [1.0] * 100
    loudness[place] = 70.0
    statistics = seen(pictures(loudness))
    alone = float(mse([density(statistics)], dtypes.S8)[0])
    assert statistics.even is not None
    assert scale(statistics) < alone / 2
    assert statistics.absmax[0] > 70  # the extremes know it, and so does the histogram
    whole = statistics.histogram
    assert whole.positive.sum() + whole.negative.sum() + whole.zeros.sum() == statistics.count
    assert clipped_share(density(statistics), scale(statistics), dtypes.S8) > 1e-3
    assert np.all(statistics.even.positive >= 0)


@given(st.lists(st.floats(1.0, 2.0), min_size=1, max_size=8), st.integers(0, 3))
def test_pictures_that_are_alike_all_count_the_same(loudness: list[float], seed: int) -> None:
    assert seen(pictures(loudness, seed)).even is None


def test_half_of_the_pictures_are_not_an_exception() -> None:
    assert seen(pictures([1.0, 50.0] * 6)).even is None
    assert seen(pictures([50.0] * 6 + [1.0] * 5)).even is None
    assert seen(pictures([50.0] * 5 + [1.0] * 6)).even is not None


def test_batches_make_no_difference() -> None:
    items = pictures([30.0, 1.0, 1.5, 1.0, 0.0, *[1.2] * 8])
    alone, together = seen(items), seen([np.concatenate(items)])
    assert alone.even is not None
    assert together.even is not None
    np.testing.assert_array_equal(alone.even.positive, together.even.positive)
    np.testing.assert_array_equal(alone.even.negative, together.even.negative)


def kinds(peaks: Sequence[float]) -> Kinds:
    """Each picture counts 1 in a place of its own kind: how many pictures it has."""
    found = Kinds(np.zeros(1, np.int64))
    for peak in peaks:
        found.of(peak)[0] += 1
    return found


def loud(peaks: Sequence[float]) -> list[tuple[int, Any]]:
    return [(int(counts[0]), weight) for counts, weight in kinds(peaks).loud()]


def test_the_weight_is_that_of_a_picture_three_times_as_loud() -> None:
    usual = [1.0, 2.0, 0.0, 0.5]  # their geometric mean is 1
    assert loud(usual) == []
    assert loud([*usual, 10.0]) == [(1, pytest.approx((LOUD / 10) ** 2))]
    assert loud([*usual, 6.0]) == []  # three times the 2
    assert loud([*usual, 6.5]) == [(1, pytest.approx((LOUD / 6.5) ** 2))]
    assert loud([8.0, 1.0, 1.0]) == [(1, pytest.approx((LOUD / 8) ** 2))]


def test_two_kinds_of_loud_pictures_have_a_weight_each() -> None:
    peaks = [1.0] * 6 + [10.0, 100.0, 200.0]
    middle = 100 * 2**0.5  # the geometric mean of the loudest
    assert loud(peaks) == [
        (1, pytest.approx((LOUD / 10) ** 2)), (2, pytest.approx((LOUD / middle) ** 2)),
    ]  # fmt: skip


def test_quiet_pictures_do_not_make_the_usual_ones_loud() -> None:
    assert loud([1e-3] * 5 + [1.0] * 6) == []
    assert loud([1e-3] * 4 + [1.0] * 5 + [20.0]) == [(1, pytest.approx((LOUD / 20) ** 2))]
    assert loud([0.0] * 9 + [1.0] * 3 + [20.0]) == [(1, pytest.approx((LOUD / 20) ** 2))]


PEAKS = st.lists(st.integers(-12, 12).map(lambda power: 1.7**power), min_size=1, max_size=24)


@given(PEAKS, st.randoms(use_true_random=False))
def test_kinds_do_not_depend_on_the_order(peaks: list[float], random: Any) -> None:
    """Also not where a picture joins two kinds; and they are what the definition says."""
    shuffled = random.sample(peaks, len(peaks))
    assert loud(peaks) == loud(shuffled)
    ordered = sorted(peaks)
    parts: list[list[float]] = []
    for peak in ordered:
        if parts and peak <= LOUD * parts[-1][-1]:
            parts[-1].append(peak)
        else:
            parts.append([peak])
    usual = next(part for part in parts if ordered[len(peaks) // 2] in part)
    louder = [part for part in parts if part[0] > usual[-1]]
    assert [count for count, _ in loud(peaks)] == [len(part) for part in louder]


@settings(max_examples=30)
@given(
    st.lists(st.sampled_from([0.0, 0.01, 0.9, 1.0, 2.5, 8.0, 40.0]), min_size=1, max_size=12),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_a_scale_does_not_depend_on_the_order(
    loudness: list[float], signed: bool, random: Any
) -> None:
    items = pictures(loudness)
    if not signed:
        items = [np.abs(item) for item in items]
    found = [seen(order, signed=signed) for order in (items, random.sample(items, len(items)))]
    assert scale(found[0]) == scale(found[1])
    assert (found[0].even is None) == (found[1].even is None)
    if found[0].even is not None and found[1].even is not None:
        np.testing.assert_array_equal(found[0].even.positive, found[1].even.positive)
        np.testing.assert_array_equal(found[0].even.negative, found[1].even.negative)


def test_a_loud_picture_counts_by_its_weight() -> None:
    items = pictures([1.0] * 9 + [40.0])
    found, rest = seen(items), seen(items[:-1])
    ((_, weight),) = loud([float(np.abs(item).max()) for item in items])
    assert found.even is not None
    assert 0 < weight < 0.1
    quiet = with_exponent(rest.histogram, int(found.histogram.exponent[0]))
    for side in ("positive", "negative"):
        more = getattr(found.histogram, side) - getattr(quiet, side)
        wanted = getattr(quiet, side) + weight * more
        some = slice(1, None) if side == "positive" else slice(None)  # zeros share the first bin
        np.testing.assert_allclose(getattr(found.even, side)[:, some], wanted[:, some], atol=1e-9)


def test_what_is_joined_keeps_what_its_parts_know_of_loud_pictures() -> None:
    uneven = seen(pictures([1.0] * 20 + [60.0]))
    plain = seen(pictures([1.0] * 20, seed=1))
    joined = add_statistics([uneven, plain])
    assert uneven.even is not None
    assert joined.even is not None
    parts = (uneven.even, plain.histogram)
    counted = sum(part.positive.sum() + part.negative.sum() for part in parts)
    assert joined.even.positive.sum() + joined.even.negative.sum() == pytest.approx(counted)
    assert joined.histogram.positive.sum() > joined.even.positive.sum() + 100
    assert add_statistics([plain, plain]).even is None
