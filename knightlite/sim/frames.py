"""Frames back to back: the loads that begin the next one beside the end of this one.

A program is one frame. Run again and again, a queue goes on with the next frame as soon as it is
done with this one, and across the border an instruction waits for those of the other frame that
touch its bytes, as tokens have it inside a frame. Loads at a frame's beginning whose places are
free stand before what follows the last load of the frame before, as the compiler has it from tile
to tile, or behind all of it: whichever is faster. A picture is in place when its first load begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.isa import Engine, Load, Space
from knightlite.isa.alike import Extents
from knightlite.sim.program_order import ProgramOrder

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


def border_of(order: ProgramOrder) -> Border:
    """The border of a program with itself."""
    count = len(order.instructions)
    loads = np.array(order.alike.each(lambda item: isinstance(item, Load)), np.bool_)
    last_load = int(np.flatnonzero(loads)[-1]) if loads.any() else -1
    first_loads = int(np.argmin(np.append(loads, False)))
    engines = np.array(order.engines, np.int64)
    extents = order.alike.extents()
    met = _latest(
        engines, extents, (last_load + 1, count), (0, min(first_loads, max(last_load, 0)))
    )
    head = int(np.argmax(np.append((met >= 0).any(axis=0), True)))
    latest = _latest(engines, extents, (0, count), (0, count))
    waits: dict[int, list[int]] = {}
    for source, target in product(Engine, Engine):
        if source == target:
            continue
        mine = np.flatnonzero(engines == target)
        found = latest[source, mine]
        # its queue has waited for all before what it waited for last
        before = np.maximum.accumulate(np.append(-1, found))[:-1]
        asks = found > before
        for index, other in zip(mine[asks].tolist(), found[asks].tolist(), strict=True):
            waits.setdefault(index, []).append(other)
    nobody: tuple[int, ...] = ()
    return Border(
        head,
        last_load,
        tuple(tuple(waits[at]) if at in waits else nobody for at in range(count)),
    )


def _latest(
    engines: Array, extents: Extents, touching: tuple[int, int], asking: tuple[int, int]
) -> Array:
    """[engines, asking]: the latest of ``touching`` that each may not overtake, per engine; or -1.

    Both are stretches [first, last) of the program. Tiles lie in the same places again and again:
    all is found out once per place. Memory is cut at all ends of places. In program order what
    touches a piece overwrites who was there, so that the largest number in a stretch of pieces is
    its latest instruction; maxima over stretches of powers of two answer all questions at once.
    """
    found = np.full((len(Engine), asking[1] - asking[0]), -1, np.int64)
    for space in Space:
        touched = extents.of(space, *touching)
        asked = extents.of(space, *asking)
        if not len(touched.number) or not len(asked.number):
            continue
        who, place = touched.number, asked.number - asking[0]
        begins, ends, numbers = _places(touched, asked)
        mine, theirs = np.split(numbers, [len(who)])
        cuts = np.unique(np.concatenate([begins, ends]))
        low, high = (np.searchsorted(cuts, side) for side in (begins, ends))
        for source, wrote in product(Engine, (True, False)):
            chosen = (engines[who] == source) & (touched.write == wrote)
            # what reads must not overtake writes, what writes neither those nor reads
            asks = np.ones(len(place), np.bool_) if wrote else asked.write
            if not chosen.any() or not asks.any():
                continue
            last = np.full(len(begins), -1, np.int64)
            np.maximum.at(last, mine[chosen], who[chosen])
            pieces = np.full(len(cuts), -1, np.int64)
            order = np.argsort(last)[np.count_nonzero(last < 0) :]
            for index, start, end in zip(
                last[order].tolist(), low[order].tolist(), high[order].tolist(), strict=True
            ):
                pieces[start:end] = index
            met = _maxima(pieces, low, high)[theirs[asks]]
            np.maximum.at(found[source], place[asks], met)
    return found


def _places(*accesses: Extents) -> tuple[Array, Array, Array]:
    """All places [first, last), each once, and of every access the number of its own."""
    first, last = (
        np.concatenate([getattr(one, side) for one in accesses]) for side in ("first", "last")
    )
    order = np.lexsort((last, first))
    begins, ends = first[order], last[order]
    new = np.append(True, (begins[1:] != begins[:-1]) | (ends[1:] != ends[:-1]))
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(new) - 1
    return begins[new], ends[new], numbers


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


def simulate_frames(
    order: ProgramOrder, chip: Chip, counts: Sequence[int], own: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Cycles of batches of so many frames, from the first instruction to the last end.

    ``own``: the cycles of each instruction, where they are known.

    Beyond :data:`SIMULATED` frames every further one is taken to add what the last one added.
    """
    ahead = border_of(order)
    own = own or order.cycles(chip)
    runs = [
        _Batches(order, border, own, chip.dma_setup_cycles)
        for border in {ahead, replace(ahead, head=0)}
    ]

    @cache
    def total(frames: int) -> int:
        return min(run.total(frames) for run in runs)

    found = []
    for count in counts:
        end = total(min(count, SIMULATED))
        if count > SIMULATED:
            end += (count - SIMULATED) * (end - total(SIMULATED - 1))
        found.append(end)
    return tuple(found)


def total_cycles(order: ProgramOrder, cycles: Sequence[int], dma_setup_cycles: int) -> int:
    """When the last instruction of one frame ends; ``cycles``: each one's own, in program order.

    For what-ifs, where only these differ. The rules are those of ``clock``, whose timeline tests
    hold this to.
    """
    alone = Border(0, -1, ((),) * len(cycles))
    return _Batches(order, alone, cycles, dma_setup_cycles).total(1)


class _Batches:
    """Batches that go over from frame to frame at one border."""

    def __init__(self, order: ProgramOrder, border: Border, own: Sequence[int], setup: int) -> None:
        self._border, self._setup = border, setup
        self._steps = order.engines, order.after, border.waits, order.transfers, own
        self._steady: tuple[int, int, int] | None = None  # frames, their cycles, those of one more

    def total(self, frames: int) -> int:
        """When the last instruction of all frames ends.

        All is maxima and sums of what ended in this frame and the one before. So where every
        instruction ends the same time after its own end a frame earlier, all further frames are
        like that.
        """
        if self._steady is not None and frames >= self._steady[0]:
            least, cycles, more = self._steady
            return cycles + (frames - least) * more
        self._free, self._ddr_free = [0] * len(Engine), 0
        head, behind, count = self._border.head, self._border.last_load + 1, len(self._steps[0])
        before: list[int] = []
        mine, follows = [0] * count, [0] * count
        for number in range(frames):
            self._run(head if number else 0, behind, mine, before)
            if number + 1 < frames:
                self._run(0, head, follows, mine)
            self._run(behind, count, mine, before)
            if count and 0 < number < frames - 2:
                later = np.subtract(mine, before)
                if (later == later[0]).all():
                    self._run(head, count, follows, mine)
                    self._steady = (number + 2, max(self._free), int(later[0]))
                    return self.total(frames)
            before, mine, follows = mine, follows, [0] * count
        return max(self._free)

    def _run(self, first: int, last: int, mine: list[int], before: list[int]) -> None:
        """Instructions [first, last) of a frame; ends of ``mine``, and of the frame ``before``."""
        free, ddr_free, setup = self._free, self._ddr_free, self._setup
        steps = zip(*(column[first:last] for column in self._steps), strict=True)
        for index, (engine, after, waits, transfer, own) in enumerate(steps, first):
            start = free[engine]
            if before:
                for other in waits:
                    if before[other] > start:
                        start = before[other]
            for other in after:
                if mine[other] > start:
                    start = mine[other]
            if transfer:
                ddr_free = start = max(start, ddr_free - setup) + own
            else:
                start += own
            free[engine] = mine[index] = start
        self._ddr_free = ddr_free
