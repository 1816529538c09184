"""Does another recipe fit the network better than the one that gives nearly the same top-1?

A wrong mean or std often costs the float network no answer, but stretches its activations, and the
quantized one loses many decibels. So other normalisations whose float top-1 is at least as good are
quantized for, on the same pictures. Every picture is compared with itself: a recipe is called
unfitting where its pictures lose decibels for sure, beside as many others as were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.diagnosis.causes import DEADBAND_DB
from knightlite.diagnosis.judge import Score, Still, few_pictures
from knightlite.diagnosis.preprocessing import Normalization, Trial, alternatives
from knightlite.diagnosis.remedies import Case, quantized_over
from knightlite.errors import KnightliteError
from knightlite.quantize.steps import trimmed_mean

Array = NDArray[Any]
CLEARLY_DB = 6.0  # another recipe must win so much to be said to fit
MOST = 3  # recipes that are quantized for, those with the best float metric
SAMPLE = 16  # pictures


@dataclass(frozen=True, slots=True)
class Fitting:
    """A normalisation that fits better: its trial, and the outputs' SQNR with it and without.

    ``interval``: of what a picture wins in dB, low and high, for all recipes tried together.
    """

    trial: Trial
    before_db: float
    after_db: float
    interval: tuple[float, float]
    pictures: int

    @property
    def sentence(self) -> str:
        """What was measured."""
        item = self.trial
        return (
            f"the recipe does not fit: quantized anew, outputs keep {self.before_db:.1f} dB, and "
            f"with {item.name} {self.after_db:.1f} dB (95 % interval of what a picture wins "
            f"{self.interval[0]:+.1f} to {self.interval[1]:+.1f} dB, over {self.pictures}), where "
            f"the float network reaches {item.metric:.2f} ({item.against.gain})"
        )


def better_fit(
    case: Case,
    used: Normalization,
    trials: Sequence[Trial],
    advance: Callable[[int, int], None] | None = None,
) -> Fitting | None:
    """The best of the alternatives that lose no picture in float, where it is clearly better.

    ``trials``: float metrics of the alternatives; those that exchange colours or axes are left out,
    as top-1 tells these. None where nothing is better, or the network is exact.
    """
    before = case.before.sqnr_db
    if before is None:
        return None
    step = -(-len(case.seen.sample[0]) // SAMPLE)
    pictures = used.pixels(np.asarray(case.seen.sample[0][::step], np.float32))
    plain = {item.name: item for item in alternatives(used, pictures.shape[1:])
             if not item.swapped and not item.layout}  # fmt: skip
    able = [item for item in trials if item.name in plain and item.against.drop <= 0][:MOST]
    if not able:
        return None
    found, own = [], _kept(case, used.of(pictures))  # other faults go when it is quantized anew
    if own is None or own.sqnr_db is None:
        return None
    floor = max(before, own.sqnr_db)
    for number, trial in enumerate(able, 1):
        after = _kept(case, plain[trial.name].of(pictures))
        if after is not None and after.sqnr_db is not None and after.sqnr_db - floor >= CLEARLY_DB:
            won = won_interval(own.calls_db, after.calls_db, len(able))
            if won[0] > 0:
                found.append(Fitting(trial, floor, after.sqnr_db, won, len(own.calls_db)))
        if advance is not None:
            advance(number, len(able))
    return max(found, key=lambda item: item.after_db, default=None)


def won_interval(
    before: Sequence[float | None], after: Sequence[float | None], tried: int
) -> tuple[float, float]:
    """95 % interval of what a picture wins in dB, right for all of ``tried`` recipes at once.

    Of the trimmed mean, with the normal distribution and 5 % divided by ``tried`` (Bonferroni).
    An exact picture counts as 120 dB; a single one tells nothing.
    """
    kept = [[DEADBAND_DB if one is None else one for one in item] for item in (before, after)]
    mean, error = trimmed_mean(np.subtract(kept[1], kept[0]))
    half = NormalDist().inv_cdf(1 - 0.025 / tried) * error if len(before) > 1 else np.inf
    return mean - half, mean + half


def _kept(case: Case, pictures: Array) -> Score | None:
    """The network quantized for these pictures, on them."""
    data = Still((pictures,))
    judge = few_pictures(case.graph, (pictures,), SAMPLE, case.judge.threads)
    try:
        return judge.score(quantized_over(case, data))
    except KnightliteError:  # another recipe may not be quantized for at all
        return None
