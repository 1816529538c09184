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
from knightlite.isa.alike import Alike

_BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))


def simulate_time(
    instructions: Sequence[Instruction], chip: Chip, alike: Alike | None = None
) -> Timeline:
    """The timeline of a program on a chip; MachineError where a token is missing.

    ``alike``: the program by kinds, where it is known.
    """
    alike = alike or Alike(instructions)
    kinds = [
        (int(item.ENGINE), item.ENGINE.name, item.MNEMONIC, isinstance(item, Transfer),
         item.cycles(chip))
        for item in alike.kinds
    ]  # fmt: skip
    setup, ddr_free = chip.dma_setup_cycles, 0
    queue_free = [0] * len(Engine)
    tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
    events = []
    for index, (item, kind) in enumerate(zip(instructions, alike.kind_of, strict=True)):
        engine, name, mnemonic, transfers, cycles = kinds[kind]
        start = free = queue_free[engine]
        sender = ""
        for other in _BITS[item.wait]:
            arrived = tokens[other][engine]
            if not arrived:
                raise MachineError(
                    f"instruction {index} ({mnemonic}) waits for a token of {other.name} that "
                    "no earlier instruction sends."
                )
            at = arrived.popleft()
            if at > start:
                start, sender = at, other.name
        ddr_stall = 0
        if transfers:
            ddr_stall = max(0, ddr_free - (start + setup))
            ddr_free = start + ddr_stall + cycles
        end = queue_free[engine] = start + ddr_stall + cycles
        for receiver in _BITS[item.signal]:
            tokens[engine][receiver].append(end)
        events.append(
            Event(
                index, name, mnemonic, item.layer, start, end, cycles, start - free, sender,
                ddr_stall,
            )
        )  # fmt: skip
    return Timeline(tuple(events), max((event.end for event in events), default=0))
