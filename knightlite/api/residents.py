"""Networks beside each other on one chip: what one leaves in WSPM or MSPM is no other's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knightlite.api.models.binary import Binary
from knightlite.errors import CapacityError
from knightlite.isa import Load, Space, disassemble

MEMORIES = (Space.WSPM, Space.MSPM)


@dataclass(frozen=True, slots=True)
class ScratchpadUse:
    """What a network uses of a memory, bytes [first, last); ``stays``: from frame to frame."""

    network: str
    memory: str
    first: int
    last: int
    stays: bool


def side_by_side(binaries: Sequence[Binary]) -> tuple[ScratchpadUse, ...]:
    """What each network uses; CapacityError where one would overwrite what stays of another."""
    found = tuple(use for binary in binaries for use in _uses(binary))
    for one, other in itertools.combinations(found, 2):
        same = one.memory == other.memory and (one.stays or other.stays)
        if same and one.first < other.last and other.first < one.last:
            raise CapacityError(
                f"network {one.network} uses bytes {one.first} to {one.last} of {one.memory}, and "
                f"{other.network} {other.first} to {other.last}, of which some stay there.",
                f"compile with other offsets: --onceload-{one.memory[0].lower()}",
            )
    return found


def _uses(binary: Binary) -> Iterator[ScratchpadUse]:
    meta = binary.program.meta
    code = disassemble(binary.program.code)
    for memory in MEMORIES:
        size = getattr(meta.once, f"{memory.name.lower()}_bytes") if meta.once else 0
        if size:
            first = getattr(meta.once, f"{memory.name.lower()}_address")
            yield ScratchpadUse(meta.name, memory.name, first, first + size, True)
            continue
        loads = (item for item in code if isinstance(item, Load) and item.space == memory)
        last = max((item.local_side(memory, True).last for item in loads), default=0)
        if last:
            yield ScratchpadUse(meta.name, memory.name, 0, last, False)
