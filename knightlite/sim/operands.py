"""Exactly which bytes an instruction touches: strided runs, where ``accesses()`` gives extents."""

from __future__ import annotations

from typing import NamedTuple

from knightlite.isa import (
    EXPONENTIAL_BYTES,
    PARAMETER_BYTES,
    TYPES,
    Affine,
    Eltwise,
    FeatureInstruction,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Pool,
    Softmax,
    Space,
    Transfer,
)


class Operand(NamedTuple):
    """``rows`` x ``columns`` runs of ``run`` contiguous bytes of one memory.

    ``outer``: further loops around the rows, as (turns, stride).
    """

    name: str
    space: Space
    address: int
    rows: int
    row_stride: int
    columns: int
    column_stride: int
    run: int
    write: bool
    unit: int  # bytes of one element: addresses and strides are multiples of it
    outer: tuple[tuple[int, int], ...] = ()

    @property
    def loops(self) -> tuple[tuple[int, int], ...]:
        """All loops as (turns, stride), the outermost first."""
        return (*self.outer, (self.rows, self.row_stride), (self.columns, self.column_stride))

    @property
    def last(self) -> int:
        """One past the last byte."""
        return self.address + sum((turns - 1) * stride for turns, stride in self.loops) + self.run

    @property
    def overlaps_itself(self) -> bool:
        """Whether two of its runs may share bytes (no order of the loops nests)."""
        reach = self.run
        for stride, turns in sorted((stride, turns) for turns, stride in self.loops if turns > 1):
            if stride < reach:
                return True
            reach += (turns - 1) * stride
        return False


def _flat(name: str, space: Space, address: int, size: int, unit: int, write: bool) -> Operand:
    return Operand(name, space, address, 1, size, 1, size, size, write, unit)


def transfer_operands(item: Transfer) -> tuple[Operand, ...]:
    """Source, destination."""
    is_load = isinstance(item, Load)
    local_space = Space(item.space) if isinstance(item, Load) else Space.FSPM
    ddr = Operand(
        "DDR side", Space.DDR, item.ddr_address, item.rows, item.ddr_row_stride, item.columns,
        item.ddr_column_stride, item.run_bytes, not is_load, 1,
    )  # fmt: skip
    local = Operand(
        "scratchpad side", local_space, item.local_address, item.rows, item.local_row_stride,
        item.columns, item.local_column_stride, item.run_bytes, is_load, 1,
    )  # fmt: skip
    return (ddr, local) if is_load else (local, ddr)


def covered(item: Matrix | Pool) -> tuple[int, int]:
    """Rows and columns from the first tap of the first window to the last tap of the last."""
    down, right = (
        (item.dilation_height, item.dilation_width) if isinstance(item, Matrix) else (1, 1)
    )
    high = (item.y_height - 1) * item.stride_height + (item.kernel_height - 1) * down + 1
    wide = (item.y_width - 1) * item.stride_width + (item.kernel_width - 1) * right + 1
    return high, wide


def x_operand(item: FeatureInstruction) -> Operand:
    """The input tile."""
    size = TYPES[item.x_type].size_bytes
    return Operand(
        "input tile", Space.FSPM, item.x_address, item.x_height, item.x_row_stride, item.x_width,
        item.x_column_stride, item.x_channels * size, False, size,
    )  # fmt: skip


def y_operand(item: FeatureInstruction) -> Operand:
    """The output tile."""
    size = TYPES[item.y_type].size_bytes
    return Operand(
        "output tile", Space.FSPM, item.y_address, item.y_height, item.y_row_stride, item.y_width,
        item.y_column_stride, item.y_channels * size, True, size,
    )  # fmt: skip


def z_operand(item: Eltwise) -> Operand:
    """The second tile of an eltwise instruction."""
    size = TYPES[item.z_type].size_bytes
    return Operand(
        "second tile", Space.FSPM, item.z_address, item.y_height, item.z_row_stride, item.y_width,
        item.z_column_stride, item.z_channels * size, False, size,
    )  # fmt: skip


def residual_operand(item: Matrix) -> Operand:
    """The second tile of a matrix instruction."""
    size = TYPES[item.residual_type].size_bytes
    return Operand(
        "residual tile", Space.FSPM, item.residual_address, item.y_height,
        item.residual_row_stride, item.y_width, item.residual_column_stride,
        item.y_channels * size, False, size,
    )  # fmt: skip


def parameter_operand(name: str, address: int, channels: int) -> Operand:
    """8-byte records in MSPM, one per channel."""
    size = channels * PARAMETER_BYTES
    return _flat(name, Space.MSPM, address, size, PARAMETER_BYTES, False)


def matrix_operands(item: Matrix) -> tuple[Operand, ...]:
    """Everything a matrix instruction touches, by name."""
    width = item.y_channels
    weights = width * item.weight_size
    found = [
        x_operand(item),
        Operand(
            "weights", Space.WSPM, item.weight_address, item.weight_rows(), item.weight_row_bytes,
            1, weights, weights, False, item.weight_size,
        ),
    ]  # fmt: skip
    if item.prologue:
        found.append(
            parameter_operand("prologue parameters", item.prologue_address, item.x_channels)
        )
    unit = item.accumulator_size
    size = item.pixels * width * unit
    if item.accumulate_in:
        found.append(_flat("partial sums", Space.FSPM, item.accumulator_address, size, unit, False))
    if item.accumulate_out:
        found.append(_flat("partial sums", Space.FSPM, item.accumulator_address, size, unit, True))
        return tuple(found)
    found.append(parameter_operand("parameters", item.parameter_address, width))
    if item.residual:
        found.append(residual_operand(item))
    found.append(y_operand(item))
    return tuple(found)


def move_operands(item: Move) -> tuple[Operand, Operand]:
    """Source, destination."""
    sides = []
    for name, address, side, write in (
        ("source", item.x_address, 1, False),
        ("destination", item.y_address, 2, True),
    ):
        first, second, rows, columns = ((loop[0], loop[side]) for loop in item.loops)
        sides.append(
            Operand(
                name, Space.FSPM, address, *rows, *columns, item.run_bytes, write, 1,
                (first, second),
            )
        )  # fmt: skip
    return sides[0], sides[1]


def operands(item: Instruction) -> tuple[Operand, ...]:
    """Every byte run of an instruction; what it reads comes before what it writes."""
    if isinstance(item, Transfer):
        return transfer_operands(item)
    if isinstance(item, Matrix):
        return matrix_operands(item)
    if isinstance(item, Move):
        return move_operands(item)
    assert isinstance(item, FeatureInstruction)
    x, y = x_operand(item), y_operand(item)
    if isinstance(item, Eltwise):
        return (x, z_operand(item), y)
    if isinstance(item, Affine):
        return (x, parameter_operand("parameters", item.parameter_address, item.records), y)
    if isinstance(item, Softmax):
        size = EXPONENTIAL_BYTES
        return (x, _flat("table", Space.MSPM, item.table_address, size, 8, False), y)
    if isinstance(item, Lookup):
        unit = 2 if item.intervals else 8
        return (x, _flat("table", Space.MSPM, item.table_address, item.table_bytes, unit, False), y)
    return (x, y)
