"""The vector engine: affine, two-operand arithmetic, pooling and tables on tiles in FSPM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.isa import (
    PARAMETER_BYTES,
    TYPES,
    Affine,
    Eltwise,
    EltwiseMode,
    Lookup,
    Pool,
    PoolMode,
    Space,
)
from knightlite.sim.memory import Bytes, Scratch, flat_view, tile_view
from knightlite.sim.rounding import (
    BLOCK_ELEMENTS,
    ChannelMap,
    apply_map,
    blocks,
    bounds,
    channel_map,
    round_into,
)

Array = NDArray[Any]
_UNSIGNED = {1: np.uint8, 2: np.uint16}  # by bytes of an element


def _block_room(columns: int, pixels: int, channels: int) -> int:
    """Elements of the largest block that ``blocks`` may cut."""
    return max(BLOCK_ELEMENTS // channels + 1, min(columns, pixels)) * channels


class AffineStep:
    """``y = clamp(rne((x*m_c + b_c) / 2^q_c))``, with parameters of their own for x < 0."""

    def __init__(self, item: Affine, memories: Mapping[Space, Bytes], scratch: Scratch) -> None:
        self._item, self._fspm, self._scratch = item, memories[Space.FSPM], scratch
        size = item.y_channels * PARAMETER_BYTES
        sides = flat_view(memories[Space.MSPM], item.parameters())
        self._map, *self._below = [
            channel_map(
                sides[at : at + size].tobytes(), item.x_type, item.y_type, item.y_low, item.y_high
            )
            for at in range(0, sides.size, size)
        ]
        room = _block_room(item.y_width, item.pixels, item.y_channels)
        scratch.reserve("wide", room)
        if self._below:
            scratch.reserve("below", room)
            scratch.reserve("negative", room, 1)

    def bind(self) -> None:
        """Build the views."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        kind = self._map.gain.dtype.type
        self._blocks = [
            (source, self._scratch.take("wide", source.shape, kind), target)
            for source, target in blocks([x, y], BLOCK_ELEMENTS // item.y_channels)
        ]

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        for source, work, target in self._blocks:
            values = apply_map(self._map, source, work)
            for below in self._below:
                self._replace_negative(below, source, values)
            np.copyto(target, values, casting="unsafe")
        return 0

    def _replace_negative(self, below: ChannelMap, source: Array, values: Array) -> None:
        negative = self._scratch.take("negative", source.shape, np.bool_)
        other = self._scratch.take("below", source.shape, below.gain.dtype.type)
        np.less(source, 0, out=negative)
        np.copyto(values, apply_map(below, source, other), where=negative, casting="unsafe")


_COMBINE: Mapping[int, Callable[..., Array]] = {
    EltwiseMode.ADD: np.add,
    EltwiseMode.MAX: np.maximum,
    EltwiseMode.MIN: np.minimum,
}


class EltwiseStep:
    """``clamp(rne((x*m + z*n) / 2^q))``, so too the maximum; or ``clamp(rne(x*z*m / 2^q))``."""

    def __init__(self, item: Eltwise, memories: Mapping[Space, Bytes], scratch: Scratch) -> None:
        self._item, self._fspm, self._scratch = item, memories[Space.FSPM], scratch
        room = _block_room(item.y_width, item.pixels, item.y_channels)
        scratch.reserve("wide", room)
        scratch.reserve("residual", room)
        self._x_factor = float(np.ldexp(item.multiplier, -item.shift))
        self._z_factor = float(np.ldexp(item.z_multiplier, -item.shift))
        self._low, self._high = bounds(item.y_type, item.y_low, item.y_high)

    def bind(self) -> None:
        """Build the views."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        z = tile_view(self._fspm, item.z_tile(), TYPES[item.z_type])
        self._blocks = [
            (
                first,
                second,
                self._scratch.take("wide", first.shape, np.float64),
                self._scratch.take("residual", first.shape, np.float64),
                target,
            )
            for first, second, target in blocks([x, z, y], BLOCK_ELEMENTS // item.y_channels)
        ]

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        combine = _COMBINE.get(self._item.mode)
        for first, second, work, extra, target in self._blocks:
            work[...] = first
            extra[...] = second
            np.multiply(work, self._x_factor, out=work)
            if combine is None:
                np.multiply(work, extra, out=work)
            else:
                np.multiply(extra, self._z_factor, out=extra)
                combine(work, extra, out=work)
            round_into(work, self._low, self._high, target)
        return 0


class PoolStep:
    """Maximum or requantized sum over a window; rows first, then columns: both are separable."""

    def __init__(self, item: Pool, memories: Mapping[Space, Bytes], scratch: Scratch) -> None:
        self._item, self._fspm, self._scratch = item, memories[Space.FSPM], scratch
        self._is_sum = item.mode == PoolMode.SUM
        dtype = TYPES[item.x_type]
        # 255 x 255 windows of 8-bit values stay below 2^24, so float32 sums are exact
        sum_type = np.float32 if dtype.bits == 8 else np.float64
        self._kind: Any = sum_type if self._is_sum else dtype.numpy.type
        self._combine: Callable[..., Array] = np.add if self._is_sum else np.maximum
        self._outside = 0 if self._is_sum else dtype.minimum
        self._high, self._wide = item.covered()
        self._factor = float(np.ldexp(item.multiplier, -item.shift))
        self._low, self._top = bounds(item.y_type, item.y_low, item.y_high)
        scratch.reserve("stage", self._high * self._wide * item.x_channels)
        scratch.reserve("columns", item.y_height * self._wide * item.x_channels)
        scratch.reserve("wide", item.pixels * item.y_channels)

    def bind(self) -> None:
        """Build the views."""
        item = self._item
        channels = item.x_channels
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        self._y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        stage = self._scratch.take("stage", (self._high, self._wide, channels), self._kind)
        top, left = item.pad_top, item.pad_left
        rows = max(0, min(item.x_height, self._high - top))
        columns = max(0, min(item.x_width, self._wide - left))
        self._inside = stage[top : top + rows, left : left + columns]
        self._x = x[:rows, :columns]
        bands = [
            stage[:top], stage[top + rows :], stage[top : top + rows, :left],
            stage[top : top + rows, left + columns :],
        ]  # fmt: skip
        self._borders = [band for band in bands if band.size]
        shape = (item.y_height, self._wide, channels)
        self._by_rows = self._scratch.take("columns", shape, self._kind)
        self._rows = [
            stage[tap : tap + (item.y_height - 1) * item.stride_height + 1 : item.stride_height]
            for tap in range(item.kernel_height)
        ]
        self._columns = [
            self._by_rows[
                :, tap : tap + (item.y_width - 1) * item.stride_width + 1 : item.stride_width
            ]
            for tap in range(item.kernel_width)
        ]
        # the second pass reuses the stage's memory: the first has read all of it by then
        self._pooled = self._scratch.take("stage", self._y.shape, self._kind)
        self._work = self._scratch.take("wide", self._y.shape, np.float64)

    def run(self) -> int:
        """Execute; a window's sum cannot leave the accumulator, so nothing saturates."""
        for border in self._borders:
            border.fill(self._outside)
        self._inside[...] = self._x
        self._fold(self._rows, self._by_rows)
        self._fold(self._columns, self._pooled)
        if self._is_sum:
            self._work[...] = self._pooled
            np.multiply(self._work, self._factor, out=self._work)
            round_into(self._work, self._low, self._top, self._y)
            return 0
        np.clip(self._pooled, self._low, self._top, out=self._y)
        return 0

    def _fold(self, taps: list[Array], target: Array) -> None:
        if len(taps) == 1:
            target[...] = taps[0]
            return
        self._combine(taps[0], taps[1], out=target)
        for tap in taps[2:]:
            self._combine(target, tap, out=target)


@lru_cache(maxsize=64)
def table_results(
    stored: bytes, intervals: int, fraction: int, y_code: int, ends: tuple[int, int]
) -> Array:
    """y for every x, in the order of x as an unsigned number; tiles of a layer share one."""
    y_type = TYPES[y_code]
    if not intervals:
        return np.frombuffer(stored, y_type.numpy).clip(*ends)
    codes = np.arange(-(1 << 15), 1 << 15)
    entries = np.frombuffer(stored, np.int16)
    return numerics.interpolate(codes, entries, fraction, y_type, *ends)


class LookupStep:
    """``y = clamp(table[x - minimum of x's type])``; for s16 x, a straight line between entries.

    A line's results for all 65536 x are computed once and looked up.
    """

    def __init__(self, item: Lookup, memories: Mapping[Space, Bytes], scratch: Scratch) -> None:
        self._item, self._fspm, self._scratch = item, memories[Space.FSPM], scratch
        stored = flat_view(memories[Space.MSPM], item.table())
        ends = bounds(item.y_type, item.y_low, item.y_high)
        results = table_results(stored.tobytes(), item.intervals, item.fraction, item.y_type, ends)
        # reordered so that x, read as unsigned, is the index
        self._table = np.roll(results, TYPES[item.x_type].minimum)
        room = _block_room(item.y_width, item.pixels, item.y_channels)
        scratch.reserve("wide", room, item.y_bytes)

    def bind(self) -> None:
        """Build the views."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        x = x.view(_UNSIGNED[x.dtype.itemsize])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        self._blocks = [
            (source, self._scratch.take("wide", source.shape, self._table.dtype.type), target)
            for source, target in blocks([x, y], BLOCK_ELEMENTS // item.y_channels)
        ]

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        for source, work, target in self._blocks:
            np.take(self._table, source, out=work, mode="clip")
            target[...] = work
        return 0
