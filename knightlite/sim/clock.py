"""The event clock: when each instruction runs, in one pass over the program.

Everything is a maximum of earlier times plus a constant, so a faster part can never make a program
later. Loads and stores share the DDR in program order: a transfer's setup overlaps with another
queue's transfer, its bytes do not. Time does not depend on data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from knightlite.chip import Chip
from knightlite.errors import MachineError
from knightlite.events import Event, Timeline
from knightlite.isa import Engine, Instruction, Transfer

_BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))


class Queues:
    """The engines, their tokens and the DDR while instructions go by in program order."""

    def __init__(self, chip: Chip) -> None:
        self._setup = chip.dma_setup_cycles
        self._free = [0] * len(Engine)
        self._tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
        self._ddr_free = 0

    def take(self, index: int, item: Instruction, cycles: int, earliest: int = 0) -> Event:
        """The next instruction, ``index`` in its program; MachineError where a token is missing.

        ``cycles``: its own on the chip; ``earliest``: what else it waits for.
        """
        engine = item.ENGINE
        free = self._free[engine]
        start, sender = max(free, earliest), ""
        for other in _BITS[item.wait]:
            arrived = self._tokens[other][engine]
            if not arrived:
                raise MachineError(
                    f"instruction {index} ({item.MNEMONIC}) waits for a token of {other.name} that "
                    "no earlier instruction sends."
                )
            at = arrived.popleft()
            if at > start:
                start, sender = at, other.name
        ddr_stall = 0
        if isinstance(item, Transfer):
            ddr_stall = max(0, self._ddr_free - (start + self._setup))
            self._ddr_free = start + ddr_stall + cycles
        end = start + ddr_stall + cycles
        self._free[engine] = end
        for receiver in _BITS[item.signal]:
            self._tokens[engine][receiver].append(end)
        return Event(
            index, engine.name, item.MNEMONIC, item.layer, start, end, cycles, start - free,
            sender, ddr_stall,
        )  # fmt: skip


def simulate_time(instructions: Sequence[Instruction], chip: Chip) -> Timeline:
    """The timeline of a program on a chip; MachineError where a token is missing."""
    queues = Queues(chip)
    events = tuple(
        queues.take(index, item, item.cycles(chip)) for index, item in enumerate(instructions)
    )
    return Timeline(events, max((event.end for event in events), default=0))
