"""Which points are worth looking at: the Pareto front of a model, and the smallest chip for a rate.

V. Pareto's sense: a point is best where no other of its model is better in one thing and worse in
none; the things are time, on-chip bytes, multiply-accumulates per cycle, and decibels kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from knightlite.api.exploration.records import Accuracy, Exploration, Network, Point, Size, Time

LOSSLESS_DB = float("inf")


def with_best(
    points: Sequence[Point], networks: Sequence[Network], chips: Sequence[Size]
) -> list[Point]:
    """The points, those that are best marked."""
    costs = [_costs(point, networks, chips) for point in points]
    return [
        replace(
            point,
            best=own is not None
            and not any(
                other is not None and point.model == points[place].model and _beats(other, own)
                for place, other in enumerate(costs)
            ),
        )
        for point, own in zip(points, costs, strict=True)
    ]


def accuracy_of(point: Point, networks: Sequence[Network]) -> Accuracy | None:
    """What is known of its model in its width."""
    for item in networks[point.model].accuracy:
        if item.bits == point.bits:
            return item
    return None


def _costs(
    point: Point, networks: Sequence[Network], chips: Sequence[Size]
) -> tuple[float, ...] | None:
    """What one wants little of; None for a point that does not run."""
    if point.time is None:
        return None
    size, kept = chips[point.chip], accuracy_of(point, networks)
    decibels = 0.0
    if kept is not None and kept.refused is None:
        decibels = LOSSLESS_DB if kept.sqnr_db is None else kept.sqnr_db
    return point.time.latency_ms, size.on_chip_bytes, size.macs_per_cycle, -decibels


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


# ------------------------------------------------------------------ a rate


@dataclass(frozen=True, slots=True)
class Smallest:
    """The point with the smallest chip that reaches a rate; ``surely``: with its bar against it.

    None where no chip of the exploration does.
    """

    model: int
    point: Point | None
    surely: Point | None


def smallest(found: Exploration, rate: float) -> tuple[Smallest, ...]:
    """For each model: the chip with fewest on-chip bytes, then fewest multiply-accumulates.

    Of equal ones that have a time with a bar, then the fastest.

    ``rate``: frames a second, one after another.
    """

    def first(points: Iterable[Point]) -> Point | None:
        return min(points, key=lambda point: _size(point, found.chips), default=None)

    rows = []
    for place in range(len(found.models)):
        own = [point for point in found.points if point.model == place and point.time is not None]
        nominal = first(point for point in own if _reaches(rate, _time(point).latency_ms))
        surely = first(point for point in own if _reaches(rate, _time(point).longest_ms))
        rows.append(Smallest(place, nominal, surely))
    return tuple(rows)


def _size(point: Point, chips: Sequence[Size]) -> tuple[float, ...]:
    size = chips[point.chip]
    time = _time(point)
    return size.on_chip_bytes, size.macs_per_cycle, time.longest_ms is None, time.latency_ms


def _time(point: Point) -> Time:
    assert point.time is not None
    return point.time


def _reaches(rate: float, milliseconds: float | None) -> bool:
    return milliseconds is not None and milliseconds * rate <= 1e3
