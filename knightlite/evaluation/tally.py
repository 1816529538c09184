"""Sums over pictures of several models side by side; parts that were counted apart add up exactly.

Counts are integers and energies exact fractions, so that the sum of parts is the same, to the last
bit, in whatever order and on however many machines they were counted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import FormatError
from knightlite.evaluation.paired import Paired

Array = NDArray[Any]
TOP = 5


@dataclass(frozen=True, slots=True)
class Tally:
    """Per model one number in every tuple; the first model is what the others are compared with.

    ``labelled``: pictures with a known class. ``top1``, ``top5``: of these, how many had it first
    and among the first five. ``lost``, ``won``: right in the first model alone, in this one alone.
    ``agreed``: same best class as the first model, of all pictures. ``energy``, ``noise``: sums of
    squares of the first model's scores, and of the difference from them; ``noise`` is None where a
    score is not finite. ``compared``, ``differing``: bytes held against another machine's.
    ``values``: of every picture its number among all, and what a measure keeps of it for each model
    (as JSON has it); none where there is no measure. ``classes``: scores of a picture, the most
    where they differ.
    """

    pictures: int
    labelled: int
    top1: tuple[int, ...]
    top5: tuple[int, ...]
    lost: tuple[int, ...]
    won: tuple[int, ...]
    agreed: tuple[int, ...]
    energy: Fraction
    noise: tuple[Fraction | None, ...]
    compared: tuple[int, ...]
    differing: tuple[int, ...]
    values: tuple[tuple[int, tuple[Any, ...]], ...] = ()
    classes: int = 0

    def __add__(self, other: Tally) -> Tally:
        """The tally of both sets of pictures."""

        def sums(mine: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(a + b for a, b in zip(mine, theirs, strict=True))

        return Tally(
            self.pictures + other.pictures,
            self.labelled + other.labelled,
            sums(self.top1, other.top1),
            sums(self.top5, other.top5),
            sums(self.lost, other.lost),
            sums(self.won, other.won),
            sums(self.agreed, other.agreed),
            self.energy + other.energy,
            tuple(
                None if a is None or b is None else a + b
                for a, b in zip(self.noise, other.noise, strict=True)
            ),
            sums(self.compared, other.compared),
            sums(self.differing, other.differing),
            self.values + other.values,
            max(self.classes, other.classes),
        )

    def paired(self, model: int) -> Paired | None:
        """Model number ``model`` against the first; None where no picture has a class."""
        if not self.labelled:
            return None
        return Paired(self.labelled, self.lost[model], self.won[model])

    def exact(self, model: int) -> bool:
        """True where all scores are those of the first model."""
        return self.noise[model] == 0

    def sqnr_db(self, model: int) -> float | None:
        """Energy of the first model's scores over that of the difference.

        None where they are the same, where a score is not finite, or where all of the first
        model's are 0.
        """
        noise = self.noise[model]
        if not noise or not self.energy:
            return None
        return 10 * (_log10(self.energy) - _log10(noise))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts, from which ``tally_from_json`` makes the same tally."""
        return {
            "pictures": self.pictures,
            "labelled": self.labelled,
            "classes": self.classes,
            **{name: list(getattr(self, name)) for name in _COUNTS},
            "energy": str(self.energy),
            "noise": [None if item is None else str(item) for item in self.noise],
            "values": [[number, list(kept)] for number, kept in self.values],
        }

    def measured(self, model: int) -> list[Any]:
        """What the measure kept of model number ``model``, picture after picture."""
        return [kept[model] for _, kept in sorted(self.values, key=lambda item: item[0])]


_COUNTS = ("top1", "top5", "lost", "won", "agreed", "compared", "differing")


def empty_tally(models: int) -> Tally:
    """No picture yet."""
    none = (0,) * models
    noise = (Fraction(0),) * models
    return Tally(0, 0, none, none, none, none, none, Fraction(0), noise, none, none)


def tally_of(
    scores: Sequence[Array],
    label: int | None,
    size_bytes: Sequence[tuple[int, int]] = (),
    values: tuple[int, tuple[Any, ...]] | None = None,
) -> Tally:
    """One picture: the scores [classes] of every model, and its class where it is known.

    ``size_bytes``: of every model (compared, differing); none: nothing was compared. ``values``:
    as ``Tally`` has them of a picture. Where scores are equal the lower class comes first, as
    numpy's argmax has it.
    """
    first = scores[0].astype(np.float64)
    best = [int(np.argmax(values)) for values in scores]
    right = [label is not None and guess == label for guess in best]
    energy = _energy(first)
    return Tally(
        1,
        int(label is not None),
        tuple(map(int, right)),
        tuple(int(label is not None and _among_best(values, label)) for values in scores),
        tuple(int(right[0] and not mine) for mine in right),
        tuple(int(mine and not right[0]) for mine in right),
        tuple(int(guess == best[0]) for guess in best),
        Fraction(0) if energy is None else energy,
        tuple(_energy(first - values) for values in scores),
        tuple(compared for compared, _ in size_bytes or ((0, 0),) * len(scores)),
        tuple(differing for _, differing in size_bytes or ((0, 0),) * len(scores)),
        () if values is None else (values,),
        first.size,
    )


def tally_from_json(found: Mapping[str, Any], models: int, where: str) -> Tally:
    """What ``Tally.to_json`` gave; FormatError, which names ``where``, for anything else."""
    try:
        counts = [tuple(map(_count, found[name])) for name in _COUNTS]
        noise = tuple(None if item is None else _fraction(item) for item in found["noise"])
        if any(len(items) != models for items in (*counts, noise)):
            raise ValueError
        whole = [_count(found[name]) for name in ("pictures", "labelled", "classes")]
        energy = _fraction(found["energy"])
        values = tuple((_count(number), tuple(kept)) for number, kept in found["values"])
        if (values and {len(kept) for _, kept in values} != {models}) or len(values) > whole[0]:
            raise ValueError
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise FormatError(f"{where} does not hold the sums of {models} models.") from error
    top1, top5, lost, won, agreed, compared, differing = counts
    return Tally(
        whole[0], whole[1], top1, top5, lost, won, agreed, energy, noise, compared, differing,
        values, whole[2],
    )  # fmt: skip


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError
    return value


def _fraction(text: Any) -> Fraction:
    """What ``str`` makes of a Fraction; an exponent could ask for any number of digits."""
    if not isinstance(text, str) or re.fullmatch(r"[0-9]{1,4000}(/[0-9]{1,4000})?", text) is None:
        raise ValueError
    return Fraction(text)


def _among_best(values: Array, label: int) -> bool:
    """True where fewer than five classes come before ``label``."""
    before = np.count_nonzero(values > values[label])
    return bool(before + np.count_nonzero(values[:label] == values[label]) < TOP)


def _energy(values: Array) -> Fraction | None:
    """Sum of squares; None where it is not finite."""
    total = float(np.sum(values**2))
    return Fraction(total) if np.isfinite(total) else None


def _log10(value: Fraction) -> float:
    """Also of fractions that no float holds."""
    shift = value.numerator.bit_length() - value.denominator.bit_length()
    return log10(float(value / Fraction(2) ** shift)) + shift * log10(2)
