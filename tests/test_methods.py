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
from knightlite.quantize.ranges.divergence import _cell_divergence, kl_v2
from knightlite.quantize.ranges.least_squares import min_max
from knightlite.quantize.ranges.methods import method_of, octav, percentile
from knightlite.quantize.ranges.scale_errors import clipped_share
from test_ranges import CASES, density_of, samples, values_for

Array = NDArray[Any]


# ------------------------------------------------------------------ percentile


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


def reference_cells(signed: Array, kept: int, dtype: DType) -> float:
    """Bin by bin: its code, the mass of the code spread over the code's filled bins."""
    zero = signed.size // 2 if dtype.minimum else 0
    p: dict[int, float] = {}
    for place, count in enumerate(signed):
        inside = min(max(place - zero, -kept), kept - 1)
        p[inside] = p.get(inside, 0.0) + float(count)
    p = {place: count for place, count in p.items() if count > 0}

    def code(place: int) -> int:
        edges = np.rint((np.arange(dtype.maximum) + 0.5) * (kept / dtype.maximum))
        magnitude = place if place >= 0 else -place - 1
        found = int(np.searchsorted(edges, magnitude, side="right"))
        return found if place >= 0 else -found

    cells: dict[int, float] = {}
    sizes: dict[int, int] = {}
    total = sum(p.values())
    for place, count in p.items():
        cells[code(place)] = cells.get(code(place), 0.0) + count
        sizes[code(place)] = sizes.get(code(place), 0) + 1
    return float(
        sum(
            count / total * np.log(count / (cells[code(place)] / sizes[code(place)]))
            for place, count in p.items()
        )
    )


@pytest.mark.parametrize("dtype", [U8, S8])
@pytest.mark.parametrize("kept", [256, 300, 517, 700])
def test_cell_divergence_is_that_of_its_definition(dtype: DType, kept: int) -> None:
    values = values_for("lopsided", dtype)
    low = -values.max() if dtype.minimum else 0.0
    counts = np.histogram(values, 1400 if dtype.minimum else 700, (low, values.max()))[0]
    counts[90:110] = 0
    counts = counts.astype(np.float64)
    assert _cell_divergence(counts, kept, dtype) == pytest.approx(
        reference_cells(counts, kept, dtype), abs=1e-12
    )


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_kl_v2_clips_little(kind: str, dtype: DType) -> None:
    part = density_of(values_for(kind, dtype))
    (scale,), (largest,) = kl_v2([part], dtype), min_max([part], dtype)
    assert 0 < scale <= largest
    assert clipped_share(part, scale, dtype) <= 1.1e-3
