"""Sums requantized in float32: where it is said to be enough, every sum proves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import record
from knightlite.sim import thresholds
from knightlite.sim.thresholds import EXACT_FLOAT32, Float32, float32_factors

CLAMPS = ((0, 255), (-128, 127), (0, 127), (-7, 3), (0, 0), (100, 255))


def wrong_sums(
    found: Float32, channel: int, factor: tuple[int, int, int], ends: Sequence[int],
    clamp: tuple[int, int],
) -> int:  # fmt: skip
    """How many sums of a channel float32 gets wrong, all of them tried in int64.

    ``factor``: m, q and bias; ``ends``: of the sums with their bias.
    """
    m, q, bias = factor
    biased = np.arange(ends[0], ends[1] + 1)
    product = biased * m
    if q:
        floor = product >> q
        rest = product - (floor << q)
        half = 1 << (q - 1)
        floor += (rest > half) | ((rest == half) & (floor % 2 == 1))
        product = floor
    sums = (biased - bias).astype(np.float32)
    results = np.rint((sums + found.bias[channel]) * found.gain[channel]).clip(*clamp)
    return int(np.count_nonzero(results != product.clip(*clamp)))


def drawn(rng: np.random.Generator) -> tuple[list[tuple[int, int, int]], np.ndarray, np.ndarray]:
    """Factors of some channels and the ends of their sums: steps of every size, exact ties."""
    channels = int(rng.integers(1, 6))
    factors = []
    for _ in range(channels):
        m = int(rng.integers(1 << 14, 1 << 15))
        m &= -1 << int(rng.choice([0, 0, 5, 9, 13]))  # few bits: sums lie on ties
        bias = int(rng.integers(-(1 << 20), 1 << 20)) >> int(rng.integers(21))
        factors.append((m if rng.integers(8) else 0, int(rng.integers(12, 26)), bias))
    reach = 1 << int(rng.integers(4, 18))
    lowest = -rng.integers(0, reach, channels)
    return factors, lowest, rng.integers(0, reach, channels)


def factors_of(
    factors: list[tuple[int, int, int]],
    lowest: np.ndarray,
    highest: np.ndarray,
    clamp: tuple[int, int],
) -> Float32 | None:
    records = b"".join(record(*factor) for factor in factors)
    return float32_factors(records, lowest, highest, *clamp)


@given(st.integers(0, 2**32 - 1), st.sampled_from(CLAMPS))
@settings(max_examples=150, deadline=None)
def test_every_sum_is_right(seed: int, clamp: tuple[int, int]) -> None:
    factors, lowest, highest = drawn(np.random.default_rng(seed))
    found = factors_of(factors, lowest, highest, clamp)
    if found is None:
        return
    for channel, factor in enumerate(factors):
        ends = int(lowest[channel]), int(highest[channel])
        assert wrong_sums(found, channel, factor, ends, clamp) == 0


def several(rng: np.random.Generator, channels: int, q: int) -> list[tuple[int, int, int]]:
    return [
        (int(rng.integers(1 << 14, 1 << 15)), q, int(rng.integers(-5000, 5000)))
        for _ in range(channels)
    ]


def test_most_layers_are_proved_and_some_need_a_nudge() -> None:
    """The proof is worth having: it succeeds, and not only where m / 2^q is right as it is."""
    rng = np.random.default_rng(0)
    proved = nudged = moved = 0
    for _ in range(40):
        factors = several(rng, 12, 21)
        ends = np.full(12, 1 << 17)
        found = factors_of(factors, -ends, ends, (0, 255))
        if found is not None:
            proved += 1
            exact = [(np.float32(m / 2**q), np.float32(bias)) for m, q, bias in factors]
            nudged += any(gain != one for gain, (one, _) in zip(found.gain, exact, strict=True))
            moved += any(bias != one for bias, (_, one) in zip(found.bias, exact, strict=True))
    assert proved > 25
    assert nudged > 15
    assert moved > 2


@pytest.mark.parametrize("name", ["NEAR", "TRIES"])
def test_a_planted_gap_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums near ties are what decides: without looking at them wrong factors come through."""
    monkeypatch.setattr(thresholds, name, 0.0 if name == "NEAR" else ((0, 0),))
    thresholds._factors.cache_clear()
    rng = np.random.default_rng(1)
    refused = wrong = 0
    for _ in range(40):
        (factor,) = several(rng, 1, 21)
        ends = np.full(1, 1 << 16)
        found = factors_of([factor], -ends, ends, (0, 255))
        refused += found is None
        if found is not None:
            wrong += wrong_sums(found, 0, factor, (-(1 << 16), 1 << 16), (0, 255)) > 0
    thresholds._factors.cache_clear()
    assert (wrong if name == "NEAR" else refused) > 0


def test_what_is_never_tried() -> None:
    one = np.ones(1, np.int64)
    assert factors_of([(20000, 20, 0)], -one, one, (0, 255)) is not None
    assert factors_of([(-20000, 20, 0)], -one, one, (0, 255)) is None  # results that fall
    assert factors_of([(20000, 20, 0)], -one, one, (-32768, 32767)) is None  # too many steps
    assert factors_of([(20000, 20, 0)], -one, one * (EXACT_FLOAT32 + 1), (0, 255)) is None
    bias = EXACT_FLOAT32  # sums without it are as large
    assert factors_of([(20000, 20, bias)], -one, one, (0, 255)) is None
    many = np.ones(1000, np.int64)  # of so fine steps some channel is stubborn
    assert factors_of([(20000, 28, 0)] * 1000, -many, many, (0, 255)) is None
