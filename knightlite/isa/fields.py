"""Bit fields of instructions, declared once: encoder, decoder, listing and ISA page use them.

An instruction is a frozen dataclass whose fields are made with :func:`bits`, :func:`count` and
:func:`address`.
Fields are packed from bit 0 upwards, little-endian, in the order of declaration; the record is
padded to 4 bytes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import and_, attrgetter, le, lshift
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import MachineError
from knightlite.isa.operands import Space

Array = NDArray[Any]


def bits(
    width: int,
    doc: str,
    *,
    signed: bool = False,
    names: tuple[str, ...] = (),
    at_least: int | None = None,
    spaces: tuple[Space, ...] = (),
    unit: int = 1,
) -> Any:
    """A field of ``width`` bits.

    ``names`` lists the meanings of its values, for the listing; ``at_least`` is its smallest value
    where that is not the smallest the bits can hold. ``spaces``, ``unit``: see :func:`address`.
    """
    lowest = -(1 << (width - 1)) if signed else 0
    return dataclasses.field(
        metadata={
            "width": width,
            "signed": signed,
            "doc": doc,
            "names": names,
            "minimum": lowest if at_least is None else at_least,
            "spaces": spaces,
            "unit": unit,
        }
    )


def count(width: int, doc: str) -> Any:
    """A field that counts, or divides: at least 1."""
    return bits(width, doc, at_least=1)


def address(width: int, doc: str, *spaces: Space, unit: int = 1) -> Any:
    """A field for a byte address in one of some memories.

    ``unit``: what lies there may have to lie at a multiple of so many bytes, a power of two.
    """
    return bits(width, doc, spaces=spaces, unit=unit)


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """Where a field lies: bits [offset, offset + width) of the record."""

    name: str
    offset: int
    width: int
    signed: bool
    doc: str
    names: tuple[str, ...]
    minimum: int  # the smallest value that makes sense
    spaces: tuple[Space, ...]  # an address in one of these memories
    unit: int  # bytes: what lies at the address may have to lie at a multiple of it
    maximum: int = dataclasses.field(init=False)  # the largest value that fits

    def __post_init__(self) -> None:
        """Counted once: every field of every instruction is held against it."""
        most = (1 << (self.width - self.signed)) - 1
        object.__setattr__(self, "maximum", most)


_layouts: dict[type, tuple[FieldLayout, ...]] = {}  # computed once per class


def layout(record: type) -> tuple[FieldLayout, ...]:
    """The layout of an instruction class."""
    if record not in _layouts:
        _layouts[record] = _make_layout(record)
    return _layouts[record]


def largest(record: type, name: str) -> int:
    """The largest value that a field of an instruction class can hold."""
    return next(item.maximum for item in layout(record) if item.name == name)


def _make_layout(record: type) -> tuple[FieldLayout, ...]:
    found = []
    offset = 0
    for item in dataclasses.fields(record):
        width = int(item.metadata["width"])
        found.append(
            FieldLayout(
                item.name,
                offset,
                width,
                bool(item.metadata["signed"]),
                str(item.metadata["doc"]),
                tuple(item.metadata["names"]),
                int(item.metadata["minimum"]),
                tuple(item.metadata["spaces"]),
                int(item.metadata["unit"]),
            )
        )
        offset += width
    return tuple(found)


def size_bytes(record: type) -> int:
    """Bytes of the packed fields, padded to 4."""
    last = layout(record)[-1]
    return -(-(last.offset + last.width) // 32) * 4


def pack(record: object) -> bytes:
    """The bytes of an instruction; MachineError where a value does not fit its field."""
    packing = _packing(type(record))
    numbers = packing.read(record)
    if not (all(map(le, packing.minima, numbers)) and all(map(le, numbers, packing.maxima))):
        raise _misfit(record, numbers)
    masked = map(and_, numbers, packing.masks)
    value: int = sum(map(lshift, masked, packing.offsets))
    return value.to_bytes(packing.size_bytes, "little")


class _Packing(NamedTuple):
    """A layout by columns, for the loops that run in C."""

    read: Callable[[object], tuple[int, ...]]
    minima: tuple[int, ...]
    maxima: tuple[int, ...]
    masks: tuple[int, ...]
    offsets: tuple[int, ...]
    size_bytes: int


_packings: dict[type, _Packing] = {}


def _packing(record: type) -> _Packing:
    if record not in _packings:
        _packings[record] = _make_packing(record)
    return _packings[record]


def _make_packing(record: type) -> _Packing:
    items = layout(record)
    return _Packing(
        attrgetter(*(item.name for item in items)),
        tuple(item.minimum for item in items),
        tuple(item.maximum for item in items),
        tuple((1 << item.width) - 1 for item in items),
        tuple(item.offset for item in items),
        size_bytes(record),
    )


def _misfit(record: object, numbers: Sequence[int]) -> MachineError:
    item, number = next(
        (item, number)
        for item, number in zip(layout(type(record)), numbers, strict=True)
        if not item.minimum <= number <= item.maximum
    )
    return MachineError(
        f"field {item.name} of {type(record).__name__} must lie in "
        f"[{item.minimum}, {item.maximum}], not {int(number)}."
    )


def unpack(record: type, rows: NDArray[np.uint8]) -> dict[str, Array]:
    """Field values of instructions of one class, int64 [n] each, from their bytes [n, bytes]."""
    found = {}
    for item in layout(record):
        first, last = item.offset // 8, -(-(item.offset + item.width) // 8)
        number = np.zeros(len(rows), np.int64)
        for place in range(first, last):
            number |= rows[:, place].astype(np.int64) << (8 * (place - first))
        number = number >> (item.offset % 8) & (1 << item.width) - 1
        if item.signed:
            number -= (number >> (item.width - 1)) << item.width
        found[item.name] = number
    return found


def spare_bits(record: type, rows: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[n]: whether bits behind the last field are set; none is where a record is sound."""
    last = layout(record)[-1]
    first, left = divmod(last.offset + last.width, 8)
    behind = rows[:, first:].copy()
    if left:
        behind[:, 0] >>= left
    found: NDArray[np.bool_] = np.any(behind, axis=1)
    return found


def too_small(record: type, values: Mapping[str, Array]) -> list[tuple[int, FieldLayout]]:
    """(instruction, its first field below its minimum) for all that have one."""
    found: dict[int, FieldLayout] = {}
    for item in layout(record):
        for number in np.flatnonzero(values[item.name] < item.minimum).tolist():
            found.setdefault(number, item)
    return sorted(found.items(), key=lambda one: one[0])
