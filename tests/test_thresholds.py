"""Sums requantized in float32: where it is said to be enough, every sum proves it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import record
from knightlite.sim import thresholds
from knightlite.sim.thresholds import EXACT_FLOAT32, float32_gains

CLAMPS = ((0, 255), (-128, 127), (0, 127), (-7, 3), (0, 0), (100, 255))


def wrong_sums(
    gain: np.float32, m: int, q: int, lowest: int, highest: int, clamp: tuple[int, int]
) -> int:
    """How many sums of a channel float32 gets wrong, all of them tried in int64."""
    sums = np.arange(lowest, highest + 1)
    product = sums * m
    if q:
        floor = product >> q
        rest = product - (floor << q)
        half = 1 << (q - 1)
        floor += (rest > half) | ((rest == half) & (floor % 2 == 1))
        product = floor
    found = np.rint(sums.astype(np.float32) * gain).clip(*clamp)
    return int(np.count_nonzero(found != product.clip(*clamp)))


def drawn(rng: np.random.Generator) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
    """Factors of some channels and the ends of their sums: steps of every size, exact ties."""
    channels = int(rng.integers(1, 6))
    factors = []
    for _ in range(channels):
        m = int(rng.integers(1 << 14, 1 << 15))
        m &= -1 << int(rng.choice([0, 0, 5, 9, 13]))  # few bits: sums lie on ties
        factors.append((m if rng.integers(8) else 0, int(rng.integers(12, 26))))
    reach = 1 << int(rng.integers(4, 18))
    lowest = -rng.integers(0, reach, channels)
    return factors, lowest, rng.integers(0, reach, channels)


def gains_of(
    factors: list[tuple[int, int]], lowest: np.ndarray, highest: np.ndarray, clamp: tuple[int, int]
) -> np.ndarray | None:
    records = b"".join(record(m, q, 0) for m, q in factors)
    return float32_gains(records, lowest, highest, *clamp)


@given(st.integers(0, 2**32 - 1), st.sampled_from(CLAMPS))
@settings(max_examples=150, deadline=None)
def test_every_sum_is_right(seed: int, clamp: tuple[int, int]) -> None:
    factors, lowest, highest = drawn(np.random.default_rng(seed))
    gains = gains_of(factors, lowest, highest, clamp)
    if gains is None:
        return
    for gain, (m, q), low, high in zip(gains, factors, lowest, highest, strict=True):
        assert wrong_sums(gain, m, q, int(low), int(high), clamp) == 0


def test_most_layers_with_coarse_steps_have_gains_and_some_need_a_nudge() -> None:
    """The proof is worth having: it succeeds, and not only where m / 2^q is right as it is."""
    rng = np.random.default_rng(0)
    proved = nudged = 0
    for _ in range(60):
        factors = [(int(rng.integers(1 << 14, 1 << 15)), 20) for _ in range(16)]
        ends = np.full(16, 1 << 17)
        gains = gains_of(factors, -ends, ends, (0, 255))
        if gains is not None:
            proved += 1
            nudged += any(gain != np.float32(m / 2**q) for gain, (m, q) in
                          zip(gains, factors, strict=True))  # fmt: skip
    assert proved > 50
    assert nudged > 20


@pytest.mark.parametrize("name", ["NEAR", "NUDGES"])
def test_a_planted_gap_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums near ties are what decides: without looking at them wrong gains come through."""
    monkeypatch.setattr(thresholds, name, 0.0 if name == "NEAR" else ())
    thresholds._gains.cache_clear()
    rng = np.random.default_rng(1)
    refused = wrong = 0
    for _ in range(40):
        factors = [(int(rng.integers(1 << 14, 1 << 15)), 21)]
        ends = np.full(1, 1 << 16)
        gains = gains_of(factors, -ends, ends, (0, 255))
        refused += gains is None
        if gains is not None:
            wrong += wrong_sums(gains[0], *factors[0], -(1 << 16), 1 << 16, (0, 255)) > 0
    thresholds._gains.cache_clear()
    assert (wrong if name == "NEAR" else refused) > 0


def test_what_is_never_tried() -> None:
    one = np.ones(1, np.int64)
    assert gains_of([(20000, 20)], -one, one, (0, 255)) is not None
    assert gains_of([(-20000, 20)], -one, one, (0, 255)) is None  # results that fall
    assert gains_of([(20000, 20)], -one, one, (-32768, 32767)) is None  # too many steps
    assert gains_of([(20000, 20)], -one, one * (EXACT_FLOAT32 + 1), (0, 255)) is None
