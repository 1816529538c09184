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


def simulate_time(instructions: Sequence[Instruction], chip: Chip) -> Timeline:
    """The timeline of a program on a chip; MachineError where a token is missing."""
    events: list[Event] = []
    queue_free = [0] * len(Engine)
    tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
    ddr_free = total = 0
    for index, item in enumerate(instructions):
        engine = item.ENGINE
        free = start = queue_free[engine]
        sender = ""
        for other in _BITS[item.wait]:
            arrived = tokens[other][engine]
            if not arrived:
                raise MachineError(
                    f"instruction {index} ({item.MNEMONIC}) waits for a token of {other.name} that "
                    "no earlier instruction sends."
                )
            at = arrived.popleft()
            if at > start:
                start, sender = at, other.name
        cycles = item.cycles(chip)
        ddr_stall = 0
        if isinstance(item, Transfer):
            ddr_stall = max(0, ddr_free - (start + chip.dma_setup_cycles))
            ddr_free = start + ddr_stall + cycles
        end = start + ddr_stall + cycles
        queue_free[engine] = end
        total = max(total, end)
        for receiver in _BITS[item.signal]:
            tokens[engine][receiver].append(end)
        events.append(
            Event(
                index, engine.name, item.MNEMONIC, item.layer, start, end, cycles, start - free,
                sender, ddr_stall,
            )
        )  # fmt: skip
    return Timeline(tuple(events), total)
