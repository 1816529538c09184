"""Tokens from hazards: an instruction waits for the latest earlier one that it must not overtake.

Queues are in order, so a wait on instruction j of a queue also covers everything before j there.
Between two engines only waits on ever later instructions remain, each one token, in turn. At a
border between segments, where the host computes, every queue waits for all that the others did.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from knightlite.isa import Access, Engine, Instruction, Space, in_program

_ENGINES = tuple(map(int, Engine))


def with_tokens(
    instructions: Sequence[Instruction],
    in_turn: bool = False,
    layers: Sequence[int] | None = None,
    borders: Sequence[int] = (),
) -> list[Instruction]:
    """The same instructions with ``wait`` and ``signal`` set from what they touch.

    ``in_turn``: the first load of a layer also waits for the last store before it. ``layers``: of
    which each is, where they do not say so yet. ``borders``: layers that begin a segment.
    """
    numbers = [item.layer for item in instructions] if layers is None else layers
    count = len(instructions)
    wait, signal = [0] * count, [0] * count
    touched: dict[int, tuple[Access, ...]] = {}  # of an object that stands in several places
    # by engine and memory, by source and target: plain lists, since enumerations hash slowly
    seen: list[list[_History | None]] = [[None] * len(Space) for _ in _ENGINES]
    waited = [[-1] * len(_ENGINES) for _ in _ENGINES]
    layer, stored = -1, -1  # that is loading; the last store so far
    segment, entered = 0, [0] * len(_ENGINES)  # that is reached; by engine
    done = [-1] * len(_ENGINES)  # the last instruction of each engine
    fence = list(done)  # the same before this segment
    for index, item in enumerate(instructions):
        accesses = touched.get(id(item))
        if accesses is None:
            accesses = touched[id(item)] = item.accesses()
        engine = int(item.ENGINE)
        reached = bisect_right(borders, numbers[index]) if borders else 0
        if reached != segment:
            segment, fence = reached, list(done)
        enters = entered[engine] != segment
        entered[engine] = segment
        begins = in_turn and engine == Engine.RDMA and numbers[index] != layer
        if begins:
            layer = numbers[index]
        for source in _ENGINES:
            if source == engine:
                continue
            floor = latest = waited[source][engine]
            if begins and source == Engine.WDMA:
                latest = max(latest, stored)
            if enters:
                latest = max(latest, fence[source])
            histories = seen[source]
            for access in accesses:
                history = histories[access.space]
                if history is not None:
                    latest = history.latest(access, latest)
            if latest > floor:
                waited[source][engine] = latest
                wait[index] |= 1 << source
                signal[latest] |= 1 << engine
        done[engine] = index
        if engine == Engine.WDMA:
            stored = index
        own = seen[engine]
        for access in accesses:
            history = own[access.space]
            if history is None:
                history = own[access.space] = _History()
            history.touch(access, index)
    places = zip(instructions, numbers, wait, signal, strict=True)
    return [in_program(item, *place) for item, *place in places]


class _History:
    """What an engine did last to each byte of a memory.

    Disjoint segments: ``written[i]`` and ``touched[i]`` hold on [starts[i], starts[i + 1]), the
    latest instruction that wrote there, and that wrote or read there; -1: none.
    """

    def __init__(self) -> None:
        self._starts, self._written, self._touched = [0], [-1], [-1]

    def latest(self, access: Access, floor: int) -> int:
        """The latest instruction after ``floor`` that an access must wait for, else ``floor``."""
        _, begin, end, write = access
        marks = self._touched if write else self._written
        first = bisect_right(self._starts, begin) - 1
        last = bisect_left(self._starts, end, first)
        return max(floor, marks[first] if last - first == 1 else max(marks[first:last]))

    def touch(self, access: Access, index: int) -> None:
        """Record an access of a later instruction."""
        _, begin, end, write = access
        first, last = self._cut(begin), self._cut(end)
        if write:
            self._starts[first:last] = [begin]
            self._written[first:last] = self._touched[first:last] = [index]
        elif last - first == 1:
            self._touched[first] = index
        else:  # neighbours that become equal are one again: reads do not shatter the memory
            kept = [at for at in range(first, last) if self._differs(at, first)]
            self._starts[first:last] = [self._starts[at] for at in kept]
            self._written[first:last] = [self._written[at] for at in kept]
            self._touched[first:last] = [index] * len(kept)

    def _differs(self, at: int, first: int) -> bool:
        return at == first or self._written[at] != self._written[at - 1]

    def _cut(self, at: int) -> int:
        """The segment that begins at a byte, made where there is none."""
        position = bisect_left(self._starts, at)
        if position == len(self._starts) or self._starts[position] != at:
            self._starts.insert(position, at)
            self._written.insert(position, self._written[position - 1])
            self._touched.insert(position, self._touched[position - 1])
        return position
