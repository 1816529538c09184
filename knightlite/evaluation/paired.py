"""Two classifiers on the same pictures: how far the second falls behind, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.intp]
"""The best class of each picture, in the order in which they are run."""

Z_95 = 1.959964  # the normal distribution's 97.5 % point
SLACK = 0.02  # pictures: a metric of single precision is not quite a count of them
ROUNDED = 5e-5  # of a metric, to two digits of percent
SHARE_BITS = 40  # of a share that is searched for
ENOUGH = 10  # pictures, to call a network's answers chance
CHANCES = 3.0  # a float metric below so many times chance is implausible


@dataclass(frozen=True, slots=True)
class Paired:
    """Of ``pictures``, ``lost`` are right in the first model alone, ``won`` in the second alone.

    Figures are points, percent of pictures; a positive drop means that the second is worse.
    """

    pictures: int
    lost: int
    won: int

    @property
    def drop(self) -> float:
        """Top-1 of the first less top-1 of the second."""
        return 100 * (self.lost - self.won) / self.pictures

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the drop, low and high.

        Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial
        proportions based on paired data", 2012: with p = (lost + 1) / (n + 2) and
        q = (won + 1) / (n + 2) it is p - q +- 1.96 sqrt((p + q - (p - q)^2) / (n + 2)).
        """
        n = self.pictures + 2
        p, q = (self.lost + 1) / n, (self.won + 1) / n
        half = Z_95 * sqrt((p + q - (p - q) ** 2) / n)
        return 100 * (p - q - half), 100 * (p - q + half)

    @property
    def by_chance(self) -> float:
        """How likely as many are won, or more, where the two models are equally good: 0 to 1.

        The sign test, one-sided: each picture that one of them alone gets right is a fair coin.
        """
        tossed = self.lost + self.won
        as_good = sum(comb(tossed, heads) for heads in range(self.won, tossed + 1))
        return float(as_good / (1 << tossed))

    def gain_among(self, tried: int) -> tuple[float, float]:
        """Interval of the gain, low and high, that is right for all of ``tried`` models at once.

        The best of many others looks better than it is, so the 5 % are divided by ``tried``
        (Bonferroni). Exact (Clopper and Pearson, "The Use of Confidence or Fiducial Limits", 1934)
        for the share won of the pictures that one of the two alone gets right: it holds 0 just
        where the two-sided sign test sees no difference, with a handful of pictures too.
        """
        tossed, chance = self.lost + self.won, 0.05 / tried / 2
        points = 100 * tossed / self.pictures
        low = _share(self.won, tossed, chance)
        high = 1 - _share(self.lost, tossed, chance)
        return points * (2 * low - 1), points * (2 * high - 1)

    @property
    def stays(self) -> bool:
        """True where the second is not surely worse: it wins, or the interval holds 0."""
        return self.drop <= 0 or self.interval[0] <= 0

    @property
    def same(self) -> bool:
        """True where the two are not told apart: the interval holds 0."""
        low, high = self.interval
        return low <= 0 <= high

    @property
    def gain(self) -> str:
        """What the second model wins, as words: points with their interval, and the pictures."""
        low, high = self.interval
        return self._told("95 % interval", -high, -low)

    def best_gain(self, tried: int) -> str:
        """The same of the best of ``tried`` models, with the interval for all of them."""
        return self._told(f"95 % interval for all {tried} tried", *self.gain_among(tried))

    def _told(self, interval: str, low: float, high: float) -> str:
        low, high = (max(-100.0, min(100.0, end)) for end in (low, high))
        return (
            f"{0 - self.drop:+.2f} points, {interval} {low:+.2f} to {high:+.2f}: "
            f"{self.won} won, {self.lost} lost of {self.pictures} picture"
            f"{'' if self.pictures == 1 else 's'}"
        )


def share_interval(right: int, pictures: int, tried: int = 1) -> tuple[float, float]:
    """95 % interval of a share of right answers, low and high, for all of ``tried`` at once.

    Exact, as in ``Paired.gain_among``.
    """
    tail = 0.05 / tried / 2
    return _share(right, pictures, tail), 1 - _share(pictures - right, pictures, tail)


def _share(heads: int, tossed: int, chance: float) -> float:
    """The share of heads at which so many of ``tossed``, or more, come up with this chance."""
    if not heads:
        return 0.0
    counts = np.arange(1, tossed + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(counts))])
    some = np.arange(heads, tossed + 1)
    ways = factorials[tossed] - factorials[some] - factorials[tossed - some]
    low, high = 0.0, 1.0
    for _ in range(SHARE_BITS):
        share = (low + high) / 2
        tail = np.exp(ways + some * np.log(share) + (tossed - some) * np.log1p(-share)).sum()
        low, high = (share, high) if tail < chance else (low, share)
    return low


def paired(
    first: Answers | None,
    second: Answers | None,
    metrics: tuple[float, float],
    wanted: Answers | None = None,
) -> Paired | None:
    """Two models by their answers and their ``metrics``, shares of 1, or percent.

    Without ``wanted``, the right answers, all that changed is taken to be won or lost, so that the
    interval is rather too wide. None where the answers do not explain the metrics: then these are
    no top-1, or there are none.
    """
    if first is None or second is None or not first.size or first.shape != second.shape:
        return None
    counts = [share * first.size for share in shares(*metrics)]
    difference = counts[0] - counts[1]
    if wanted is not None and wanted.shape == first.shape:
        lost = int(np.count_nonzero((first == wanted) & (second != wanted)))
        won = int(np.count_nonzero((first != wanted) & (second == wanted)))
        return Paired(first.size, lost, won) if abs(lost - won - difference) < 0.5 else None
    changed = int(np.count_nonzero(first != second))
    less = round(counts[0]) - round(counts[1])
    slack = SLACK + ROUNDED * first.size
    if any(abs(count - round(count)) > slack for count in counts) or abs(less) > changed:
        return None
    won = (changed - less) // 2
    return Paired(first.size, won + less, won)


def shares(first: float, second: float) -> tuple[float, float]:
    """Two metrics of one unit, shares of 1 or percent, as shares."""
    unit = 1.0 if max(first, second) <= 1 else 100.0
    return first / unit, second / unit


def apart(pictures: int, first: float, second: float) -> Paired:
    """Two models of which only the metrics are known: as if they were right independently."""
    mine, theirs = (min(share, 1.0) for share in shares(first, second))
    lost, won = mine * (1 - theirs), theirs * (1 - mine)
    return Paired(pictures, round(pictures * lost), round(pictures * won))


def best_classes(scores: NDArray[Any], pictures: int) -> Answers:
    """The best class of each of a batch's pictures, as numpy's argmax has it."""
    return np.asarray(scores.reshape(pictures, -1).argmax(axis=1), np.intp)


def about_chance(right: float, classes: int) -> bool:
    """True where a share of right answers is implausibly low for a trained network."""
    return classes > 1 and right <= min(CHANCES, classes / 2) / classes


def chance_told(right: float, classes: int, pictures: int, model: str) -> str | None:
    """A sentence where a float network reaches about chance; None where it does not.

    Over fewer than ENOUGH pictures a good one may.
    """
    if pictures < ENOUGH or not about_chance(right, classes):
        return None
    return (
        f"{model} itself is right for {round(right * pictures)} of {pictures} pictures, "
        f"{100 * right:.2f} %, and chance of {classes} classes is {100 / classes:.2f} %: labels of "
        "another network or order, or another preprocessing than that of its training; what is "
        "measured against it says little."
    )
