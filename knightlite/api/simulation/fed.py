"""What is fed beside what an input was calibrated for: far beyond it, or a sliver or a side of it.

Floats beyond the range of an input's integers are cut off at its ends, and a result comes out all
the same. Pictures of any kind stay well within the range of their own recipe; those of another
scale do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from knightlite.container import Description, StoredTensor

Array = NDArray[Any]
LOOKED_AT = 16  # frames of many, evenly apart
FAR = 0.25  # of the range, beyond an end: the brightest pictures are within a tenth
MANY = 0.01  # of the values; outliers that a range was chosen without are fewer
SLIVER = 1 / 32  # of the range, spanned by each channel; faint pictures span a quarter
PLANE = 16  # values of a channel that can be told to be alike
COLOURS = (1, 3)  # channels of a picture
PICTURE = 256  # pixels
LEAVE_OUT = "without --recipe that one is taken"


@dataclass(frozen=True, slots=True)
class Range:
    """What the integers of an input stand for: ``low`` to ``high``, [C] or [1].

    ``recipe``: TOML text of the pictures that it was calibrated on, where that is known; ``data``:
    what it was calibrated on, in words, or "".
    """

    name: str
    low: Array
    high: Array
    recipe: str | None = None
    data: str = ""


def range_of(entry: StoredTensor, meta: Description) -> Range:
    """Of an input of a compiled network."""
    data = "" if meta.quantization is None else meta.quantization.data
    return integer_range(entry.name, entry.dtype.numpy, np.asarray(entry.scale), meta.recipe, data)


def integer_range(
    name: str,
    kind: np.dtype[Any],
    scale: Array | float,
    recipe: str | None,
    data: str = "",
    zero: Array | int = 0,
) -> Range:
    """Of an input of that integer type and scale, a number or one per channel, as its zero is."""
    scales, least = np.asarray(scale, np.float64).reshape(-1), np.asarray(zero, np.float64)
    ends = np.iinfo(kind)
    low, high = ((end - least.reshape(-1)) * scales for end in (ends.min, ends.max))
    return Range(name, low, high, recipe, data)


def looked_at(count: int) -> range:
    """Numbers of the frames that tell enough of so many."""
    return range(0, count, max(1, -(-count // LOOKED_AT)))


def remark(frames: Iterable[Array], known: Range, blank: bool = True) -> str | None:
    """What is odd about float frames [1, C, H, W], with a hint; None where nothing is.

    ``blank``: whether one number everywhere is; of several inputs one may be a mask. Frames with
    NaN, which are refused elsewhere, are not looked at.
    """
    counted = Counted(known)
    for values in frames:
        counted.add(values)
    return counted.remark(blank)


def another_recipe(
    used: str | None,
    stored: str | None,
    model: str = "the model",
    hint: str = LEAVE_OUT,
) -> str | None:
    """That pictures go through another recipe than the calibration's; None where they do not.

    ``used`` and ``stored``: TOML text, None where there is none.
    """
    if None in (used, stored) or used == stored:
        return None
    return f"the recipe is not the one that {model} was quantized with. Hint: {hint}"


class Counted:
    """Extremes and counts over float frames, as they come."""

    def __init__(self, known: Range) -> None:
        self.known = known
        self.size = self.beyond = self.far = self.plane = 0
        self.whole = True
        self.lows = self.highs = np.empty(0)

    def add(self, values: Array) -> None:
        """Count a frame [1, C, H, W]."""
        planes = values.reshape(values.shape[1], -1)
        lows, highs = planes.min(axis=1).astype(np.float64), planes.max(axis=1).astype(np.float64)
        if np.isnan(lows).any():
            return
        first = not self.size
        self.lows = lows if first else np.minimum(self.lows, lows)
        self.highs = highs if first else np.maximum(self.highs, highs)
        self.size += planes.size
        self.plane = planes.shape[1]
        low, high = self.known.low, self.known.high
        if (lows < low).any() or (highs > high).any():
            margin = FAR * (high - low)
            self.beyond += _outside(planes, low, high)
            self.far += _outside(planes, low - margin, high + margin)
            self.whole = self.whole and bool(np.all(planes == np.rint(planes)))

    def remark(self, blank: bool = True) -> str | None:
        """As :func:`remark` of the frames so far; None without any."""
        found = self._told(blank) if self.size else None
        return None if found is None else f"{found[0]} Hint: {found[1]}"

    def _told(self, blank: bool) -> tuple[str, str] | None:
        """A sentence and a hint."""
        low, high = float(self.known.low.min()), float(self.known.high.max())
        name, calibrated = self.known.name, f"{low:.4g} to {high:.4g}"
        least, most = float(self.lows.min()), float(self.highs.max())
        if self.far > MANY * self.size:
            share = 100 * self.beyond / self.size
            raw = self.whole and least >= 0 and most <= 255
            look = "pixels as they are" if raw else "numbers that are prepared otherwise, or twice"
            return (
                f"{share:.3g} % of what is fed to input {name}, {least:.4g} to {most:.4g}, lies "
                f"beyond {calibrated}, the range that it was calibrated for, and is cut off there: "
                f"these look like {look}.",
                self._remedy(),
            )
        if least == most and not blank:
            return None
        if least == most:
            what = "blank pictures, or data that were never filled in"
            value = f"{least:.4g}".removeprefix("-") if least == 0 else f"{least:.4g}"
            return f"every value that is fed to input {name} is {value}: {what}.", self._remedy()
        spans = self.highs - self.lows
        if self.plane < PLANE:  # vectors: a channel by itself tells nothing
            spans = np.asarray([most - least])
        width = self.known.high - self.known.low
        share = float((spans / width).max())
        if share < SLIVER:
            return (
                f"what is fed to input {name} lies within {100 * share:.2g} % of {calibrated}, the "
                "range that it was calibrated for, in every channel: blank pictures, or numbers "
                "that were divided or normalized once too often.",
                self._remedy(),
            )
        if least >= 0 and most <= 1 and low < 0 and self._centred():
            return (
                f"nothing that is fed to input {name}, {least:.4g} to {most:.4g}, is below 0, and "
                f"it was calibrated for {calibrated}: pixels of which no mean was subtracted look "
                "like that.",
                self._remedy(),
            )
        return None

    def _centred(self) -> bool:
        """Whether pictures are below 0 where they are dark: as their recipe says, or any picture's.

        Calibration saw negative numbers where the type is signed.
        """
        recipe = self.known.recipe
        if recipe is not None:
            from knightlite.preprocess import parse_recipe

            return min(parse_recipe(recipe, "the stored recipe").mean) > 0
        return len(self.lows) in COLOURS and self.plane >= PICTURE

    def _remedy(self) -> str:
        """What calibration was fed with."""
        told = "feed what calibration was fed"
        if self.known.recipe is not None:
            return f"{told}: {formula_of(self.known.recipe)}"
        return f"{told}: {self.known.data}" if self.known.data else told


def formula_of(recipe: str) -> str:
    """What a recipe, TOML text, makes of pixels, as words."""
    from knightlite.preprocess import parse_recipe

    return parse_recipe(recipe, "the stored recipe").formula


def preparation(recipe: str | None) -> str:
    """The hint where pixels are fed as they are: a type is not all that floats need."""
    if recipe is None:
        return (
            "normalize pixels as the training did, then array.astype('float32'): the type alone "
            "makes no input of them"
        )
    return (
        f"pixels are prepared as calibration had them: {formula_of(recipe)}; "
        "array.astype('float32') is only the first step"
        if _normalizes(recipe)
        else f"array.astype('float32') of {formula_of(recipe)}"
    )


def _normalizes(recipe: str) -> bool:
    from knightlite.preprocess import parse_recipe

    return parse_recipe(recipe, "the stored recipe").normalizes


def _outside(planes: Array, low: Array, high: Array) -> int:
    """How many of [C, n] lie below ``low`` or above ``high``, [C] or [1]."""
    return int(np.count_nonzero((planes < low[:, None]) | (planes > high[:, None])))
