"""Sequential bias correction: the mean error of the values that an activation lets through."""

from __future__ import annotations

import numpy as np
import pytest

from knightlite.quantize.steps.bias import CUT_OFF, picture_means, shrunk_mean

INFINITE = float("inf")
SHAPE = (4, 3, 5, 5)


def test_without_an_activation_every_value_counts_alike() -> None:
    rng = np.random.default_rng(1)
    exact, computed = (rng.normal(0, 1, SHAPE).astype(np.float32) for _ in range(2))
    found = picture_means(exact, computed, (-INFINITE, INFINITE))
    np.testing.assert_allclose(found, (exact - computed).mean(axis=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("clamp", [(0.0, INFINITE), (0.0, 1.0), (-INFINITE, 0.5)])
def test_what_is_cut_off_counts_a_tenth(clamp: tuple[float, float]) -> None:
    rng = np.random.default_rng(7)
    exact = rng.normal(0.2, 1, SHAPE).astype(np.float32)
    computed = exact + rng.normal(0.1, 1, SHAPE).astype(np.float32)
    passed = (exact > clamp[0]) & (exact < clamp[1])
    counts = np.where(passed, 1.0, CUT_OFF)
    counts /= counts.mean(axis=(0, 2, 3), keepdims=True)
    wanted = ((exact - computed).astype(np.float64) * counts).mean(axis=(2, 3))
    np.testing.assert_allclose(picture_means(exact, computed, clamp), wanted, rtol=1e-9)


def test_a_channel_that_is_cut_off_everywhere_counts_alike() -> None:
    exact = np.full((2, 1, 3, 3), -1, np.float32)
    found = picture_means(exact, exact + np.float32(0.25), (0.0, INFINITE))
    np.testing.assert_allclose(found, -0.25, rtol=1e-12)


def test_an_error_that_is_cut_off_moves_the_bias_little() -> None:
    exact = np.ones((2, 1, 2, 2), np.float32)
    exact[:, :, 1] = -1  # half of them are cut off
    computed = np.where(exact > 0, exact, exact - 1)
    for clamp, share in (((-INFINITE, INFINITE), 0.5), ((0.0, INFINITE), CUT_OFF / (1 + CUT_OFF))):
        np.testing.assert_allclose(shrunk_mean(picture_means(exact, computed, clamp)), share)
