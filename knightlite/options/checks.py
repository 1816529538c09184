"""Checks of single values: each raises UsageError with what the value must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from knightlite.errors import UsageError, nearest, not_there

MAX_BATCH = 4096
MAX_CALLS = 10_000_000  # ImageNet eight times over: without data nothing else would end them

Check = Callable[[Any], None]
"""Raises UsageError for a value, or for a record, that cannot be used."""


def within(low: float | None, high: float | None, called: str) -> Check:
    """That a number, which sentences call so, has bounds; both are inside, None is no bound."""

    def check(value: Any) -> None:
        if (low is None or value >= low) and (high is None or value <= high):
            return
        if high is None:
            raise UsageError(f"{called} must be at least {low}, not {value}.")
        raise UsageError(f"{called} must be from {low} to {high}, not {value}.")

    return check


def among(words: Iterable[Any], called: str) -> Check:
    """That a value is one of the words, or numbers."""
    known = tuple(words)
    texts = [str(word) for word in known]
    listed = f"one of {', '.join(texts)}" if texts != [*map(repr, known)] else " or ".join(texts)

    def check(value: Any) -> None:
        if value not in known:
            raise UsageError(f"{called} must be {listed}, not {value}.", nearest(str(value), texts))

    return check


def existing(what: str, hint: str, endings: Sequence[str] = ()) -> Check:
    """That a named file is there, though nothing may come to read it; ``endings``: of such ones."""

    def check(path: Path) -> None:
        if not path.is_file():
            raise not_there(what, path, hint, endings=endings)

    return check


ALL_CHIPS = "all"
"""In place of a chip: one of every family."""


def known_chip_or_all(name: str) -> None:
    """That there is such a chip, or chip file, or that every family is asked for."""
    if name != ALL_CHIPS:
        known_chip(name)


def known_chip(name: str) -> None:
    """That there is such a chip, or chip file."""
    from knightlite import chip_files

    chip_files.find(name)


class Measured(Protocol):
    """What the rule on measures reads of a record."""

    metric: str | None
    annotations: Path | None


def annotations_of_a_metric(options: Measured) -> None:
    """That what a measure compares with is not named without one."""
    if options.annotations is not None and options.metric is None:
        raise UsageError(
            "--annotations tells nothing without --metric, which compares with them.",
            "--metric f1:FILE.py:NAME, for instance, where NAME makes boxes of the outputs",
        )


def forward_calls(iterations: Iterable[int], batch_size: int) -> None:
    """That the numbers of forward calls and of pictures in each make sense."""
    for iteration in iterations:
        if not 1 <= iteration <= MAX_CALLS or not 1 <= batch_size <= MAX_BATCH:
            raise UsageError(
                f"iteration (-i) must be from 1 to {MAX_CALLS} and batch size (-bs) from 1 to "
                f"{MAX_BATCH}, not {iteration} and {batch_size}."
            )
