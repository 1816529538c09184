"""Instructions that differ in nothing but where their bytes lie, for which layer, and in tokens.

What they take, compute and move is the same: a program of a hundred thousand has a few thousand
kinds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from knightlite.isa.fields import layout
from knightlite.isa.operands import Space
from knightlite.isa.records import Instruction

Value = TypeVar("Value")

_APART = 1 << 48  # more than any memory holds
_ORDER = frozenset({"layer", "wait", "signal"})
_readers: dict[type, Callable[[Any], tuple[Any, ...]]] = {}  # of what kinds tell apart, per class


class Extents(NamedTuple):
    """Accesses of a program as columns, in program order: what ``Instruction.accesses`` says.

    [access] each: the instruction's number, the memory, bytes [first, last), whether it writes.
    """

    number: NDArray[np.int64]
    space: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    write: NDArray[np.bool_]

    def of(self, space: Space, begin: int, end: int) -> Extents:
        """Those of instructions [begin, end) in one memory."""
        asked = (self.space == space) & (begin <= self.number) & (self.number < end)
        return self.where(asked)

    def where(self, asked: NDArray[np.bool_]) -> Extents:
        """Those of which [access] ``asked`` is true."""
        return Extents(
            self.number[asked], self.space[asked], self.first[asked], self.last[asked],
            self.write[asked],
        )  # fmt: skip


class Alike:
    """A program by kinds. ``kinds``: the first instruction of each; ``kind_of``: [instruction]."""

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._instructions = instructions
        numbers: dict[tuple[Any, ...], int] = {}
        self.kinds: list[Instruction] = []
        self.kind_of: list[int] = []
        for item in instructions:
            record = type(item)
            reader = _readers.get(record) or _reader(record)
            number = numbers.setdefault((record, reader(item)), len(self.kinds))
            if number == len(self.kinds):
                self.kinds.append(item)
            self.kind_of.append(number)

    def each(self, function: Callable[[Instruction], Value]) -> list[Value]:
        """``function`` of every instruction; it may not look at what kinds do not tell apart.

        It is called once per kind.
        """
        return self.spread([function(item) for item in self.kinds])

    def spread(self, values: Sequence[Value]) -> list[Value]:
        """Of every instruction the value of its kind."""
        return [values[kind] for kind in self.kind_of]

    def extents(self) -> Extents:
        """All accesses. Those of a kind lie at the same distance from one of its addresses."""
        kind_of = np.array(self.kind_of, np.int64)
        by_kind = np.argsort(kind_of, kind="stable")
        ends = np.cumsum(np.bincount(kind_of, minlength=len(self.kinds)))
        parts = [np.empty((6, 0), np.int64)]
        for item, first, last in zip(self.kinds, [0, *ends], ends, strict=False):
            numbers = by_kind[first:last]
            names = _addresses(type(item))
            read = attrgetter(*names)
            at = np.array([read(self._instructions[n]) for n in numbers.tolist()], np.int64)
            at = at.reshape(len(numbers), len(names))
            for place, access in enumerate(_apart(item, names).accesses()):
                which, offset = divmod(access.first, _APART)
                begin = at[:, which] + offset
                columns = (
                    numbers, place, access.space, begin, begin + access.last - access.first,
                    access.write,
                )  # fmt: skip
                parts.append(np.stack(np.broadcast_arrays(*columns)))
        number, place, space, first, last, write = np.concatenate(parts, axis=1)
        order = np.lexsort((place, number))
        number, space, first, last, write = (
            column[order] for column in (number, space, first, last, write)
        )
        return Extents(number, space, first, last, write.astype(np.bool_))


def _addresses(record: type[Instruction]) -> tuple[str, ...]:
    return tuple(item.name for item in layout(record) if item.spaces)


def _apart(item: Instruction, names: Sequence[str]) -> Instruction:
    """The instruction with its addresses so far apart that each access tells whose it is."""
    changes: dict[str, Any] = {name: place * _APART for place, name in enumerate(names)}
    return replace(item, **changes)


def _reader(record: type[Instruction]) -> Callable[[Any], tuple[Any, ...]]:
    names = [item.name for item in layout(record) if not item.spaces and item.name not in _ORDER]
    _readers[record] = attrgetter(*names)
    return _readers[record]
