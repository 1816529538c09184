"""Ranges against brute force over the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import S8, S16, U8, DType
from knightlite.quantize.ranges.densities import Density, clip, density, mix
from knightlite.quantize.ranges.divergence import _divergences, kl
from knightlite.quantize.ranges.least_squares import min_max, mse
from knightlite.quantize.ranges.methods import METHODS
from knightlite.quantize.ranges.scale_errors import clipped_share, signal_to_noise_db, squared_error
from knightlite.quantize.statistics.observers import Observer

Array = NDArray[Any]


def density_of(values: Array) -> Density:
    observer = Observer("t", 1)
    observer.add(values.astype(np.float32).reshape(1, 1, 1, -1))
    return density(observer.result())


def quantized(values: Array, scale: float, dtype: DType) -> Array:
    return np.clip(np.rint(values / scale), dtype.minimum, dtype.maximum) * scale


def true_error(values: Array, scale: float, dtype: DType) -> float:
    return float(np.sum((values - quantized(values, scale, dtype)) ** 2))


def samples(kind: str) -> Array:
    rng = np.random.default_rng(5)
    made: dict[str, Array] = {
        "normal": rng.normal(0, 1.3, 60_000),
        "heavy": rng.standard_t(3, 60_000),
        "lopsided": rng.gamma(2.0, 0.7, 60_000) - 0.4,
    }
    return made[kind].astype(np.float32).astype(np.float64)


CASES = [(kind, dtype) for kind in ("normal", "heavy", "lopsided") for dtype in (S8, U8)]


def values_for(kind: str, dtype: DType) -> Array:
    return np.maximum(samples(kind), 0) if dtype is U8 else samples(kind)


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_squared_error_is_that_of_the_values(kind: str, dtype: DType) -> None:
    values = values_for(kind, dtype)
    part = density_of(values)
    for share in (1.3, 1.0, 0.6, 0.2):
        scale = float(min_max([part], dtype)[0]) * share
        assert squared_error(part, scale, dtype) == pytest.approx(
            true_error(values, scale, dtype), rel=0.005
        )
        beyond = np.abs(values / scale - quantized(values, scale, dtype) / scale) > 0.5
        assert clipped_share(part, scale, dtype) == pytest.approx(beyond.mean(), abs=2e-4)
    assert part.energy == pytest.approx(float(np.sum(values**2)), rel=1e-4)


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_mse_finds_the_least_error(kind: str, dtype: DType) -> None:
    values = values_for(kind, dtype)
    part = density_of(values)
    (largest,), (found,) = min_max([part], dtype), mse([part], dtype)
    scales = np.geomspace(largest / 20, largest, 300)
    errors = [true_error(values, scale, dtype) for scale in scales]
    assert true_error(values, found, dtype) <= 1.003 * min(errors)
    assert true_error(values, found, dtype) < true_error(values, largest, dtype)
    assert 0 < found <= largest


def test_mse_lays_codes_on_spikes() -> None:
    """Two thirds of a picture are background of one value: it must fall on a code."""
    rng = np.random.default_rng(0)
    values = np.concatenate([np.full(40_000, 0.731), rng.uniform(0, 1, 20_000)])
    (scale,) = mse([density_of(values)], U8)
    off_code = abs(0.731 / scale - round(0.731 / scale))
    assert off_code < 0.05


def test_mse_of_many_is_mse_of_each() -> None:
    parts = [density_of(samples("normal") * size) for size in (1e-3, 1.0, 37.0)]
    together = mse(parts, S8)
    apart = [float(mse([part], S8)[0]) for part in parts]
    assert together.tolist() == pytest.approx(apart, rel=1e-12)


def test_min_max_is_exact() -> None:
    signed = density_of(np.asarray([-2.0, 0.5, 1.0]))
    assert min_max([signed], S8).tolist() == [2.0 / 128]
    assert min_max([density_of(np.asarray([-1.0, 1.0]))], S8).tolist() == [1.0 / 127]
    assert min_max([density_of(np.asarray([0.0, 51.0]))], U8).tolist() == [0.2]
    assert min_max([signed], S16).tolist() == [2.0 / 32768]


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("dtype", [U8, S8])
def test_an_all_zero_tensor_has_no_range(method: str, dtype: DType) -> None:
    zero = density_of(np.zeros(50))
    other = density_of(np.ones(50))
    assert METHODS[method]([zero, other], dtype)[0] == 0
    assert METHODS[method]([other, zero], dtype)[1] == 0


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


def test_kl_does_not_clip_what_lies_away_from_zero() -> None:
    """The classical loop takes a distribution around 0.9 to the first bin that holds any of it."""
    rng = np.random.default_rng(0)
    values = rng.normal(0.9, 0.02, 30_000)
    (scale,) = kl([density_of(values)], U8)
    assert clipped_share(density_of(values), scale, U8) <= 2e-3


def test_clip_moves_to_the_edge() -> None:
    values = samples("lopsided") - 1
    part = clip(density_of(values), -0.5, 1.25)
    assert (part.minimum, part.maximum) == (-0.5, 1.25)
    low, high = int(0.5 / part.width), int(1.25 / part.width)
    assert part.negative[low] == np.sum(values <= -low * part.width)
    assert part.positive[high] == np.sum(values >= high * part.width)
    assert part.negative[low + 1 :].sum() == part.positive[high + 1 :].sum() == 0
    assert part.negative.sum() + part.positive.sum() + part.zeros == values.size
    assert part.negative[: low - 1].tolist() == density_of(values).negative[: low - 1].tolist()
    whole = clip(density_of(values), -np.inf, np.inf)
    assert np.array_equal(whole.positive, density_of(values).positive)


def test_mix_adds_weighted_errors() -> None:
    quiet, loud = density_of(samples("normal") * 0.01), density_of(samples("heavy"))
    both = mix([quiet, loud], [3.0, 0.5])
    scale = float(min_max([loud], S8)[0])
    expected = 3 * squared_error(quiet, scale, S8) + 0.5 * squared_error(loud, scale, S8)
    assert squared_error(both, scale, S8) == pytest.approx(expected, rel=0.03)
    assert both.minimum == loud.minimum


def test_signal_to_noise() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 100_000)
    part = density_of(values)
    # energy 1/3 against step^2 / 12
    expected = 10 * np.log10((1 / 3) / ((1 / 255) ** 2 / 12))
    assert signal_to_noise_db(part, 1 / 255, U8) == pytest.approx(expected, abs=0.02)
    assert signal_to_noise_db(density_of(np.zeros(4)), 1.0, U8) is None
