"""Frames back to back: the loads that begin the next one beside the end of this one.

A program is one frame. Run again and again, a queue goes on with the next frame as soon as it is
done with this one, and across the border an instruction waits for those of the other frame that
touch its bytes, as tokens have it inside a frame. Loads at a frame's beginning whose places are
free stand before what follows the last load of the frame before, as the compiler has it from tile
to tile, or behind all of it: whichever is faster. A picture is in place when its first load begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.isa import Access, Engine, Instruction, Load, Space, Transfer

Array = NDArray[Any]

_BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))
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
    accesses = [item.accesses() for item in instructions]
    first_loads = next(
        (index for index, item in enumerate(instructions) if not isinstance(item, Load)),
        len(instructions),
    )
    ahead = range(min(first_loads, max(last_load, 0)))
    behind = range(last_load + 1, len(instructions))
    met = _latest(instructions, accesses, behind, ahead)
    head = int(np.argmax(np.append((met >= 0).any(axis=0), True)))
    everything = range(len(instructions))
    latest = _latest(instructions, accesses, everything, everything)
    engines = np.array([int(item.ENGINE) for item in instructions], np.int64)
    waits: list[list[int]] = [[] for _ in instructions]
    for source, target in product(Engine, Engine):
        if source == target:
            continue
        mine = np.flatnonzero(engines == target)
        found = latest[source, mine]
        # its queue has waited for all before what it waited for last
        before = np.maximum.accumulate(np.append(-1, found))[:-1]
        for index, other in zip(mine[found > before], found[found > before], strict=True):
            waits[index].append(int(other))
    return Border(head, last_load, tuple(map(tuple, waits)))


def _latest(
    instructions: Sequence[Instruction],
    accesses: Sequence[Sequence[Access]],
    touching: range,
    asking: range,
) -> Array:
    """[engines, asking]: the latest of ``touching`` that each may not overtake, per engine; or -1.

    Memory is cut at all ends of accesses. In program order what touches a piece overwrites who was
    there, so that the largest number in a stretch of pieces is its latest instruction; maxima over
    stretches of powers of two answer all questions at once.
    """
    found = np.full((len(Engine), len(asking)), -1, np.int64)
    for space in Space:
        touched = [
            (index, access.first, access.last, access.write)
            for index in touching
            for access in accesses[index]
            if access.space == space
        ]
        asked = [
            (place, access.first, access.last, access.write)
            for place, index in enumerate(asking)
            for access in accesses[index]
            if access.space == space
        ]
        if not touched or not asked:
            continue
        who, first, last, writes = np.array(touched, np.int64).T
        place, low, high, alters = np.array(asked, np.int64).T
        cuts = np.unique(np.concatenate([first, last, low, high]))
        first, last, low, high = (np.searchsorted(cuts, ends) for ends in (first, last, low, high))
        engine = np.array([int(instructions[index].ENGINE) for index in who], np.int64)
        for source, wrote in product(Engine, (1, 0)):
            chosen = (engine == source) & (writes == wrote)
            # what reads must not overtake writes, what writes neither those nor reads
            asks = np.ones(len(place), np.bool_) if wrote else alters == 1
            if not chosen.any() or not asks.any():
                continue
            pieces = np.full(len(cuts), -1, np.int64)
            for index, start, end in zip(
                who[chosen].tolist(), first[chosen].tolist(), last[chosen].tolist(), strict=True
            ):
                pieces[start:end] = index
            met = _maxima(pieces, low[asks], high[asks])
            np.maximum.at(found[source], place[asks], met)
    return found


def _maxima(values: Array, first: Array, last: Array) -> Array:
    """The largest of ``values[first:last]`` for many stretches, none of them empty."""
    powers = np.frexp(last - first)[1] - 1
    found = np.empty(len(first), values.dtype)
    for power in range(int(powers.max()) + 1):
        chosen = powers == power
        found[chosen] = np.maximum(values[first[chosen]], values[last[chosen] - (1 << power)])
        half = min(1 << power, len(values))
        values = np.maximum(values, np.append(values[half:], np.full(half, -1)))
    return found


def in_order(border: Border, count: int, frames: int) -> Iterable[tuple[int, int]]:
    """(frame, instruction) of all frames of a program of ``count`` instructions, in order."""
    for frame in range(frames):
        for index in range(border.head if frame else 0, count):
            yield frame, index
            if index == border.last_load and frame + 1 < frames:
                for first in range(border.head):
                    yield frame + 1, first


def simulate_frames(
    instructions: Sequence[Instruction],
    chip: Chip,
    counts: Sequence[int],
    own: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Cycles of batches of so many frames, from the first instruction to the last end.

    ``own``: the cycles of each instruction, where they are known.

    Beyond :data:`SIMULATED` frames every further one is taken to add what the last one added.
    """
    ahead = border_of(instructions)
    borders = {ahead, replace(ahead, head=0)}
    frame = _Frame(instructions, chip, own or [item.cycles(chip) for item in instructions])
    known: dict[int, int] = {}

    def total(frames: int) -> int:
        if frames not in known:
            known[frames] = min(_total(frame, border, frames) for border in borders)
        return known[frames]

    found = []
    for count in counts:
        end = total(min(count, SIMULATED))
        if count > SIMULATED:
            end += (count - SIMULATED) * (end - total(SIMULATED - 1))
        found.append(end)
    return tuple(found)


class _Frame:
    """What the clock needs of every instruction of a frame, in plain numbers."""

    def __init__(self, instructions: Sequence[Instruction], chip: Chip, cycles: Sequence[int]):
        last = [-1] * len(Engine)
        tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
        self.setup = chip.dma_setup_cycles
        self.steps: list[tuple[int, tuple[int, ...], bool, int]] = []
        for number, (item, own) in enumerate(zip(instructions, cycles, strict=True)):
            engine = int(item.ENGINE)
            before = tuple(tokens[other][engine].popleft() for other in _BITS[item.wait])
            last[engine] = number
            for receiver in _BITS[item.signal]:
                tokens[engine][receiver].append(number)
            self.steps.append((engine, before, isinstance(item, Transfer), own))


def _total(frame: _Frame, border: Border, frames: int) -> int:
    """When the last instruction of all frames ends."""
    free, ddr_free, setup = [0] * len(Engine), 0, frame.setup
    steps, waits = frame.steps, border.waits
    ends = [[0] * len(steps) for _ in range(frames)]
    for number, index in in_order(border, len(steps), frames):
        engine, tokens, transfer, own = steps[index]
        mine, start = ends[number], free[engine]
        if number:
            before = ends[number - 1]
            for other in waits[index]:
                if before[other] > start:
                    start = before[other]
        for other in tokens:
            if mine[other] > start:
                start = mine[other]
        if transfer:
            ddr_free = start = max(start, ddr_free - setup) + own
        else:
            start += own
        free[engine] = mine[index] = start
    return max(free)
