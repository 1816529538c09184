"""The matrix engine: prologue, multiply-accumulate in exact float BLAS, requantize, residual add.

What an instruction does is decided once, when it is decoded; its work is cut into blocks of output
pixels that stay in a cache from the window columns to the stored bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.isa import TYPES, Matrix, Space
from knightlite.sim.activation import ActivationStep
from knightlite.sim.memory import (
    Bytes,
    Parameters,
    Scratch,
    flat_view,
    parameters,
    sums_view,
    tile_view,
)
from knightlite.sim.rounding import (
    BLOCK_ELEMENTS,
    apply_map,
    blocks,
    bounds,
    channel_map,
    repeat_lanes,
    round_into,
)
from knightlite.sim.weights import Weights, read_weights

Array = NDArray[Any]

EXACT_SUM = 1 << 38  # times a multiplier of 15 bits: 2^53, the last that float64 counts to
COLUMN_ELEMENTS = 1 << 18  # float32 window columns of one block: one MiB


class MatrixStep:
    """One matrix instruction, decoded; :meth:`run` executes it on the memories as they are."""

    def __init__(
        self,
        item: Matrix,
        memories: Mapping[Space, Bytes],
        scratch: Scratch,
        known: dict[tuple[Any, ...], Weights],
    ) -> None:
        self._item = item
        self._fspm = memories[Space.FSPM]
        self._scratch = scratch
        mspm = memories[Space.MSPM]
        dtype = TYPES[item.x_type]
        low, high = dtype.minimum, dtype.maximum
        self._prologue = None
        if item.prologue:
            records = flat_view(mspm, item.prologue_parameters()).tobytes()
            self._prologue = channel_map(
                records, item.x_type, item.prologue_type, item.prologue_low, item.prologue_high
            )
            low, high = self._prologue.low, self._prologue.high
        self._weights = read_weights(item, memories[Space.WSPM], low, high, known)
        self._float = self._weights.dtype
        self._params: Parameters | None = None
        self._activation: ActivationStep | None = None
        if not item.accumulate_out:
            self._params = parameters(flat_view(mspm, item.parameters()))
            if item.activation:
                self._activation = ActivationStep(item, mspm, scratch)
        self._sums_in = numerics.WIDE if item.wide else numerics.NARROW
        self._guard_sums, self._guard_bias, self._whole = self._guards()
        self._x = tile_view(self._fspm, item.x_tile(), dtype)
        self._pointwise = self._is_pointwise()
        self._reserve()

    def _guards(self) -> tuple[bool, bool, bool]:
        """Whether the sums, and the sums with their bias, could leave the accumulator.

        And whether these times a multiplier could leave what float64 holds exactly.
        """
        largest = self._sums_in.maximum
        before = -self._sums_in.minimum if self._item.accumulate_in else 0
        most = before + self._weights.reach
        bias = 0 if self._params is None else int(np.abs(self._params.b).max())
        biased = min(most, largest) + bias
        return most > largest, biased > largest, min(biased, largest + 1) > EXACT_SUM

    def _is_pointwise(self) -> bool:
        """One tap that always lies inside x: no window columns, no border."""
        item = self._item
        return (
            not item.depthwise
            and item.taps() == 1
            and item.pad_top == item.pad_left == 0
            and (item.y_height - 1) * item.stride_height < item.x_height
            and (item.y_width - 1) * item.stride_width < item.x_width
        )

    def _reserve(self) -> None:
        item = self._item
        depth = item.x_channels * (1 if item.depthwise else item.taps())
        limit = min(BLOCK_ELEMENTS // item.y_channels, COLUMN_ELEMENTS // depth)
        self._block_pixels = max(1, limit)
        most = self._block_pixels + item.y_width  # a block holds at least one row
        most = min(most, item.pixels)
        self._high, self._wide = item.covered()
        stage = most if self._pointwise else self._high * self._wide
        self._scratch.reserve("stage", stage * item.x_channels)
        row = item.x_width * item.x_channels  # the prologue works on blocks or whole rows
        self._scratch.reserve("prologue", max(row, BLOCK_ELEMENTS))
        self._scratch.reserve("columns", most * depth)
        for role in ("sums", "wide", "residual"):
            self._scratch.reserve(role, most * item.y_channels)
        if self._activation is not None:
            self._activation.reserve(most * item.y_channels)

    def bind(self) -> None:
        """Build all views; call once after every instruction has reserved its scratch."""
        item = self._item
        if item.accumulate_out:
            shape = (item.y_height, item.y_width, item.y_channels)
            self._y: Array = self._sums().reshape(shape)
        else:
            self._y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        self._low, self._top = (
            bounds(item.y_type, item.y_low, item.y_high) if self._params else (0, 0)
        )
        self._tiles: dict[tuple[int, str], Array] = {}
        self._borders: list[Array] = []
        self._stages: list[tuple[Array, Array, Array | None]] = []
        self._blocks: list[_Block] = []
        if self._pointwise:
            self._bind_pointwise()
        else:
            self._bind_windows()

    def _sums(self) -> NDArray[np.signedinteger[Any]]:
        """Where the partial sums lie, read or written."""
        operand = self._item.partial_sums(write=False)
        return sums_view(self._fspm, operand, self._item.y_channels)

    def _operand_tiles(self) -> list[Array]:
        """The tiles of an output block: y, then residual and partial sums where they exist."""
        item = self._item
        shape = (item.y_height, item.y_width, item.y_channels)
        tiles = [self._y]
        if item.residual and self._params:
            tiles.append(tile_view(self._fspm, item.residual_tile(), TYPES[item.residual_type]))
        if item.accumulate_in:
            tiles.append(self._sums().reshape(shape))
        return tiles

    def _bind_pointwise(self) -> None:
        item = self._item
        x = self._x[:: item.stride_height, :: item.stride_width][: item.y_height, : item.y_width]
        for x_part, *rest in blocks([x, *self._operand_tiles()], self._block_pixels):
            pixels = x_part.shape[0] * x_part.shape[1]
            stage = self._scratch.take("stage", (pixels, item.x_channels), self._float.type)
            fill = self._stage_parts(x_part, stage.reshape(x_part.shape))
            self._blocks.append(self._block(fill, self._by_group(stage), None, rest))

    def _bind_windows(self) -> None:
        item = self._item
        shape = (self._high, self._wide, item.x_channels)
        stage = self._scratch.take("stage", shape, self._float.type)
        top, left = item.pad_top, item.pad_left
        rows = max(0, min(item.x_height, self._high - top))
        columns = max(0, min(item.x_width, self._wide - left))
        inside = stage[top : top + rows, left : left + columns]
        bands = [
            stage[:top], stage[top + rows :], stage[top : top + rows, :left],
            stage[top : top + rows, left + columns :],
        ]  # fmt: skip
        self._borders = [band for band in bands if band.size]
        if inside.size:
            self._stages = self._stage_parts(self._x[:rows, :columns], inside)
        by_row, by_column, by_channel = stage.strides
        windows = as_strided(
            stage,
            (item.y_height, item.y_width, item.kernel_height, item.kernel_width, item.x_channels),
            (
                by_row * item.stride_height, by_column * item.stride_width,
                by_row * item.dilation_height, by_column * item.dilation_width, by_channel,
            ),
        )  # fmt: skip
        if item.depthwise:
            windows = self._lanes_of_taps(windows)
        elif item.groups > 1:
            split = (*windows.shape[:4], item.groups, item.group_inputs)
            windows = windows.reshape(split).transpose(0, 4, 1, 2, 3, 5)
        elif item.dilation_width == 1:  # taps of a row touch: one long run
            run = item.kernel_width * item.x_channels
            windows = as_strided(
                windows, (*windows.shape[:3], run), (*windows.strides[:3], by_channel)
            )
        step = max(1, self._block_pixels // item.y_width)
        tiles = self._operand_tiles()
        for at in range(0, item.y_height, step):
            part = windows[at : at + step]
            rest = [tile[at : at + step] for tile in tiles]
            if item.depthwise:
                self._blocks.append(self._block([], part, None, rest))
                continue
            matrices: tuple[int, ...] = ()
            if item.groups > 1:
                part, matrices = part.swapaxes(0, 1), (item.groups,)
            shape = (*matrices, rest[0].shape[0] * item.y_width, item.weight_rows())
            packed = self._scratch.take("columns", shape, self._float.type)
            copy = (packed.reshape(part.shape), part)
            self._blocks.append(self._block([], packed, copy, rest))

    def _by_group(self, values: Array) -> Array:
        """[rows, channels] as [groups, rows, channels of a group] where there are groups: a view.

        So matmul multiplies the matrices of all groups at once.
        """
        if self._item.groups == 1 or self._item.depthwise:
            return values
        return values.reshape(values.shape[0], self._item.groups, -1).swapaxes(0, 1)

    def _lanes_of_taps(self, windows: Array) -> Array:
        """[rows, columns, taps down, taps right, channels] as [rows, taps..., lanes...].

        Without a stride the pixels of a row touch: then columns and channels are one long run, and
        the factors are repeated to its length.
        """
        rows, columns, down, right, channels = windows.shape
        by_row, _, by_down, by_right, by_channel = windows.strides
        self._taps = self._weights.parts[0]
        if self._item.stride_width > 1:
            return windows.transpose(0, 2, 3, 1, 4)
        self._taps = np.tile(self._taps, columns)
        shape = (rows, down, right, columns * channels)
        return as_strided(windows, shape, (by_row, by_down, by_right, by_channel))

    def _stage_parts(self, source: Array, target: Array) -> list[tuple[Array, Array, Array | None]]:
        """Pieces (source, target, float64 work) of the way from x to the float stage."""
        if self._prologue is None:
            return [(source, target, None)]
        kind = self._prologue.gain.dtype
        found: list[tuple[Array, Array, Array | None]] = []
        for piece, goal in blocks([source, target], BLOCK_ELEMENTS // source.shape[2]):
            in_place = kind == target.dtype
            work = goal if in_place else self._scratch.take("prologue", piece.shape, kind.type)
            found.append((piece, goal, work))
        return found

    def _block(
        self,
        fill: list[tuple[Array, Array, Array | None]],
        operand: Array,
        copy: tuple[Array, Array] | None,
        tiles: list[Array],
    ) -> _Block:
        item = self._item
        y, *others = tiles
        channels = item.y_channels
        pixels = y.shape[0] * y.shape[1]
        sums = self._scratch.take("sums", (pixels, channels), self._float.type)
        wide = self._scratch.take("wide", (pixels, channels), np.float64)
        partial = others.pop() if item.accumulate_in else None
        residual = others.pop() if others else None
        extra = None
        if residual is not None:
            extra = self._scratch.take("residual", residual.shape, np.float64)
        repeat = repeat_lanes(pixels, channels)
        lanes = wide.reshape(pixels // repeat, repeat * channels)
        scale = offset = bias = np.zeros(0)
        if self._params:
            scale = self._tiled("scale", self._params.scale, repeat)
            offset = self._tiled("offset", self._params.b * self._params.scale, repeat)
            bias = self._tiled("bias", self._params.b, repeat)
        return _Block(
            tuple(fill), operand, copy, sums, self._by_group(sums), wide, self._by_group(wide),
            wide.reshape(y.shape), lanes, scale, offset, bias, partial, residual, extra, y,
        )  # fmt: skip

    def _tiled(self, name: str, values: Array, repeat: int) -> Array:
        key = (repeat, name)
        if key not in self._tiles:
            self._tiles[key] = np.tile(values, repeat)
        return self._tiles[key]

    def run(self) -> int:
        """Execute; how many accumulators saturated."""
        for border in self._borders:
            border.fill(0)
        self._fill(self._stages)
        saturated = 0
        for block in self._blocks:
            self._fill(block.fill)
            if self._item.depthwise:
                self._accumulate_taps(block)
            else:
                self._accumulate(block)
            saturated += self._finish(block)
        return saturated

    def _fill(self, pieces: Any) -> None:
        for source, target, work in pieces:
            if work is None:
                target[...] = source
                continue
            apply_map(self._prologue, source, work)  # type: ignore[arg-type]  # a piece has work only with it
            if work is not target:
                target[...] = work

    def _accumulate(self, block: _Block) -> None:
        if block.copy is not None:
            np.copyto(*block.copy)
        weights = self._weights
        if self._float == np.float64:
            np.matmul(block.operand, self._by_group(weights.parts[0]), out=block.grouped_wide)
            return
        for number, (part, start) in enumerate(zip(weights.parts, weights.starts, strict=True)):
            operand = block.operand
            if len(weights.parts) > 1:
                operand = operand[..., start : start + part.shape[0]]
            np.matmul(operand, self._by_group(part), out=block.grouped_sums)
            if number == 0:
                block.wide[...] = block.sums
            else:
                np.add(block.wide, block.sums, out=block.wide)

    def _accumulate_taps(self, block: _Block) -> None:
        total = block.sums.reshape(block.operand[:, 0, 0].shape)
        work = self._scratch.take("columns", total.shape, self._float.type)
        width = self._item.kernel_width
        for tap, factors in enumerate(self._taps):
            window = block.operand[:, tap // width, tap % width]
            if tap == 0:
                np.multiply(window, factors, out=total)
                continue
            np.multiply(window, factors, out=work)
            np.add(total, work, out=total)
        block.wide[...] = block.sums

    def _finish(self, block: _Block) -> int:
        """From sums in ``wide`` to partial sums or to the output tile."""
        saturated = 0
        if block.partial is not None:
            np.add(block.tile, block.partial, out=block.tile)
        if self._guard_sums:
            saturated = _saturate(block.wide, self._sums_in)
        if self._params is None:
            np.copyto(block.y, block.tile, casting="unsafe")
            return saturated
        if self._guard_bias:
            np.add(block.lanes, block.bias, out=block.lanes)
            saturated += _saturate(block.wide, self._sums_in)
        elif self._whole:
            np.add(block.lanes, block.bias, out=block.lanes)
        if self._whole:
            self._requantize_whole(block.wide)
        elif self._guard_bias:
            np.multiply(block.lanes, block.scale, out=block.lanes)
        else:
            np.multiply(block.lanes, block.scale, out=block.lanes)
            np.add(block.lanes, block.offset, out=block.lanes)
        if self._activation is not None:
            self._round_middle(block)
            self._activation.run(block.tile, block.y)
            return saturated
        if block.residual is not None:
            self._add_residual(block)
        round_into(block.tile, self._low, self._top, block.y)
        return saturated

    def _requantize_whole(self, wide: Array) -> None:
        """Biased sums [pixels, channels] to rounded values in place, in int64.

        What they become is clamped to 16 bits or fewer: float64 need not hold larger ones exactly.
        """
        assert self._params is not None
        product = wide.astype(np.int64) * self._params.m.astype(np.int64)
        wide[...] = numerics.round_shift_whole(product, self._params.q)

    def _round_middle(self, block: _Block) -> None:
        """The requantized value as an integer of its type: what follows works on that."""
        item = self._item
        low, high = bounds(item.middle_type, item.middle_low, item.middle_high)
        np.rint(block.wide, out=block.wide)
        np.clip(block.wide, low, high, out=block.wide)

    def _add_residual(self, block: _Block) -> None:
        item = self._item
        self._round_middle(block)
        np.multiply(block.wide, np.ldexp(item.multiplier, -item.shift), out=block.wide)
        extra = block.extra
        assert extra is not None
        extra[...] = block.residual
        np.multiply(extra, np.ldexp(item.residual_multiplier, -item.shift), out=extra)
        np.add(block.tile, extra, out=block.tile)


@dataclass(frozen=True, slots=True)
class _Block:
    """Views of one block of output pixels.

    ``tile`` and ``lanes`` are ``wide`` in other shapes; ``grouped_sums`` and ``grouped_wide`` have
    the shape of the product.
    """

    fill: tuple[tuple[Array, Array, Array | None], ...]
    operand: Array
    copy: tuple[Array, Array] | None
    sums: Array
    grouped_sums: Array
    wide: Array
    grouped_wide: Array
    tile: Array
    lanes: Array
    scale: Array
    offset: Array
    bias: Array
    partial: Array | None
    residual: Array | None
    extra: Array | None
    y: Array


def _saturate(wide: Array, sums: numerics.Accumulator) -> int:
    """Clip to the accumulator in place; how many values it changed."""
    low, high = sums.minimum, sums.maximum
    if wide.max() <= high and wide.min() >= low:
        return 0
    count = int(np.count_nonzero((wide > high) | (wide < low)))
    np.clip(wide, low, high, out=wide)
    return count
