"""A picture that is much louder than the others does not decide a scale alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.quantize.observers import (
    LOUD,
    Observer,
    Peaks,
    Statistics,
    add_statistics,
    with_exponent,
)
from knightlite.quantize.ranges import clipped_share, density, even_density, mse


def pictures(loudness: Sequence[float], seed: int = 0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, 1, (1, 4, 16, 16)) * size).astype(np.float32) for size in loudness]


def seen(items: Sequence[NDArray[np.float32]], **more: Any) -> Statistics:
    observer = Observer("x", 4, **more)
    for item in items:
        observer.add(item)
    return observer.result()


def scale(statistics: Statistics) -> float:
    return float(mse([even_density(statistics)], dtypes.S8)[0])


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


def test_the_weight_is_that_of_a_picture_three_times_as_loud() -> None:
    peaks = Peaks()
    for peak in (1.0, 2.0, 0.0, 0.5):  # their geometric mean is 1
        assert peaks.add(peak) == (False, False)
    assert peaks.weight == 1.0
    assert peaks.add(10.0) == (False, True)
    assert peaks.weight == pytest.approx((LOUD / 10) ** 2)
    first = Peaks()
    assert [first.add(peak) for peak in (8.0, 1.0, 1.0)] == [
        (False, False), (True, False), (False, False),
    ]  # fmt: skip
    assert first.weight == pytest.approx((LOUD / 8) ** 2)


def test_a_loud_picture_counts_by_its_weight() -> None:
    items = pictures([1.0] * 9 + [40.0])
    found, rest, peaks = seen(items), seen(items[:-1]), Peaks()
    for item in items:
        peaks.add(float(np.abs(item).max()))
    assert found.even is not None
    assert 0 < peaks.weight < 0.1
    quiet = with_exponent(rest.histogram, int(found.histogram.exponent[0]))
    for side in ("positive", "negative"):
        loud = getattr(found.histogram, side) - getattr(quiet, side)
        wanted = getattr(quiet, side) + peaks.weight * loud
        some = slice(1, None) if side == "positive" else slice(None)  # zeros share the first bin
        np.testing.assert_allclose(getattr(found.even, side)[:, some], wanted[:, some], atol=1e-9)


def test_what_is_joined_keeps_what_its_parts_know_of_loud_pictures() -> None:
    loud = seen(pictures([1.0] * 20 + [60.0]))
    plain = seen(pictures([1.0] * 20, seed=1))
    joined = add_statistics([loud, plain])
    assert loud.even is not None
    assert joined.even is not None
    parts = (loud.even, plain.histogram)
    counted = sum(part.positive.sum() + part.negative.sum() for part in parts)
    assert joined.even.positive.sum() + joined.even.negative.sum() == pytest.approx(counted)
    assert joined.histogram.positive.sum() > joined.even.positive.sum() + 100
    assert add_statistics([plain, plain]).even is None
