"""The same program again where only cycles differ, for what-ifs, of which one profile asks several.

The rules are those of ``clock``, whose timeline tests hold this to.
"""

from __future__ import annotations

from collections.abc import Sequence

from knightlite.isa import Engine
from knightlite.sim.program_order import ProgramOrder


def total_cycles(order: ProgramOrder, cycles: Sequence[int], dma_setup_cycles: int) -> int:
    """When the last instruction ends; ``cycles``: each one's own, in program order."""
    ends = [0] * len(cycles)
    free, ddr_free = [0] * len(Engine), 0
    steps = zip(order.engines, order.after, order.transfers, cycles, strict=True)
    for number, (engine, after, transfer, own) in enumerate(steps):
        start = free[engine]
        for other in after:
            if ends[other] > start:
                start = ends[other]
        if transfer:
            start = ddr_free = max(start, ddr_free - dma_setup_cycles) + own
        else:
            start += own
        free[engine] = ends[number] = start
    return max(free)
