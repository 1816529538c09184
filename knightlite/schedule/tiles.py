"""Constant tiles in WSPM and MSPM, step by step: what is there, what is replaced, what is loaded.

The order of use is known, so what is replaced is what is used last or never again; among places
where nothing is lost, the one that has been free for longest, so that its load may go far ahead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from knightlite.allocate import align
from knightlite.errors import CapacityError

NEVER = 1 << 60


class Use(NamedTuple):
    """A constant tile that a step reads."""

    step: int
    key: Hashable
    size: int


class _Resident(NamedTuple):
    key: Hashable
    begin: int
    end: int
    used: int  # last step that read it


def place_tiles(uses: Sequence[Use], capacity: int, step: int) -> list[tuple[int, bool]]:
    """(address, whether it must be loaded) of every use, in order of steps.

    ``capacity``: bytes of the scratchpad; addresses are multiples of ``step``. Tiles of one step
    are there together. CapacityError where they cannot be.
    """
    later: dict[Hashable, list[int]] = {}
    for use in uses:
        later.setdefault(use.key, []).append(use.step)
    found: list[tuple[int, bool]] = []
    here: list[_Resident] = []
    for number, use in enumerate(uses):
        known = next((i for i, item in enumerate(here) if item.key == use.key), None)
        if known is not None:
            here[known] = here[known]._replace(used=use.step)
            found.append((here[known].begin, False))
            continue
        together = {other.key for other in uses[number : number + 4] if other.step == use.step}
        begin = _best_place(here, use, align(use.size, step), capacity, later, together)
        end = begin + align(use.size, step)
        here = [item for item in here if item.end <= begin or end <= item.begin]
        here.append(_Resident(use.key, begin, end, use.step))
        here.sort(key=lambda item: item.begin)
        found.append((begin, True))
    return found


def _best_place(
    here: Sequence[_Resident],
    use: Use,
    size: int,
    capacity: int,
    later: dict[Hashable, list[int]],
    together: set[Hashable],
) -> int:
    """Where least is lost, and has been free for longest."""
    best: tuple[tuple[int, int, int], int] | None = None
    positions = {0, *(item.end for item in here), *(item.begin - size for item in here)}
    positions |= {item.begin for item in here}
    for begin in sorted(positions):
        end = begin + size
        if begin < 0 or end > capacity:
            continue
        lost, used = 0, -1
        for item in here:
            if item.begin < end and begin < item.end:
                if item.used == use.step or item.key in together:
                    break
                if _next_use(later[item.key], use.step) < NEVER:
                    lost += item.end - item.begin
                used = max(used, item.used)
        else:
            rank = (lost, used, begin)
            if best is None or rank < best[0]:
                best = (rank, begin)
    if best is None:
        raise CapacityError(f"{size} bytes of {use.key} do not fit beside what its step reads.")
    return best[1]


def _next_use(steps: Sequence[int], step: int) -> int:
    at = bisect_right(steps, step)
    return steps[at] if at < len(steps) else NEVER
