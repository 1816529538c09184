"""What happened when: the timeline that the event clock writes and the profiler reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Event(NamedTuple):
    """One instruction (``number`` in program order) on its engine.

    All times are chip cycles from the start of the program.

    Between its queue being free and ``start`` the instruction waited ``token_stall`` cycles for a
    token of engine ``token_from`` (empty: none). Between ``start`` and ``end`` a transfer waited
    ``ddr_stall`` cycles for the DDR, beyond its setup; the rest is ``cycles``, its own work.
    """

    number: int
    engine: str
    mnemonic: str
    layer: int
    start: int
    end: int
    cycles: int
    token_stall: int
    token_from: str
    ddr_stall: int

    @property
    def stall_reason(self) -> str:
        """Why it was late: ``token from X``, ``DDR``, or empty."""
        if self.token_stall > self.ddr_stall:
            return f"token from {self.token_from}"
        return "DDR" if self.ddr_stall else ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """All events in program order, and the cycle at which the last of them ends."""

    events: tuple[Event, ...]
    total_cycles: int
