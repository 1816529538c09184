"""The instructions: one frozen record each, with what it touches and what it costs.

Engines have in-order queues. An instruction starts when its queue reaches it and, for every
engine in ``wait``, one token from that engine has arrived (and is consumed). When it ends it
sends one token to every engine in ``signal``. FSPM features lie pixel by pixel: row stride, column
(pixel) stride, channels contiguous. Parameters in MSPM are 8-byte records:
m s16, q u8, 0 u8, b s32.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, NamedTuple

from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.isa.fields import bits

PARAMETER_BYTES = 8
TABLE_BYTES = 256
EXPONENTIAL_BYTES = 512
ACCUMULATOR_BYTES = 4


class Engine(IntEnum):
    """The four queues."""

    RDMA = 0
    WDMA = 1
    RCCN = 2
    RCVT = 3


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


TYPES = (dtypes.U8, dtypes.S8, dtypes.S16)
TYPE_NAMES = tuple(item.name for item in TYPES)
FLAG = ("no", "yes")


def _extent(
    space: Space, address: int, rows: int, row_stride: int, columns: int, column_stride: int,
    run: int, write: bool,
) -> Access:  # fmt: skip
    last = address + (rows - 1) * row_stride + (columns - 1) * column_stride + run
    return Access(space, address, last, write)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """Fields that every instruction starts with (after its opcode byte)."""

    ENGINE: ClassVar[Engine]
    MNEMONIC: ClassVar[str]

    layer: int = bits(16, "index into the layer table of the .cfg, for reports")
    wait: int = bits(4, "bit e: consume one token from engine e before starting")
    signal: int = bits(4, "bit e: send one token to engine e when done")

    def accesses(self) -> tuple[Access, ...]:
        """Extents read and written; hazards and races are judged on them."""
        raise NotImplementedError

    def cycles(self, chip: Chip) -> int:
        """Cycles the engine is busy, without waiting for others."""
        raise NotImplementedError

    def macs(self) -> int:
        """Multiply-accumulates done."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Instruction):
    """Shared by Load and Store: rows x columns runs of bytes between DDR and a scratchpad."""

    ddr_address: int = bits(40, "byte address in DDR")
    ddr_row_stride: int = bits(32, "bytes between rows in DDR")
    ddr_column_stride: int = bits(32, "bytes between runs of a row in DDR")
    local_address: int = bits(24, "byte address in the scratchpad")
    local_row_stride: int = bits(24, "bytes between rows in the scratchpad")
    local_column_stride: int = bits(24, "bytes between runs of a row in the scratchpad")
    rows: int = bits(16, "number of rows")
    columns: int = bits(16, "runs per row")
    run_bytes: int = bits(24, "contiguous bytes of a run")

    @property
    def payload_bytes(self) -> int:
        """Bytes moved."""
        return self.rows * self.columns * self.run_bytes

    def ddr_bytes(self, chip: Chip) -> int:
        """Bytes the DDR is occupied for: whole bursts, runs that touch count as one."""
        run, count = self.run_bytes, self.rows * self.columns
        if self.columns == 1 or self.ddr_column_stride == run:
            run, count = run * self.columns, self.rows
            if self.rows == 1 or self.ddr_row_stride == run:
                run, count = run * self.rows, 1
        burst = chip.ddr_burst_bytes
        return count * -(-run // burst) * burst

    def ddr_extent(self, write: bool) -> Access:
        """The DDR bytes from the first to the last one touched."""
        return _extent(
            Space.DDR, self.ddr_address, self.rows, self.ddr_row_stride, self.columns,
            self.ddr_column_stride, self.run_bytes, write,
        )  # fmt: skip

    def local_extent(self, space: Space, write: bool) -> Access:
        """The scratchpad bytes from the first to the last one touched."""
        return _extent(
            space, self.local_address, self.rows, self.local_row_stride, self.columns,
            self.local_column_stride, self.run_bytes, write,
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

    def accesses(self) -> tuple[Access, ...]:
        """Reads DDR, writes the scratchpad."""
        return (self.ddr_extent(False), self.local_extent(Space(self.space), True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store(Transfer):
    """FSPM to DDR."""

    ENGINE: ClassVar[Engine] = Engine.WDMA
    MNEMONIC: ClassVar[str] = "store"

    def accesses(self) -> tuple[Access, ...]:
        """Reads FSPM, writes DDR."""
        return (self.local_extent(Space.FSPM, False), self.ddr_extent(True))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureInstruction(Instruction):
    """Shared by all compute instructions: a feature tile x in FSPM, a result tile y in FSPM."""

    x_address: int = bits(24, "FSPM address of the input tile")
    x_row_stride: int = bits(24, "bytes between input rows")
    x_column_stride: int = bits(16, "bytes between input pixels")
    x_height: int = bits(16, "rows of the input tile")
    x_width: int = bits(16, "pixels of an input row")
    x_channels: int = bits(16, "input channels")
    x_type: int = bits(2, "input type", names=TYPE_NAMES)
    y_address: int = bits(24, "FSPM address of the output tile")
    y_row_stride: int = bits(24, "bytes between output rows")
    y_column_stride: int = bits(16, "bytes between output pixels")
    y_height: int = bits(16, "rows of the output tile")
    y_width: int = bits(16, "pixels of an output row")
    y_channels: int = bits(16, "output channels")
    y_type: int = bits(2, "output type", names=TYPE_NAMES)
    y_low: int = bits(16, "lower clamp of the output", signed=True)
    y_high: int = bits(16, "upper clamp of the output", signed=True)

    @property
    def pixels(self) -> int:
        """Output pixels."""
        return self.y_height * self.y_width

    def x_extent(self) -> Access:
        """FSPM bytes of the input tile."""
        return _extent(
            Space.FSPM, self.x_address, self.x_height, self.x_row_stride, self.x_width,
            self.x_column_stride, self.x_channels * TYPES[self.x_type].size_bytes, False,
        )  # fmt: skip

    def y_extent(self) -> Access:
        """FSPM bytes of the output tile."""
        return _extent(
            Space.FSPM, self.y_address, self.y_height, self.y_row_stride, self.y_width,
            self.y_column_stride, self.y_channels * TYPES[self.y_type].size_bytes, True,
        )  # fmt: skip

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

    kernel_height: int = bits(8, "window rows")
    kernel_width: int = bits(8, "window columns")
    stride_height: int = bits(8, "rows between windows")
    stride_width: int = bits(8, "columns between windows")
    pad_top: int = bits(8, "rows above x that the first window covers")
    pad_left: int = bits(8, "columns left of x that the first window covers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(WindowInstruction):
    """A convolution tile: [affine on x] -> multiply-accumulate -> [requantize -> [residual add]].

    An input pixel (oy*stride - pad_top + ky*dilation, ...) outside x is 0, after the prologue.
    Accumulators are s32, saturating. Channels lie group by group: output channel c reads the
    ``group_inputs`` input channels of group c // (y_channels / groups). Weights in WSPM: row
    (ky*kernel_width + kx)*group_inputs + ci, one byte per output channel, rows
    ``weight_row_bytes`` apart; depthwise: row ky*kernel_width + kx.
    """

    ENGINE: ClassVar[Engine] = Engine.RCCN
    MNEMONIC: ClassVar[str] = "matrix"

    dilation_height: int = bits(8, "rows between taps")
    dilation_width: int = bits(8, "columns between taps")
    depthwise: int = bits(1, "each output channel reads its own input channel", names=FLAG)
    groups: int = bits(16, "groups of channels in the tile; 1: each output reads every input")
    weight_address: int = bits(24, "WSPM address of the weights")
    weight_row_bytes: int = bits(16, "bytes between weight rows")
    prologue: int = bits(1, "x goes through clamp(rne((x*m + b) / 2^q)) first", names=FLAG)
    prologue_address: int = bits(20, "MSPM address of the prologue's parameters, per input channel")
    prologue_type: int = bits(2, "type after the prologue", names=TYPE_NAMES)
    prologue_low: int = bits(16, "lower clamp of the prologue", signed=True)
    prologue_high: int = bits(16, "upper clamp of the prologue", signed=True)
    accumulate_in: int = bits(1, "start from the partial sums at accumulator_address", names=FLAG)
    accumulate_out: int = bits(1, "leave partial sums there instead of requantizing", names=FLAG)
    accumulator_address: int = bits(24, "FSPM address of s32 partial sums [pixel][output channel]")
    parameter_address: int = bits(20, "MSPM address of the requantize parameters, per channel")
    residual: int = bits(1, "add a second tile after requantizing", names=FLAG)
    residual_address: int = bits(24, "FSPM address of the second tile")
    residual_row_stride: int = bits(24, "bytes between its rows")
    residual_column_stride: int = bits(16, "bytes between its pixels")
    residual_type: int = bits(2, "its type", names=TYPE_NAMES)
    middle_type: int = bits(2, "type of the requantized value before the add", names=TYPE_NAMES)
    middle_low: int = bits(16, "lower clamp before the add", signed=True)
    middle_high: int = bits(16, "upper clamp before the add", signed=True)
    multiplier: int = bits(16, "factor of the requantized value in the add", signed=True)
    residual_multiplier: int = bits(16, "factor of the second tile in the add", signed=True)
    shift: int = bits(5, "common right shift of the add")

    def taps(self) -> int:
        """Window positions."""
        return self.kernel_height * self.kernel_width

    @property
    def group_inputs(self) -> int:
        """Input channels that an output channel reads."""
        return 1 if self.depthwise else self.x_channels // max(1, self.groups)

    @property
    def group_outputs(self) -> int:
        """Output channels that read the same input channels."""
        return 1 if self.depthwise else self.y_channels // max(1, self.groups)

    def macs(self) -> int:
        """Multiply-accumulates done."""
        return self.pixels * self.y_channels * self.weight_rows()

    def weight_rows(self) -> int:
        """Rows of the weight tile."""
        return self.taps() * self.group_inputs

    def accesses(self) -> tuple[Access, ...]:
        """x, weights, parameters, partial sums, residual and y."""
        last = self.weight_address + (self.weight_rows() - 1) * self.weight_row_bytes
        found = [
            self.x_extent(),
            Access(Space.WSPM, self.weight_address, last + self.y_channels, False),
        ]
        if self.prologue:
            size = self.x_channels * PARAMETER_BYTES
            found.append(
                Access(Space.MSPM, self.prologue_address, self.prologue_address + size, False)
            )
        sums = self.accumulator_address + self.pixels * self.y_channels * ACCUMULATOR_BYTES
        if self.accumulate_in:
            found.append(Access(Space.FSPM, self.accumulator_address, sums, False))
        if self.accumulate_out:
            found.append(Access(Space.FSPM, self.accumulator_address, sums, True))
            return tuple(found)
        size = self.y_channels * PARAMETER_BYTES
        found.append(
            Access(Space.MSPM, self.parameter_address, self.parameter_address + size, False)
        )
        if self.residual:
            found.append(
                _extent(
                    Space.FSPM, self.residual_address, self.y_height, self.residual_row_stride,
                    self.y_width, self.residual_column_stride,
                    self.y_channels * TYPES[self.residual_type].size_bytes, False,
                )
            )  # fmt: skip
        found.append(self.y_extent())
        return tuple(found)

    def cycles(self, chip: Chip) -> int:
        """Blocks of input lanes x output lanes, one per cycle; depthwise: lanes x one tap.

        As many whole groups as fit a block share it. Partial sums pass through FSPM beside them:
        whichever is slower.
        """
        ins, outs = self.group_inputs, self.group_outputs
        if self.depthwise:
            blocks = -(-self.y_channels // chip.depthwise_lanes) * self.taps()
        else:
            fitting = min(
                chip.matrix_input_lanes // max(1, ins), chip.matrix_output_lanes // max(1, outs)
            )
            blocks = -(-self.groups // max(1, fitting)) * -(-outs // chip.matrix_output_lanes)
            if self.groups == 1 and ins <= chip.matrix_packed_channels:
                packed = self.kernel_width * chip.matrix_packed_channels
                blocks *= self.kernel_height * -(-packed // chip.matrix_input_lanes)
            else:
                blocks *= self.taps() * -(-ins // chip.matrix_input_lanes)
        directions = self.accumulate_in + self.accumulate_out
        sums = self.pixels * self.y_channels * ACCUMULATOR_BYTES * directions
        banks = -(-sums // chip.fspm_bytes_per_cycle)
        return chip.matrix_setup_cycles + max(self.pixels * blocks, banks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine(FeatureInstruction):
    """``y = clamp(rne((x*m_c + b_c) / 2^q_c))`` per channel, parameters in MSPM.

    Two-sided: the records of all channels for x >= 0, then those of all channels for x < 0.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "affine"

    parameter_address: int = bits(20, "MSPM address of the parameters, per channel")
    two_sided: int = bits(1, "negative x has a second set of parameters", names=FLAG)

    @property
    def records(self) -> int:
        """Parameter records that are read."""
        return self.y_channels * (2 if self.two_sided else 1)

    def accesses(self) -> tuple[Access, ...]:
        """x, parameters, y."""
        size = self.records * PARAMETER_BYTES
        parameters = Access(
            Space.MSPM, self.parameter_address, self.parameter_address + size, False
        )
        return (self.x_extent(), parameters, self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        return self.vector_cycles(chip, elements, 2 * elements)


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
    z_address: int = bits(24, "FSPM address of the second tile")
    z_row_stride: int = bits(24, "bytes between its rows, 0 to broadcast")
    z_column_stride: int = bits(16, "bytes between its pixels, 0 to broadcast")
    z_broadcast: int = bits(1, "one channel of z serves all channels of x", names=FLAG)
    z_type: int = bits(2, "its type", names=TYPE_NAMES)
    multiplier: int = bits(16, "factor of x, or of the product (Mul)", signed=True)
    z_multiplier: int = bits(16, "factor of z (not Mul)", signed=True)
    shift: int = bits(5, "right shift")

    @property
    def z_channels(self) -> int:
        """Channels of the second tile."""
        return 1 if self.z_broadcast else self.y_channels

    def accesses(self) -> tuple[Access, ...]:
        """x, z, y."""
        z = _extent(
            Space.FSPM, self.z_address, self.y_height, self.z_row_stride, self.y_width,
            self.z_column_stride, self.z_channels * TYPES[self.z_type].size_bytes, False,
        )  # fmt: skip
        return (self.x_extent(), z, self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        return self.vector_cycles(chip, elements, 3 * elements)


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

    def accesses(self) -> tuple[Access, ...]:
        """x, y."""
        return (self.x_extent(), self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One tap per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        taps = self.kernel_height * self.kernel_width
        return self.vector_cycles(chip, elements * taps, elements * (taps + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup(FeatureInstruction):
    """``y = table[x - minimum of x's type]``: 256 one-byte entries in MSPM."""

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "lookup"

    table_address: int = bits(20, "MSPM address of the table")

    def accesses(self) -> tuple[Access, ...]:
        """x, table, y."""
        table = Access(Space.MSPM, self.table_address, self.table_address + TABLE_BYTES, False)
        return (self.x_extent(), table, self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle."""
        elements = self.pixels * self.padded_channels(chip)
        return self.vector_cycles(chip, elements, 2 * elements)


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
    unit_height: int = bits(32, "denominator of row positions")
    step_width: int = bits(32, "column positions between output pixels, in 1/unit_width")
    offset_width: int = bits(32, "column position of the first output pixel", signed=True)
    unit_width: int = bits(32, "denominator of column positions")
    multiplier: int = bits(16, "factor of the weighted sum (linear)", signed=True)
    shift: int = bits(6, "right shift of the weighted sum (linear)")

    def accesses(self) -> tuple[Access, ...]:
        """x, y."""
        return (self.x_extent(), self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One element read per lane and cycle: one for nearest, four for linear."""
        elements = self.pixels * self.padded_channels(chip)
        taps = 4 if self.mode == ResizeMode.LINEAR else 1
        return self.vector_cycles(chip, elements * taps, elements * (taps + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Instruction):
    """Bytes of FSPM to other places in FSPM: four nested loops, a run of bytes each turn.

    x and y share no byte, and no byte of y is written twice. Unused loops turn once.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "move"

    x_address: int = bits(24, "FSPM address of the first run read")
    y_address: int = bits(24, "FSPM address of the first run written")
    run_bytes: int = bits(24, "contiguous bytes of a run")
    count0: int = bits(16, "turns of loop 0, the outermost")
    x_stride0: int = bits(24, "bytes that a turn of loop 0 goes on in x")
    y_stride0: int = bits(24, "bytes that a turn of loop 0 goes on in y")
    count1: int = bits(16, "turns of loop 1")
    x_stride1: int = bits(24, "bytes that a turn of loop 1 goes on in x")
    y_stride1: int = bits(24, "bytes that a turn of loop 1 goes on in y")
    count2: int = bits(16, "turns of loop 2")
    x_stride2: int = bits(24, "bytes that a turn of loop 2 goes on in x")
    y_stride2: int = bits(24, "bytes that a turn of loop 2 goes on in y")
    count3: int = bits(16, "turns of loop 3, the innermost")
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

    def accesses(self) -> tuple[Access, ...]:
        """x, y."""
        x = self.x_address + sum((count - 1) * stride for count, stride, _ in self.loops)
        y = self.y_address + sum((count - 1) * stride for count, _, stride in self.loops)
        return (
            Access(Space.FSPM, self.x_address, x + self.run_bytes, False),
            Access(Space.FSPM, self.y_address, y + self.run_bytes, True),
        )

    def cycles(self, chip: Chip) -> int:
        """Setup, then one bank word read and one written per cycle, through a byte crossbar.

        A cycle moves the bytes that lie in one word of x and belong into one word of y: along
        the innermost loop as many cycles as pairs of words meet, or as its runs take one by one.
        """
        word = chip.fspm_bank_bytes_per_cycle
        one_by_one = self.count3 * -(-self.run_bytes // word)
        x_words, y_words = (
            -(-((self.count3 - 1) * stride + self.run_bytes) // word)
            for stride in (self.x_stride3, self.y_stride3)
        )
        turns = self.count0 * self.count1 * self.count2
        return chip.vector_setup_cycles + turns * min(one_by_one, x_words + y_words - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(FeatureInstruction):
    """Per pixel ``y = clamp(rne(e_c * n / sum(e)))`` over channels, ``e_c = table[max x - x_c]``.

    The table holds 256 entries u16 in MSPM. The sum is exact in u32; where it is 0, so is y.
    """

    ENGINE: ClassVar[Engine] = Engine.RCVT
    MNEMONIC: ClassVar[str] = "softmax"

    table_address: int = bits(20, "MSPM address of the table")
    numerator: int = bits(16, "n: what a share of 1 becomes")

    def accesses(self) -> tuple[Access, ...]:
        """x, table, y."""
        last = self.table_address + EXPONENTIAL_BYTES
        table = Access(Space.MSPM, self.table_address, last, False)
        return (self.x_extent(), table, self.y_extent())

    def cycles(self, chip: Chip) -> int:
        """One element per lane and cycle in each of three passes: maximum, sum, quotient."""
        elements = self.pixels * self.padded_channels(chip)
        return self.vector_cycles(chip, 3 * elements, 4 * elements)


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
)  # the opcode is the position plus one
