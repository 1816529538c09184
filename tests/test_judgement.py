"""One paired comparison and one rule: what pictures say of a step, and how surely."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from knightlite.quantize.steps.judgement import Burden, Judgement, StepResult, judge, trimmed_mean
from knightlite.quantize.steps.walk import Errors

Array = NDArray[Any]


def errors(noise: Sequence[float] | Array, energy: float = 1.0) -> Errors:
    made = np.asarray(noise, np.float64)
    signal = np.full(made.size, energy)
    return Errors(signal, made, signal, signal)


def test_every_picture_is_compared_with_itself() -> None:
    """Pictures 60 dB apart, each 1 dB better: a gain of 1 dB without any doubt."""
    before = 10.0 ** -np.arange(8)
    found = judge([errors(before)], [errors(before * 10**-0.1)])
    assert (found.gain_db, found.error_db, found.pictures) == (1.0, 0.0, 8)
    assert (found.before_db, found.after_db) == (35.0, 36.0)


@pytest.mark.parametrize("odd", [0.0, 1e-30, 1e30])
def test_one_odd_picture_turns_nothing(odd: float) -> None:
    """All pictures but one lose a little: that one has no error, or is nothing but error."""
    before, after = np.ones(8), 10 ** np.linspace(0.05, 0.07, 8)
    after[3] = odd
    found = judge([errors(before)], [errors(after)])
    assert -0.7 <= found.gain_db <= -0.5
    assert found.error_db < 0.1
    assert not found.kept(Burden.DOUBTFUL)
    assert not found.kept(Burden.LIKELY)


def test_outputs_count_alike() -> None:
    before = [errors(np.ones(8)), errors(np.full(8, 1e-6))]
    after = [errors(np.full(8, 0.1)), errors(np.full(8, 1e-6 * 10**0.4))]
    assert judge(before, after).gain_db == 3.0


def test_exact_outputs() -> None:
    """What was exact and stays so has gained nothing; what becomes exact has gained."""
    nothing = np.zeros(8)
    still = judge([errors(nothing)], [errors(nothing)])
    assert (still.gain_db, still.before_db, still.after_db) == (0.0, 0.0, 0.0)
    assert not still.kept(Burden.LIKELY)
    assert judge([errors(np.ones(8))], [errors(nothing)]).kept(Burden.DOUBTFUL)
    assert not judge([errors(nothing)], [errors(np.ones(8))]).kept(Burden.LIKELY)


@pytest.mark.parametrize(
    ("gain", "burdens"),
    [
        (0.4, {Burden.LIKELY, Burden.OPEN, Burden.DOUBTFUL}),
        (0.3, {Burden.LIKELY, Burden.OPEN}),
        (0.01, {Burden.LIKELY, Burden.OPEN}),
        (0.0, {Burden.LIKELY}),
        (-0.2, {Burden.LIKELY}),
        (-0.3, set()),
    ],
)
def test_the_burden_of_a_step(gain: float, burdens: set[Burden]) -> None:
    found = Judgement(gain, 0.3, 20.0, 20.0 + gain, 8)
    assert {burden for burden in Burden if found.kept(burden)} == burdens


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=40))
def test_the_trimmed_mean_by_the_book(values: list[float]) -> None:
    """Against its definition, one value at a time."""
    ordered, cut = sorted(values), len(values) // 5
    inner = ordered[cut : len(values) - cut]
    winsorized = [min(max(item, inner[0]), inner[-1]) for item in values]
    mean, error = trimmed_mean(np.asarray(values))
    assert mean == pytest.approx(statistics.fmean(inner), abs=1e-9)
    spread = statistics.stdev(winsorized)
    assert error == pytest.approx(spread * len(values) ** 0.5 / len(inner), abs=1e-9)


def test_the_error_is_that_of_the_mean() -> None:
    """Over many samples of the size that judges the mean strays as far as the error says."""
    rng = np.random.default_rng(3)
    found = np.asarray([trimmed_mean(rng.normal(1, 2, 12)) for _ in range(2000)])
    assert found[:, 0].mean() == pytest.approx(1, abs=0.05)
    assert found[:, 0].std() == pytest.approx(np.sqrt((found[:, 1] ** 2).mean()), rel=0.1)


def test_what_is_said_and_reported() -> None:
    judgement = Judgement(2.29, 0.3, 24.1, 26.4, 12)
    kept = StepResult("equalization", judgement, True, 1.0)
    assert kept.sentence == ("equalization: +2.29 dB ± 0.30 on 12 pictures (24.10 dB before), kept")
    assert kept.entry == {
        "name": "equalization", "before_db": 24.1, "after_db": 26.4, "gain_db": 2.29,
        "gain_error_db": 0.3, "judged": 12, "kept": True,
    }  # fmt: skip
    impossible = StepResult("equalization", None, False, 1.0)
    assert impossible.sentence.startswith("equalization: undone, the arithmetic does not hold")
    assert json.loads(json.dumps(impossible.entry, allow_nan=False))["gain_db"] is None
