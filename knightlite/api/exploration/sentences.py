"""What is said of an exploration beside its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knightlite.api.chips import another_maker_s
from knightlite.api.exploration.records import BRACKETS, NO_BAR, Exploration, Point
from knightlite.api.exploration.trade import Smallest

REASONS = 4  # of bars that may not hold: the file has all


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something does not run. ``model``: its place; None for what is said of a chip."""

    model: int | None
    where: str
    sentence: str


def reasons(found: Exploration) -> tuple[Reason, ...]:
    """Of everything that does not run, each sentence once, with all places that it is said of."""
    told: dict[tuple[int | None, str, str], list[str]] = {}
    for number, network in enumerate(found.models):
        if network.refused is not None:
            told.setdefault((number, network.file, network.refused), [])
        for kept in network.accuracy:
            if kept.refused is not None:
                told.setdefault((number, network.file, f"at {kept.bits} bits: {kept.refused}"), [])
    for size in found.chips:
        if size.refused is not None:
            facts = " ".join(f"{name}={value}" for name, value in size.facts.items())
            told.setdefault((None, f"{size.name} {facts}".strip(), size.refused), [])
    for point in found.points:
        network, size = found.models[point.model], found.chips[point.chip]
        if point.refused is not None and point.refused not in (network.refused, size.refused):
            key = (point.model, network.file, point.refused)
            told.setdefault(key, []).append(place_of(point, found))
    return tuple(
        Reason(
            model, f"{where} on {', '.join(dict.fromkeys(places))}" if places else where, sentence
        )
        for (model, where, sentence), places in told.items()
    )


def chip_called(point: Point, found: Exploration) -> str:
    """The chip of a point, and its other figures."""
    size = found.chips[point.chip]
    return " ".join([size.name, *(f"{name}={value}" for name, value in size.facts.items())])


def place_of(point: Point, found: Exploration) -> str:
    """Chip, level and width of a point."""
    bits = "" if point.bits is None else f", {point.bits} bits"
    return f"{chip_called(point, found)} (level {point.level}{bits})"


def told_lost(lost: Sequence[Point], of: Exploration, path: Path) -> str:
    """That the file holds these points of an earlier question no more; "" where there are none."""
    if not lost:
        return ""
    first = f"{of.models[lost[0].model].file} on {place_of(lost[0], of)}"
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    points, they = ("1 point", "is") if len(lost) == 1 else (f"{len(lost)} points", "are")
    return (
        f"{path} no longer holds {points} of an earlier exploration, which {they} not asked for "
        f"now: {first}{more}. Hint: another file (-o FILE) keeps both"
    )


def told_of_rate(row: Smallest, found: Exploration, rate: float) -> str:
    """Which chip alone, without what a frame takes on the host, runs so many a second."""
    from knightlite.profiler import plain

    name = found.models[row.model].file
    frames = f"{plain(rate)} frames/s"
    if row.point is None:
        return f"{name}: no chip here runs {frames}."
    sentence = (
        f"{name}: the smallest chip for {frames}, the host's share apart, is "
        f"{_named(row.point, found)}"
    )
    if row.surely is None:
        return f"{sentence}{_at_most(row.point)}; with the bar against it none here runs so many."
    if row.surely == row.point:
        return f"{sentence}{_at_most(row.point)}, which is enough too."
    other = f"{_named(row.surely, found)}{_at_most(row.surely)}"
    return f"{sentence}{_at_most(row.point)}; with the bar against it, {other}."


def _named(point: Point, found: Exploration) -> str:
    size, time = found.chips[point.chip], point.time
    assert time is not None
    other = " (no chip of the vendor's)" if another_maker_s((size.name,)) else ""
    return (
        f"{place_of(point, found)}{other} with {size.on_chip_bytes >> 10} KiB on chip and "
        f"{size.macs_per_cycle} MAC/cycle: {time.words}"
    )


def _at_most(point: Point) -> str:
    """The time with its bar against it, as a clause; "" where it has no bar."""
    assert point.time is not None
    longest = point.time.longest_text
    return "" if longest is None else f", {longest} ms at most"


def bar_notes(found: Exploration) -> list[str]:
    """What the column of the bars cannot say: where one is extrapolated or missing, and why."""
    times = [point.time for point in found.points if point.time is not None]
    notes = []
    for what, barred in ((f"{BRACKETS.format('N')} is extrapolated", True), (NO_BAR, False)):
        some = [time for time in times if (time.error_percent is not None) is barred]
        reasons = [*dict.fromkeys(reason for time in some for reason in time.extrapolated)]
        if reasons:
            more = f"; and {len(reasons) - REASONS} more" if len(reasons) > REASONS else ""
            notes.append(f"\u00b1 {what}: {'; '.join(reasons[:REASONS])}{more}.")
    return notes
