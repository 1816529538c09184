"""Convolution tiles whose weights lack the blocks that are zero."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from knightlite.chip import Chip
from knightlite.isa.fields import bits, count
from knightlite.isa.matrix import Matrix
from knightlite.isa.operands import Operand, Space, flat

WORD_BYTES = 16  # of WSPM: the mask, and every row of a block, fill whole words


class Block(NamedTuple):
    """Weights of one tap between ranges [first, last) of input and output channels."""

    tap: int
    inputs: tuple[int, int]
    outputs: tuple[int, int]

    def row_bytes(self, size: int) -> int:
        """Bytes of a row, one weight of ``size`` bytes per output channel."""
        return whole_words((self.outputs[1] - self.outputs[0]) * size)

    def size_bytes(self, size: int) -> int:
        """Bytes where it is stored: a row per input channel."""
        return (self.inputs[1] - self.inputs[0]) * self.row_bytes(size)


def whole_words(size_bytes: int) -> int:
    """Bytes rounded up to whole words of WSPM."""
    return -(-size_bytes // WORD_BYTES) * WORD_BYTES


def blocks_of(taps: int, channels: tuple[int, int], block: tuple[int, int]) -> Iterator[Block]:
    """All blocks in the order of the mask's bits: taps, then inputs, then outputs.

    ``channels``: inputs and outputs of the tile; ``block``: of a block. The last ones are smaller
    where the channels do not divide.
    """
    inputs, outputs = (
        [(first, min(first + step, size)) for first in range(0, size, step)]
        for size, step in zip(channels, block, strict=True)
    )
    for tap in range(taps):
        for ins in inputs:
            for outs in outputs:
                yield Block(tap, ins, outs)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseMatrix(Matrix):
    """A ``matrix`` of one group whose weights are a mask and the blocks that are not all zero.

    Bit k of the mask is 1 where block k is stored, in the order tap, input channels, output
    channels. The blocks follow behind it in that order, one row per input channel, one weight per
    output channel. Mask and rows fill whole words of 16 bytes; ``weight_row_bytes`` is 0.
    """

    MNEMONIC: ClassVar[str] = "sparse"

    block_inputs: int = count(16, "input channels of a block")
    block_outputs: int = count(16, "output channels of a block")
    blocks: int = count(16, "blocks that are stored: the ones of the mask")
    stored_bytes: int = bits(24, "bytes of the mask and of these blocks")

    def all_blocks(self) -> Iterator[Block]:
        """Stored or not, in the order of the mask."""
        channels = (self.x_channels, self.y_channels)
        return blocks_of(self.taps(), channels, (self.block_inputs, self.block_outputs))

    def block_count(self) -> int:
        """Of all of them."""
        return self.taps() * -(-self.x_channels // self.block_inputs) * self._across()

    def _across(self) -> int:
        return -(-self.y_channels // self.block_outputs)

    def mask_bytes(self) -> int:
        """Bytes in front of the first block."""
        return whole_words(-(-self.block_count() // 8))

    def weights(self) -> Operand:
        """The mask and the blocks that are stored."""
        return flat("weights", Space.WSPM, self.weight_address, self.stored_bytes, self.weight_size)

    def macs(self) -> int:
        """Multiply-accumulates done: of stored weights, with the padding of their rows."""
        stored = (self.stored_bytes - self.mask_bytes()) // self.weight_size
        return min(self.pixels * stored, Matrix.macs(self))

    def products(self, chip: Chip) -> int:
        """The stored blocks, each in as many parts as the array makes of it.

        Never more than without the mask.
        """
        lanes = chip.wide_matrix_output_lanes if self.wide else chip.matrix_output_lanes
        parts = -(-self.block_inputs // chip.matrix_input_lanes) * -(-self.block_outputs // lanes)
        return min(self.pixels * self.blocks * parts, Matrix.products(self, chip))
