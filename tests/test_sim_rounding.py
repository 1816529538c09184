"""Factors per channel on blocks of any size: every pixel gets its own channel's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from knightlite.sim.rounding import BUFFER_ELEMENTS, lane_calls

OPERATIONS = (np.add, np.multiply)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("pixels", [1, 7, 1_021, 4_096, 12_288, 12_289, 21_000])
@pytest.mark.parametrize("channels", [1, 3, 24, 5_000])
def test_every_lane_meets_its_channel(
    channels: int, pixels: int, operation: Callable[..., np.ndarray], rng: np.random.Generator
) -> None:
    """Some of these leave pixels over, some are one row, some channels fill a row alone."""
    pixels = 1 + pixels // channels
    work = rng.integers(-99, 99, (pixels, channels)).astype(np.float32)
    values = rng.integers(-99, 99, channels).astype(np.float32)
    wanted = operation(work, values)
    for call in lane_calls(operation, work, values):
        call()
    assert np.array_equal(work, wanted)


def test_rows_are_too_long_for_numpy_to_copy_factors(rng: np.random.Generator) -> None:
    """Two rows that fit its buffer would be copied there beside the factors, time and again."""
    work = np.zeros((30_000, 24), np.float32)
    values = rng.normal(size=24).astype(np.float32)
    parts = [call.args[0] for call in lane_calls(np.add, work, values)]  # type: ignore[attr-defined]
    assert sum(part.size for part in parts) == work.size
    assert all(2 * part.shape[-1] > BUFFER_ELEMENTS for part in parts if part.ndim > 1)


def test_gaps_stay_as_they_are(rng: np.random.Generator) -> None:
    whole = rng.integers(-99, 99, (5, 9, 6)).astype(np.float32)
    work, before = whole[1:4, 2:8], whole.copy()
    values = np.arange(6, dtype=np.float32)
    for call in lane_calls(np.multiply, work, values):
        call()
    before[1:4, 2:8] *= values
    assert np.array_equal(whole, before)
