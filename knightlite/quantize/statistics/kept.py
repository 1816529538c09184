"""How much of the float values an output keeps: over all pictures, and from picture to picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.quantize.report_entries import Entry, decibels

Array = NDArray[Any]

SHARES = (0.1, 0.5, 0.9)  # of the pictures: the ends of the interval, and the middle


class Kept:
    """Energy of the values and of their errors, for every picture of one output."""

    __slots__ = ("_energy", "_noise")

    def __init__(self) -> None:
        self._energy: list[float] = []
        self._noise: list[float] = []

    def add(self, exact: Array, found: Array) -> None:
        """Count the pictures of a batch, [N, ...] float and quantized values."""
        wide = exact.astype(np.float64).reshape(len(exact), -1)
        apart = wide - found.reshape(len(found), -1)
        self._energy += np.sum(wide * wide, axis=1).tolist()
        self._noise += np.sum(apart * apart, axis=1).tolist()

    def entry(self) -> Entry:
        """SQNR in dB over all pictures; the median picture, and those between which 80 % lie.

        None where there is no error or no signal.
        """
        known = [decibels(*pair) for pair in zip(self._energy, self._noise, strict=True)]
        each = [np.inf if value is None else value for value in known]
        low, middle, high = (float(np.quantile(each, share, method="nearest")) for share in SHARES)
        return {
            "sqnr_db": decibels(sum(self._energy), sum(self._noise)),
            "low_db": low if np.isfinite(low) else None,
            "median_db": middle if np.isfinite(middle) else None,
            "high_db": high if np.isfinite(high) else None,
        }
