"""Sequential bias correction: the mean error of the values that an activation lets through."""

from __future__ import annotations

import numpy as np
import pytest

from knightlite.quantize.bias import CUT_OFF, importance, shrunk_mean

INFINITE = float("inf")


def test_without_an_activation_every_value_counts_alike() -> None:
    assert importance(np.ones((2, 3, 4, 4), np.float32), (-INFINITE, INFINITE)) is None


@pytest.mark.parametrize("clamp", [(0.0, INFINITE), (0.0, 1.0), (-INFINITE, 0.5)])
def test_what_is_cut_off_counts_a_tenth(clamp: tuple[float, float]) -> None:
    values = np.random.default_rng(7).normal(0.2, 1, (4, 3, 5, 5)).astype(np.float32)
    counts = importance(values, clamp)
    assert counts is not None
    np.testing.assert_allclose(counts.mean(axis=(0, 2, 3)), 1, rtol=1e-12)
    passed = (values > clamp[0]) & (values < clamp[1])
    for channel in range(3):
        inside, outside = passed[:, channel], ~passed[:, channel]
        some = counts[:, channel]
        assert np.ptp(some[inside]) == np.ptp(some[outside]) == 0
        np.testing.assert_allclose(some[outside][0] / some[inside][0], CUT_OFF, rtol=1e-12)


def test_a_channel_that_is_cut_off_everywhere_counts_alike() -> None:
    counts = importance(np.full((2, 1, 3, 3), -1, np.float32), (0.0, INFINITE))
    assert counts is not None
    assert np.ptp(counts) == 0
    np.testing.assert_allclose(counts, 1, rtol=1e-12)


def test_an_error_that_is_cut_off_moves_the_bias_little() -> None:
    values = np.ones((2, 1, 2, 2), np.float32)
    values[:, :, 1] = -1  # half of them are cut off
    missing = np.where(values > 0, 0.0, 1.0)
    counts = importance(values, (0.0, INFINITE))
    assert counts is not None
    np.testing.assert_allclose(shrunk_mean(missing), 0.5)
    np.testing.assert_allclose(shrunk_mean(missing * counts), CUT_OFF / (1 + CUT_OFF))
