"""What a ``.cfg`` says of a schedule above level 0: its regions, and what none is faster than.

No byte of the program depends on them; they are for reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from knightlite.json_records import AtLeast, NotEmpty, key

Cycles = Annotated[int, AtLeast(0)]


@dataclass(frozen=True, slots=True)
class LowerBound:
    """Cycles that every schedule takes on the chip compiled for: the largest of three.

    See ``schedule.Bound``, which computes it.
    """

    vector_cycles: Cycles = key("of what only the vector engine can do")
    ddr_cycles: Cycles = key("of constants, inputs and outputs, once each")
    weight_cycles: Cycles = key(
        "of the matrix engine before some layer, and of the constants from there on that the "
        "scratchpads do not hold"
    )
    layer: str = key("that layer; an empty text: behind the last one")

    @property
    def cycles(self) -> int:
        """The largest of the three."""
        return max(self.vector_cycles, self.ddr_cycles, self.weight_cycles)

    @property
    def binds(self) -> str:
        """Which of them that is, in words."""
        if self.weight_cycles == self.cycles:
            at = f" before {self.layer}" if self.layer else ""
            return f"the matrix engine{at}{', then weights' if self.layer else ''}"
        return "the DDR" if self.ddr_cycles == self.cycles else "the vector engine"


@dataclass(frozen=True, slots=True)
class RegionNote:
    """Layers that follow each other and are walked together."""

    layers: Annotated[int, AtLeast(1)] = key("how many")
    bands: Annotated[int, AtLeast(1)] = key("of rows, one after the other; 1: layers as a whole")


@dataclass(frozen=True, slots=True)
class ScheduleNotes:
    """How the layers are walked, and what no schedule is faster than."""

    bound: LowerBound | None = key("lower bound of its cycles; null where zeros are skipped")
    regions: Annotated[tuple[RegionNote, ...], NotEmpty()] = key("in order, of all layers")
