"""The instructions once more, in plain Python integers and loops, from their docstrings."""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from assembled import make
from knightlite.dtypes import S16
from knightlite.isa import (
    TYPES,
    Activation,
    Affine,
    Eltwise,
    EltwiseMode,
    Instruction,
    Lookup,
    Matrix,
    Move,
    Pick,
    Pool,
    PoolMode,
    Resize,
    ResizeMode,
    Softmax,
    SparseMatrix,
)

Compute = Matrix | Affine | Eltwise | Pool | Lookup | Resize | Softmax | Pick


def rne(value: int, shift: int) -> int:
    """``value / 2^shift`` rounded to nearest, ties to even."""
    whole, rest = value >> shift, value & ((1 << shift) - 1)
    twice = 2 * rest
    unit = 1 << shift
    return whole + int(twice > unit or (twice == unit and whole % 2 == 1))


def clamp(value: int, code: int, low: int, high: int) -> int:
    """Saturate to the type and to the clamp."""
    dtype = TYPES[code]
    return max(low, dtype.minimum, min(high, dtype.maximum, value))


def is_wide(item: Matrix) -> bool:
    """Whether the weights, or the features behind the prologue, have 16 bits."""
    x_type = item.prologue_type if item.prologue else item.x_type
    return item.weight_type == 1 or TYPES[x_type].bits == 16


def saturated(item: Matrix, value: int) -> int:
    """Saturate to the accumulator: 48 bits for 16-bit operands, else 32."""
    limit = 2**47 if is_wide(item) else 2**31
    return max(-limit, min(limit - 1, value))


@dataclass
class NaiveMachine:
    """Three memories as bytearrays."""

    fspm: bytearray
    wspm: bytes | bytearray
    mspm: bytes | bytearray

    def read(self, code: int, address: int) -> int:
        dtype = TYPES[code]
        raw = self.fspm[address : address + dtype.size_bytes]
        return int.from_bytes(raw, "little", signed=dtype.signed)

    def write(self, code: int, address: int, value: int) -> None:
        dtype = TYPES[code]
        raw = value.to_bytes(dtype.size_bytes, "little", signed=dtype.signed)
        self.fspm[address : address + dtype.size_bytes] = raw

    def parameters(self, address: int, channel: int) -> tuple[int, int, int]:
        at = address + 8 * channel
        m, q, _, b = struct.unpack("<hBBi", self.mspm[at : at + 8])
        return m, q, b

    def x(self, item: Compute, r: int, c: int, k: int) -> int:
        size = TYPES[item.x_type].size_bytes
        at = item.x_address + r * item.x_row_stride + c * item.x_column_stride + k * size
        return self.read(item.x_type, at)

    def execute(self, item: Instruction) -> None:
        """Read everything, then write everything."""
        if isinstance(item, Move):
            self.move(item)
            return
        if isinstance(item, Matrix) and item.accumulate_out:
            values = [self.sums(item, *at) for at in self.places(item)]
            for number, value in enumerate(values):
                size = 8 if is_wide(item) else 4
                at = item.accumulator_address + size * number
                self.fspm[at : at + size] = value.to_bytes(size, "little", signed=True)
            return
        assert isinstance(item, Compute)
        values = [self.value(item, *at) for at in self.places(item)]
        size = TYPES[item.y_type].size_bytes
        for (r, c, k), value in zip(self.places(item), values, strict=True):
            at = item.y_address + r * item.y_row_stride + c * item.y_column_stride + k * size
            self.write(item.y_type, at, clamp(value, item.y_type, item.y_low, item.y_high))

    def move(self, item: Move) -> None:
        for turns in itertools.product(*(range(count) for count, _, _ in item.loops)):
            x, y = item.x_address, item.y_address
            for turn, (_, x_stride, y_stride) in zip(turns, item.loops, strict=True):
                x, y = x + turn * x_stride, y + turn * y_stride
            self.fspm[y : y + item.run_bytes] = self.fspm[x : x + item.run_bytes]

    def places(self, item: Compute) -> list[tuple[int, int, int]]:
        return [
            (r, c, k)
            for r in range(item.y_height)
            for c in range(item.y_width)
            for k in range(item.y_channels)
        ]

    def value(self, item: Compute, r: int, c: int, k: int) -> int:
        """The output before its clamp."""
        if isinstance(item, Matrix):
            return self.requantized(item, r, c, k)
        if isinstance(item, Pool):
            return self.pooled(item, r, c, k)
        if isinstance(item, Resize):
            return self.resized(item, r, c, k)
        if isinstance(item, Softmax):
            return self.share(item, r, c, k)
        if isinstance(item, Pick):
            return self.picked(item, r, c)
        x = self.x(item, r, c, k)
        if isinstance(item, Affine):
            second = item.y_channels if item.two_sided and x < 0 else 0
            m, q, b = self.parameters(item.parameter_address, k + second)
            return rne(x * m + b, q)
        if isinstance(item, Lookup):
            return self.looked_up(item, x)
        size = TYPES[item.z_type].size_bytes
        at = item.z_address + r * item.z_row_stride + c * item.z_column_stride
        z = self.read(item.z_type, at + (0 if item.z_broadcast else k * size))
        if item.mode == EltwiseMode.ADD:
            return rne(x * item.multiplier + z * item.z_multiplier, item.shift)
        if item.mode == EltwiseMode.MAX:
            return rne(max(x * item.multiplier, z * item.z_multiplier), item.shift)
        if item.mode == EltwiseMode.MIN:
            return rne(min(x * item.multiplier, z * item.z_multiplier), item.shift)
        return rne(x * z * item.multiplier, item.shift)

    def looked_up(self, item: Lookup, x: int) -> int:
        def entry(index: int, code: int) -> int:
            dtype = TYPES[code]
            at = item.table_address + index * dtype.size_bytes
            raw = self.mspm[at : at + dtype.size_bytes]
            return int.from_bytes(raw, "little", signed=dtype.signed)

        if TYPES[item.x_type].bits == 8:
            return entry(x - TYPES[item.x_type].minimum, item.y_type)
        left, wide = divmod(x + 32768, 2 ** (16 - item.intervals)), 2 ** (16 - item.intervals)
        ends = [entry(left[0], TYPES.index(S16)), entry(left[0] + 1, TYPES.index(S16))]
        exact = Fraction(ends[0] * (wide - left[1]) + ends[1] * left[1], wide * 2**item.fraction)
        return round(exact)

    def pooled(self, item: Pool, r: int, c: int, k: int) -> int:
        outside = TYPES[item.x_type].minimum if item.mode == PoolMode.MAX else 0
        window = []
        for ky in range(item.kernel_height):
            for kx in range(item.kernel_width):
                row = r * item.stride_height - item.pad_top + ky
                column = c * item.stride_width - item.pad_left + kx
                inside = 0 <= row < item.x_height and 0 <= column < item.x_width
                window.append(self.x(item, row, column, k) if inside else outside)
        if item.mode == PoolMode.MAX:
            return max(window)
        return rne(sum(window) * item.multiplier, item.shift)

    def share(self, item: Softmax, r: int, c: int, k: int) -> int:
        pixel = [self.x(item, r, c, channel) for channel in range(item.x_channels)]
        size = 4 if item.fine else 2

        def entry(index: int) -> int:
            at = item.table_address + size * index
            return int.from_bytes(self.mspm[at : at + size], "little")

        entries = []
        for steps in (max(pixel) - x for x in pixel):
            if TYPES[item.x_type].bits == 8:
                entries.append(entry(steps))
            else:
                entries.append(entry(steps % 256) * entry(256 + steps // 256) // 2**30)
        return round(Fraction(entries[k] * item.numerator, sum(entries))) if sum(entries) else 0

    def picked(self, item: Pick, r: int, c: int) -> int:
        pixel = [self.x(item, r, c, channel) for channel in range(item.x_channels)]
        best = min(pixel) if item.least else max(pixel)
        places = [channel for channel, value in enumerate(pixel) if value == best]
        return places[-1 if item.last else 0]

    def resized(self, item: Resize, r: int, c: int, k: int) -> int:
        row, column = (
            Fraction(place * step + offset, unit)
            for place, step, offset, unit in (
                (r, item.step_height, item.offset_height, item.unit_height),
                (c, item.step_width, item.offset_width, item.unit_width),
            )
        )
        row = max(Fraction(0), min(row, Fraction(item.x_height - 1)))
        column = max(Fraction(0), min(column, Fraction(item.x_width - 1)))
        if item.mode == ResizeMode.NEAREST:
            return self.x(item, floor(row), floor(column), k)
        total = Fraction(0)
        for y, high in ((floor(row), 1 - row % 1), (floor(row) + 1, row % 1)):
            for x, wide in ((floor(column), 1 - column % 1), (floor(column) + 1, column % 1)):
                if high * wide:
                    total += high * wide * self.x(item, y, x, k)
        total *= item.unit_height * item.unit_width
        assert total.denominator == 1
        return rne(int(total) * item.multiplier, item.shift)

    def prologue(self, item: Matrix, row: int, column: int, channel: int) -> int:
        x = self.x(item, row, column, channel)
        if not item.prologue:
            return x
        m, q, b = self.parameters(item.prologue_address, channel)
        return clamp(rne(x * m + b, q), item.prologue_type, item.prologue_low, item.prologue_high)

    def weight(self, item: Matrix, row: int, k: int) -> int:
        size = 2 if item.weight_type == 1 else 1
        at = item.weight_address + row + k * size
        return int.from_bytes(self.wspm[at : at + size], "little", signed=item.weight_type != 2)

    def stored_weight(self, item: SparseMatrix, tap: int, ci: int, k: int) -> int:
        """Blocks gone through one by one; 0 of one that is not stored."""
        down, across = (
            -(-item.x_channels // item.block_inputs), -(-item.y_channels // item.block_outputs)
        )  # fmt: skip
        total = item.kernel_height * item.kernel_width * down * across
        place = (total + 127) // 128 * 16
        mask = self.wspm[item.weight_address : item.weight_address + place]
        for block in range(total):
            if not mask[block // 8] >> block % 8 & 1:
                continue
            i = block // across % down * item.block_inputs
            o = block % across * item.block_outputs
            rows = min(item.block_inputs, item.x_channels - i)
            wide = min(item.block_outputs, item.y_channels - o) * (
                2 if item.weight_type == 1 else 1
            )
            row_bytes = (wide + 15) // 16 * 16
            here = block // (down * across) == tap and 0 <= ci - i < rows
            if here and o <= k < min(o + item.block_outputs, item.y_channels):
                return self.weight(item, place + (ci - i) * row_bytes, k - o)
            place += rows * row_bytes
        return 0

    def sums(self, item: Matrix, r: int, c: int, k: int) -> int:
        total = 0
        for ky in range(item.kernel_height):
            for kx in range(item.kernel_width):
                row = r * item.stride_height - item.pad_top + ky * item.dilation_height
                column = c * item.stride_width - item.pad_left + kx * item.dilation_width
                if not (0 <= row < item.x_height and 0 <= column < item.x_width):
                    continue
                tap = ky * item.kernel_width + kx
                depth = 1 if item.depthwise else item.x_channels // item.groups
                first = k if item.depthwise else k // (item.y_channels // item.groups) * depth
                for ci in range(first, first + depth):
                    if isinstance(item, SparseMatrix):
                        weight = self.stored_weight(item, tap, ci, k)
                    else:
                        line = tap * depth + ci - first
                        weight = self.weight(item, line * item.weight_row_bytes, k)
                    total += self.prologue(item, row, column, ci) * weight
        if item.accumulate_in:
            number = (r * item.y_width + c) * item.y_channels + k
            size = 8 if is_wide(item) else 4
            at = item.accumulator_address + size * number
            total += int.from_bytes(self.fspm[at : at + size], "little", signed=True)
        return saturated(item, total)

    def activated(self, item: Matrix, value: int, channel: int) -> int:
        if item.activation == Activation.TABLE:
            lookup = make(
                Lookup, x_type=item.middle_type, y_type=item.y_type,
                table_address=item.activation_address, intervals=item.activation_intervals,
                fraction=item.activation_fraction,
            )  # fmt: skip
            return self.looked_up(lookup, value)
        side = item.y_channels if value < 0 else 0
        m, q, b = self.parameters(item.activation_address, side + channel)
        return rne(value * m + b, q)

    def requantized(self, item: Matrix, r: int, c: int, k: int) -> int:
        m, q, b = self.parameters(item.parameter_address, k)
        value = rne(saturated(item, self.sums(item, r, c, k) + b) * m, q)
        if not item.residual and not item.activation:
            return value
        value = clamp(value, item.middle_type, item.middle_low, item.middle_high)
        if item.activation:
            return self.activated(item, value, k)
        size = TYPES[item.residual_type].size_bytes
        at = (
            item.residual_address
            + r * item.residual_row_stride
            + c * item.residual_column_stride
            + k * size
        )
        other = self.read(item.residual_type, at)
        return rne(value * item.multiplier + other * item.residual_multiplier, item.shift)
