"""The range with the least error, and the one that clips nothing, against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import S8, S16, U8, DType
from knightlite.quantize.ranges.densities import Density
from knightlite.quantize.ranges.least_squares import common_scale, min_max, mse
from knightlite.quantize.ranges.methods import METHODS
from range_cases import CASES, density_of, even_part, samples, true_error, values_for

Array = NDArray[Any]


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
def test_values_of_which_none_was_counted_have_their_largest_for_a_range(method: str) -> None:
    """A large map is counted in part; a channel may speak between the places that are."""
    silent = np.zeros(1024)
    part = Density(silent, silent, 100.0, 1 / 1024, 0.0, 0.7)
    np.testing.assert_allclose(METHODS[method]([part], U8), 0.7 / 255, rtol=1e-3)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("dtype", [U8, S8])
def test_an_all_zero_tensor_has_no_range(method: str, dtype: DType) -> None:
    zero = density_of(np.zeros(50))
    other = density_of(np.ones(50))
    assert METHODS[method]([zero, other], dtype)[0] == 0
    assert METHODS[method]([other, zero], dtype)[1] == 0


@pytest.mark.parametrize(("share", "clips"), [(0.96, False), (0.94, True)])
def test_a_loud_member_is_clipped_to_nothing_only_where_it_saves_a_twentieth(
    share: float, clips: bool
) -> None:
    """Few values at 1000 beside many below 1/32, which no scale of the former tells from 0."""
    quiet = even_part(1 / 32, 2.0**-17)
    loud = Density(np.zeros(4096), np.zeros(4096), 0.0, 0.25, 0.0, 1000.25)
    loud.positive[4000] = share * quiet.energy / 1000**2
    found = common_scale([quiet, loud], U8, 1000.25 / 255)
    assert (found * 255 < 1) == clips
    assert (found * 255 > 900) == (not clips)
