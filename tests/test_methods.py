"""Range methods against their definitions, value by value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite.dtypes import S8, S16, U8, DType
from knightlite.errors import UsageError
from knightlite.quantize.ranges.densities import Density
from knightlite.quantize.ranges.least_squares import min_max, mse
from knightlite.quantize.ranges.methods import (
    METHODS,
    ROOMY_METHODS,
    any_method_of,
    method_of,
    octav,
    percentile,
)
from range_cases import CASES, density_of, samples, values_for

Array = NDArray[Any]


@given(
    st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
    st.sampled_from((S8, S16)),
)
def test_percentile_is_the_smallest_range_that_holds_the_share(
    values: list[float], percent: float, dtype: DType
) -> None:
    """To within the histogram's bin."""
    array = np.asarray(values)
    part = density_of(array)
    (scale,), (largest,) = percentile([part], dtype, percent), min_max([part], dtype)
    ordered = np.sort(np.abs(array))
    kept = ordered[min(int(np.ceil(percent * array.size - 1e-9)), array.size) - 1]
    bin_of_kept = int(kept / part.width)
    if kept == 0 or bin_of_kept * part.width / dtype.maximum >= largest:
        assert scale == pytest.approx(largest, rel=1e-12)
    else:
        end = scale * dtype.maximum / part.width
        assert bin_of_kept - 1e-6 <= end <= bin_of_kept + 1 + 1e-6 or scale == largest


@pytest.mark.parametrize(("kind", "dtype"), CASES)
@pytest.mark.parametrize("percent", [0.9, 0.999])
def test_percentile_of_many_values(kind: str, dtype: DType, percent: float) -> None:
    values = values_for(kind, dtype)
    (scale,) = percentile([density_of(values)], dtype, percent)
    expected = np.quantile(np.abs(values), percent)
    assert scale * dtype.maximum == pytest.approx(expected, rel=2e-3)


def test_percentile_at_its_edges() -> None:
    for share in (1e-6, 1.0):
        method_of("percentile", share)
    for share in (0.0, 1.0000001):
        with pytest.raises(UsageError, match="must be above 0 and at most 1"):
            method_of("percentile", share)
    part = density_of(samples("heavy"))
    assert percentile([part], S8, 1.0).tolist() == min_max([part], S8).tolist()
    sparse = density_of(np.concatenate([np.zeros(999), [5.1]]))
    assert percentile([sparse], U8, 0.99).tolist() == min_max([sparse], U8).tolist()
    for percent in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(UsageError) as caught:
            method_of("percentile", percent)
        wrong = f"the share of percentile must be above 0 and at most 1, not {percent:g}."
        assert caught.value.sentence == wrong
    low, high = (method_of("percentile", percent)([part], S8)[0] for percent in (0.99, 0.9999))
    assert low < 0.5 * high


# ------------------------------------------------------------------ octav


def octav_objective(values: Array, clip: float, dtype: DType) -> float:
    """The paper's J: uniform rounding noise inside, the distance to the clip value beyond."""
    size = np.abs(values[values != 0])
    noise = clip**2 / (12 * dtype.maximum**2) * np.sum(size <= clip)
    return float(noise + np.sum(np.maximum(size - clip, 0) ** 2))


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_octav_is_least_in_its_objective(kind: str, dtype: DType) -> None:
    values = values_for(kind, dtype)
    (scale,), (largest,) = octav([density_of(values)], dtype), min_max([density_of(values)], dtype)
    clips = np.geomspace(largest / 50, largest, 400) * dtype.maximum
    least = min(octav_objective(values, clip, dtype) for clip in clips)
    assert octav_objective(values, scale * dtype.maximum, dtype) <= 1.02 * least
    assert scale < largest


@given(st.integers(0, 10_000), st.sampled_from((S8, U8)))
def test_octav_is_a_fixed_point(seed: int, dtype: DType) -> None:
    values = np.abs(np.random.default_rng(seed).standard_t(3, 4000))
    part = density_of(values)
    clip = float(octav([part], dtype)[0]) * dtype.maximum
    kept = values <= clip
    noise = kept.sum() / (12 * dtype.maximum**2)
    if kept.all():
        return  # min_max
    expected = values[~kept].sum() / (noise + (~kept).sum())
    assert clip == pytest.approx(expected, rel=0.02)


# ------------------------------------------------------------------ kl_v2


def test_room_is_a_bit_beyond_mse_as_far_as_values_reach() -> None:
    counts = np.where(np.arange(512) < 64, 1e4, 0.0)
    counts[-1] = 1.0
    part = Density(counts, np.zeros(512), 0.0, 1 / 64, 0.0, 8.0)
    even = Density(np.ones(512), np.zeros(512), 0.0, 1 / 64, 0.0, 8.0)
    least, largest = mse([part, even], S8), min_max([part, even], S8)
    assert 2 * least[0] < largest[0]
    assert 2 * least[1] > largest[1]
    assert any_method_of("wide_mse")([part, even], S8).tolist() == [2 * least[0], largest[1]]
    assert any_method_of("far_min_max")([part], S8) == largest[0]
    assert any_method_of("mse") is METHODS["mse"]


@pytest.mark.parametrize("name", ROOMY_METHODS)
def test_methods_that_a_step_tries_are_not_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"must be one of kl, .*, not {name}."):
        method_of(name)
