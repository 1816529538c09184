"""The instructions: one frozen record each, with what it touches and what it costs.

Engines have in-order queues. An instruction starts when its queue reaches it and, for every
engine in ``wait``, one token from that engine has arrived (and is consumed). When it ends it
sends one token to every engine in ``signal``. FSPM features lie pixel by pixel: row stride, column
(pixel) stride, channels contiguous. Parameters in MSPM are 8-byte records:
m s16, q u8, 0 u8, b s32.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from knightlite.chip import Chip
from knightlite.isa.fields import address, bits, count
from knightlite.isa.matrix import Matrix
from knightlite.isa.operands import (
    PARAMETER_BYTES,
    Operand,
    Space,
    flat,
    parameter_records,
    tile,
)
from knightlite.isa.records import (
    EXPONENTIALS,
    FLAG,
    TABLE_ENTRIES,
    TABLE_UNIT,
    TYPE_NAMES,
    TYPES,
    Engine,
    FeatureInstruction,
    Instruction,
    Load,
    Store,
    WindowInstruction,
)
from knightlite.isa.sparse import SparseMatrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine(FeatureInstruction):
    """``y = clamp(rne((x*m_c + b_c) / 2^q_c))`` per channel, parameters in MSPM.

    Two-sided: the records of all channels for x >= 0, then those of all channels for x < 0.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "affine"

    parameter_address: int = address(
        20, "MSPM address of the parameters, per channel", Space.MSPM, unit=PARAMETER_BYTES
    )
    two_sided: int = bits(1, "negative x has a second set of parameters", names=FLAG)

    @property
    def records(self) -> int:
        """Parameter records that are read."""
        return self.y_channels * (2 if self.two_sided else 1)

    def parameters(self) -> Operand:
        """Its records."""
        return parameter_records("parameters", self.parameter_address, self.records)

    def operands(self) -> tuple[Operand, ...]:
        """x, parameters, y."""
        return (self.x_tile(), self.parameters(), self.y_tile())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        return self.vector_cycles(chip, elements, elements * (self.x_bytes + self.y_bytes))


class EltwiseMode(IntEnum):
    """What Eltwise computes."""

    ADD = 0
    MUL = 1
    MAX = 2
    MIN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Eltwise(FeatureInstruction):
    """Add: ``clamp(rne((x*m + z*n) / 2^q))``; Mul: ``clamp(rne(x*z*m / 2^q))``.

    Max and Min: ``clamp(rne(max(x*m, z*n) / 2^q))``. z has x's height, width and channels; a row
    or column stride of 0 broadcasts one row or column, ``z_broadcast`` one channel.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "eltwise"

    mode: int = bits(2, "operation", names=tuple(item.name for item in EltwiseMode))
    z_address: int = address(24, "FSPM address of the second tile", Space.FSPM)
    z_row_stride: int = bits(24, "bytes between its rows, 0 to broadcast")
    z_column_stride: int = bits(16, "bytes between its pixels, 0 to broadcast")
    z_broadcast: int = bits(1, "one channel of z serves all channels of x", names=FLAG)
    z_type: int = bits(2, "its type", names=TYPE_NAMES)
    multiplier: int = bits(24, "factor of x, or of the product (Mul)", signed=True)
    z_multiplier: int = bits(24, "factor of z (not Mul)", signed=True)
    shift: int = bits(6, "right shift")

    @property
    def z_channels(self) -> int:
        """Channels of the second tile."""
        return 1 if self.z_broadcast else self.y_channels

    def z_tile(self) -> Operand:
        """The second tile."""
        return tile(
            "second tile", self.z_address, self.y_height, self.z_row_stride, self.y_width,
            self.z_column_stride, self.z_channels, TYPES[self.z_type],
        )  # fmt: skip

    def operands(self) -> tuple[Operand, ...]:
        """x, z, y."""
        return (self.x_tile(), self.z_tile(), self.y_tile())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        touched = self.x_bytes + TYPES[self.z_type].size_bytes + self.y_bytes
        return self.vector_cycles(chip, elements, elements * touched)


class PoolMode(IntEnum):
    """What Pool computes."""

    MAX = 0
    SUM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(WindowInstruction):
    """Max: maximum over the window, outside x the type's minimum. Sum: requantized, outside 0."""

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "pool"

    mode: int = bits(1, "operation", names=tuple(item.name for item in PoolMode))
    multiplier: int = bits(16, "factor of the sum", signed=True)
    shift: int = bits(5, "right shift of the sum")

    def cycles(self, chip: Chip) -> int:
        """One tap per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        taps = self.kernel_height * self.kernel_width
        touched = taps * self.x_bytes + self.y_bytes
        return self.vector_cycles(chip, elements * taps, elements * touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(FeatureInstruction):
    """``y = clamp(table[x - minimum of x's type])``: 256 entries of y's type in MSPM for 8-bit x.

    For s16 x the 2^n + 1 entries e are s16 at the ends of 2^n intervals of F = 2^(16-n) codes:
    ``clamp(rne((e_i * (F-f) + e_{i+1} * f) / (F * 2^fraction)))``, i = (x + 32768) div F, f its
    rest.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "lookup"

    table_address: int = address(20, "MSPM address of the table", Space.MSPM, unit=TABLE_UNIT)
    intervals: int = bits(4, "n: log2 of the intervals for s16 x, 8 to 12; 0 for 8-bit x")
    fraction: int = bits(4, "fraction bits of the entries for s16 x; 0 for 8-bit x")

    @property
    def table_bytes(self) -> int:
        """Bytes of the table."""
        if self.intervals:
            return 2 * ((1 << self.intervals) + 1)
        return TABLE_ENTRIES * self.y_bytes

    def table(self) -> Operand:
        """Its entries."""
        unit = 2 if self.intervals else TABLE_UNIT
        return flat("table", Space.MSPM, self.table_address, self.table_bytes, unit)

    def operands(self) -> tuple[Operand, ...]:
        """x, table, y."""
        return (self.x_tile(), self.table(), self.y_tile())

    def cycles(self, chip: Chip) -> int:
        """One entry per lane and cycle: one for 8-bit x, two for s16."""
        elements = self.pixels * self.padded_channels(chip)
        reads = elements * (2 if self.intervals else 1)
        return self.vector_cycles(chip, reads, elements * (self.x_bytes + self.y_bytes))


class ResizeMode(IntEnum):
    """What Resize computes."""

    NEAREST = 0
    LINEAR = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(FeatureInstruction):
    """Rows and columns at p = (o*step + offset) / unit, inside x: nearest or linear.

    Nearest: x at floor(p). Linear: p is clamped to x first, its fraction in steps of 1/unit is the
    weight of the next element: ``clamp(rne(sum of 4 (w_row * w_column * x) * m / 2^q))``.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "resize"

    mode: int = bits(1, "operation", names=tuple(item.name for item in ResizeMode))
    step_height: int = bits(32, "row positions between output rows, in 1/unit_height")
    offset_height: int = bits(32, "row position of the first output row", signed=True)
    unit_height: int = count(32, "denominator of row positions")
    step_width: int = bits(32, "column positions between output pixels, in 1/unit_width")
    offset_width: int = bits(32, "column position of the first output pixel", signed=True)
    unit_width: int = count(32, "denominator of column positions")
    multiplier: int = bits(16, "factor of the weighted sum (linear)", signed=True)
    shift: int = bits(6, "right shift of the weighted sum (linear)")

    def cycles(self, chip: Chip) -> int:
        """One element read per lane and cycle: one for nearest, four for linear."""
        elements = self.pixels * self.padded_channels(chip)
        taps = 4 if self.mode == ResizeMode.LINEAR else 1
        touched = taps * self.x_bytes + self.y_bytes
        return self.vector_cycles(chip, elements * taps, elements * touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Instruction):
    """Bytes of FSPM to other places in FSPM: four nested loops, a run of bytes each turn.

    x and y share no byte, and no byte of y is written twice. Unused loops turn once.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "move"

    x_address: int = address(24, "FSPM address of the first run read", Space.FSPM)
    y_address: int = address(24, "FSPM address of the first run written", Space.FSPM)
    run_bytes: int = count(24, "contiguous bytes of a run")
    count0: int = count(16, "turns of loop 0, the outermost")
    x_stride0: int = bits(24, "bytes that a turn of loop 0 goes on in x")
    y_stride0: int = bits(24, "bytes that a turn of loop 0 goes on in y")
    count1: int = count(16, "turns of loop 1")
    x_stride1: int = bits(24, "bytes that a turn of loop 1 goes on in x")
    y_stride1: int = bits(24, "bytes that a turn of loop 1 goes on in y")
    count2: int = count(16, "turns of loop 2")
    x_stride2: int = bits(24, "bytes that a turn of loop 2 goes on in x")
    y_stride2: int = bits(24, "bytes that a turn of loop 2 goes on in y")
    count3: int = count(16, "turns of loop 3, the innermost")
    x_stride3: int = bits(24, "bytes that a turn of loop 3 goes on in x")
    y_stride3: int = bits(24, "bytes that a turn of loop 3 goes on in y")

    @property
    def loops(self) -> tuple[tuple[int, int, int], ...]:
        """(turns, stride in x, stride in y), the outermost first."""
        return (
            (self.count0, self.x_stride0, self.y_stride0),
            (self.count1, self.x_stride1, self.y_stride1),
            (self.count2, self.x_stride2, self.y_stride2),
            (self.count3, self.x_stride3, self.y_stride3),
        )

    def operands(self) -> tuple[Operand, ...]:
        """x, y."""
        return (
            self._side("source", self.x_address, 1, False),
            self._side("destination", self.y_address, 2, True),
        )

    def _side(self, name: str, address: int, stride: int, write: bool) -> Operand:
        """x or y; ``stride``: where its stride stands in ``loops``."""
        *outer, rows, columns = ((loop[0], loop[stride]) for loop in self.loops)
        return Operand(
            name, Space.FSPM, address, *rows, *columns, self.run_bytes, write, 1, tuple(outer)
        )

    def cycles(self, chip: Chip) -> int:
        """Setup, then one bank word read and one written per cycle, through a byte crossbar.

        A cycle moves the bytes that lie in one word of x and belong into one word of y: along
        the innermost loop as many cycles as pairs of words meet, or as its runs take one by one.
        No more bytes than the engine has lanes.
        """
        word = chip.fspm_bank_bytes_per_cycle
        one_by_one = self.count3 * -(-self.run_bytes // word)
        x_words, y_words = (
            -(-((self.count3 - 1) * stride + self.run_bytes) // word)
            for stride in (self.x_stride3, self.y_stride3)
        )
        turns = self.count0 * self.count1 * self.count2
        words = turns * min(one_by_one, x_words + y_words - 1)
        lanes = -(-turns * self.count3 * self.run_bytes // chip.vector_lanes)
        return chip.vector_setup_cycles + max(words, lanes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(FeatureInstruction):
    """Per pixel ``y = clamp(rne(e_c * n / sum(e)))`` over channels, ``e_c = table[max x - x_c]``.

    The table holds 256 entries u16 in MSPM; ``fine``: u32 of at most 2^30. For s16 x, which is
    fine, a second one follows it, and with d = max x - x_c the exponential is
    ``e_c = floor(table[d mod 256] * second[d div 256] / 2^30)``. Sums are exact, of up to 65535
    channels below 2^46; where one is 0, so is y.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "softmax"

    table_address: int = address(20, "MSPM address of the table", Space.MSPM, unit=TABLE_UNIT)
    numerator: int = bits(16, "n: what a share of 1 becomes")
    fine: int = bits(1, "exponentials are u32 of at most 2^30, else u16", names=FLAG)

    @property
    def tables(self) -> int:
        """Tables in a row: for s16 x a second one, of steps of 256."""
        return 2 if TYPES[self.x_type].bits == 16 else 1

    def table(self) -> Operand:
        """Its exponentials."""
        size = self.tables * EXPONENTIALS * (4 if self.fine else 2)
        return flat("table", Space.MSPM, self.table_address, size, TABLE_UNIT)

    def operands(self) -> tuple[Operand, ...]:
        """x, table, y."""
        return (self.x_tile(), self.table(), self.y_tile())

    def cycles(self, chip: Chip) -> int:
        """Maximum, sum, quotient: a pass over x each, one element per lane and cycle.

        The latter two read a table once, or twice for s16 x.
        """
        elements = self.pixels * self.padded_channels(chip)
        touched = elements * (3 * self.x_bytes + self.y_bytes)
        return self.vector_cycles(chip, elements * (1 + 2 * self.tables), touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick(FeatureInstruction):
    """Per pixel ``y = clamp(c)``, the channel of the largest x, or of the smallest (``least``).

    Of equals the first one, or the last (``last``). y has one channel, and the pixels of x.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "pick"

    least: int = bits(1, "the smallest x is picked, not the largest", names=FLAG)
    last: int = bits(1, "of equals the last is picked, not the first", names=FLAG)

    def cycles(self, chip: Chip) -> int:
        """One element of x per lane and cycle: a pixel starts a new word, as in a softmax."""
        lanes, channels = chip.vector_lanes, self.x_channels
        elements = self.pixels * (channels if channels < lanes else -(-channels // lanes) * lanes)
        touched = elements * self.x_bytes + self.pixels * self.y_bytes
        return self.vector_cycles(chip, elements, touched)


ALL_INSTRUCTIONS: tuple[type[Instruction], ...] = (
    Load,
    Store,
    Matrix,
    Affine,
    Eltwise,
    Pool,
    Lookup,
    Resize,
    Move,
    Softmax,
    SparseMatrix,
    Pick,
)  # the opcode is the position plus one
