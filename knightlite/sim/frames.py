"""Frames back to back: the loads that begin the next one beside the end of this one.

A program is one frame. Run again and again, a queue goes on with the next frame as soon as it is
done with this one, and across the border an instruction waits for those of the other frame that
touch its bytes, as tokens have it inside a frame. Loads at a frame's beginning whose places are
free stand before what follows the last load of the frame before, as the compiler has it from tile
to tile, or behind all of it: whichever is faster. A picture is in place when its first load begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.isa import Access, Engine, Instruction, Load, Space
from knightlite.sim.clock import Queues

Array = NDArray[Any]

SIMULATED = 16  # frames; from there on each one takes as long as the one before


@dataclass(frozen=True, slots=True)
class Border:
    """Where a frame goes over into the next.

    ``head``: so many loads of the next frame stand right behind load ``last_load`` of this one.
    ``waits``: for every instruction those of the frame before that must have ended.
    """

    head: int
    last_load: int
    waits: tuple[tuple[int, ...], ...]


def border_of(instructions: Sequence[Instruction]) -> Border:
    """The border of a program with itself."""
    loads = [index for index, item in enumerate(instructions) if isinstance(item, Load)]
    last_load = loads[-1] if loads else -1
    behind = _Touched(instructions, last_load + 1)
    head = 0
    while head < last_load and isinstance(instructions[head], Load):
        if any(behind.latest(engine, instructions[head]) >= 0 for engine in Engine):
            break
        head += 1
    touched = _Touched(instructions)
    waited = {(source, target): -1 for source in Engine for target in Engine}
    waits = []
    for item in instructions:
        found = []
        for source in Engine:
            if source == item.ENGINE:
                continue
            floor = waited[source, item.ENGINE]
            latest = touched.latest(source, item, floor)
            if latest > floor:  # its queue has waited for all before it
                waited[source, item.ENGINE] = latest
                found.append(latest)
        waits.append(tuple(found))
    return Border(head, last_load, tuple(waits))


class _Touched:
    """What the instructions from ``first`` on touch, by engine, memory and direction."""

    def __init__(self, instructions: Sequence[Instruction], first: int = 0) -> None:
        found: dict[tuple[Engine, Space, bool], list[tuple[int, int, int]]] = {}
        for index in range(first, len(instructions)):
            item = instructions[index]
            for access in item.accesses():
                key = (item.ENGINE, access.space, access.write)
                found.setdefault(key, []).append((access.first, access.last, index))
        self._found = {key: np.array(rows, np.int64).T for key, rows in found.items()}

    def latest(self, source: Engine, item: Instruction, floor: int = -1) -> int:
        """The latest instruction of an engine behind ``floor`` that ``item`` must not overtake."""
        for access in item.accesses():
            for write in (True, False) if access.write else (True,):
                rows = self._found.get((source, access.space, write))
                if rows is not None:
                    floor = _meeting(rows, access, floor)
        return floor


def _meeting(rows: Array, access: Access, floor: int) -> int:
    first, last, index = rows[:, np.searchsorted(rows[2], floor, side="right") :]
    met = index[(first < access.last) & (access.first < last)]
    return int(met[-1]) if met.size else floor


def in_order(border: Border, count: int, frames: int) -> Iterable[tuple[int, int]]:
    """(frame, instruction) of all frames of a program of ``count`` instructions, in order."""
    for frame in range(frames):
        for index in range(border.head if frame else 0, count):
            yield frame, index
            if index == border.last_load and frame + 1 < frames:
                for first in range(border.head):
                    yield frame + 1, first


def simulate_frames(
    instructions: Sequence[Instruction], chip: Chip, counts: Sequence[int]
) -> tuple[int, ...]:
    """Cycles of batches of so many frames, from the first instruction to the last end.

    Beyond :data:`SIMULATED` frames every further one is taken to add what the last one added.
    """
    ahead = border_of(instructions)
    borders = {ahead, replace(ahead, head=0)}
    cycles = [item.cycles(chip) for item in instructions]
    known: dict[int, int] = {}

    def total(frames: int) -> int:
        if frames not in known:
            known[frames] = min(
                _total(instructions, cycles, chip, border, frames) for border in borders
            )
        return known[frames]

    found = []
    for count in counts:
        end = total(min(count, SIMULATED))
        if count > SIMULATED:
            end += (count - SIMULATED) * (end - total(SIMULATED - 1))
        found.append(end)
    return tuple(found)


def _total(
    instructions: Sequence[Instruction],
    cycles: Sequence[int],
    chip: Chip,
    border: Border,
    frames: int,
) -> int:
    queues = Queues(chip)
    ends: list[list[int]] = [[] for _ in range(frames)]
    for frame, index in in_order(border, len(instructions), frames):
        earliest = 0
        if frame:
            before = ends[frame - 1]
            earliest = max((before[other] for other in border.waits[index]), default=0)
        event = queues.take(index, instructions[index], cycles[index], earliest)
        ends[frame].append(event.end)
    return max((end for frame in ends for end in frame), default=0)
