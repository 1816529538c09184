"""What limits a program: what it would gain where one part of the machine were faster.

The same instructions in the same order, with other cycles; what else a chip of that kind would
allow, another schedule above all, only compiling for it tells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from knightlite.chip import Chip
from knightlite.container import Program, program_chip
from knightlite.isa import Instruction, Transfer, disassemble
from knightlite.profiler.assumptions import assume
from knightlite.profiler.per_frame import per_frame
from knightlite.sim import simulate_time
from knightlite.sim.frames import total_cycles
from knightlite.sim.program_order import ProgramOrder

DDR, MATRIX, VECTOR, SETUP = LIMITERS = ("ddr", "matrix", "vector", "setup")
_MACS = (
    "matrix_output_lanes", "wide_matrix_output_lanes", "depthwise_lanes", "wide_depthwise_lanes",
)  # fmt: skip
_SETUPS = ("matrix_setup_cycles", "vector_setup_cycles", "dma_setup_cycles")
_FSPM_BANKS = "fspm_banks"


@dataclass(frozen=True, slots=True)
class WhatIf:
    """``part``: one of LIMITERS or "clock"; ``facts``: of the chip, and what they would be."""

    part: str
    title: str
    facts: Mapping[str, int]
    cycles: int
    time_ms: float


@dataclass(frozen=True, slots=True)
class _Question:
    part: str
    title: str
    facts: tuple[str, ...]
    other: Callable[[int], int]
    concerns: Callable[[Instruction], bool]  # whose cycles may differ


def _twice(value: int) -> int:
    return 2 * value


def _is_transfer(item: Instruction) -> bool:
    return isinstance(item, Transfer)


def _computes(item: Instruction) -> bool:
    return not isinstance(item, Transfer)


def _any(_: Instruction) -> bool:
    return True


QUESTIONS = (
    _Question(DDR, "DDR twice as fast", ("ddr_bytes_per_second",), _twice, _is_transfer),
    _Question(MATRIX, "twice the multipliers", _MACS, _twice, _computes),
    _Question(
        VECTOR, "twice the vector lanes and FSPM banks", ("vector_lanes", _FSPM_BANKS), _twice,
        _computes,
    ),
    _Question(SETUP, "no setup of instructions", _SETUPS, lambda _: 1, _any),
    _Question(
        "clock", "clock a quarter faster, DDR as it is", ("clock_hz",),
        lambda value: value + value // 4, _is_transfer,
    ),
)  # fmt: skip


def frame_ms(program: Program, facts: Mapping[str, int] | None = None) -> float:
    """Milliseconds of one frame on the chip compiled for, with some of its facts assumed."""
    chip, _ = assume(program_chip(program), facts or {})
    code = disassemble(per_frame(program).code)
    return simulate_time(code, chip).total_cycles * 1e3 / chip.clock_hz


def what_ifs(order: ProgramOrder, chip: Chip) -> tuple[WhatIf, ...]:
    """Every question, answered."""
    found = []
    kinds = order.alike.kinds
    before = [item.cycles(chip) for item in kinds]
    for question in QUESTIONS:
        facts = {fact: question.other(getattr(chip, fact)) for fact in question.facts}
        values: dict[str, Any] = facts
        other = replace(chip, **values)
        own = [
            item.cycles(other) if question.concerns(item) else cost
            for item, cost in zip(kinds, before, strict=True)
        ]
        total = total_cycles(order, order.alike.spread(own), other.dma_setup_cycles)
        found.append(
            WhatIf(question.part, question.title, facts, total, total * 1e3 / other.clock_hz)
        )
    return tuple(found)
