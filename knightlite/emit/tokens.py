"""Tokens from hazards: an instruction waits for the latest earlier one that it must not overtake.

Queues are in order, so a wait on instruction j of a queue also covers everything before j there.
Between two engines only waits on ever later instructions remain, each one token, in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from knightlite.isa import Engine, Instruction, Space

_ENGINES = tuple(Engine)
_Accesses = list[tuple[int, int, int]]  # first byte, last byte, instruction index


def with_tokens(instructions: Sequence[Instruction], in_turn: bool = False) -> list[Instruction]:
    """The same instructions with ``wait`` and ``signal`` set from what they touch.

    ``in_turn``: the first load of a layer also waits for the last store before it.
    """
    count = len(instructions)
    wait, signal = [0] * count, [0] * count
    seen: dict[tuple[Engine, Space, bool], _Accesses] = {}
    waited = {(source, target): -1 for source in Engine for target in Engine}
    layer, stored = -1, -1  # that is loading; the last store so far
    for index, item in enumerate(instructions):
        accesses = item.accesses()
        begins = in_turn and item.ENGINE is Engine.RDMA and item.layer != layer
        if begins:
            layer = item.layer
        for source in _ENGINES:
            if source == item.ENGINE:
                continue
            latest = waited[source, item.ENGINE]
            if begins and source is Engine.WDMA:
                latest = max(latest, stored)
            for access in accesses:
                for write in (True, False) if access.write else (True,):
                    history = seen.get((source, access.space, write))
                    if history:
                        latest = _latest(history, access.first, access.last, latest)
            if latest > waited[source, item.ENGINE]:
                waited[source, item.ENGINE] = latest
                wait[index] |= 1 << source
                signal[latest] |= 1 << item.ENGINE
        if item.ENGINE is Engine.WDMA:
            stored = index
        for access in accesses:
            key = (item.ENGINE, access.space, access.write)
            seen.setdefault(key, []).append((access.first, access.last, index))
    return [
        replace(item, wait=wait[index], signal=signal[index])
        for index, item in enumerate(instructions)
    ]


def _latest(history: _Accesses, first: int, last: int, floor: int) -> int:
    """The latest instruction after ``floor`` whose bytes meet [first, last), else ``floor``."""
    for begin, end, index in reversed(history):
        if index <= floor:
            break
        if begin < last and first < end:
            return index
    return floor
