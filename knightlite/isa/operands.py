"""What an instruction touches: strided runs of bytes of one memory, and their extents.

Every instruction declares its operands once. Tokens and races follow from the extents, the
simulator's checks and views from the exact runs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from knightlite.dtypes import DType

PARAMETER_BYTES = 8


class Space(IntEnum):
    """The memories."""

    DDR = 0
    FSPM = 1
    WSPM = 2
    MSPM = 3


class Access(NamedTuple):
    """Bytes [first, last) of one memory that an instruction reads or writes (its extent)."""

    space: Space
    first: int
    last: int
    write: bool


class Operand(NamedTuple):
    """``rows`` x ``columns`` runs of ``run`` contiguous bytes of one memory.

    ``outer``: further loops around the rows, as (turns, stride).
    """

    name: str
    space: Space
    address: int
    rows: int
    row_stride: int
    columns: int
    column_stride: int
    run: int
    write: bool
    unit: int  # bytes of one element: addresses and strides are multiples of it
    outer: tuple[tuple[int, int], ...] = ()

    @property
    def loops(self) -> tuple[tuple[int, int], ...]:
        """All loops as (turns, stride), the outermost first."""
        return (*self.outer, (self.rows, self.row_stride), (self.columns, self.column_stride))

    @property
    def last(self) -> int:
        """One past the last byte."""
        runs = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride
        if self.outer:
            runs += sum((turns - 1) * stride for turns, stride in self.outer)
        return self.address + runs + self.run

    @property
    def extent(self) -> Access:
        """All bytes from the first to the last one touched."""
        return Access(self.space, self.address, self.last, self.write)

    @property
    def overlaps_itself(self) -> bool:
        """Whether two of its runs may share bytes (no order of the loops nests)."""
        reach = self.run
        for stride, turns in sorted((stride, turns) for turns, stride in self.loops if turns > 1):
            if stride < reach:
                return True
            reach += (turns - 1) * stride
        return False


def tile(
    name: str, address: int, rows: int, row_stride: int, columns: int, column_stride: int,
    channels: int, dtype: DType, write: bool = False,
) -> Operand:  # fmt: skip
    """Pixels in FSPM, the channels of each in consecutive elements of ``dtype``."""
    size = dtype.size_bytes
    return Operand(
        name, Space.FSPM, address, rows, row_stride, columns, column_stride, channels * size,
        write, size,
    )  # fmt: skip


def flat(
    name: str, space: Space, address: int, size: int, unit: int, write: bool = False
) -> Operand:
    """``size`` bytes without a gap."""
    return Operand(name, space, address, 1, size, 1, size, size, write, unit)


def parameter_records(name: str, address: int, count: int) -> Operand:
    """Records of 8 bytes in MSPM: m s16, q u8, 0 u8, b s32."""
    return flat(name, Space.MSPM, address, count * PARAMETER_BYTES, PARAMETER_BYTES)
