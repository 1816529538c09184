"""The instruction of the matrix engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.isa.fields import address, bits, count
from knightlite.isa.operands import (
    PARAMETER_BYTES,
    Operand,
    Space,
    flat,
    parameter_records,
    tile,
)
from knightlite.isa.records import (
    ACCUMULATOR_BYTES,
    FLAG,
    TABLE_ENTRIES,
    TABLE_UNIT,
    TYPE_NAMES,
    TYPES,
    WIDE_ACCUMULATOR_BYTES,
    Engine,
    WindowInstruction,
)

WEIGHT_TYPES = (dtypes.S8, dtypes.S16, dtypes.U8)  # u8: of computed tensors
WEIGHT_NAMES = tuple(item.name for item in WEIGHT_TYPES)


class Activation(IntEnum):
    """What a requantized value goes through before it is stored.

    TABLE: ``clamp(table[value - minimum of its type])``, or lines between entries for s16, as
    Lookup. TWO_SIDED: ``clamp(rne((value*m_c + b_c) / 2^q_c))``, as Affine with parameters of
    their own below 0.
    """

    NONE = 0
    TABLE = 1
    TWO_SIDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(WindowInstruction):
    """A convolution tile: [affine on x] -> multiply-accumulate -> [requantize -> [what follows]].

    What follows is nothing, the addition of a second tile, or an activation.

    An input pixel (oy*stride - pad_top + ky*dilation, ...) outside x is 0, after the prologue.
    Accumulators have 32 bits, or 48 where x behind its prologue or the weights have 16, and
    saturate. Channels lie group by group: output channel c reads the
    ``group_inputs`` input channels of group c // (y_channels / groups). Weights in WSPM: row
    (ky*kernel_width + kx)*group_inputs + ci, one weight per output channel, rows
    ``weight_row_bytes`` apart; depthwise: row ky*kernel_width + kx.
    """

    ENGINE: ClassVar[Engine] = Engine.RCCN
    MNEMONIC: ClassVar[str] = "matrix"

    dilation_height: int = count(8, "rows between taps")
    dilation_width: int = count(8, "columns between taps")
    depthwise: int = bits(1, "each output channel reads its own input channel", names=FLAG)
    groups: int = count(16, "groups of channels in the tile; 1: each output reads every input")
    weight_address: int = address(
        24,
        "WSPM address of the weights",
        Space.WSPM,
        unit=max(item.size_bytes for item in WEIGHT_TYPES),
    )
    weight_row_bytes: int = bits(16, "bytes between weight rows")
    prologue: int = bits(1, "x goes through clamp(rne((x*m + b) / 2^q)) first", names=FLAG)
    prologue_address: int = address(
        20,
        "MSPM address of the prologue's parameters, per input channel",
        Space.MSPM,
        unit=PARAMETER_BYTES,
    )
    prologue_type: int = bits(2, "type after the prologue", names=TYPE_NAMES)
    prologue_low: int = bits(16, "lower clamp of the prologue", signed=True)
    prologue_high: int = bits(16, "upper clamp of the prologue", signed=True)
    accumulate_in: int = bits(1, "start from the partial sums at accumulator_address", names=FLAG)
    accumulate_out: int = bits(1, "leave partial sums there instead of requantizing", names=FLAG)
    accumulator_address: int = address(
        24,
        "FSPM address of the partial sums [pixel][output channel]",
        Space.FSPM,
        unit=WIDE_ACCUMULATOR_BYTES,
    )
    parameter_address: int = address(
        20,
        "MSPM address of the requantize parameters, per channel",
        Space.MSPM,
        unit=PARAMETER_BYTES,
    )
    residual: int = bits(1, "add a second tile after requantizing", names=FLAG)
    residual_address: int = address(24, "FSPM address of the second tile", Space.FSPM)
    residual_row_stride: int = bits(24, "bytes between its rows")
    residual_column_stride: int = bits(16, "bytes between its pixels")
    residual_type: int = bits(2, "its type", names=TYPE_NAMES)
    middle_type: int = bits(2, "type of the requantized value that goes on", names=TYPE_NAMES)
    middle_low: int = bits(16, "its lower clamp", signed=True)
    middle_high: int = bits(16, "its upper clamp", signed=True)
    multiplier: int = bits(24, "factor of the requantized value in the add", signed=True)
    residual_multiplier: int = bits(24, "factor of the second tile in the add", signed=True)
    shift: int = bits(6, "common right shift of the add")
    weight_type: int = bits(2, "type of the weights", names=WEIGHT_NAMES)
    activation: int = bits(
        2, "what the requantized value goes through", names=tuple(item.name for item in Activation)
    )
    activation_address: int = address(
        20, "MSPM address of its table, or of its parameters", Space.MSPM, unit=TABLE_UNIT
    )
    activation_intervals: int = bits(4, "log2 of the intervals of a table for s16; else 0")
    activation_fraction: int = bits(4, "fraction bits of the entries of such a table")

    def taps(self) -> int:
        """Window positions."""
        return self.kernel_height * self.kernel_width

    @property
    def group_inputs(self) -> int:
        """Input channels that an output channel reads."""
        return 1 if self.depthwise else self.x_channels // self.groups

    @property
    def group_outputs(self) -> int:
        """Output channels that read the same input channels."""
        return 1 if self.depthwise else self.y_channels // self.groups

    @property
    def weight_size(self) -> int:
        """Bytes of a weight."""
        return WEIGHT_TYPES[self.weight_type].size_bytes

    @property
    def wide(self) -> bool:
        """Whether an operand of the products has 16 bits: 48-bit accumulators, other lanes."""
        x = TYPES[self.prologue_type if self.prologue else self.x_type]
        return max(x.bits, WEIGHT_TYPES[self.weight_type].bits) > 8

    @property
    def accumulator_size(self) -> int:
        """Bytes of a partial sum."""
        return WIDE_ACCUMULATOR_BYTES if self.wide else ACCUMULATOR_BYTES

    def macs(self) -> int:
        """Multiply-accumulates done."""
        return self.pixels * self.y_channels * self.weight_rows()

    def weight_rows(self) -> int:
        """Rows of the weight tile."""
        return self.taps() * self.group_inputs

    @property
    def dilations(self) -> tuple[int, int]:
        """Rows and columns between taps."""
        return self.dilation_height, self.dilation_width

    def weights(self) -> Operand:
        """Its rows of weights, one weight per output channel."""
        row = self.y_channels * self.weight_size
        return Operand(
            "weights", Space.WSPM, self.weight_address, self.weight_rows(), self.weight_row_bytes,
            1, row, row, False, self.weight_size,
        )  # fmt: skip

    def prologue_parameters(self) -> Operand:
        """The records of the prologue."""
        return parameter_records("prologue parameters", self.prologue_address, self.x_channels)

    def partial_sums(self, write: bool) -> Operand:
        """The partial sums that it starts from, or leaves."""
        size = self.pixels * self.y_channels * self.accumulator_size
        return flat(
            "partial sums", Space.FSPM, self.accumulator_address, size, self.accumulator_size, write
        )

    def parameters(self) -> Operand:
        """The records of the requantization."""
        return parameter_records("parameters", self.parameter_address, self.y_channels)

    def activation_constants(self) -> Operand:
        """The table of the activation, or the records of both its sides."""
        if self.activation == Activation.TABLE:
            unit, size = TABLE_UNIT, TABLE_ENTRIES * self.y_bytes
            if self.activation_intervals:
                unit, size = 2, 2 * ((1 << self.activation_intervals) + 1)
            return flat("table", Space.MSPM, self.activation_address, size, unit)
        count = 2 * self.y_channels
        return parameter_records("activation parameters", self.activation_address, count)

    def residual_tile(self) -> Operand:
        """The second tile, added after requantizing."""
        return tile(
            "residual tile", self.residual_address, self.y_height, self.residual_row_stride,
            self.y_width, self.residual_column_stride, self.y_channels, TYPES[self.residual_type],
        )  # fmt: skip

    def operands(self) -> tuple[Operand, ...]:
        """x, weights, parameters, partial sums, residual or activation, and y."""
        found = [self.x_tile(), self.weights()]
        if self.prologue:
            found.append(self.prologue_parameters())
        if self.accumulate_in:
            found.append(self.partial_sums(write=False))
        if self.accumulate_out:
            return (*found, self.partial_sums(write=True))
        found.append(self.parameters())
        if self.residual:
            found.append(self.residual_tile())
        elif self.activation:
            found.append(self.activation_constants())
        return (*found, self.y_tile())

    def products(self, chip: Chip) -> int:
        """Cycles of the array: blocks of input lanes x output lanes; depthwise: lanes x one tap.

        A chip has other output lanes at 16 bit. As many whole groups as fit a block, and as the
        chip lets share one, are in it; of a single one with few inputs several kernel columns are,
        where that is faster. Fewer channels than depthwise lanes: several pixels share them.
        """
        ins, outs = self.group_inputs, self.group_outputs
        output_lanes, depthwise_lanes = chip.matrix_output_lanes, chip.depthwise_lanes
        if self.wide:
            output_lanes, depthwise_lanes = chip.wide_matrix_output_lanes, chip.wide_depthwise_lanes
        if self.depthwise:
            words = -(-self.y_channels // depthwise_lanes)
            values = self.y_channels if words == 1 else words * depthwise_lanes
            return -(-self.pixels * values // depthwise_lanes) * self.taps()
        fitting = min(chip.matrix_input_lanes // max(1, ins), output_lanes // max(1, outs))
        sharing = max(1, min(fitting, chip.groups_per_block, self.groups))
        shared = -(-self.groups // sharing) * -(-outs // output_lanes)
        blocks = shared * self.taps() * -(-ins // chip.matrix_input_lanes)
        if ins <= chip.matrix_packed_channels:
            packed = self.kernel_width * chip.matrix_packed_channels
            alone = self.groups * -(-outs // output_lanes)
            alone *= self.kernel_height * -(-packed // chip.matrix_input_lanes)
            blocks = alone if sharing == 1 else min(blocks, alone)
        return self.pixels * blocks

    def cycles(self, chip: Chip) -> int:
        """The array's ``products``, or what is slower beside it.

        Partial sums pass through FSPM, and through the vector lanes x where a prologue changes it,
        and y where an activation does.
        """
        directions = self.accumulate_in + self.accumulate_out
        sums = self.pixels * self.y_channels * self.accumulator_size * directions
        banks = -(-sums // chip.fspm_bytes_per_cycle)
        changed = self.x_height * self.x_width * self.x_channels if self.prologue else 0
        front = -(-changed // chip.vector_lanes)
        activated = bool(self.activation) and not self.accumulate_out
        behind = -(-self.pixels * self.y_channels // chip.vector_lanes) if activated else 0
        return chip.matrix_setup_cycles + max(self.products(chip), banks, front, behind)
