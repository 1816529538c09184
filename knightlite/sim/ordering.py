"""Tokens, deadlock and races, decided once for every legal overlap of the queues.

Each engine works its own queue in order; tokens are counted per (sender, receiver), so the k-th
token consumed is the k-th one sent. From both follows a vector clock per instruction: how many
instructions of each engine have surely ended when it starts. Two accesses of different engines
that overlap, at least one a write, must be ordered by it; else their order depends on luck.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from itertools import product
from typing import NamedTuple

from knightlite.isa import Access, Engine, Instruction, Space
from knightlite.sim.faults import describe, fault

TOKEN_LIMIT = 255
_ENGINES = tuple(Engine)
_COUNT = len(_ENGINES)
_NAMES = tuple(engine.name for engine in _ENGINES)
_BITS = tuple(tuple(e for e in range(_COUNT) if mask >> e & 1) for mask in range(1 << _COUNT))

Clock = tuple[int, ...]


class Ordered(NamedTuple):
    """Position in the own queue (from 1), and how many of each queue have ended at its start."""

    engine: int
    position: int
    clock: Clock


def order(instructions: Sequence[Instruction], layers: Sequence[str]) -> list[Ordered]:
    """Vector clocks in program order; MachineError for a token that is missing or one too many."""
    found: list[Ordered] = []
    queue_clock: list[Clock] = [(0,) * _COUNT] * _COUNT
    lengths = [0] * _COUNT
    # per (sender, receiver): the clocks of the tokens sent, and the queue positions that took one
    sent: list[list[list[Clock]]] = [[[] for _ in _ENGINES] for _ in _ENGINES]
    taken: list[list[list[int]]] = [[[] for _ in _ENGINES] for _ in _ENGINES]
    for index, item in enumerate(instructions):
        engine = int(item.ENGINE)
        clock = queue_clock[engine]
        position = lengths[engine] + 1
        for sender in _BITS[item.wait]:
            tokens, takers = sent[sender][engine], taken[sender][engine]
            if len(takers) == len(tokens):
                raise _underflow(index, sender, instructions, layers)
            clock = tuple(map(max, clock, tokens[len(takers)]))
            takers.append(position)
        lengths[engine] = position
        found.append(Ordered(engine, position, clock))
        ended = (*clock[:engine], position, *clock[engine + 1 :])
        queue_clock[engine] = ended
        for receiver in _BITS[item.signal]:
            tokens = sent[engine][receiver]
            tokens.append(ended)
            if len(tokens) <= TOKEN_LIMIT:
                continue
            consumed = bisect_right(taken[engine][receiver], ended[receiver])
            if len(tokens) - consumed > TOKEN_LIMIT:
                sentence = (
                    f"may bring the token counter from {_NAMES[engine]} to {_NAMES[receiver]} to "
                    f"{len(tokens) - consumed}, beyond {TOKEN_LIMIT}."
                )
                raise fault(index, item, layers, sentence)
    _require_all_taken(sent, taken, instructions, layers)
    return found


def _require_all_taken(
    sent: Sequence[Sequence[Sequence[Clock]]],
    taken: Sequence[Sequence[Sequence[int]]],
    instructions: Sequence[Instruction],
    layers: Sequence[str],
) -> None:
    """MachineError where a counter is not back at 0: the next picture would start with it."""
    for sender, receiver in product(range(_COUNT), repeat=2):
        surplus = len(sent[sender][receiver]) - len(taken[sender][receiver])
        if surplus:
            index = max(
                index
                for index, item in enumerate(instructions)
                if sender == item.ENGINE and item.signal >> receiver & 1
            )
            sentence = (
                f"sends a token to {_NAMES[receiver]} that no instruction takes: {surplus} of "
                f"{_NAMES[sender]} would be left at the end."
            )
            raise fault(index, instructions[index], layers, sentence)


def _underflow(
    index: int, sender: int, instructions: Sequence[Instruction], layers: Sequence[str]
) -> Exception:
    item = instructions[index]
    name = _NAMES[sender]
    stuck = _stuck(instructions)
    earlier = instructions[:index]
    taken = sum(other.ENGINE == item.ENGINE and other.wait >> sender & 1 for other in earlier)
    sent = sum(sender == other.ENGINE and other.signal >> item.ENGINE & 1 for other in instructions)
    if sent <= taken:
        sentence = f"waits for a token of {name} that no instruction sends."
    elif index in stuck:
        others = ", ".join(describe(i, instructions[i], layers) for i in stuck if i != index)
        sentence = f"waits for a token of {name} and is in a deadlock with {others}."
    else:
        sentence = f"waits for a token of {name} that is sent only later in program order."
    return fault(index, item, layers, sentence)


def _stuck(instructions: Sequence[Instruction]) -> list[int]:
    """Run the queues without regard to program order; where they stop for good."""
    queues: list[list[int]] = [[] for _ in _ENGINES]
    for index, item in enumerate(instructions):
        queues[item.ENGINE].append(index)
    heads = [0] * _COUNT
    tokens = [[0] * _COUNT for _ in _ENGINES]
    moved = True
    while moved:
        moved = False
        for engine, queue in enumerate(queues):
            while heads[engine] < len(queue):
                item = instructions[queue[heads[engine]]]
                senders = _BITS[item.wait]
                if any(not tokens[sender][engine] for sender in senders):
                    break
                for sender in senders:
                    tokens[sender][engine] -= 1
                for receiver in _BITS[item.signal]:
                    tokens[engine][receiver] += 1
                heads[engine] += 1
                moved = True
    return sorted(
        queue[head] for queue, head in zip(queues, heads, strict=True) if head < len(queue)
    )


class _State(NamedTuple):
    """Who last wrote a segment of memory and who has read it since: (engine, position, index)."""

    writer: tuple[int, int, int] | None
    readers: tuple[tuple[int, int, int], ...]


_UNTOUCHED = _State(None, ())


class _History:
    """One memory as disjoint segments; ``states[i]`` holds on [starts[i], starts[i + 1]).

    Keeping only the last writer and the readers since loses nothing: what came before is ordered
    before them, because that was checked when they came. Readers of one engine replace each
    other, as its queue orders them.
    """

    def __init__(self) -> None:
        self.starts = [0]
        self.states = [_UNTOUCHED]

    def _cut(self, at: int) -> int:
        position = bisect_left(self.starts, at)
        if position == len(self.starts) or self.starts[position] != at:
            self.starts.insert(position, at)
            self.states.insert(position, self.states[position - 1])
        return position

    def touch(self, access: Access, who: tuple[int, int, int], clock: Clock) -> int | None:
        """Record an access; the index of an instruction that it is not ordered after, if any."""
        first = self._cut(access.first)
        last = self._cut(access.last)
        engine = who[0]
        for position in range(first, last):
            writer, readers = self.states[position]
            if writer and writer[0] != engine and writer[1] > clock[writer[0]]:
                return writer[2]
            if access.write:
                for reader in readers:
                    if reader[0] != engine and reader[1] > clock[reader[0]]:
                        return reader[2]
            else:
                others = tuple(reader for reader in readers if reader[0] != engine)
                self.states[position] = _State(writer, (*others, who))
        if access.write:
            self.starts[first:last] = [access.first]
            self.states[first:last] = [_State(who, ())]
        else:
            self._join(first, last)
        return None

    def _join(self, first: int, last: int) -> None:
        """Merge equal neighbours in [first, last), so that reads do not shatter the memory."""
        if last - first < 2:
            return
        starts, states = [self.starts[first]], [self.states[first]]
        for position in range(first + 1, last):
            if self.states[position] != states[-1]:
                starts.append(self.starts[position])
                states.append(self.states[position])
        self.starts[first:last] = starts
        self.states[first:last] = states


def check_races(
    instructions: Sequence[Instruction],
    ordered: Sequence[Ordered],
    layers: Sequence[str],
    touched: Sequence[Sequence[Access]] | None = None,
) -> None:
    """MachineError for the first two overlapping accesses that nothing orders.

    ``touched``: what each instruction accesses, where it is known already.
    """
    accesses = touched or [item.accesses() for item in instructions]
    memory = [_History() for _ in Space]  # a list: enumerations hash slowly
    for index, (place, found) in enumerate(zip(ordered, accesses, strict=True)):
        who = (place.engine, place.position, index)
        for access in found:
            other = memory[access.space].touch(access, who, place.clock)
            if other is not None:
                raise _race(index, other, access, instructions, layers)


def check_borders(
    instructions: Sequence[Instruction],
    ordered: Sequence[Ordered],
    layers: Sequence[str],
    borders: Collection[int],
) -> None:
    """MachineError for an instruction that may run while the host computes before it.

    ``borders``: the instructions before which it does. Behind one every queue begins when all that
    stands before it has ended.
    """
    ended = [0] * _COUNT
    waiting: dict[int, tuple[int, ...]] = {}  # queue -> what must have ended when it goes on
    for index, (item, place) in enumerate(zip(instructions, ordered, strict=True)):
        if index in borders:
            waiting = dict.fromkeys(range(_COUNT), tuple(ended))
        needed = waiting.pop(place.engine, ())
        for source, count in enumerate(needed):
            if source != place.engine and place.clock[source] < count:
                sentence = (
                    f"may start while the host computes what comes before it: no token says that "
                    f"{_NAMES[source]} is done."
                )
                raise fault(index, item, layers, sentence)
        ended[place.engine] = place.position


def _race(
    index: int,
    other: int,
    access: Access,
    instructions: Sequence[Instruction],
    layers: Sequence[str],
) -> Exception:
    theirs = next(
        found
        for found in instructions[other].accesses()
        if found.space == access.space
        and found.first < access.last
        and access.first < found.last
        and (found.write or access.write)
    )
    verbs = ["writes" if item.write else "reads" for item in (access, theirs)]
    sentence = (
        f"{verbs[0]} {access.space.name} [{access.first:#x}, {access.last:#x}), a race with "
        f"{describe(other, instructions[other], layers)}, which {verbs[1]} "
        f"[{theirs.first:#x}, {theirs.last:#x}): no token orders them."
    )
    return fault(index, instructions[index], layers, sentence)
