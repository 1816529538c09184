"""The page of an exploration: what it found, as the report draws it."""

from __future__ import annotations

from pathlib import Path

from knightlite.api.chips import another_maker_s
from knightlite.api.exploration.records import Exploration, Point
from knightlite.api.exploration.sentences import bar_notes, chip_called, reasons, told_of_rate
from knightlite.api.exploration.trade import accuracy_of, smallest
from knightlite.report import ExploredNetwork, ExploredPoint, exploration_page


def page_of(found: Exploration, source: Path, rate: float | None) -> str:
    """The page of the points that ``source`` holds."""
    rates = () if rate is None else smallest(found, rate)
    refused = reasons(found)
    networks = []
    for number, network in enumerate(found.models):
        sentences = [told_of_rate(row, found, rate or 0) for row in rates[number : number + 1]]
        sentences += [f"{item.where}: {item.sentence}" for item in refused if item.model == number]
        points = tuple(_point(item, found) for item in found.points if item.model == number)
        networks.append(
            ExploredNetwork(
                Path(network.file).name, () if network.refused else points, tuple(sentences)
            )
        )
    makers = another_maker_s(size.name for size in found.chips)
    return exploration_page(networks, str(source), [*bar_notes(found), *makers])


def _point(point: Point, found: Exploration) -> ExploredPoint:
    size, kept, time = found.chips[point.chip], accuracy_of(point, found.models), point.time
    return ExploredPoint(
        chip_called(point, found),
        int(point.level),
        None if point.bits is None else int(point.bits),
        None if time is None else time.latency_ms,
        "" if time is None else time.bar_text,
        None if kept is None else kept.sqnr_db,
        size.on_chip_bytes >> 10,
        size.macs_per_cycle,
        0.0 if time is None else time.moved_bytes / 1e6,
        point.best,
    )
