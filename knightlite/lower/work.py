"""What the scheduler needs to know of a layer, and what a tile of it is.

A :class:`Work` says which tensors a layer touches, how its channels may be split, how output rows
map to input rows, which bytes of weights and parameters a tile needs, and which instructions
compute a tile. The scheduler knows no operator; a lowering knows no schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import (
    ACCUMULATOR_BYTES,
    TYPES,
    FeatureInstruction,
    Instruction,
    WindowInstruction,
    largest,
)
from knightlite.ops import View, reasons

Range = tuple[int, int]  # [first, last)

# what the fields of instructions hold: channels, rows and columns; kernels, strides and pads
LARGEST_SIZE = largest(FeatureInstruction, "x_width")
LARGEST_WINDOW = largest(WindowInstruction, "kernel_height")


class Placement(NamedTuple):
    """Where a tile lies in FSPM: byte address, bytes between rows and between pixels."""

    address: int
    row_stride: int
    column_stride: int


class Tile(NamedTuple):
    """One step of a layer: output rows x output channels, from input channels ``ins``.

    Where channels are grouped, the outputs are whole groups, or lie inside one.
    ``first``/``last``: whether ``ins`` is the first/last part of a sum split over input channels.
    """

    rows: Range
    outs: Range
    ins: Range
    x_rows: Range
    x: Placement
    z: Placement | None
    y: Placement
    accumulator_address: int
    weight_address: int
    weight_align: int
    parameter_address: int
    prologue_address: int
    first: bool
    last: bool


class WeightRuns(NamedTuple):
    """Where a tensor of one row holds a tile's weights: ``rows`` x ``columns`` runs of channels.

    ``pixel``, ``channel``: where the first run begins; a row is one of weights, and the next begins
    ``row_pixels`` further on, the next run of a row ``column_pixels`` further on.
    """

    pixel: int
    channel: int
    rows: int
    row_pixels: int
    columns: int
    column_pixels: int
    channels: int  # of a run


@dataclass(frozen=True, slots=True)
class Work:
    """A layer as the scheduler sees it.

    ``x``, ``z``, ``y``: tensor names (z: residual or second operand, read at y's rows and
    channels, or broadcast along axes where it has size 1). ``splits_inputs``: input channels may be
    split, with partial sums of ``accumulator_bytes`` in FSPM; otherwise input channels = output
    channels of a tile if ``channelwise``, else all of them. ``group``: (input, output) channels of
    a group where output channels read those of their group only; sums are split inside one group.
    ``input_rows`` maps output rows to input rows.
    Weights are constant, or what the layer loads of a tensor ``w``, which therefore must be in DDR:
    ``weight_runs(outs, ins)`` says of which part. A layer with ``weight_bytes`` has weights.
    ``weights(outs, ins, align)`` are WSPM bytes, where every instruction's own begin at a multiple
    of ``align``; ``weight_row_bytes(outs)`` those of one of their rows; ``parameters(outs)`` and
    ``prologue(ins)`` MSPM bytes. ``interleave``: rows and columns from one output pixel of an
    instruction to its next, where several fill a tile.
    ``scratch_row_bytes(outs)``: room in FSPM that a row of a tile needs beside its tensors, where
    sums would lie: at ``accumulator_address``; the last instruction of a tile alone writes y.
    ``moves_only``: no compute instruction; the input tile is stored as the output tile.
    ``cuts_channels``: False where a tile must hold all channels; ``cuts_groups``: False where it
    must hold all of a group.
    """

    x: str
    z: str | None
    y: str
    channelwise: bool
    splits_inputs: bool
    input_rows: Callable[[Range], Range]
    compute: Callable[[Tile], tuple[Instruction, ...]]
    weights: Callable[[Range, Range, int], bytes] | None = None
    weight_bytes: Callable[[Range, Range, int], int] | None = None  # len(weights(...)), but cheap
    weight_row_bytes: Callable[[Range], int] | None = None
    parameters: Callable[[Range], bytes] | None = None
    prologue: Callable[[Range], bytes] | None = None
    one_prologue: bool = False  # the prologue's bytes are the same for all channels: a table
    moves_only: bool = False
    cuts_channels: bool = True
    cuts_groups: bool = True
    group: tuple[int, int] | None = None
    interleave: tuple[int, int] = (1, 1)
    accumulator_bytes: int = ACCUMULATOR_BYTES
    # blocks and bytes of a tile's weights where tiles of one shape differ in them
    stored_blocks: Callable[[Range, Range], tuple[int, int]] | None = None
    scratch_row_bytes: Callable[[Range], int] | None = None
    w: str | None = None
    weight_runs: Callable[[Range, Range], WeightRuns] | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of an engine: the rule for the support page, and a check returning why not."""

    rule: str
    check: Callable[[View, Chip], str | None]


@dataclass(frozen=True, slots=True)
class Lowering:
    """How the engines do one operator."""

    op: str
    limits: tuple[Limit, ...]
    work: Callable[[View], Work]
    chain: Callable[[Graph, tuple[Node, ...]], Work] | None = None  # with neighbours

    def broken(self, view: View, chip: Chip) -> Iterator[str]:
        """Which limits keep a node off the chip's engines."""
        return reasons((limit.check for limit in self.limits), view, chip)


def parameter_records(m: NDArray[Any], q: NDArray[Any], b: NDArray[Any] | None = None) -> bytes:
    """MSPM records of 8 bytes: m s16, q u8, 0 u8, b s32."""
    records = np.zeros(
        m.shape[0], np.dtype([("m", "<i2"), ("q", "u1"), ("zero", "u1"), ("b", "<i4")])
    )
    records["m"], records["q"] = m, q
    if b is not None:
        records["b"] = b
    return records.tobytes()


def type_code(dtype: Any) -> int:
    """The instruction's code of a feature type."""
    return TYPES.index(dtype)


def span(item: Range) -> int:
    """Length of a range."""
    return item[1] - item[0]


def tile_shape(tile: Tile) -> tuple[object, ...]:
    """A tile but for which part of its tensors it is: tiles that one instruction computes."""
    return (*map(span, tile[:4]), *tile[4:])


def tile_fields(view_x: Any, view_y: Any, width_x: int, width_y: int, tile: Tile) -> dict[str, int]:
    """The fields every compute instruction shares, for a tile of tensors x and y."""
    return {
        "layer": 0,
        "wait": 0,
        "signal": 0,
        "x_address": tile.x.address,
        "x_row_stride": tile.x.row_stride,
        "x_column_stride": tile.x.column_stride,
        "x_height": span(tile.x_rows),
        "x_width": width_x,
        "x_channels": span(tile.ins),
        "x_type": type_code(view_x.dtype),
        "y_address": tile.y.address,
        "y_row_stride": tile.y.row_stride,
        "y_column_stride": tile.y.column_stride,
        "y_height": span(tile.rows),
        "y_width": width_y,
        "y_channels": span(tile.outs),
        "y_type": type_code(view_y.dtype),
    }


def window_limits(view: View, kernel: tuple[int, ...], strides: tuple[int, ...]) -> str | None:
    """Why a window does not fit its fields of instructions, or None."""
    found = max(*kernel, *strides, *view.integers("pads"))
    if found > LARGEST_WINDOW:
        return f"kernel, stride and pad must be at most {LARGEST_WINDOW}, not {found}"
    return None


def size_limits(view: View, chip: Chip) -> str | None:
    """Why a tensor does not fit the size fields of instructions, or None."""
    for tensor in (view.tensor(0), view.output):
        if max(tensor.shape) > LARGEST_SIZE:
            return f"{tensor.name} must have at most {LARGEST_SIZE} channels, rows and columns"
    return None


SIZE_LIMIT = Limit(f"tensors have at most {LARGEST_SIZE} channels, rows and columns", size_limits)
