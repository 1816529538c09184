"""Tiles: how a layer is cut so that it fits the scratchpads, and the order of its steps.

A layer is cut over output rows, output channels and (convolutions) input channels. FSPM holds the
input tile, the second operand, the output tile and, where input channels are cut, the partial
sums (``pixels * output channels`` times 4 bytes, or 8 of 48-bit sums: they live in FSPM, and are
counted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.allocate import align
from knightlite.chip import Chip
from knightlite.ir import Graph, Tensor
from knightlite.isa import FeatureInstruction, Load, Matrix, largest
from knightlite.lower import Placement, Range, Work, span

# what the fields of instructions hold: bytes between pixels, rows and weight rows, of a transfer
LARGEST_PIXEL = largest(FeatureInstruction, "x_column_stride")
LARGEST_ROW = largest(FeatureInstruction, "x_row_stride")
LARGEST_WEIGHT_ROW = largest(Matrix, "weight_row_bytes")
LARGEST_RUN = largest(Load, "run_bytes")


def pixel_stride(size: int, chip: Chip) -> int:
    """Bytes between pixels of ``size`` bytes in FSPM: small ones to words, others aligned."""
    return align(size, 4 if size < chip.fspm_align_bytes else chip.fspm_align_bytes)


@dataclass(frozen=True, slots=True)
class Tiling:
    """Largest tile: output rows, output channels, input channels; and the loop order.

    Output channels are whole groups, or a part of one. ``ins`` counts inside a group, and cuts the
    sums of tiles that lie in one.
    ``outs_outer``: output channels are the outer loop (weights stay, pictures stream), else rows
    are. ``buffers``: 2 where a tile loads while another computes, else 1.
    """

    rows: int
    outs: int
    ins: int
    outs_outer: bool
    buffers: int


class Step(NamedTuple):
    """One tile of a layer."""

    rows: Range
    outs: Range
    ins: Range
    first: bool
    last: bool


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layer's tensors and channel rules; sizes in bytes for any tile."""

    work: Work
    x: Tensor
    y: Tensor
    z: Tensor | None
    w: Tensor | None
    chip: Chip
    row_memo: dict[int, int] = field(default_factory=dict, repr=False, compare=False)
    input_memo: dict[Range, Range] = field(default_factory=dict, repr=False, compare=False)
    parameter_memo: dict[Range, Range] = field(default_factory=dict, repr=False, compare=False)

    def input_rows(self, rows: Range) -> Range:
        """Input rows that output rows read; asked again and again for every tiling."""
        found = self.input_memo.get(rows)
        if found is None:
            found = self.input_memo[rows] = self.work.input_rows(rows)
        return found

    def z_part(self, rows: Range, outs: Range) -> tuple[Range, Range]:
        """Rows and channels of the second operand for a tile; where it has one, that serves all."""
        assert self.z is not None
        one = (0, 1)
        return one if self.z.shape[2] == 1 else rows, one if self.z.shape[1] == 1 else outs

    def column_stride(self, tensor: Tensor, channels: int) -> int:
        """Bytes between pixels of a tile in FSPM."""
        return pixel_stride(channels * tensor.dtype.size_bytes, self.chip)

    def placement(self, tensor: Tensor, address: int, channels: int) -> Placement:
        """A tile of full rows at an FSPM address."""
        column = self.column_stride(tensor, channels)
        return Placement(address, tensor.shape[3] * column, column)

    def tile_bytes(self, tensor: Tensor, rows: int, channels: int) -> int:
        """Bytes of a tile of ``rows`` full rows in FSPM."""
        size = rows * tensor.shape[3] * self.column_stride(tensor, channels)
        return align(size, self.chip.fspm_align_bytes)

    @property
    def group(self) -> tuple[int, int]:
        """Input and output channels of a group: outputs read the inputs of their group only."""
        if self.work.channelwise:
            return 1, 1
        return self.work.group or (self.x.shape[1], self.y.shape[1])

    def input_channels(self, outs: Range) -> Range:
        """Input channels that output channels read."""
        ins, per_group = self.group
        return outs[0] // per_group * ins, -(-outs[1] // per_group) * ins

    def steps(self, tiling: Tiling) -> Iterator[Step]:
        """All tiles in order."""
        for part in self.rounds(tiling):
            yield from self.round_steps(tiling, part)

    def rounds(self, tiling: Tiling) -> list[Range]:
        """The parts of the outer loop: output channels or rows."""
        return self.out_parts(tiling) if tiling.outs_outer else cut(self.y.shape[2], tiling.rows)

    def round_steps(self, tiling: Tiling, part: Range) -> Iterator[Step]:
        """The tiles of one part of the outer loop, in order."""
        pairs = (
            [(rows, part) for rows in cut(self.y.shape[2], tiling.rows)]
            if tiling.outs_outer
            else [(part, outs) for outs in self.out_parts(tiling)]
        )
        for rows, outs in pairs:
            in_parts = self.in_parts(tiling, outs)
            final = len(in_parts) - 1
            for index, ins in enumerate(in_parts):
                yield Step(rows, outs, ins, index == 0, index == final)

    def out_parts(self, tiling: Tiling) -> list[Range]:
        """The parts that the output channels are cut into: no part crosses a group's border."""
        channels, per_group = self.y.shape[1], self.group[1]
        if tiling.outs >= per_group:
            return cut(channels, tiling.outs // per_group * per_group)
        inside = cut(per_group, tiling.outs)
        return [
            (first + a, first + b) for first in range(0, channels, per_group) for a, b in inside
        ]

    def in_parts(self, tiling: Tiling, outs: Range) -> list[Range]:
        """The parts that the input channels of a tile are cut into."""
        first, last = self.input_channels(outs)
        if not self.splits(tiling):
            return [(first, last)]
        return [(first + a, first + b) for a, b in cut(last - first, tiling.ins)]

    def splits(self, tiling: Tiling) -> bool:
        """True where the sums of a tile may be cut over input channels: inside one group."""
        return self.work.splits_inputs and tiling.outs <= self.group[1]

    def counts(self, tiling: Tiling) -> tuple[int, int, int]:
        """Parts of the output channels, parts of a tile's sums, parts of all input channels."""
        channels, (ins, per_group) = self.y.shape[1], self.group
        groups = -(-channels // per_group)
        in_count = -(-ins // tiling.ins) if self.splits(tiling) else 1
        if tiling.outs < per_group:
            return groups * -(-per_group // tiling.outs), in_count, groups * in_count
        out_count = -(-groups // (tiling.outs // per_group))
        return out_count, in_count, out_count * in_count

    def tile_channels(self, tiling: Tiling) -> tuple[int, int]:
        """Input and output channels of the largest tile."""
        ins, per_group = self.group
        groups = max(1, min(tiling.outs, self.y.shape[1]) // per_group)
        part = min(tiling.ins, ins) if self.splits(tiling) else groups * ins
        return part, min(tiling.outs, groups * per_group)

    def x_rows(self, rows: int) -> int:
        """Most input rows that a tile of ``rows`` output rows reads."""
        if rows not in self.row_memo:
            parts = cut(self.y.shape[2], rows)
            self.row_memo[rows] = max(span(self.input_rows(part)) for part in parts)
        return self.row_memo[rows]

    def fspm_parts(self, tiling: Tiling) -> dict[str, tuple[int, int]]:
        """Bytes and count of the slots of x, z, y and the partial sums."""
        row_count = -(-self.y.shape[2] // tiling.rows)
        out_count, in_count, x_count = self.counts(tiling)
        tiles = row_count * out_count
        ins, outs = self.tile_channels(tiling)
        x_bytes = self.tile_bytes(self.x, self.x_rows(tiling.rows), ins)
        parts = {"x": (x_bytes, min(tiling.buffers, row_count * x_count))}
        if not self.work.moves_only:
            y_bytes = self.tile_bytes(self.y, tiling.rows, outs)
            parts["y"] = (y_bytes, min(tiling.buffers, tiles))
        if self.z is not None:
            z_rows, z_channels = self.z_part((0, tiling.rows), (0, outs))
            z_bytes = self.tile_bytes(self.z, span(z_rows), span(z_channels))
            parts["z"] = (z_bytes, min(tiling.buffers, tiles))
        if in_count > 1:
            pixels = tiling.rows * self.y.shape[3]
            sums = align(pixels * outs * self.work.accumulator_bytes, self.chip.fspm_align_bytes)
            parts["sums"] = (sums, 1)
        elif self.work.scratch_row_bytes is not None:
            scratch = tiling.rows * self.work.scratch_row_bytes((0, outs))
            parts["sums"] = (align(scratch, self.chip.fspm_align_bytes), 1)
        return parts

    def fspm_bytes(self, tiling: Tiling) -> int:
        """FSPM that the layer takes."""
        return sum(size * count for size, count in self.fspm_parts(tiling).values())

    def weight_slots(self, tiling: Tiling) -> tuple[int, int, int]:
        """(bytes of the largest weight tile, tiles, slots that fit WSPM); 0 without weights."""
        if self.work.weight_bytes is None:
            return 0, 0, 0
        tile = align(self._weight_bytes(tiling), self.chip.wspm_align_bytes)
        out_count, in_count, _ = self.counts(tiling)
        count = out_count * in_count
        return tile, count, min(count, self.chip.wspm_bytes // tile)

    def _weight_bytes(self, tiling: Tiling) -> int:
        assert self.work.weight_bytes is not None
        ins, outs = self.tile_channels(tiling)
        if self.work.stored_blocks is None:
            return self.work.weight_bytes((0, outs), (0, ins), self.chip.wspm_align_bytes)
        return max(
            self.work.weight_bytes(part, read, self.chip.wspm_align_bytes)
            for part in self.out_parts(tiling)
            for read in self.in_parts(tiling, part)
        )

    def stored_blocks(self, outs: Range, ins: Range) -> tuple[int, int]:
        """What the cost of a tile depends on beside its shape: blocks and bytes of its weights."""
        return (0, 0) if self.work.stored_blocks is None else self.work.stored_blocks(outs, ins)

    def parameter_slots(self, tiling: Tiling) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """((bytes, slots) of parameters, (bytes, slots) of the prologue) in MSPM, or None."""
        sizes = self.parameter_bytes(tiling)
        out_count, _, x_count = self.counts(tiling)
        counts = (out_count, 1 if self.work.one_prologue else x_count)
        for limit in (max(counts), 2, 1):
            slots = [
                min(count, limit) if size else 0 for size, count in zip(sizes, counts, strict=True)
            ]
            if sum(a * b for a, b in zip(sizes, slots, strict=True)) <= self.chip.mspm_bytes:
                return (sizes[0], slots[0]), (sizes[1], slots[1])
        return None

    def parameter_bytes(self, tiling: Tiling) -> tuple[int, int]:
        """MSPM that one tile's parameters and its prologue take."""
        channels = self.tile_channels(tiling)
        if channels not in self.parameter_memo:
            step, parameters, prologue = (
                self.chip.mspm_align_bytes,
                self.work.parameters,
                self.work.prologue,
            )
            self.parameter_memo[channels] = (
                align(len(parameters((0, channels[1]))), step) if parameters is not None else 0,
                align(len(prologue((0, channels[0]))), step) if prologue is not None else 0,
            )
        return self.parameter_memo[channels]

    def pixel_bytes(self, tiling: Tiling) -> int:
        """The largest pixel stride of an instruction."""
        ins, outs = self.tile_channels(tiling)
        written = self.column_stride(self.y, outs) * self.work.interleave[1]
        second = self.column_stride(self.z, outs) * self.work.interleave[1] if self.z else 0
        return max(self.column_stride(self.x, ins), written, second)

    def row_bytes(self, tiling: Tiling) -> int:
        """The largest row stride of a tile.

        Instructions that skip rows have several in their tile, so that FSPM holds more than these.
        """
        ins, outs = self.tile_channels(tiling)
        tensors = ((self.x, ins), (self.y, outs), (self.z, outs))
        return max(
            tensor.shape[3] * self.column_stride(tensor, channels)
            for tensor, channels in tensors
            if tensor is not None
        )

    def weights_encodable(self, tiling: Tiling) -> bool:
        """True where a weight tile is one run of bytes, and its rows fit their field."""
        if self.work.weight_bytes is None:
            return True
        assert self.work.weight_row_bytes is not None
        _, outs = self.tile_channels(tiling)
        row = self.work.weight_row_bytes((0, outs))
        return row <= LARGEST_WEIGHT_ROW and self._weight_bytes(tiling) <= LARGEST_RUN

    def encodable(self, tiling: Tiling) -> bool:
        """True where what depends on the tiling fits the fields of the instructions."""
        return (
            self.pixel_bytes(tiling) <= LARGEST_PIXEL
            and self.row_bytes(tiling) <= LARGEST_ROW
            and self.weights_encodable(tiling)
        )

    def fits(self, tiling: Tiling) -> bool:
        """True where every scratchpad suffices, and the fields of the instructions do."""
        size, _, slots = self.weight_slots(tiling)
        return (
            (not size or slots >= 1)
            and self.encodable(tiling)
            and self.parameter_slots(tiling) is not None
            and self.fspm_bytes(tiling) <= self.chip.fspm_bytes
        )


def geometry(graph: Graph, work: Work, chip: Chip) -> Geometry:
    """The geometry of a layer."""
    z = graph.tensors[work.z] if work.z is not None else None
    w = graph.tensors[work.w] if work.w is not None else None
    return Geometry(work, graph.tensors[work.x], graph.tensors[work.y], z, w, chip)


def cut(size: int, step: int) -> list[Range]:
    """[0, size) in parts of ``step``; the last may be smaller."""
    return [(first, min(first + step, size)) for first in range(0, size, step)]
