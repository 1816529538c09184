"""Pointwise operators on the vector engine: one or two operands. Copy may only move."""

from __future__ import annotations

from collections.abc import Sequence

from knightlite import numerics
from knightlite.chip import Chip
from knightlite.isa import Affine, Eltwise, EltwiseMode, Instruction, Lookup, Pool, PoolMode
from knightlite.lower.work import (
    SIZE_LIMIT,
    Limit,
    Lowering,
    Range,
    Tile,
    Work,
    parameter_records,
    tile_fields,
    type_code,
)
from knightlite.ops import View, affine, eltwise, prelu, table, wide_table

ONE_VALUE = {
    "mode": PoolMode.MAX,
    "kernel_height": 1,
    "kernel_width": 1,
    "stride_height": 1,
    "stride_width": 1,
    "pad_top": 0,
    "pad_left": 0,
    "multiplier": 0,
    "shift": 0,
}  # the window of a Pool that gives every value as it is


def _fields(view: View, tile: Tile, bounds: tuple[int, int]) -> dict[str, int]:
    x, y = view.tensor(0), view.output
    fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
    return fields | {"y_low": bounds[0], "y_high": bounds[1]}


def _same(rows: Range) -> Range:
    return rows


def _affine_work(view: View, sides: Sequence[numerics.AffineParameters]) -> Work:
    """``sides``: the parameters of all channels, or those for x >= 0 and those for x < 0."""

    def parameters(outs: Range) -> bytes:
        chosen = slice(*outs)
        return b"".join(
            parameter_records(side.m[chosen], side.q[chosen], side.b[chosen]) for side in sides
        )

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        fields = _fields(view, tile, view.bounds)
        return (
            Affine(**fields, parameter_address=tile.parameter_address, two_sided=len(sides) - 1),
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=compute,
        parameters=parameters,
    )


def affine_work(view: View) -> Work:
    """Affine: parameters per channel in MSPM."""
    return _affine_work(view, (affine.integer_parameters(view),))


def prelu_work(view: View) -> Work:
    """PRelu: a two-sided affine without offsets."""
    return _affine_work(view, prelu.integer_parameters(view))


def _eltwise_work(
    view: View, mode: EltwiseMode, multiplier: int, z_multiplier: int, shift: int
) -> Work:
    first, second = eltwise.operand_order(view)
    x, y, z = view.tensor(first), view.output, view.tensor(second)

    low, high = view.bounds

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        assert tile.z is not None
        return (
            Eltwise(
                **tile_fields(x, y, x.shape[3], y.shape[3], tile),
                y_low=low,
                y_high=high,
                mode=mode,
                z_address=tile.z.address,
                z_row_stride=tile.z.row_stride,
                z_column_stride=tile.z.column_stride,
                z_broadcast=int(z.shape[1] < y.shape[1]),
                z_type=type_code(z.dtype),
                multiplier=multiplier,
                z_multiplier=z_multiplier,
                shift=shift,
            ),
        )

    return Work(
        x=x.name,
        z=z.name,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=compute,
    )


MODES = {
    "Add": EltwiseMode.ADD,
    "Sub": EltwiseMode.ADD,
    "Max": EltwiseMode.MAX,
    "Min": EltwiseMode.MIN,
}


def pair_work(view: View) -> Work:
    """Add, Sub, Max and Min; the sign of Sub is in its second factor."""
    params = eltwise.pair_parameters(view)
    factors = (params.ma, params.mb)
    first, second = eltwise.operand_order(view)
    return _eltwise_work(view, MODES[view.node.op], factors[first], factors[second], params.q)


def mul_work(view: View) -> Work:
    """Mul: one factor for the product."""
    params = eltwise.mul_parameters(view)
    return _eltwise_work(view, EltwiseMode.MUL, int(params.m[0]), 0, int(params.q[0]))


def table_work(view: View) -> Work:
    """Table: in MSPM, the same for every tile."""
    intervals = fraction = 0
    if wide_table.is_interpolated(view):
        intervals = wide_table.lut_length(view)
        entries, fraction = wide_table.interpolated_entries(view)
    else:
        entries = table.entries(view)
    data = entries.tobytes()

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        dtype = view.output.dtype
        fields = _fields(view, tile, (dtype.minimum, dtype.maximum))
        return (
            Lookup(
                **fields,
                table_address=tile.prologue_address,
                intervals=intervals,
                fraction=fraction,
            ),
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=compute,
        prologue=lambda ins: data,
        one_prologue=True,
    )


def copy_work(view: View) -> Work:
    """Copy: loaded and stored, no engine in between or, ``computed``, a maximum over one value."""
    computed = bool(view.node.attributes.get("computed", 0))
    y = view.output

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        if not computed:
            return ()
        fields = _fields(view, tile, (y.dtype.minimum, y.dtype.maximum))
        return (Pool(**fields, **ONE_VALUE),)

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=compute,
        moves_only=not computed,
    )


def _check_table(view: View, chip: Chip) -> str | None:
    if not wide_table.is_interpolated(view):
        return None
    size = wide_table.table_bytes(view)
    if size <= chip.mspm_bytes:
        return None
    return (
        f"a table of 2^{wide_table.lut_length(view)} intervals takes {size} bytes of the "
        f"{chip.mspm_bytes} of MSPM; quantize with a lut_len of "
        f"{wide_table.lut_length(view) - 1} or less"
    )


TABLE_LIMIT = Limit("the table of a 16-bit tensor fits MSPM", _check_table)
AFFINE = Lowering("Affine", (SIZE_LIMIT,), affine_work)
PRELU = Lowering("PRelu", (SIZE_LIMIT,), prelu_work)
ADD = Lowering("Add", (SIZE_LIMIT,), pair_work)
SUB = Lowering("Sub", (SIZE_LIMIT,), pair_work)
MAX = Lowering("Max", (SIZE_LIMIT,), pair_work)
MIN = Lowering("Min", (SIZE_LIMIT,), pair_work)
MUL = Lowering("Mul", (SIZE_LIMIT,), mul_work)
TABLE = Lowering("Table", (SIZE_LIMIT, TABLE_LIMIT), table_work)
COPY = Lowering("Copy", (SIZE_LIMIT,), copy_work)
