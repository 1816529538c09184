"""Weight scales by squared error: codes laid on the weights, never worse than the largest one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite.quantize.scales.weight_scales import (
    HIGHEST,
    LOWEST,
    MOST_WEIGHTS,
    candidate_factors,
    least_error_scales,
)
from knightlite.quantize.scales.weights import quantize_weights, weight_scales

Array = NDArray[Any]


def errors(weights: Array, scale: Array) -> Array:
    """Squared error per channel of the integers that come of it."""
    made = quantize_weights(weights, scale) * scale.reshape(-1, *(1,) * (weights.ndim - 1))
    return np.asarray(((made - weights) ** 2).reshape(len(weights), -1).sum(axis=1))


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 300), st.booleans())
def test_never_worse_than_the_largest_magnitude(
    seed: int, channels: int, size: int, heavy: bool
) -> None:
    random = np.random.default_rng(seed)
    drawn = (
        random.standard_t(2, (channels, size)) if heavy else random.normal(size=(channels, size))
    )
    weights = (drawn * 10.0 ** random.uniform(-6, 3, (channels, 1))).astype(np.float32)
    weights[:: 1 + channels // 3] *= random.integers(0, 2)  # channels of zeros
    largest = weight_scales(weights)
    plain = np.where(largest > 0, largest, 1.0)
    found = least_error_scales(weights, plain, 127)
    assert np.all(errors(weights, found) <= errors(weights, plain))
    assert np.all((found == plain) | (found.astype(np.float32) == found))
    assert np.all((found >= plain * LOWEST * 0.999999) & (found <= plain * HIGHEST * 1.000001))
    assert np.all(found[largest == 0] == 1.0)


def test_codes_are_laid_on_weights_that_lie_on_a_grid() -> None:
    """Whole multiples of a step up to 119: the largest one's 127 codes miss nearly all of them."""
    random = np.random.default_rng(5)
    integers = random.integers(-118, 119, (4, 1, 3, 3))
    integers[:, 0, 0, 0] = 119
    weights = (integers * 0.0123).astype(np.float32)
    plain = weight_scales(weights)
    found = least_error_scales(weights, plain, 127)
    assert quantize_weights(weights, found).tolist() == integers.tolist()
    assert np.all(errors(weights, found) < errors(weights, plain) / 50)


@pytest.mark.parametrize(
    ("size", "least_db", "most_db"), [(9, 2.5, 4.5), (64, 0.5, 1.0), (288, 0.15, 0.35)]
)
def test_what_it_gains_on_normal_weights(size: int, least_db: float, most_db: float) -> None:
    """The figures of the documentation."""
    weights = np.random.default_rng(6).normal(size=(20_000 // size, size)).astype(np.float32)
    plain = weight_scales(weights)
    found = errors(weights, least_error_scales(weights, plain, 127))
    gain = float(10 * np.log10(errors(weights, plain).sum() / found.sum()))
    assert least_db < gain < most_db


def test_large_channels_and_single_weights_stay() -> None:
    random = np.random.default_rng(7)
    large = random.normal(size=(3, MOST_WEIGHTS + 1)).astype(np.float32)
    assert (
        least_error_scales(large, weight_scales(large), 127).tolist()
        == weight_scales(large).tolist()
    )
    single = random.normal(size=(30, 1, 1, 1)).astype(np.float32)
    found = least_error_scales(single, weight_scales(single), 127)
    assert np.all(errors(single, found) <= errors(single, weight_scales(single)))
    assert candidate_factors(9).size > candidate_factors(100).size > candidate_factors(500).size


def test_scales_are_remembered_by_what_the_weights_hold() -> None:
    """Neither an array that is filled anew nor a result that is written to changes another one."""
    random = np.random.default_rng(8)
    weights = random.normal(size=(6, 3, 3, 3)).astype(np.float32)
    plain = weight_scales(weights)
    first = least_error_scales(weights, plain, 127)
    wanted = first.tolist()
    first[:] = 0
    assert least_error_scales(weights.copy(), plain.copy(), 127).tolist() == wanted
    assert least_error_scales(weights, 2 * plain, 127).tolist() != wanted
    assert least_error_scales(weights, plain, 100).tolist() != wanted
    weights[0] = random.normal(size=(3, 3, 3))
    changed = least_error_scales(weights, plain, 127).tolist()
    assert changed[0] != wanted[0]
    assert changed[1:] == wanted[1:]


@pytest.mark.parametrize(("size", "is_searched"), [(512, True), (513, False)])
def test_channels_of_up_to_512_weights_are_searched(size: int, is_searched: bool) -> None:
    weights = np.random.default_rng(3).normal(size=(40, size)).astype(np.float32)
    plain = weight_scales(weights)
    assert bool(np.any(least_error_scales(weights, plain, 127) != plain)) == is_searched
