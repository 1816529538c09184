"""What counts at the network's outputs: everything, and the upper tail, picture by picture.

A sum of squares over an output says how much of it is kept. It says little of what a detector
finds: a score map holds thousands of values of which a few are objects, on few of the pictures.
So of every channel of such a map the largest values are watched beside the whole: those above the
middle of what the pictures reach with their :data:`TAIL` share, one threshold for all pictures. A
picture without such values says nothing of the tail, however loud it is otherwise.

What an error costs is its amplitude relative to the picture's own values: margins between answers
are about as often small as large, so that this share of them is lost. The mean of it over pictures
is not one loud picture's, as a sum of squares is, and a picture that is ruined still counts as one.
Values of a tail may be near zero, so theirs is relative to how far the whole output spreads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

TAIL = 1 / 512  # of a channel's values
LEAST_VALUES = 256  # of a channel, below which the tail is that of the whole output,
LEAST_TAIL = 8  # values for a picture, below which there is none: scores of a whole picture


class OutputViews:
    """One view of each output or two, whole and tail; thresholds are of the float values."""

    def __init__(self, exact: Mapping[str, Array]) -> None:
        """``exact``: the float values of some pictures [n, C, ...] by output."""
        self._tails = {name: _threshold(_rows(values)) for name, values in exact.items()}
        self._spread = {name: float(np.var(values)) for name, values in exact.items()}

    def noise(self, exact: Mapping[str, Array], fixed: Mapping[str, Array]) -> Float64:
        """Squared errors [views, n]: NaN where a picture has nothing of the view.

        ``exact``, ``fixed``: [n, C, ...] by output.
        """
        found = []
        for name, tail in self._tails.items():
            rows = _rows(exact[name])
            squares = np.square(_rows(fixed[name]) - rows, dtype=np.float64)
            found.append(squares.sum(axis=(1, 2)))
            if tail is not None:
                above = rows > tail
                tails = np.where(above, squares, 0.0).sum(axis=(1, 2))
                found.append(np.where(above.any(axis=(1, 2)), tails, np.nan))
        return np.asarray(found)

    def energy(self, exact: Mapping[str, Array]) -> Float64:
        """What the noise [views, n] is relative to: the values' squares, a tail's spread."""
        found = []
        for name, tail in self._tails.items():
            rows = _rows(exact[name])
            found.append(np.square(rows, dtype=np.float64).sum(axis=(1, 2)))
            if tail is not None:
                found.append(self._spread[name] * (rows > tail).sum(axis=(1, 2)))
        return np.asarray(found)


def cost(noise: Float64, energy: Float64) -> Float64:
    """Per picture [n] the relative error, the mean over the views [views, n] that it has."""
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.sqrt(noise / energy)
    relative[energy == 0] = np.nan
    told = ~np.isnan(relative)
    total = np.where(told, relative, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(told.sum(axis=0), 1))


def _rows(values: Array) -> Array:
    """[n, C, values of a channel], or [n, 1, all] where channels have too few for a tail."""
    count = len(values)
    channels = values.shape[1] if values.ndim > 2 else 1
    rows = values.reshape(count, channels, -1)
    return rows if rows.shape[2] >= LEAST_VALUES else values.reshape(count, 1, -1)


def _threshold(rows: Array) -> Array | None:
    """[C, 1]: the median over pictures and places of the largest values of each picture."""
    most = max(1, round(TAIL * rows.shape[2]))
    if most * rows.shape[1] < LEAST_TAIL:
        return None
    place = rows.shape[2] - most
    largest = np.partition(rows, place, axis=2)[:, :, place:]
    found: Array = np.median(largest.transpose(1, 0, 2).reshape(rows.shape[1], -1), axis=1)
    return found[:, None]
