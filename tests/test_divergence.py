"""Ranges by information against their definitions, loop by loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import S8, U8, DType
from knightlite.quantize.ranges.densities import Density
from knightlite.quantize.ranges.divergence import _cell_divergence, _divergences, kl, kl_v2
from knightlite.quantize.ranges.least_squares import min_max
from knightlite.quantize.ranges.scale_errors import clipped_share
from range_cases import CASES, density_of, samples, values_for

Array = NDArray[Any]


def reference_divergence(counts: Array, used: int, levels: int) -> float:
    """Migacz's loop body, as it is usually written."""
    p = counts[:used].copy()
    p[-1] += counts[used:].sum()
    q = np.zeros(used)
    for level in range(levels):
        chunk = slice(level * used // levels, (level + 1) * used // levels)
        filled = p[chunk] > 0
        if filled.any():
            q[chunk][filled] = counts[chunk].sum() / filled.sum()
    p, q = p / p.sum(), np.maximum(q / q.sum(), 1e-9)
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])))


@pytest.mark.parametrize("levels", [128, 256])
def test_divergences_are_those_of_the_classical_loop(levels: int) -> None:
    counts = np.histogram(np.abs(samples("heavy")), 1500)[0].astype(np.float64)
    counts[700:720] = 0
    used = np.asarray([levels, levels + 1, 300, 511, 710, 711, 900, 1499, 1500])
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    expected = [reference_divergence(counts, int(item), levels) for item in used]
    assert _divergences(counts, sums, used, levels).tolist() == pytest.approx(expected, abs=1e-9)
    assert max(expected) > 4 * min(expected)


@pytest.mark.parametrize(("kind", "dtype"), [("normal", S8), ("heavy", U8)])
def test_kl_clips_outliers_only(kind: str, dtype: DType) -> None:
    part = density_of(values_for(kind, dtype))
    (scale,), (largest,) = kl([part], dtype), min_max([part], dtype)
    assert 0.2 * largest < scale < largest
    assert 0 < clipped_share(part, scale, dtype) <= 1.1e-3


@pytest.mark.parametrize(
    ("dtype", "levels", "decay", "second"), [(U8, 256, 40, 0.0), (S8, 128, 60, 3e4)]
)
def test_kl_is_the_least_of_the_classical_loop(
    dtype: DType, levels: int, decay: float, second: float
) -> None:
    """As many levels as codes from 0 up; bin 0 as full as bin 1; a thousandth clipped at most."""
    random = np.random.default_rng(levels)
    counts = random.uniform(900, 1100, 512) * np.exp(-np.arange(512) / decay)
    counts[1] += second  # also where that is much, bin 0 is taken to be as full
    counts[0] = 1e7  # a spike, which any scale represents
    even = counts.copy()
    even[0] = even[1]
    tried = [used for used in range(levels, 513) if even[used:].sum() <= 1e-3 * even.sum()]
    best = min(tried, key=lambda used: reference_divergence(even, used, levels))
    assert best not in (tried[0], tried[-1])
    part = Density(counts, np.zeros(512), 5.0, 0.25, 0.0, 128.0)
    assert kl([part], dtype).tolist() == [best * 0.25 / dtype.maximum]


def test_kl_does_not_clip_what_lies_away_from_zero() -> None:
    """The classical loop takes a distribution around 0.9 to the first bin that holds any of it."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.9, 0.02, 30_000)
    (scale,) = kl([density_of(values)], U8)
    assert clipped_share(density_of(values), scale, U8) <= 2e-3


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
