"""Whether a step of quantization gained: one paired comparison and one rule for every step.

The network before a step and after it run on the same pictures. Pictures differ by many decibels
among themselves and by little in what a step does to them, so every picture is compared with
itself: its gain is 10 log10 of its noise before over its noise after, the mean over the chip's
outputs. What counts is the mean of these gains without the largest and the smallest fifth of them:
one odd picture (a lucky one without any error, a loud one) cannot turn it. Its standard error is
that of the winsorized gains (Tukey, McLaughlin, "Less Vulnerable Confidence and Significance
Procedures", 1963; Yuen, "The Two-Sample Trimmed t for Unequal Population Variances", 1974).

Eight to thirty pictures seldom settle it, so what is known of a kind of step decides where they do
not (:class:`Burden`).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.quantize.report_entries import Entry
from knightlite.quantize.steps.walk import Errors

Array = NDArray[Any]

JUDGES = 8  # pictures that judge, at least: fewer tell their scatter too badly
FEWEST = 2 * JUDGES  # pictures of a sample of which every other one judges
JUDGING = slice(1, None, 2)  # of a sample; the others tune
HALVES = (slice(0, None, 2), JUDGING)
OPEN_ERRORS = 1.0  # from what a step must show: nearer to it, more pictures are asked
CLEAR_ERRORS = 5.0  # from what a step must show: beyond, few pictures do
TRIMMED = 0.2  # share of the pictures that is left out at either end
MOST_DB = 60.0  # of a picture's gain: an output that has become exact gained no more


class Burden(enum.Enum):
    """How many standard errors of gain a kind of step must show to be kept.

    ``LIKELY``: adaptive rounding, which minimises the very error that is judged, gained in 53 of 60
    cases; it is undone where the pictures show that it hurts. (It is tuned on half of
    the sample, while the network before it was calibrated with all of it, judging pictures too,
    which speaks for the network before.)
    ``OPEN``: bias correction gained in 49 of 84: the pictures alone decide.
    ``DOUBTFUL``: equalization and other ranges move errors about by a model of them, gained in 36
    of 75, and are kept where the pictures show that they help.
    """

    LIKELY = -1.0
    OPEN = 0.0
    DOUBTFUL = 1.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the pictures say of a step.

    ``gain_db``: trimmed mean of the pictures' gains, ``error_db`` its standard error;
    ``before_db``, ``after_db``: plain means of the pictures' SQNR, 0 where there is none.
    ``alike``: all have the same errors, before and after, as one picture again and again has.
    """

    gain_db: float
    error_db: float
    before_db: float
    after_db: float
    pictures: int
    alike: bool = False

    def kept(self, burden: Burden) -> bool:
        """Whether the gain is beyond so many standard errors. No change at all is not kept."""
        return self.gain_db > burden.value * self.error_db

    def is_clear(self, burden: Burden) -> bool:
        """Whether other pictures would hardly turn it; too few never are."""
        return (
            self.pictures >= JUDGES
            and abs(self.gain_db - burden.value * self.error_db) > CLEAR_ERRORS * self.error_db
        )

    def is_open(self, burden: Burden) -> bool:
        """Whether the pictures leave it open: other ones might well turn it."""
        return abs(self.gain_db - burden.value * self.error_db) < OPEN_ERRORS * self.error_db


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step and what came of it.

    ``judgement``: None where the arithmetic cannot hold the changed network.
    """

    name: str
    judgement: Judgement | None
    kept: bool
    seconds: float

    @property
    def sentence(self) -> str:
        """What a person reads."""
        if self.judgement is None:
            return f"{self.name}: undone, the arithmetic does not hold the changed network"
        found, what = self.judgement, "kept" if self.kept else "undone"
        if found.alike:
            return (
                f"{self.name}: {what}; {found.gain_db:+.2f} dB on each of {found.pictures} "
                "pictures that give the same errors, as one and the same does: that is no evidence"
            )
        return (
            f"{self.name}: {found.gain_db:+.2f} dB \u00b1 {found.error_db:.2f} on "
            f"{found.pictures} pictures ({found.before_db:.2f} dB before), {what}"
        )

    @property
    def entry(self) -> Entry:
        """What the report says; null where nothing could be judged."""
        found = self.judgement
        return {
            "name": self.name,
            "before_db": None if found is None else found.before_db,
            "after_db": None if found is None else found.after_db,
            "gain_db": None if found is None else found.gain_db,
            "gain_error_db": None if found is None else found.error_db,
            "judged": 0 if found is None else found.pictures,
            "kept": self.kept,
        }


def judge(before: Sequence[Errors], after: Sequence[Errors]) -> Judgement:
    """Compare two networks on the same pictures: the errors of each of the chip's outputs."""
    gains = np.nanmean(
        [_gains(one.noise, other.noise) for one, other in zip(before, after, strict=True)], axis=0
    )
    mean, error = trimmed_mean(gains)
    errors = [item.noise for item in (*before, *after)]
    alike = gains.size > 1 and all(bool(np.all(item == item[0])) for item in errors)
    return Judgement(
        round(mean, 2), round(error, 2), _mean_db(before), _mean_db(after), gains.size, alike
    )


def trimmed_means(values: Array) -> tuple[Array, Array]:
    """Per column the mean of [n, ...] without a fifth at either end, and its standard error.

    The error is 0 for a single value.
    """
    ordered = np.sort(values.astype(np.float64), axis=0)
    count = len(ordered)
    cut = int(TRIMMED * count)
    inner = ordered[cut : count - cut]
    mean = inner.mean(axis=0)
    if count == 1:
        return mean, np.zeros_like(mean)
    winsorized = np.clip(ordered, inner[0], inner[-1])
    return mean, winsorized.std(axis=0, ddof=1) * np.sqrt(count) / len(inner)


def trimmed_mean(values: Array) -> tuple[float, float]:
    """The same of values [n]."""
    mean, error = trimmed_means(values)
    return float(mean), float(error)


def _gains(before: Array, after: Array) -> Array:
    """Per picture [n] the decibels by which its noise fell, at most ``MOST_DB`` either way."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 10 * np.log10(before / after)
    found[(before == 0) & (after == 0)] = 0.0
    return np.asarray(np.clip(found, -MOST_DB, MOST_DB))


def _mean_db(outputs: Sequence[Errors]) -> float:
    known = [item.mean_decibels for item in outputs if item.mean_decibels is not None]
    return round(float(np.mean(known)), 2) if known else 0.0
