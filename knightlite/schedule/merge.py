"""The order of instructions in the binary: the streams of a schedule merged by when they can start.

The queues go in order, and transfers share the DDR in program order. So what can start first should
stand first: a store whose tile is still being computed must not hold up the loads behind it. The
clock is the machine's: what it says is the simulated time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.chip import Chip
from knightlite.isa import Access, Engine, Space
from knightlite.schedule.tasks import ENGINES, Stream, Task

_STREAMS = tuple(Stream)
_TRANSFERS = (Stream.FEATURES, Stream.CONSTANTS, Stream.STORES)


class Merged(NamedTuple):
    """Tasks in program order, with the time at which each ends."""

    order: list[int]
    ends: list[int]  # by task

    def moved(self) -> Iterator[tuple[int, int]]:
        """(task, cycles by which it moves the end of all finished work onward), where it does."""
        end = 0
        for task in self.order:
            if self.ends[task] > end:
                yield task, self.ends[task] - end
                end = self.ends[task]

    @property
    def cycles(self) -> int:
        """The end of the last one."""
        return max(self.ends, default=0)


@dataclass(slots=True)
class _State:
    """Who last wrote bytes, and who has read them since: tasks by stream."""

    writer: int = -1
    readers: dict[int, int] = field(default_factory=dict)


class _History:
    """One memory as disjoint segments; ``states[i]`` holds on [starts[i], starts[i + 1])."""

    def __init__(self) -> None:
        self._starts = [0]
        self._states = [_State()]

    def touch(self, access: Access, task: int, stream: int) -> set[int]:
        """Record an access; the tasks that it must come after."""
        first, last = self._cut(access.first), self._cut(access.last)
        found: set[int] = set()
        for state in self._states[first:last]:
            if state.writer >= 0:
                found.add(state.writer)
            if access.write:
                found.update(state.readers.values())
            else:
                state.readers[stream] = task
        if access.write:
            self._starts[first:last] = [access.first]
            self._states[first:last] = [_State(task)]
        return found

    def _cut(self, at: int) -> int:
        position = bisect_left(self._starts, at)
        if position == len(self._starts) or self._starts[position] != at:
            before = self._states[position - 1]
            self._starts.insert(position, at)
            self._states.insert(position, _State(before.writer, dict(before.readers)))
        return position


def dependencies(
    tasks: Sequence[Task], replaced: Mapping[int, Sequence[int]], borders: Sequence[int] = ()
) -> list[tuple[int, ...]]:
    """For every task those before it, of other streams, that it must wait for.

    Whose bytes it touches; and what a block replaces must have been whole before, also where
    nobody reads it: every tensor can be seen. ``replaced``: blocks by the one in their place.
    ``borders``: layers before which the host computes, and all that stands before must have ended.
    """
    memories = [_History() for _ in Space]  # a list: enumerations hash slowly
    last: dict[int, int] = {}  # block -> the last task that writes there
    for index, task in enumerate(tasks):
        last[task.block] = index
    begun: set[tuple[int, int]] = set()
    found: list[tuple[int, ...]] = []
    segment, entered = 0, dict.fromkeys(_STREAMS, 0)
    done: dict[Stream, int] = {}  # the last task of each stream
    fence: dict[Stream, int] = {}  # the same before this segment
    for index, task in enumerate(tasks):
        before: set[int] = set()
        reached = bisect_right(borders, task.instruction.layer) if borders else 0
        if reached != segment:
            segment, fence = reached, dict(done)
        if entered[task.stream] != segment:
            entered[task.stream] = segment
            before.update(fence.values())
        done[task.stream] = index
        for access in task.instruction.accesses():
            before |= memories[access.space].touch(access, index, task.stream)
        if (task.block, task.stream) not in begun:
            begun.add((task.block, task.stream))
            before.update(last[block] for block in replaced.get(task.block, ()) if block in last)
        latest: dict[int, int] = {}
        for other in before:
            stream = tasks[other].stream
            if stream != task.stream and other < index:
                latest[stream] = max(other, latest.get(stream, -1))
        found.append(tuple(latest.values()))
    return found


def merge(
    tasks: Sequence[Task],
    chip: Chip,
    replaced: Mapping[int, Sequence[int]],
    borders: Sequence[int] = (),
) -> Merged:
    """The tasks in program order: among what may stand next, what starts first.

    Of what starts at once, what the program means to come first. ``replaced``, ``borders``: as for
    ``dependencies``.
    """
    clock = _Clock(tasks, chip, replaced, borders)
    queues: dict[Stream, list[int]] = {stream: [] for stream in _STREAMS}
    for index, task in enumerate(tasks):
        queues[task.stream].append(index)
    heads = dict.fromkeys(_STREAMS, 0)
    order: list[int] = []
    while len(order) < len(tasks):
        best: tuple[int, int] | None = None
        for stream in _STREAMS:
            queue, head = queues[stream], heads[stream]
            if head == len(queue):
                continue
            start = clock.start(queue[head])
            if start is not None and (best is None or (start, queue[head]) < best):
                best = (start, queue[head])
        assert best is not None, "the first task in logical order can always be next"
        clock.take(*best)
        heads[tasks[best[1]].stream] += 1
        order.append(best[1])
    return Merged(order, clock.ends)


def in_order(tasks: Sequence[Task], chip: Chip, borders: Sequence[int] = ()) -> Merged:
    """The tasks as they stand, with the time at which each ends."""
    clock = _Clock(tasks, chip, {}, borders)
    for index in range(len(tasks)):
        start = clock.start(index)
        assert start is not None, "what a task waits for stands before it"
        clock.take(start, index)
    return Merged(list(range(len(tasks))), clock.ends)


class _Clock:
    """The queues and the DDR while tasks are taken in program order: the machine's rules."""

    def __init__(
        self,
        tasks: Sequence[Task],
        chip: Chip,
        replaced: Mapping[int, Sequence[int]],
        borders: Sequence[int],
    ) -> None:
        self._tasks, self._setup = tasks, chip.dma_setup_cycles
        self._before = dependencies(tasks, replaced, borders)
        self._cycles = [task.instruction.cycles(chip) for task in tasks]
        self._free = dict.fromkeys(Engine, 0)
        self._ddr = 0
        self.ends = [-1] * len(tasks)

    def start(self, index: int) -> int | None:
        """When a task would start its work next; None where it waits for one not taken yet."""
        stream = self._tasks[index].stream
        start = self._free[ENGINES[stream]]
        for other in self._before[index]:
            end = self.ends[other]
            if end < 0:
                return None
            start = max(start, end)
        if stream in _TRANSFERS:  # its setup overlaps with another queue's transfer
            start += max(0, self._ddr - (start + self._setup))
        return start

    def take(self, start: int, index: int) -> None:
        """The task is the next one."""
        stream = self._tasks[index].stream
        end = start + self._cycles[index]
        self.ends[index] = self._free[ENGINES[stream]] = end
        if stream in _TRANSFERS:
            self._ddr = end
