"""How far a program is from what no schedule is faster than, and what keeps it from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from knightlite.chip import Chip
from knightlite.container import LowerBound, Program, program_chip
from knightlite.events import Timeline
from knightlite.isa import disassemble
from knightlite.profiler.per_frame import per_frame
from knightlite.profiler.regions import RegionProfile, region_profiles
from knightlite.sim import simulate_time
from knightlite.sim.program_order import ProgramOrder
from knightlite.sim.shared_banks import shared_fspm_cycles

KEEPS = {
    "lanes": "array shape, {:,} cycles of lanes not filled",
    "again": "rows computed twice, {:,} cycles",
    "setup": "setup, {:,} cycles",
    "bandwidth": "bandwidth, {:,} cycles",
    "dependency": "dependency, {:,} cycles in which it waits for another engine",
    "nothing": "nothing",
}

HIDDEN = "nothing: its work ran beside others"  # it adds less than it takes alone
REGION_TITLES = (
    "region", "layers", "bands", "cycles", "lost", "least alone", "busiest", "lost most to",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Certificate:
    """``bound``: what no schedule is faster than; None where the ``.cfg`` has none (level 0).

    Nor is it known where figures are assumed or zeros skipped. ``shared_cycles``: where engines
    share FSPM's banks (``sim.shared_banks``). ``regions``: none at level 0.
    """

    cycles: int
    bound: LowerBound | None
    shared_cycles: int
    regions: tuple[RegionProfile, ...]

    @property
    def ratio(self) -> float | None:
        """Cycles by bound: 1 is the best that can be."""
        if self.bound is None or not self.bound.cycles:
            return None
        return self.cycles / self.bound.cycles


def certificate(program: Program, bound: LowerBound | None = None) -> Certificate:
    """Of a program on the chip that it was compiled for; ``bound``: where the ``.cfg`` has none."""
    chip, program = program_chip(program), per_frame(program)
    instructions = disassemble(program.code)
    timeline = simulate_time(instructions, chip)
    found = certified(program, ProgramOrder(instructions), timeline, chip)
    return replace(found, bound=found.bound or bound)


def certified(
    program: Program,
    order: ProgramOrder,
    timeline: Timeline,
    chip: Chip,
    assumed: bool = False,
) -> Certificate:
    """Of a timeline that is known; ``assumed``: of other figures than the bound is of."""
    notes = program.meta.schedule
    return Certificate(
        timeline.total_cycles,
        notes.bound if notes is not None and not assumed else None,
        shared_fspm_cycles(
            order,
            chip,
            [event.cycles for event in timeline.events],
            [event.end for event in timeline.events],
        ),
        region_profiles(program, order, timeline, chip),
    )


def certificate_lines(found: Certificate) -> list[tuple[str, str]]:
    """Label and value of its totals."""
    lines = [("cycles", f"{found.cycles:,}")]
    if found.bound is not None and found.ratio is not None:
        lines += [
            ("lower bound", f"{found.bound.cycles:,} cycles, by {found.bound.binds}"),
            ("cycles / bound", f"{found.ratio:.3f}"),
        ]
    more = found.shared_cycles / found.cycles * 100 - 100 if found.cycles else 0.0
    lines.append(("with FSPM's banks shared", f"{found.shared_cycles:,} cycles, {more:.1f} % more"))
    return lines


def region_table(found: Certificate) -> list[tuple[str, ...]]:
    """The titles, then a row for each region, as text; nothing at level 0."""
    rows: list[tuple[str, ...]] = [REGION_TITLES] if found.regions else []
    for item in found.regions:
        name = item.first if item.layers == 1 else f"{item.first} .. {item.last}"
        most = getattr(item, item.keeps) if item.keeps != "nothing" else 0
        hidden = item.cycles < item.bound
        rows.append(
            (
                name,
                f"{item.layers}",
                f"{item.bands}",
                f"{item.cycles:,}",
                "-" if hidden else f"{item.lost:,}",
                f"{item.bound:,}",
                item.busiest,
                HIDDEN if hidden else KEEPS[item.keeps].format(most),
            )
        )
    return rows


def certificate_json(found: Certificate) -> Mapping[str, Any]:
    """All of it, as ``profile --json`` and ``compile --json`` have it."""
    bound = None if found.bound is None else {**asdict(found.bound), "cycles": found.bound.cycles}
    return {
        "cycles": found.cycles,
        "bound": bound,
        "ratio": found.ratio,
        "shared_cycles": found.shared_cycles,
        "regions": [{**asdict(item), "keeps": item.keeps} for item in found.regions],
    }
