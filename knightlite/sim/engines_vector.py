"""The vector engine: affine, two-operand arithmetic, pooling and tables on tiles in FSPM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
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
from knightlite.sim.memory import Bytes, Scratch, flat_view, parameter_record, tile_view
from knightlite.sim.rounding import (
    BLOCK_ELEMENTS,
    SHORT,
    Calls,
    ChannelMap,
    apply_map,
    blocks,
    bounds,
    channel_map,
    copied,
    map_calls,
    stored_calls,
)
from knightlite.sim.thresholds import EXACT_FLOAT32, float32_factors

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
        """Make the calls."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        kind = self._map.gain.dtype.type
        self._calls: Calls = []
        for source, target in blocks([x, y], BLOCK_ELEMENTS // item.y_channels):
            work = self._scratch.take("wide", source.shape, kind)
            self._calls += map_calls(self._map, source, work)
            self._calls += [
                partial(self._replace_negative, below, source, work) for below in self._below
            ]
            self._calls.append(copied(target, work))

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return self._calls

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        for call in self._calls:
            call()
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
        for role in ("wide", "residual"):
            scratch.reserve(role, room)
        scratch.reserve("short", room, 2)
        self._combine = _COMBINE.get(item.mode)
        self._x_factor = float(np.ldexp(item.multiplier, -item.shift))
        self._z_factor = float(np.ldexp(item.z_multiplier, -item.shift))
        self._low, self._high = bounds(item.y_type, item.y_low, item.y_high)
        x, z = (max(-kind.minimum, kind.maximum) for kind in
                (TYPES[item.x_type], TYPES[item.z_type]))  # fmt: skip
        if self._combine is None:
            most = x * z * abs(item.multiplier)
        else:  # of every term and their sum
            most = x * abs(item.multiplier) + z * abs(item.z_multiplier)
        self._kind = np.float32 if most <= EXACT_FLOAT32 else np.float64
        self._is_short = np.ldexp(float(most), -item.shift) < SHORT

    def bind(self) -> None:
        """Make the calls."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        z = tile_view(self._fspm, item.z_tile(), TYPES[item.z_type])
        self._calls: Calls = []
        for first, second, target in blocks([x, z, y], BLOCK_ELEMENTS // item.y_channels):
            work, extra = (
                self._scratch.take(role, first.shape, self._kind) for role in ("wide", "residual")
            )
            short = self._scratch.take("short", first.shape, np.int16) if self._is_short else None
            self._calls += [
                copied(work, first),
                copied(extra, second),
                partial(np.multiply, work, self._kind(self._x_factor), work),
            ]
            if self._combine is None:
                self._calls.append(partial(np.multiply, work, extra, work))
            else:
                self._calls += [
                    partial(np.multiply, extra, self._kind(self._z_factor), extra),
                    partial(self._combine, work, extra, out=work),
                ]
            self._calls += stored_calls(work, self._low, self._high, target, short)

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return self._calls

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        for call in self._calls:
            call()
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
        self._low, self._top = bounds(item.y_type, item.y_low, item.y_high)
        if self._is_sum:
            self._requantize(item)
        staged = self._high * self._wide * item.x_channels
        self._together = max(1, min(len(self._fspm), BLOCK_ELEMENTS // staged))
        scratch.reserve("stage", staged * self._together)
        columns = item.y_height * self._wide * item.x_channels
        scratch.reserve("columns", columns * self._together)
        room = item.pixels * item.y_channels * self._together
        scratch.reserve("wide", room)
        scratch.reserve("short", room, 2)

    def _requantize(self, item: Pool) -> None:
        """Factor and float type of the sums: float32 where it is proved to be enough."""
        dtype = TYPES[item.x_type]
        taps = item.kernel_height * item.kernel_width
        lowest, highest = (np.array([taps * end]) for end in (min(0, dtype.minimum), dtype.maximum))
        factor = np.ldexp(float(item.multiplier), -item.shift)
        record = parameter_record(item.multiplier, item.shift)
        single = None
        if dtype.bits == 8:
            single = float32_factors(record, lowest, highest, self._low, self._top)
        proved = single is not None and not single.bias[0]
        self._factor = single.gain[0] if single is not None and proved else np.float64(factor)
        self._is_short = taps * max(-dtype.minimum, dtype.maximum) * abs(factor) < SHORT

    def bind(self) -> None:
        """Make the calls."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        self._calls: Calls = []
        for first in range(0, len(x), self._together):
            several = slice(first, first + self._together)
            self._bind(x[several], y[several], first == 0)

    def _bind(self, x: Array, y: Array, border: bool) -> None:
        """Some pictures; zeros around x may stand from those before."""
        item = self._item
        pictures, channels = len(x), item.x_channels
        stage = self._scratch.take(
            "stage", (pictures, self._high, self._wide, channels), self._kind
        )
        top, left = item.pad_top, item.pad_left
        rows = max(0, min(item.x_height, self._high - top))
        columns = max(0, min(item.x_width, self._wide - left))
        middle = stage[:, top : top + rows]
        bands = (
            stage[:, :top], stage[:, top + rows :], middle[:, :, :left],
            middle[:, :, left + columns :],
        )  # fmt: skip
        padded = rows < self._high or columns < self._wide
        if self._is_sum or padded:
            self._calls += [partial(band.fill, self._outside) for band in bands if band.size]
            inside = middle[:, :, left : left + columns]
            self._calls.append(copied(inside, x[:, :rows, :columns]))
        else:
            stage = x[:, :rows, :columns]  # as it lies, since a maximum is of its type
        if not self._is_sum and item.kernel_height == item.kernel_width == 1:
            (rows_of,) = _taps(stage, 1, 1, item.stride_height, item.y_height)
            (pooled,) = _taps(rows_of, 2, 1, item.stride_width, item.y_width)
            self._calls.append(self._clipped(pooled, y))
            return
        shape = (pictures, item.y_height, self._wide, channels)
        by_rows = self._scratch.take("columns", shape, self._kind)
        self._fold(_taps(stage, 1, item.kernel_height, item.stride_height, item.y_height), by_rows)
        taps = _taps(by_rows, 2, item.kernel_width, item.stride_width, item.y_width)
        # the second pass reuses the stage's memory: the first has read all of it by then
        pooled = self._scratch.take("stage", y.shape, self._kind)
        self._fold(taps, pooled)
        if not self._is_sum:
            self._calls.append(self._clipped(pooled, y))
            return
        work = pooled
        if self._factor.dtype != self._kind:
            work = self._scratch.take("wide", y.shape, np.float64)
            self._calls.append(copied(work, pooled))
        short = self._scratch.take("short", y.shape, np.int16) if self._is_short else None
        self._calls.append(partial(np.multiply, work, self._factor, work))
        self._calls += stored_calls(work, self._low, self._top, y, short)

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return self._calls

    def run(self) -> int:
        """Execute; a window's sum cannot leave the accumulator, so nothing saturates."""
        for call in self._calls:
            call()
        return 0

    def _clipped(self, pooled: Array, y: Array) -> Callable[[], object]:
        ends = np.array(self._low, y.dtype), np.array(self._top, y.dtype)
        return partial(pooled.clip, *ends, out=y)

    def _fold(self, taps: list[Array], target: Array) -> None:
        """All taps into one."""
        if len(taps) == 1:
            self._calls.append(copied(target, taps[0]))
            return
        self._calls.append(partial(self._combine, taps[0], taps[1], out=target))
        self._calls += [partial(self._combine, target, tap, out=target) for tap in taps[2:]]


def _taps(values: Array, axis: int, kernel: int, stride: int, size: int) -> list[Array]:
    """Views of what each tap of a window along an axis reads."""
    before = (slice(None),) * axis
    last = (size - 1) * stride + 1
    return [values[(*before, slice(tap, tap + last, stride))] for tap in range(kernel)]


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
        """Make the calls."""
        item = self._item
        x = tile_view(self._fspm, item.x_tile(), TYPES[item.x_type])
        x = x.view(_UNSIGNED[x.dtype.itemsize])
        y = tile_view(self._fspm, item.y_tile(), TYPES[item.y_type])
        self._calls: Calls = []
        for source, target in blocks([x, y], BLOCK_ELEMENTS // item.y_channels):
            work = self._scratch.take("wide", source.shape, self._table.dtype.type)
            self._calls += [
                partial(np.take, self._table, source, out=work, mode="clip"),
                copied(target, work),
            ]

    def calls(self) -> Calls:
        """What :meth:`run` does."""
        return self._calls

    def run(self) -> int:
        """Execute; nothing accumulates, so nothing saturates."""
        for call in self._calls:
            call()
        return 0
