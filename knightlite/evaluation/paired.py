"""Two classifiers on the same pictures: how far the second falls behind, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959964  # the normal distribution's 97.5 % point


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
