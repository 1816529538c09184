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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from knightlite.chip import Chip
from knightlite.isa import Engine, Instruction, Matrix, Pool, Space
from knightlite.sim.program_order import ProgramOrder

_DONE = 1e-9  # of a cycle or a rate: what floating-point numbers leave of them


@dataclass(frozen=True, slots=True)
class _Jobs:
    """Per instruction: setup, then ``work`` cycles at full speed that move ``rate`` bytes each."""

    setup: Sequence[float]
    work: Sequence[float]
    rate: Sequence[float]


def shared_fspm_cycles(
    order: ProgramOrder,
    chip: Chip,
    own: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
) -> int:
    """The cycles of a program where the banks are shared.

    ``own``: the cycles of each instruction, where they are known; ``ends``: when each one ends in
    the event clock, which is right where the banks always give what is wanted.
    """
    jobs = _jobs(order, chip, own or order.cycles(chip))
    if ends is not None and not _crowded(jobs, ends, chip.fspm_bytes_per_cycle):
        return max(ends, default=0)
    setups, rates, left = jobs.setup, jobs.rate, list(jobs.work)
    queues = _queues(order)
    heads = [queue.pop() if queue else -1 for queue in queues]  # -1: the queue is empty
    ready = [-1.0] * len(Engine)  # when the setup of each head is over; -1: not started
    ended = [False] * (len(left) + 1)  # the last stands for no transfer before
    ended[-1] = True
    before = _transfers_before(order)
    now, capacity = 0.0, float(chip.fspm_bytes_per_cycle)
    while True:
        wanted, least = 0.0, math.inf
        working = []
        for engine, head in enumerate(heads):
            if head < 0:
                continue
            if ready[engine] < 0:
                if not all([ended[other] for other in order.after[head]]):
                    continue
                ready[engine] = now + setups[head]
            if ready[engine] > now:
                least = min(least, ready[engine] - now)
            elif ended[before[head]]:
                working.append(engine)
                wanted += rates[head]
        if not working and least == math.inf:
            return math.ceil(now - 1e-6)
        slow = capacity / wanted if wanted > capacity else 1.0
        for engine in working:
            head = heads[engine]
            least = min(least, left[head] / slow if rates[head] else left[head])
        now += least
        for engine in working:
            head = heads[engine]
            left[head] -= least * slow if rates[head] else least
            if left[head] <= _DONE:
                ended[head] = True
                heads[engine] = queues[engine].pop() if queues[engine] else -1
                ready[engine] = -1.0


def _crowded(jobs: _Jobs, ends: Sequence[int], capacity: int) -> bool:
    """Whether all that work at once ever want more than the banks give, or all but so much."""
    work, rate, end = (np.array(values, np.float64) for values in (jobs.work, jobs.rate, ends))
    moves = work * rate > 0
    times = np.concatenate([(end - work)[moves], end[moves]])
    changes = np.concatenate([rate[moves], -rate[moves]])
    wanted = np.cumsum(changes[np.lexsort((changes, times))])
    return bool(wanted.max(initial=0.0) > capacity * (1 - _DONE))


def _queues(order: ProgramOrder) -> list[list[int]]:
    """The instructions of each engine, the last one first."""
    queues: list[list[int]] = [[] for _ in Engine]
    for number in reversed(range(len(order.engines))):
        queues[order.engines[number]].append(number)
    return queues


def _transfers_before(order: ProgramOrder) -> list[int]:
    """Per instruction the transfer whose bytes must have moved before its own do; -1: none."""
    found, last = [], -1
    for number, transfer in enumerate(order.transfers):
        found.append(last if transfer else -1)
        last = number if transfer else last
    return found


def _jobs(order: ProgramOrder, chip: Chip, own: Sequence[int]) -> _Jobs:
    """What each instruction moves, and when."""
    setups = {
        Engine.RDMA: chip.dma_setup_cycles,
        Engine.WDMA: chip.dma_setup_cycles,
        Engine.RCCN: chip.matrix_setup_cycles,
        Engine.RCVT: chip.vector_setup_cycles,
    }
    setup = [float(setups[Engine(engine)]) for engine in order.engines]
    work = [max(0.0, cycles - first) for cycles, first in zip(own, setup, strict=True)]
    moved = order.alike.each(lambda item: fspm_bytes(item, chip))
    most = chip.fspm_bytes_per_cycle
    rate = [
        min(size, cycles * most) / cycles if cycles else 0.0
        for size, cycles in zip(moved, work, strict=True)
    ]
    return _Jobs(setup, work, rate)


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
