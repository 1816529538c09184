"""What instructions declare that they touch, byte by byte, against what plain Python touches."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import S8, S16, TINY, U8, make, record
from knightlite.isa import (
    ALL_INSTRUCTIONS,
    Activation,
    Affine,
    Eltwise,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Operand,
    Pick,
    Pool,
    Resize,
    Softmax,
    Space,
    SparseMatrix,
    Store,
    Transfer,
)
from naive_machine import NaiveMachine
from random_instructions import Random

Place = tuple[Space, int]


class Watched(bytearray):
    """Notes the bytes that are read and written; all access is by slices."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.read: set[int] = set()
        self.written: set[int] = set()

    def __getitem__(self, places: Any) -> Any:
        self.read.update(range(*places.indices(len(self))))
        return super().__getitem__(places)

    def __setitem__(self, places: Any, value: Any) -> None:
        self.written.update(range(*places.indices(len(self))))
        super().__setitem__(places, value)


def touched(item: Instruction, fspm: bytes, mspm: bytes) -> tuple[set[Place], set[Place]]:
    """(read, written) by the definition of the instruction."""
    if isinstance(item, Transfer):
        return transferred(item)
    watched = {
        Space.FSPM: Watched(fspm),
        Space.WSPM: Watched(bytes([1]) * TINY.wspm_bytes),
        Space.MSPM: Watched(mspm),
    }
    naive = NaiveMachine(*(watched[space] for space in (Space.FSPM, Space.WSPM, Space.MSPM)))
    naive.execute(item)
    return (
        {(space, at) for space, memory in watched.items() for at in memory.read},
        {(space, at) for space, memory in watched.items() for at in memory.written},
    )


def transferred(item: Transfer) -> tuple[set[Place], set[Place]]:
    there = {
        (Space.DDR, item.ddr_address + r * item.ddr_row_stride + c * item.ddr_column_stride + k)
        for r in range(item.rows)
        for c in range(item.columns)
        for k in range(item.run_bytes)
    }
    space = Space(item.space) if isinstance(item, Load) else Space.FSPM
    here = {
        (space, item.local_address + r * item.local_row_stride + c * item.local_column_stride + k)
        for r in range(item.rows)
        for c in range(item.columns)
        for k in range(item.run_bytes)
    }
    return (there, here) if isinstance(item, Load) else (here, there)


def places(operand: Operand) -> set[Place]:
    """Every byte of an operand, one by one."""
    turns = itertools.product(*(range(count) for count, _ in operand.loops))
    strides = [stride for _, stride in operand.loops]
    starts = {sum(t * s for t, s in zip(turn, strides, strict=True)) for turn in turns}
    return {
        (operand.space, operand.address + start + byte)
        for start in starts
        for byte in range(operand.run)
    }


def declared(item: Instruction, write: bool) -> set[Place]:
    return set().union(*(places(one) for one in item.operands() if one.write == write))


# rows of 3 pixels, with a gap behind each pixel and each row
X: dict[str, int] = {"x_height": 2, "x_width": 3, "x_row_stride": 40, "x_column_stride": 12}
Y: dict[str, int] = {
    "y_height": 2, "y_width": 3, "y_row_stride": 44, "y_column_stride": 14, "y_address": 1200,
}  # fmt: skip
Z: dict[str, int] = {"z_row_stride": 46, "z_column_stride": 16, "z_address": 2400}
SAME = {**X, **Y, "x_channels": 4, "y_channels": 4}
SUMS = {"accumulator_address": 3000}
SECOND = {
    "residual": 1, "residual_address": 2400, "residual_row_stride": 50,
    "residual_column_stride": 18, "residual_type": S16,
}  # fmt: skip
DENSE = {
    **X, **Y, "x_channels": 4, "y_channels": 6, "weight_address": 64, "weight_row_bytes": 9,
    "parameter_address": 512,
}  # fmt: skip
TALL = {**DENSE, "x_height": 4, "x_width": 5, "x_row_stride": 70, "kernel_height": 3,
        "kernel_width": 3}  # fmt: skip
PAIRS: dict[str, int] = {"rows": 3, "columns": 2, "run_bytes": 5, "ddr_address": 7,
                         "ddr_row_stride": 90, "ddr_column_stride": 8, "local_address": 11,
                         "local_row_stride": 33, "local_column_stride": 6}  # fmt: skip
VALUES = {"x_width": 256, "x_column_stride": 1, "weight_row_bytes": 1, "y_width": 256,
          "y_column_stride": 1, "y_address": 1200}  # fmt: skip
COLUMN = {"x_channels": 256, "y_channels": 256, "y_address": 1200}

# instructions that need every byte they declare, where x counts 0, 1, ... 255 and again
NEEDY: tuple[Instruction, ...] = (
    make(Load, **PAIRS, space=Space.MSPM),
    make(Store, **PAIRS),
    make(Matrix, **DENSE),
    make(Matrix, **{**DENSE, "x_width": 4, "x_row_stride": 50, "kernel_width": 2}),
    make(Matrix, **{**DENSE, "x_width": 5, "x_row_stride": 60, "kernel_width": 2,
                    "dilation_width": 2}, groups=2),
    make(Matrix, **{**DENSE, "y_channels": 4}, depthwise=1),
    make(Matrix, **DENSE, prologue=1, prologue_address=40),
    make(Matrix, **{**DENSE, "weight_row_bytes": 14}, weight_type=1),
    make(Matrix, **DENSE, **SUMS, accumulate_in=1),
    make(Matrix, **TALL, **SUMS, accumulate_in=1, accumulate_out=1),
    make(Matrix, **DENSE, **SUMS, accumulate_out=1, x_type=S16),
    make(Matrix, **{**DENSE, "weight_row_bytes": 14}, **SUMS, accumulate_out=1, weight_type=1),
    make(Matrix, **DENSE, **SUMS, accumulate_out=1, prologue=1, prologue_type=S16),
    make(Matrix, **DENSE, **SUMS, accumulate_in=1, prologue=1, x_type=S16),
    make(SparseMatrix, **{**DENSE, "y_channels": 16, "y_column_stride": 18, "y_row_stride": 60},
         block_inputs=1, block_outputs=16, blocks=1, stored_bytes=32),
    make(Matrix, **TALL, **SECOND),
    make(Matrix, **TALL, **{**SECOND, "residual": 0}),
    make(Matrix, **DENSE, **{**SECOND, "residual_type": U8}, y_type=S16),
    make(Matrix, **VALUES, activation=Activation.TABLE, activation_address=96),
    make(Matrix, **{**VALUES, "y_column_stride": 2}, activation=Activation.TABLE, y_type=S16),
    make(Matrix, **{**VALUES, "x_width": 128, "x_height": 2, "x_column_stride": 2,
                    "x_row_stride": 257, "y_width": 128, "y_height": 2, "y_row_stride": 300},
         x_type=S16, middle_type=S16, activation=Activation.TABLE, activation_address=96,
         activation_intervals=8),
    make(Matrix, **VALUES, x_type=S8, middle_type=S8, activation=Activation.TWO_SIDED,
         activation_address=96),
    make(Affine, **SAME, parameter_address=80),
    make(Affine, **SAME, parameter_address=80, two_sided=1, x_type=S8, x_address=100),
    make(Eltwise, **SAME, **Z, x_type=S16),
    make(Eltwise, **SAME, **Z, z_type=S16),
    make(Eltwise, **SAME, **Z, z_broadcast=1, y_type=S16),
    make(Eltwise, **SAME, **{**Z, "z_row_stride": 0, "z_column_stride": 0}),
    make(Pool, **{**SAME, "x_height": 4, "x_width": 4}, kernel_height=3, kernel_width=2),
    make(Pool, **{**SAME, "x_height": 4}, kernel_height=2, stride_height=2, x_type=S16),
    make(Lookup, **COLUMN, table_address=24),
    make(Lookup, **COLUMN, table_address=24, y_type=S16),
    make(Lookup, **{**COLUMN, "x_channels": 128, "y_channels": 128}, x_height=2, x_row_stride=257,
         y_height=2, y_row_stride=300, table_address=24, x_type=S16, intervals=8),
    make(Resize, **SAME, step_height=1, step_width=1),
    make(Resize, **{**SAME, "y_height": 3, "y_width": 5, "y_row_stride": 80, "unit_height": 2,
                    "unit_width": 2}, step_height=1, step_width=1, mode=1),
    make(Move, **{"x_address": 3, "y_address": 1200, "run_bytes": 2, "count0": 2, "count1": 3,
                  "count2": 2, "count3": 4, "x_stride0": 500, "x_stride1": 100, "x_stride2": 40,
                  "x_stride3": 5, "y_stride0": 7, "y_stride1": 700, "y_stride2": 60,
                  "y_stride3": 14}),
    make(Softmax, **COLUMN, table_address=24),
    make(Pick, **{**COLUMN, "y_channels": 1}),
)  # fmt: skip


@pytest.mark.parametrize("item", NEEDY, ids=lambda item: item.MNEMONIC)
def test_what_is_declared_is_needed(item: Instruction) -> None:
    counting = bytes(range(256)) * (TINY.fspm_bytes // 256)
    same = record(2, 1)  # what is requantized keeps its value
    read, written = touched(item, counting, same * (TINY.mspm_bytes // len(same)))
    assert read == declared(item, write=False)
    assert written == declared(item, write=True)


def test_every_instruction_is_needy() -> None:
    assert {type(item) for item in NEEDY} == set(ALL_INSTRUCTIONS)


# bytes that addresses and strides are multiples of, where that is more than one
UNITS = {
    (Matrix, "input tile"): {1, 2},
    (Matrix, "weights"): {1, 2},
    (Matrix, "prologue parameters"): {8},
    (Matrix, "parameters"): {8},
    (Matrix, "table"): {2, 8},
    (Matrix, "activation parameters"): {8},
    (Matrix, "partial sums"): {4, 8},
    (Matrix, "residual tile"): {1, 2},
    (Matrix, "output tile"): {1, 2},
    (SparseMatrix, "parameters"): {8},
    (Affine, "parameters"): {8},
    (Eltwise, "input tile"): {1, 2},
    (Eltwise, "second tile"): {1, 2},
    (Eltwise, "output tile"): {1, 2},
    (Pool, "input tile"): {1, 2},
    (Lookup, "input tile"): {1, 2},
    (Lookup, "table"): {2, 8},
    (Lookup, "output tile"): {1, 2},
    (Softmax, "table"): {8},
}


def test_units() -> None:
    found: dict[tuple[type[Instruction], str], set[int]] = {}
    for item in NEEDY:
        for operand in item.operands():
            found.setdefault((type(item), operand.name), set()).add(operand.unit)
    assert {key: units for key, units in found.items() if units != {1}} == UNITS


@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
@settings(max_examples=150)
def test_what_is_touched_is_declared(seed: int, kind: int) -> None:
    draw = Random(seed)
    kinds = (draw.matrix, draw.pool, draw.resize, draw.softmax, draw.pick)
    item = draw.pointwise(kind) if kind < 3 else kinds[kind - 3]()
    mspm = draw.records(TINY.mspm_bytes // 8)
    read, written = touched(item, draw.raw(TINY.fspm_bytes), mspm)
    assert read <= declared(item, write=False)
    assert written == declared(item, write=True)


@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
@settings(max_examples=50)
def test_extents_reach_from_the_first_to_the_last_byte(seed: int, kind: int) -> None:
    draw = Random(seed)
    kinds = (draw.matrix, draw.pool, draw.resize, draw.softmax, draw.pick)
    item = draw.pointwise(kind) if kind < 3 else kinds[kind - 3]()
    for operand, access in zip(item.operands(), item.accesses(), strict=True):
        found = [at for _, at in places(operand)]
        assert access == (operand.space, min(found), max(found) + 1, operand.write)


@pytest.mark.parametrize("item", NEEDY, ids=lambda item: item.MNEMONIC)
def test_reads_come_before_writes(item: Instruction) -> None:
    writes = [operand.write for operand in item.operands()]
    assert writes == sorted(writes)
    assert any(writes)
