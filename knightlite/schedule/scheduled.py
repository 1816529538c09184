"""From decisions to a program in order: steps, places, instructions, and the time they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from knightlite.allocate import Location
from knightlite.allocate.packing import Life, live_bytes, pack
from knightlite.errors import CapacityError
from knightlite.isa import Instruction
from knightlite.schedule.blocks import Block, ScheduledStep
from knightlite.schedule.merge import Merged, in_order, merge
from knightlite.schedule.network import Network
from knightlite.schedule.regions import Decisions
from knightlite.schedule.tasks import Constants, Task, tasks
from knightlite.schedule.walker import walk

ROOMS = (100, 96, 90, 80, 60, 0)  # percent of FSPM that places may be held ahead in
TRIALS = 60  # of an order of blocks where nothing is held any more


@dataclass(frozen=True, slots=True)
class Laid:
    """Steps whose blocks have addresses in FSPM."""

    steps: Sequence[ScheduledStep]
    blocks: Sequence[Block]
    addresses: Mapping[int, int]  # by the block's identity
    live: Sequence[int]  # bytes alive at every step
    peak: int  # bytes up to the end of the highest block


@dataclass(frozen=True, slots=True)
class Timed:
    """A laid schedule with its instructions in order."""

    laid: Laid
    tasks: Sequence[Task]
    merged: Merged

    @property
    def cycles(self) -> int:
        """When the last instruction ends."""
        return self.merged.cycles

    def code(self) -> list[Instruction]:
        """The instructions in program order."""
        return [self.tasks[index].instruction for index in self.merged.order]


def lay(network: Network, decisions: Decisions) -> Laid | None:
    """The steps and their places; None where FSPM, WSPM or MSPM do not suffice.

    Places held for loads ahead and stores behind are given up where they are too many.
    """
    found = walk(network, decisions)
    if found is None:
        return None
    roots = [block for block in found.blocks.values() if block.inside is None]
    own = [Life(block.size, block.first, block.last) for block in roots]
    held = [Life(block.size, *block.held) for block in roots]
    capacity, steps = network.chip.fspm_bytes, len(found.steps)
    live = live_bytes(own, steps)
    if max(live, default=0) > capacity:
        return None
    for room in ROOMS:
        lives = _given_up(own, held, steps, capacity * room // 100)
        places = pack(lives, capacity, 0 if room else TRIALS)
        if places is not None:
            addresses = {id(block): address for block, address in zip(roots, places, strict=True)}
            peak = max((a + life.size for a, life in zip(places, own, strict=True)), default=0)
            blocks = list(found.blocks.values())
            return Laid(found.steps, blocks, addresses, live.tolist(), peak)
    return None


def _given_up(
    own: Sequence[Life], held: Sequence[Life], steps: int, capacity: int
) -> Sequence[Life]:
    """Lives as held, but only used ones where more than ``capacity`` bytes would be alive."""
    lives = list(held)
    live = live_bytes(lives, steps)
    for index in sorted(range(len(lives)), key=lambda i: (-lives[i].size, i)):
        if lives[index] == own[index]:
            continue
        _, first, last = lives[index]
        if live[first : last + 1].max() > capacity:
            live[first : last + 1] -= own[index].size
            lives[index] = own[index]
            live[own[index].first : own[index].last + 1] += own[index].size
    return lives


def timed(
    network: Network, laid: Laid, locations: Mapping[str, Location], constants: Constants
) -> Timed | None:
    """The instructions in order; None where a step's constants do not fit together."""
    try:
        found = tasks(network, laid.steps, laid.addresses, locations, constants)
    except CapacityError:
        return None
    return Timed(laid, found, merge(found, network.chip, _replaced(laid), network.borders))


def as_it_runs(found: Timed, network: Network) -> Timed:
    """The same order with the times that it takes where tokens say who waits.

    Who waits only so that a tensor can be seen whole stands in order, but does not wait.
    """
    order = found.merged.order
    timed = in_order([found.tasks[i] for i in order], network.chip, network.borders)
    ends = dict(zip(order, timed.ends, strict=True))
    return replace(found, merged=Merged(order, [ends[index] for index in range(len(order))]))


def _replaced(laid: Laid) -> dict[int, list[int]]:
    """Blocks by the one that is put where they were, by their identities."""
    roots = [block for block in laid.blocks if block.inside is None]
    begins = np.array([laid.addresses[id(block)] for block in roots], np.int64)
    ends = begins + np.array([block.size for block in roots], np.int64)
    lasts = np.array([block.last for block in roots], np.int64)
    found: dict[int, list[int]] = {}
    for block, begin, end in zip(roots, begins, ends, strict=True):
        met = (lasts < block.first) & (begins < end) & (begin < ends)
        found[id(block)] = [id(roots[index]) for index in np.flatnonzero(met)]
    return found
