"""Schedule levels (``--opt-group``): what one may do that the level below may not.

Level 0 stands for the vendor's own compiler, whose board latencies are published: the clock is
held against those (docs/clock.md). What makes programs faster belongs to the levels above.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """``copies_joined``: every input of a Concat goes through the vector engine into its part.

    Otherwise it is written there by the layer that makes it, wherever it may. ``in_turn``: a layer
    begins when all of the one before it is stored, and goes from DDR to DDR; otherwise tensors stay
    on chip, layers are walked together, and all instructions stand where they can start first.
    ``corrections``: how often the choice is made again with what regions were found to take.
    ``searches``: small changes are tried on top, as many as a budget says.
    """

    number: int
    copies_joined: bool
    in_turn: bool
    corrections: int = 0
    searches: bool = False


LEVELS = (
    Level(0, copies_joined=True, in_turn=True),
    Level(1, copies_joined=False, in_turn=False, corrections=3),
    Level(2, copies_joined=False, in_turn=False, corrections=3, searches=True),
)
