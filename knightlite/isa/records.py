"""What all instructions share: engines, memories, tiles, and the transfers between memories."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.isa.fields import address, bits, count
from knightlite.isa.operands import Access, Operand, Space, tile

TABLE_ENTRIES = 256  # of a table for 8-bit x
EXPONENTIALS = 256  # of a table of a softmax
TABLE_UNIT = 8  # bytes: tables of 8-bit x, and of exponentials, begin at a multiple of it
ACCUMULATOR_BYTES = 4  # a partial sum in FSPM
WIDE_ACCUMULATOR_BYTES = 8  # of 48 bits: a power of two, so that none straddles a bank word


class Engine(IntEnum):
    """The four queues."""

    RDMA = 0
    WDMA = 1
    RCCN = 2
    RCVT = 3


TYPES = (dtypes.U8, dtypes.S8, dtypes.S16)
TYPE_NAMES = tuple(item.name for item in TYPES)
FLAG = ("no", "yes")
SCRATCHPADS = (Space.FSPM, Space.WSPM, Space.MSPM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Fields that every instruction starts with (after its opcode byte)."""

    ENGINE: ClassVar[Engine]
    MNEMONIC: ClassVar[str]

    layer: int = bits(16, "index into the layer table of the .cfg, for reports")
    wait: int = bits(4, "bit e: consume one token from engine e before starting")
    signal: int = bits(4, "bit e: send one token to engine e when done")

    def operands(self) -> tuple[Operand, ...]:
        """Every byte run it touches; what it reads comes before what it writes."""
        raise NotImplementedError

    def accesses(self) -> tuple[Access, ...]:
        """Extents read and written; hazards and races are judged on them."""
        return tuple(item.extent for item in self.operands())

    def cycles(self, chip: Chip) -> int:
        """Cycles the engine is busy, without waiting for others."""
        raise NotImplementedError

    def macs(self) -> int:
        """Multiply-accumulates done."""
        return 0


Writer = Callable[[Any, int], None]  # of a field of an instruction
Reader = Callable[[Any], tuple[int, ...]]  # of all fields behind those three
_members: dict[type, tuple[Reader, Mapping[str, Writer]]] = {}  # made once per class
AnyInstruction = TypeVar("AnyInstruction", bound=Instruction)


def _members_of(record: type) -> tuple[Reader, Mapping[str, Writer]]:
    if record not in _members:
        names = [field.name for field in fields(record)]
        writers = {name: getattr(record, name).__set__ for name in names}
        _members[record] = (attrgetter(*names[3:]), writers)
    return _members[record]


def in_program(item: AnyInstruction, layer: int, wait: int, signal: int) -> AnyInstruction:
    """The same instruction of a layer, with its tokens: ``dataclasses.replace``, ten times faster.

    A program may have a hundred thousand of them.
    """
    read, writers = _members_of(type(item))
    made = object.__new__(type(item))
    values = (layer, wait, signal, *read(item))
    for write, value in zip(writers.values(), values, strict=True):
        write(made, value)
    return made


def all_of(
    record: type[AnyInstruction], columns: Mapping[str, NDArray[np.int64]]
) -> list[AnyInstruction]:
    """Instructions of one class from the values of each field, [n]: ten times faster than calls."""
    _, writers = _members_of(record)
    count = len(columns["layer"])
    made = [object.__new__(record) for _ in range(count)]
    for name, write in writers.items():
        deque(map(write, made, columns[name].tolist()), maxlen=0)  # a loop in C
    return made


@lru_cache(maxsize=1 << 14)
def _burst_bytes(
    run: int, columns: int, column_stride: int, rows: int, row_stride: int, burst: int
) -> int:
    """Bytes of the whole bursts of ``rows`` x ``columns`` runs; tiles of a layer are alike."""
    together = True
    bursts = -(-run // burst)
    for turns, stride in ((columns, column_stride), (rows, row_stride)):
        bursts *= turns
        together = together and (turns == 1 or run <= stride < run + burst)
        if together:
            run += (turns - 1) * stride
            bursts = min(bursts, -(-run // burst))
    return bursts * burst


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """Shared by Load and Store: rows x columns runs of bytes between DDR and a scratchpad."""

    ddr_address: int = address(40, "byte address in DDR", Space.DDR)
    ddr_row_stride: int = bits(32, "bytes between rows in DDR")
    ddr_column_stride: int = bits(32, "bytes between runs of a row in DDR")
    local_address: int = address(24, "byte address in the scratchpad", *SCRATCHPADS)
    local_row_stride: int = bits(24, "bytes between rows in the scratchpad")
    local_column_stride: int = bits(24, "bytes between runs of a row in the scratchpad")
    rows: int = count(16, "number of rows")
    columns: int = count(16, "runs per row")
    run_bytes: int = count(24, "contiguous bytes of a run")

    @property
    def payload_bytes(self) -> int:
        """Bytes moved."""
        return self.rows * self.columns * self.run_bytes

    def ddr_bytes(self, chip: Chip) -> int:
        """Bytes the DDR is occupied for: whole bursts.

        Runs with less than a burst between them may be one run (pixels of 3 bytes, 4 apart): a
        burst is moved once, and of what lies between the runs no byte is read or written. Where
        fewer bursts hold them apart they stay apart.
        """
        return _burst_bytes(
            self.run_bytes, self.columns, self.ddr_column_stride, self.rows, self.ddr_row_stride,
            chip.ddr_burst_bytes,
        )  # fmt: skip

    def ddr_side(self, write: bool) -> Operand:
        """Its runs in DDR."""
        return Operand(
            "DDR side", Space.DDR, self.ddr_address, self.rows, self.ddr_row_stride, self.columns,
            self.ddr_column_stride, self.run_bytes, write, 1,
        )  # fmt: skip

    def local_side(self, space: Space, write: bool) -> Operand:
        """Its runs in a scratchpad."""
        return Operand(
            "scratchpad side", space, self.local_address, self.rows, self.local_row_stride,
            self.columns, self.local_column_stride, self.run_bytes, write, 1,
        )  # fmt: skip

    def cycles(self, chip: Chip) -> int:
        """Setup, then the bursts at the DDR's effective rate."""
        return chip.dma_setup_cycles + chip.ddr_cycles(self.ddr_bytes(chip))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load(Transfer):
    """DDR to a scratchpad."""

    ENGINE: ClassVar[Engine] = Engine.RDMA
    MNEMONIC: ClassVar[str] = "load"

    space: int = bits(2, "destination", names=tuple(item.name for item in Space))

    def operands(self) -> tuple[Operand, ...]:
        """Reads DDR, writes the scratchpad."""
        return (self.ddr_side(False), self.local_side(Space(self.space), True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(Transfer):
    """FSPM to DDR."""

    ENGINE: ClassVar[Engine] = Engine.WDMA
    MNEMONIC: ClassVar[str] = "store"

    def operands(self) -> tuple[Operand, ...]:
        """Reads FSPM, writes DDR."""
        return (self.local_side(Space.FSPM, False), self.ddr_side(True))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureInstruction(Instruction):
    """Shared by all compute instructions: a feature tile x in FSPM, a result tile y in FSPM."""

    x_address: int = address(24, "FSPM address of the input tile", Space.FSPM)
    x_row_stride: int = bits(24, "bytes between input rows")
    x_column_stride: int = bits(16, "bytes between input pixels")
    x_height: int = count(16, "rows of the input tile")
    x_width: int = count(16, "pixels of an input row")
    x_channels: int = count(16, "input channels")
    x_type: int = bits(2, "input type", names=TYPE_NAMES)
    y_address: int = address(24, "FSPM address of the output tile", Space.FSPM)
    y_row_stride: int = bits(24, "bytes between output rows")
    y_column_stride: int = bits(16, "bytes between output pixels")
    y_height: int = count(16, "rows of the output tile")
    y_width: int = count(16, "pixels of an output row")
    y_channels: int = count(16, "output channels")
    y_type: int = bits(2, "output type", names=TYPE_NAMES)
    y_low: int = bits(16, "lower clamp of the output", signed=True)
    y_high: int = bits(16, "upper clamp of the output", signed=True)

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.y_height * self.y_width

    @property
    def x_bytes(self) -> int:
        """Bytes of an input element."""
        return TYPES[self.x_type].size_bytes

    @property
    def y_bytes(self) -> int:
        """Bytes of an output element."""
        return TYPES[self.y_type].size_bytes

    def x_tile(self) -> Operand:
        """The input tile."""
        return tile(
            "input tile", self.x_address, self.x_height, self.x_row_stride, self.x_width,
            self.x_column_stride, self.x_channels, TYPES[self.x_type],
        )  # fmt: skip

    def y_tile(self) -> Operand:
        """The output tile."""
        return tile(
            "output tile", self.y_address, self.y_height, self.y_row_stride, self.y_width,
            self.y_column_stride, self.y_channels, TYPES[self.y_type], write=True,
        )  # fmt: skip

    def operands(self) -> tuple[Operand, ...]:
        """x, y: all there is where a class does not say more."""
        return (self.x_tile(), self.y_tile())

    def vector_cycles(self, chip: Chip, elements: int, touched_bytes: int) -> int:
        """Setup, then lanes or FSPM banks, whichever is slower."""
        lanes = -(-elements // chip.vector_lanes)
        banks = -(-touched_bytes // chip.fspm_bytes_per_cycle)
        return chip.vector_setup_cycles + max(lanes, banks)

    def padded_channels(self, chip: Chip) -> int:
        """Channels rounded up to whole vector words: a pixel starts a new word."""
        lanes = chip.vector_lanes
        words = -(-self.y_channels // lanes)
        return self.y_channels if self.y_channels < lanes else words * lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowInstruction(FeatureInstruction):
    """Shared by instructions that slide a window over x."""

    kernel_height: int = count(8, "window rows")
    kernel_width: int = count(8, "window columns")
    stride_height: int = count(8, "rows between windows")
    stride_width: int = count(8, "columns between windows")
    pad_top: int = bits(8, "rows above x that the first window covers")
    pad_left: int = bits(8, "columns left of x that the first window covers")

    @property
    def dilations(self) -> tuple[int, int]:
        """Rows and columns between taps."""
        return 1, 1

    def covered(self) -> tuple[int, int]:
        """Rows and columns from the first tap of the first window to the last tap of the last."""
        down, right = self.dilations
        high = (self.y_height - 1) * self.stride_height + (self.kernel_height - 1) * down + 1
        wide = (self.y_width - 1) * self.stride_width + (self.kernel_width - 1) * right + 1
        return high, wide
