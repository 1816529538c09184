"""The same program again where only cycles differ: who waits for whom is found once.

For what-ifs, of which one profile asks several. The rules are those of ``clock``, whose timeline
tests hold this to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from knightlite.isa import Engine, Instruction, Transfer

_BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))


class Reclock:
    """A program's order; every token that is waited for must be sent, as the clock checks."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        last = [-1] * len(Engine)
        tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
        self._steps: list[tuple[tuple[int, ...], bool]] = []
        for number, item in enumerate(instructions):
            engine = item.ENGINE
            before = [last[engine]]
            before += [tokens[other][engine].popleft() for other in _BITS[item.wait]]
            last[engine] = number
            for receiver in _BITS[item.signal]:
                tokens[engine][receiver].append(number)
            self._steps.append((tuple(before), isinstance(item, Transfer)))

    def total(self, cycles: Sequence[int], dma_setup_cycles: int) -> int:
        """When the last instruction ends; ``cycles``: each one's own, in program order."""
        ends = [0] * (len(self._steps) + 1)  # the last stands for what is before the program
        ddr_free = 0
        for number, ((before, transfer), own) in enumerate(zip(self._steps, cycles, strict=True)):
            start = ends[before[0]]
            for other in before[1:]:
                if ends[other] > start:
                    start = ends[other]
            if transfer:
                ddr_free = max(start, ddr_free - dma_setup_cycles) + own
                ends[number] = ddr_free
            else:
                ends[number] = start + own
        return max(ends)
