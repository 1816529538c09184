"""The order of instructions in the binary: the streams of a schedule merged by when they can start.

The queues go in order, and transfers share the DDR in program order. So what can start first should
stand first: a store whose tile is still being computed must not hold up the loads behind it. The
clock is the machine's: what it says is the simulated time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.chip import Chip
from knightlite.isa import Access, Engine, Space
from knightlite.schedule.tasks import ENGINES, Stream, Task

_STREAMS = tuple(Stream)


class Merged(NamedTuple):
    """Tasks in program order, with the time at which each ends."""

    order: list[int]
    ends: list[int]  # by task

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


def dependencies(tasks: Sequence[Task]) -> list[tuple[int, ...]]:
    """For every task those before it, of other streams, whose bytes it must wait for."""
    memories = [_History() for _ in Space]  # a list: enumerations hash slowly
    found: list[tuple[int, ...]] = []
    for index, task in enumerate(tasks):
        before: set[int] = set()
        for access in task.instruction.accesses():
            before |= memories[access.space].touch(access, index, task.stream)
        latest: dict[int, int] = {}
        for other in before:
            stream = tasks[other].stream
            if stream != task.stream and other != index:
                latest[stream] = max(other, latest.get(stream, -1))
        found.append(tuple(latest.values()))
    return found


def merge(tasks: Sequence[Task], chip: Chip) -> Merged:
    """The tasks in program order: among what may stand next, what starts first.

    Of what starts at once, what the program means to come first.
    """
    before = dependencies(tasks)
    cycles = [task.instruction.cycles(chip) for task in tasks]
    queues: dict[Stream, list[int]] = {stream: [] for stream in _STREAMS}
    for index, task in enumerate(tasks):
        queues[task.stream].append(index)
    heads = dict.fromkeys(_STREAMS, 0)
    free = dict.fromkeys(Engine, 0)
    ends = [-1] * len(tasks)
    order: list[int] = []
    ddr, setup = 0, chip.dma_setup_cycles
    transfers = (Stream.FEATURES, Stream.CONSTANTS, Stream.STORES)
    while len(order) < len(tasks):
        best: tuple[int, int, int] | None = None
        for stream in _STREAMS:
            queue, head = queues[stream], heads[stream]
            if head == len(queue):
                continue
            index = queue[head]
            start = free[ENGINES[stream]]
            for other in before[index]:
                end = ends[other]
                if end < 0:
                    break
                start = max(start, end)
            else:
                if stream in transfers:
                    start += max(0, ddr - (start + setup))
                if best is None or (start, index) < best[:2]:
                    best = (start, index, stream)
        assert best is not None, "the first task in logical order can always be next"
        start, index, found = best
        stream = Stream(found)
        heads[stream] += 1
        ends[index] = free[ENGINES[stream]] = start + cycles[index]
        if stream in transfers:
            ddr = ends[index]
        order.append(index)
    return Merged(order, ends)
