"""One point: a network, in the types that it will have, planned for a chip and timed."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import atomic_write
from knightlite.api.chips.evidence import evidence_for
from knightlite.api.exploration.records import Time
from knightlite.errors import CapacityError, KnightliteError, UnsupportedError

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily
    from knightlite.ir import Graph


@dataclass(frozen=True, slots=True)
class Task:
    """What a process needs for a point. ``graph``: the file that :func:`keep` wrote."""

    graph: Path
    family: ChipFamily
    name: str
    assumed: Sequence[str]
    level: int


def keep(graph: Graph, path: Path) -> None:
    """Leave a quantized graph where processes of this program find it."""
    atomic_write.write_bytes(path, pickle.dumps(graph, protocol=pickle.HIGHEST_PROTOCOL))


@lru_cache(maxsize=1)
def _kept(path: Path) -> Graph:
    graph: Graph = pickle.loads(path.read_bytes())
    return graph


def timed(task: Task) -> Time | str:
    """The time of one picture; the sentence that says why there is none."""
    from knightlite.compiler import plan_graph
    from knightlite.emit import program_code
    from knightlite.ir.graph import flatten_chains
    from knightlite.isa import Load, Store
    from knightlite.profiler import certainty
    from knightlite.sim import simulate_time

    chip = task.family.chip
    try:
        plan = plan_graph(_kept(task.graph), task.family, task.name, level=task.level)
    except (CapacityError, UnsupportedError) as error:
        return told(error)
    code = program_code(plan)
    cycles = simulate_time(code, chip).total_cycles
    operators = [part.op for layer in plan.layers for part in flatten_chains([layer.node])]
    sure = certainty(evidence_for(task.family), task.name, task.level, operators, task.assumed)
    moved = sum(item.ddr_bytes(chip) for item in code if isinstance(item, (Load, Store)))
    return Time(
        cycles=cycles,
        latency_ms=cycles * 1e3 / chip.clock_hz,
        error_percent=None if sure is None else sure.percent,
        extrapolated=() if sure is None else sure.extrapolated,
        moved_bytes=moved,
        ddr_bytes=plan.ddr_bytes,
    )


def told(error: KnightliteError) -> str:
    """An error in one sentence, with its remedy."""
    hint = f" Hint: {error.hint}" if error.hint else ""
    return f"{error.sentence}{hint}"
