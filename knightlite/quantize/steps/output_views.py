"""What counts at the network's outputs: everything, and the upper tail, picture by picture.

A sum of squares over an output says how much of it is kept. It says little of what a detector
finds: a score map holds thousands of values of which a few are objects, on few of the pictures.
So of such a map the tail is watched beside the whole: in the channels in which some picture stands
out (:data:`RARE` times the median deviation of all pictures' peaks above their median), the values
nearer to the largest peak than to the median one. A picture without such values says nothing of the
tail, however loud it is otherwise. Where no picture stands out, any may hold what looks like an
object: the tail then are the values nearer to the largest than to the median value of all places,
in channels where fewer than one in a thousand (:data:`FEW_PLACES`) is. A map without such channels
has no tail.

What an error costs is its amplitude relative to the picture's own values: margins between answers
are about as often small as large, so that this share of them is lost. The mean of it over pictures
is not one loud picture's, as a sum of squares is, and a picture that is ruined still counts as one.
Values of a tail may be near zero, so theirs is relative to how far the whole output spreads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import Runner, quantized_network
from knightlite.ir import Graph
from knightlite.quantize.data.striking import LEAST_APART, LEAST_VALUES, is_map
from knightlite.quantize.steps.walk import Errors

Array = NDArray[Any]
Float64 = NDArray[np.float64]

RARE = 10.0  # median deviations above the median peak
FEW_PLACES = 1e-3  # of a channel: a share of them that is as rare where every picture has some
OUTPUT_BYTES = 64 << 20  # of the float outputs of the pictures that are looked at together


class OutputViews:
    """One view of each output or two, whole and tail; thresholds are of the float values."""

    def __init__(self, exact: Mapping[str, Array]) -> None:
        """``exact``: the float values of some pictures [n, C, ...] by output."""
        self._tails = {name: _threshold(_rows(values)) for name, values in exact.items()}
        self._spread = {name: float(np.var(values)) for name, values in exact.items()}

    @property
    def tails(self) -> bool:
        """Whether some picture stands out in some output."""
        return any(tail is not None for tail in self._tails.values())

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

    def errors(self, exact: Mapping[str, Array], fixed: Mapping[str, Array]) -> tuple[Errors, ...]:
        """The same of each view, as steps are judged by."""
        noises = self.noise(exact, fixed)
        return tuple(
            Errors(energy, noise, np.zeros_like(noise), np.zeros_like(noise))
            for energy, noise in zip(self.energy(exact), noises, strict=True)
        )

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


def mean_cost(views: Sequence[Errors]) -> float:
    """The same of the errors of each view, the mean over the pictures."""
    noise, energy = ([getattr(item, key) for item in views] for key in ("noise", "energy"))
    return float(cost(np.asarray(noise), np.asarray(energy)).mean())


def view_cost(noise: Float64, energy: Float64) -> float:
    """The relative error of a view [views, n] over the pictures that have it, mean of all views.

    So a tail of which one picture of calibration tells counts as much as what all of them hold: the
    pictures to come for which the network is there may all be of its kind.
    """
    told = view_costs(noise, energy)
    return float(told.mean()) if told.size else 0.0


def view_costs(noise: Float64, energy: Float64) -> Float64:
    """Of each view that some picture has [views at most]."""
    return np.asarray(
        [
            float(np.sqrt(one[known] / whole[known]).mean())
            for one, whole in zip(noise, energy, strict=True)
            if (known := ~np.isnan(one) & (whole > 0)).any()
        ]
    )


def quantized_outputs(
    quantized: Graph, pictures: tuple[Array, ...], threads: int | None
) -> dict[str, Array]:
    """What the chip delivers of some pictures, all at once, by output."""
    runner = Runner(quantized_network(quantized, quantized.chip_outputs), threads)
    return delivered(quantized, runner, pictures)


def delivered(graph: Graph, runner: Runner, pictures: tuple[Array, ...]) -> dict[str, Array]:
    """The chip's outputs of some pictures in a network that ``runner`` runs."""
    values = runner.values(pictures)
    return {name: values[name] for name in graph.chip_outputs}


def _rows(values: Array) -> Array:
    """[n, C, values of a channel], or [n, 1, all] where channels have too few for a tail."""
    count = len(values)
    channels = values.shape[1] if values.ndim > 2 else 1
    rows = values.reshape(count, channels, -1)
    return rows if is_map(values) else values.reshape(count, 1, -1)


def _threshold(rows: Array) -> Array | None:
    """[C, 1] of rows [n, C, values], infinite where no picture stands out; None: in no channel."""
    if rows.shape[2] < LEAST_VALUES:
        return None
    peaks = rows.max(axis=2)
    middle = np.median(peaks, axis=0)
    apart = np.median(np.abs(peaks - middle), axis=0)
    above = peaks.max(axis=0) - middle
    rare = above > RARE * np.maximum(apart, LEAST_APART * np.abs(middle))
    if rare.any():
        return np.where(rare, middle + above / 2, np.inf)[:, None]
    places = rows.transpose(1, 0, 2).reshape(rows.shape[1], -1)
    usual = np.median(places, axis=1)
    halfway = usual + (places.max(axis=1) - usual) / 2
    few = np.mean(places > halfway[:, None], axis=1)
    rare = (few > 0) & (few < FEW_PLACES)
    return np.where(rare, halfway, np.inf)[:, None] if rare.any() else None
