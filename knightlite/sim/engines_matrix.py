"""The matrix engine: prologue, then multiply-accumulate in exact float BLAS, then ``results``.

What an instruction does is decided once, when it is decoded: then it is a list of calls of numpy on
views that are made beforehand. Its work is cut into blocks of output pixels that stay in a cache
from the window columns to the stored bytes; a block of a small tile holds several pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from knightlite.isa import TYPES, Matrix, Space
from knightlite.sim.depthwise import Phases
from knightlite.sim.memory import Bytes, Scratch, flat_view, sums_view, tile_view
from knightlite.sim.results import Counter, Results
from knightlite.sim.rounding import (
    BLOCK_ELEMENTS,
    Calls,
    blocks,
    channel_map,
    copied,
    map_calls,
)
from knightlite.sim.weights import Weights, read_weights

Array = NDArray[Any]

COLUMN_ELEMENTS = 1 << 20  # float32 window columns of one block: four MiB


class MatrixStep:
    """One matrix instruction, decoded; :meth:`run` executes it on the memories as they are."""

    def __init__(
        self,
        item: Matrix,
        memories: Mapping[Space, Bytes],
        scratch: Scratch,
        known: dict[tuple[Any, ...], Weights] | None,
    ) -> None:
        """``known``: weights that are decoded already; None: they are of this picture only."""
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
        self._float = self._weights.dtype.type
        self._results = Results(item, mspm, scratch, self._weights, kept=known is not None)
        self._x = tile_view(self._fspm, item.x_tile(), dtype)
        self._pointwise = self._is_pointwise()
        self._by_rows = (
            not (item.depthwise or self._pointwise)
            and item.groups == item.stride_height == item.stride_width == item.dilation_width == 1
            and item.kernel_height > 1
            and item.y_channels <= item.kernel_width * item.x_channels
            and self._float == np.float32
            and len(self._weights.parts) == 1
        )
        self._calls: Calls = []
        self._reserve()

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
        if self._by_rows:
            depth = item.x_channels * item.kernel_width
        limit = min(BLOCK_ELEMENTS // item.y_channels, COLUMN_ELEMENTS // depth)
        self._block_pixels = max(1, limit)
        self._high, self._wide = item.covered()
        pictures = len(self._fspm)
        staged = self._high * self._wide * item.x_channels
        # pictures that go through together: as many as a block holds
        self._together = min(pictures, self._block_pixels // item.pixels)
        if not self._pointwise:
            self._together = min(self._together, COLUMN_ELEMENTS // staged)
        self._together = max(1, self._together)
        most = self._block_pixels + item.y_width  # a block holds at least one row
        most = min(most, item.pixels * self._together)
        stage = staged * self._together
        if self._pointwise:
            stage = most * item.x_channels
        elif item.depthwise:
            stage = Phases(item).elements * self._together
        self._scratch.reserve("stage", stage)
        row = item.x_width * item.x_channels  # the prologue works on blocks or whole rows
        self._scratch.reserve("prologue", max(row, BLOCK_ELEMENTS))
        halo = (self._high - item.y_height) * item.y_width if self._by_rows else 0
        self._scratch.reserve("columns", (most + halo * self._together) * depth)
        self._results.reserve(most * item.y_channels)

    def bind(self) -> None:
        """Make all calls; once, after every instruction has reserved its scratch."""
        item = self._item
        shape = (len(self._fspm), item.y_height, item.y_width, item.y_channels)
        if item.accumulate_out:
            y: Array = self._sums().reshape(shape)
        else:
            y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        tiles = [y]
        if item.residual and not item.accumulate_out:
            tiles.append(tile_view(self._fspm, item.residual_tile(), TYPES[item.residual_type]))
        if item.accumulate_in:
            tiles.append(self._sums().reshape(shape))
        self._calls = []
        if self._pointwise:
            self._bind_pointwise(tiles)
            return
        for first in range(0, len(self._fspm), self._together):
            several = slice(first, first + self._together)
            bind = self._bind_depthwise if item.depthwise else self._bind_windows
            bind(self._x[several], [tile[several] for tile in tiles], first == 0)

    def _sums(self) -> NDArray[np.signedinteger[Any]]:
        """Where the partial sums lie, read or written."""
        operand = self._item.partial_sums(write=False)
        return sums_view(self._fspm, operand, self._item.y_channels)

    def _bind_pointwise(self, tiles: list[Array]) -> None:
        item = self._item
        x = self._x[:, :: item.stride_height, :: item.stride_width]
        x = x[:, : item.y_height, : item.y_width]
        for x_part, *rest in blocks([x, *tiles], self._block_pixels):
            stage = self._scratch.take("stage", x_part.shape, self._float)
            self._calls += self._staged(x_part, stage)
            self._multiply(self._by_group(stage.reshape(-1, item.x_channels)), rest)

    def _bind_windows(self, x: Array, tiles: list[Array], first: bool) -> None:
        """Some pictures: x beside zeros into the stage, windows of it into columns, products."""
        item = self._item
        shape = (len(x), self._high, self._wide, item.x_channels)
        stage = self._scratch.take("stage", shape, self._float)
        self._stage(x, stage, first)
        by_picture, by_row, by_column, by_channel = stage.strides
        windows = as_strided(
            stage,
            (
                len(x), item.y_height, item.y_width, item.kernel_height, item.kernel_width,
                item.x_channels,
            ),
            (
                by_picture, by_row * item.stride_height, by_column * item.stride_width,
                by_row * item.dilation_height, by_column * item.dilation_width, by_channel,
            ),
        )  # fmt: skip
        if item.groups > 1:
            split = (*windows.shape[:5], item.groups, item.group_inputs)
            windows = windows.reshape(split).transpose(0, 1, 5, 2, 3, 4, 6)
        elif item.dilation_width == 1:  # taps of a row touch: one long run
            run = item.kernel_width * item.x_channels
            windows = as_strided(
                windows, (*windows.shape[:4], run), (*windows.strides[:4], by_channel)
            )
        if self._by_rows:
            self._bind_rows(stage, tiles)
            return
        for at, step in self._row_blocks(len(x)):
            part = windows[:, at : at + step]
            rest = [tile[:, at : at + step] for tile in tiles]
            matrices: tuple[int, ...] = ()
            if item.groups > 1:
                part, matrices = part.transpose(2, 0, 1, 3, 4, 5, 6), (item.groups,)
            pixels = rest[0].size // item.y_channels
            rows = (*matrices, pixels, item.weight_rows())
            packed = self._scratch.take("columns", rows, self._float)
            self._calls.append(copied(packed.reshape(part.shape), part))
            self._multiply(packed, rest)

    def _row_blocks(self, pictures: int) -> list[tuple[int, int]]:
        """(first output row, how many) of each block of some pictures."""
        high = self._item.y_height
        step = high if pictures > 1 else max(1, self._block_pixels // self._item.y_width)
        return [(at, min(step, high - at)) for at in range(0, high, step)]

    def _bind_rows(self, stage: Array, tiles: list[Array]) -> None:
        """Window columns of one row of taps, which the next rows of taps use again.

        Rows of windows that follow each other share all but one row of taps where there is no
        stride: so only a row's taps are put side by side, and the products of each row of taps are
        added up. All sums, whatever was added up first, are exact in float32.
        """
        item = self._item
        by_picture, by_row, by_column, by_channel = stage.strides
        run = item.kernel_width * item.x_channels
        taps = as_strided(
            stage,
            (len(stage), self._high, item.y_width, run),
            (by_picture, by_row, by_column, by_channel),
        )
        factors = self._weights.parts[0].reshape(item.kernel_height, run, item.y_channels)
        down = item.dilation_height
        for at, rows in self._row_blocks(len(stage)):
            part = taps[:, at : at + rows + (item.kernel_height - 1) * down]
            packed = self._scratch.take("columns", part.shape, self._float)
            self._calls.append(copied(packed, part))
            pixels = len(stage) * rows * item.y_width
            sums, more = self._take("sums", pixels), self._take("residual", pixels)
            for tap in range(item.kernel_height):
                operand = packed[:, tap * down : tap * down + rows]
                goal = (more if tap else sums).reshape(len(stage), -1, item.y_channels)
                operand = operand.reshape(len(stage), -1, run)
                self._calls.append(partial(np.matmul, operand, factors[tap], goal))
                if tap:
                    self._calls.append(partial(np.add, sums, more, sums))
            self._finish(sums, [tile[:, at : at + rows] for tile in tiles])

    def _stage(self, x: Array, stage: Array, border: bool) -> None:
        """x into the middle of the stage; zeros around it where they may not stand yet."""
        top, left = self._item.pad_top, self._item.pad_left
        rows = max(0, min(self._item.x_height, self._high - top))
        columns = max(0, min(self._item.x_width, self._wide - left))
        middle = stage[:, top : top + rows]
        bands = (
            stage[:, :top], stage[:, top + rows :], middle[:, :, :left],
            middle[:, :, left + columns :],
        )  # fmt: skip
        if border:
            self._calls += [partial(band.fill, 0) for band in bands if band.size]
        inside = middle[:, :, left : left + columns]
        if inside.size:
            self._calls += self._staged(x[:, :rows, :columns], inside)

    def _bind_depthwise(self, x: Array, tiles: list[Array], first: bool) -> None:
        """Some pictures: x beside zeros into phases of columns, the taps of each added up."""
        item, phases = self._item, Phases(self._item)
        stage = self._scratch.take("stage", (len(x), *phases.shape), self._float)
        if first:
            self._calls += [partial(band.fill, 0) for band in phases.borders(stage)]
        for source, target in phases.placed(x, stage):
            self._calls += self._staged(source, target)
        taps = phases.taps(stage, self._weights.parts[0])
        for at, step in self._row_blocks(len(x)):
            rest = [tile[:, at : at + step] for tile in tiles]
            y = rest[0]
            small = self._float == np.float32
            sums = self._take("sums" if small else "wide", y.size // item.y_channels)
            total = sums.reshape(*y.shape[:2], -1)
            for number, (windows, factors) in enumerate(taps):
                goal = total
                if number:
                    goal = self._scratch.take("columns", total.shape, self._float)
                part = windows[:, at : at + step]
                self._calls.append(partial(np.einsum, "nryxl,yxl->nrl", part, factors, out=goal))
                if number:
                    self._calls.append(partial(np.add, total, goal, total))
            self._finish(sums, rest)

    def _staged(self, source: Array, target: Array) -> Calls:
        """The way from x to the float stage, through the prologue."""
        if self._prologue is None:
            return [copied(target, source)]
        found: Calls = []
        kind = self._prologue.gain.dtype
        for piece, goal in blocks([source, target], BLOCK_ELEMENTS // source.shape[3]):
            in_place = kind == target.dtype
            work = goal if in_place else self._scratch.take("prologue", piece.shape, kind.type)
            found += map_calls(self._prologue, piece, work)
            if not in_place:
                found.append(copied(goal, work))
        return found

    def _by_group(self, values: Array) -> Array:
        """[rows, channels] as [groups, rows, channels of a group] where there are groups: a view.

        So matmul multiplies the matrices of all groups at once.
        """
        if self._item.groups == 1:
            return values
        return values.reshape(values.shape[0], self._item.groups, -1).swapaxes(0, 1)

    def _take(self, role: str, pixels: int) -> Array:
        kind = np.float64 if role == "wide" else np.float32
        return self._scratch.take(role, (pixels, self._item.y_channels), kind)

    def _multiply(self, operand: Array, tiles: list[Array]) -> None:
        """Products of a block, and what becomes of them. ``tiles``: y first."""
        weights, pixels = self._weights, tiles[0].size // self._item.y_channels
        if self._float == np.float64:
            wide = self._take("wide", pixels)
            factors = self._by_group(weights.parts[0])
            self._calls.append(partial(np.matmul, operand, factors, self._by_group(wide)))
            self._finish(wide, tiles)
            return
        sums = self._take("sums", pixels)
        for number, (part, start) in enumerate(zip(weights.parts, weights.starts, strict=True)):
            rows = operand[..., start : start + part.shape[0]]
            factors, goal = self._by_group(part), self._by_group(sums)
            self._calls.append(partial(np.matmul, rows, factors, goal))
            if len(weights.parts) > 1:
                wide = self._take("wide", pixels)
                add = partial(np.add, wide, sums, wide)
                self._calls.append(add if number else copied(wide, sums))
        self._finish(wide if len(weights.parts) > 1 else sums, tiles)

    def _finish(self, sums: Array, tiles: list[Array]) -> None:
        """From the sums of a block, in whichever type they are, to the bytes of y."""
        if sums.dtype == np.float32 and not self._results.small:
            wide = self._take("wide", len(sums))
            self._calls.append(copied(wide, sums))
            sums = wide
        y, *others = tiles
        partial_sums = others.pop() if self._item.accumulate_in else None
        residual = others.pop() if others else None
        self._calls += self._results.calls(sums, y, residual, partial_sums)

    @property
    def counter(self) -> Counter:
        """Of accumulators that saturate, in whatever runs."""
        return self._results.counter

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return self._calls

    def run(self) -> int:
        """Execute; how many accumulators saturated."""
        counter = self._results.counter
        counter.count = 0
        for call in self._calls:
            call()
        return counter.count
