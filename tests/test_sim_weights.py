"""The proof that float sums are exact, against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from knightlite.sim.thresholds import EXACT_FLOAT32
from knightlite.sim.weights import reach, split


@pytest.mark.parametrize(("low", "high"), [(0, 255), (-128, 127), (-3, 200), (5, 9), (-9, -5)])
def test_reach_is_the_largest_subset_sum(low: int, high: int, rng: np.random.Generator) -> None:
    factors = rng.integers(-128, 128, (4, 3)).astype(np.int8)
    brute = 0
    for channel in factors.T.tolist():
        for x in product((0, low, high), repeat=4):
            brute = max(brute, abs(sum(w * value for w, value in zip(channel, x, strict=True))))
    assert reach(factors, low, high) == brute


def test_split_takes_the_fewest_parts() -> None:
    ones = np.full((518, 2), 127, np.int8)
    assert reach(ones, 0, 255) == 518 * 255 * 127 <= EXACT_FLOAT32
    assert [part.shape for part in split(ones, 0, 255).parts] == [(518, 2)]
    more = split(np.full((519, 2), 127, np.int8), 0, 255)
    assert (more.starts, more.dtype) == ((0, 260), np.float32)
    assert more.reach == 519 * 255 * 127
    assert split(np.full((2073, 2), 127, np.int8), 0, 255).dtype == np.float64
    signs = np.resize(np.array([127, -127], np.int8), (1036, 1))  # both halves stay inside
    assert len(split(signs, 0, 255).parts) == 1


def test_parts_are_the_rows(rng: np.random.Generator) -> None:
    factors = rng.integers(-128, 128, (3000, 5)).astype(np.int8)
    found = split(factors, -128, 127)
    assert len(found.parts) > 1
    assert np.array_equal(np.concatenate(found.parts), factors)
