"""Who waits for whom in a program: found once for all clocks that ask again with other cycles."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from knightlite.chip import Chip
from knightlite.isa import Engine, Instruction, Transfer
from knightlite.isa.alike import Alike

BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))


class ProgramOrder:
    """A program of whose tokens none is missing, as the event clock checks.

    Per instruction: ``engines``, its queue; ``after``, those whose tokens it waits for;
    ``transfers``, whether it occupies the DDR.
    """

    def __init__(self, instructions: Sequence[Instruction], alike: Alike | None = None) -> None:
        """``alike``: the program by kinds, where it is known."""
        self.instructions = instructions
        self.alike = alike or Alike(instructions)
        self.engines = self.alike.each(lambda item: int(item.ENGINE))
        self.transfers = self.alike.each(lambda item: isinstance(item, Transfer))
        self.after: list[tuple[int, ...]] = []
        tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
        for number, (item, engine) in enumerate(zip(instructions, self.engines, strict=True)):
            self.after.append(tuple([tokens[other][engine].popleft() for other in BITS[item.wait]]))
            for receiver in BITS[item.signal]:
                tokens[engine][receiver].append(number)

    def cycles(self, chip: Chip) -> list[int]:
        """Every instruction's own on a chip."""
        return self.alike.each(lambda item: item.cycles(chip))
