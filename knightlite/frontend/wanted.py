"""Where factors must lie for an operator: what a search for moves looks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from knightlite.frontend.factors import Places

Run = tuple[int, ...]
CHANNELS, ROWS, COLUMNS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Wanted:
    """A condition on places, by its name.

    ``runs``: the factors that it names; neighbours of none of them, or of one, may stay together.
    ``ordered``: those of a run in its order only.
    """

    name: str
    runs: tuple[Run, ...]
    ordered: bool = True
    first: int = CHANNELS

    def holds(self, places: Places) -> bool:
        """Whether these places will do."""
        return CONDITIONS[self.name](self, places)

    def keeps(self, before: int, behind: int) -> bool:
        """Whether two factors that follow each other somewhere can be moved as one."""
        for run in self.runs:
            if before in run and behind in run:
                return not self.ordered or run.index(behind) == run.index(before) + 1
            if before in run or behind in run:
                return False
        return True


def exactly(places: Places) -> Wanted:
    """All factors at these places."""
    return Wanted("exactly", places)


def channels(ids: Run) -> Wanted:
    """All channels are these factors, in this order."""
    return Wanted("channels", (ids,))


def channel_set(ids: Run) -> Wanted:
    """All channels are these factors, in any order."""
    return Wanted("channel set", (ids,), False)


def innermost_channels(ids: Run) -> Wanted:
    """The last channels are these factors, in any order."""
    return Wanted("innermost channels", (ids,), False)


def whole_pixels(ids: Run) -> Wanted:
    """Of rows and of columns all or none are these factors; any part of the channels may be."""
    return Wanted("whole pixels", (ids,), False)


def outermost_or_whole(ids: Run) -> Wanted:
    """As :func:`whole_pixels`, and those that are channels come first there."""
    return Wanted("outermost or whole", (ids,), False)


def outermost(ids: Run, first: int) -> Wanted:
    """The factors are the outermost ones of a place, channels (0), rows or columns, from first."""
    return Wanted("outermost", (ids,), True, first)


def together(runs: tuple[Run, ...]) -> Wanted:
    """Each run stands in one place without a gap."""
    return Wanted("together", runs)


# ------------------------------------------------------------------ the conditions


def _whole_pixels(wanted: Wanted, places: Places) -> bool:
    ids = set(wanted.runs[0])
    return all(not ids.intersection(place) or ids.issuperset(place) for place in places[1:])


def _outermost_or_whole(wanted: Wanted, places: Places) -> bool:
    ids = set(wanted.runs[0])
    count = len(ids.intersection(places[CHANNELS]))
    return _whole_pixels(wanted, places) and ids.issuperset(places[CHANNELS][:count])


def _innermost(wanted: Wanted, places: Places) -> bool:
    (ids,) = wanted.runs
    return set(places[CHANNELS][len(places[CHANNELS]) - len(ids) :]) == set(ids)


def _outermost(wanted: Wanted, places: Places) -> bool:
    (ids,) = wanted.runs
    return any(place[: len(ids)] == ids for place in [*places][wanted.first :])


def _together(wanted: Wanted, places: Places) -> bool:
    return all(any(_stands_in(run, place) for place in places) for run in wanted.runs)


def _stands_in(run: Run, place: Run) -> bool:
    return any(place[start : start + len(run)] == run for start in range(len(place)))


CONDITIONS: dict[str, Callable[[Wanted, Places], bool]] = {
    "exactly": lambda wanted, places: places == wanted.runs,
    "channels": lambda wanted, places: places[CHANNELS] == wanted.runs[0],
    "channel set": lambda wanted, places: sorted(places[CHANNELS]) == sorted(wanted.runs[0]),
    "innermost channels": _innermost,
    "whole pixels": _whole_pixels,
    "outermost or whole": _outermost_or_whole,
    "outermost": _outermost,
    "together": _together,
}
