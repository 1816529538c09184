"""A second clock, in which the engines share the banks of FSPM.

The event clock (``sim.clock``) holds an instruction alone to what the banks give; here all that are
at work at once share ``fspm_bytes_per_cycle``. Assumed is

- what an instruction moves: its FSPM operands once, but x once for every block of output lanes that
  a matrix instruction computes, and once for every tap of a pool (line buffers give a convolution's
  taps); spread evenly over its cycles behind the setup;
- that an instruction alone is never late: what it moves counts up to what the banks give;
- that where more is wanted than the banks give, all go slower by the same share, and without
  conflicts between single banks: addresses are not looked at.

Weights and parameters come from WSPM and MSPM, which have ports of their own. Order, tokens and the
DDR are as in the event clock: the same program with longer instructions, so never faster.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.isa import Engine, Instruction, Matrix, Pool, Space, Transfer

_BITS = tuple(tuple(e for e in Engine if mask >> e & 1) for mask in range(16))


@dataclass(slots=True)
class _Job:
    """An instruction: setup, then ``left`` cycles of work at full speed that move ``rate`` each."""

    engine: Engine
    setup: float
    left: float
    rate: float
    after: tuple[int, ...]  # instructions that must have ended before it starts
    transfer_before: int  # whose bytes must have moved before its own do; -1: none
    ready: float = -1.0  # when its setup is over; -1: not started


def shared_fspm_cycles(
    instructions: Sequence[Instruction], chip: Chip, own: Sequence[int] | None = None
) -> int:
    """The cycles of a program, of whose tokens none is missing, where the banks are shared.

    ``own``: the cycles of each instruction, where they are known.
    """
    jobs = _jobs(instructions, chip, own or [item.cycles(chip) for item in instructions])
    queues: list[deque[int]] = [deque() for _ in Engine]
    for index, job in enumerate(jobs):
        queues[job.engine].append(index)
    ended = [False] * len(jobs)
    now, capacity = 0.0, float(chip.fspm_bytes_per_cycle)
    while any(queues):
        heads = [queue[0] for queue in queues if queue]
        for index in heads:
            job = jobs[index]
            if job.ready < 0 and all(ended[other] for other in job.after):
                job.ready = now + job.setup
        started = [jobs[index] for index in heads if jobs[index].ready >= 0]
        working = [
            job
            for job in started
            if job.ready <= now and (job.transfer_before < 0 or ended[job.transfer_before])
        ]
        wanted = sum(job.rate for job in working)
        slow = capacity / wanted if wanted > capacity else 1.0
        speeds = [slow if job.rate else 1.0 for job in working]
        waits = [job.ready - now for job in started if job.ready > now]
        waits += [job.left / speed for job, speed in zip(working, speeds, strict=True)]
        step = min(waits)
        now += step
        for job, speed in zip(working, speeds, strict=True):
            job.left -= step * speed
            if job.left <= 1e-9:  # of a cycle: what a division leaves
                ended[queues[job.engine].popleft()] = True
    return math.ceil(now - 1e-6)


def _jobs(instructions: Sequence[Instruction], chip: Chip, own: Sequence[int]) -> list[_Job]:
    """Who waits for whom, and what each moves."""
    tokens: list[list[deque[int]]] = [[deque() for _ in Engine] for _ in Engine]
    found: list[_Job] = []
    transfer = -1
    for index, (item, cycles) in enumerate(zip(instructions, own, strict=True)):
        engine = item.ENGINE
        after = tuple(tokens[other][engine].popleft() for other in _BITS[item.wait])
        for receiver in _BITS[item.signal]:
            tokens[engine][receiver].append(index)
        setup = chip.vector_setup_cycles
        before = -1
        if isinstance(item, Transfer):
            setup, before, transfer = chip.dma_setup_cycles, transfer, index
        elif engine is Engine.RCCN:
            setup = chip.matrix_setup_cycles
        work = max(0, cycles - setup)
        moved = min(fspm_bytes(item, chip), work * chip.fspm_bytes_per_cycle)
        rate = moved / work if work else 0.0
        found.append(_Job(engine, float(setup), float(work), rate, after, before))
    return found


def fspm_bytes(item: Instruction, chip: Chip) -> int:
    """Bytes that an instruction moves through FSPM's banks."""
    total = 0
    for operand in item.operands():
        if operand.space is Space.FSPM:
            turns = operand.rows * operand.columns
            total += turns * math.prod(count for count, _ in operand.outer) * operand.run
    if isinstance(item, Matrix):
        lanes = chip.wide_matrix_output_lanes if item.wide else chip.matrix_output_lanes
        passes = 1 if item.depthwise else -(-item.group_outputs // lanes)
        total += (passes - 1) * item.x_height * item.x_width * item.x_channels * item.x_bytes
    elif isinstance(item, Pool):
        taps = item.kernel_height * item.kernel_width
        x = item.x_height * item.x_width * item.x_channels
        total += max(0, item.pixels * item.y_channels * taps - x) * item.x_bytes
    return total
