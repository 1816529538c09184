"""Pointwise operators on the vector engine: Affine, Add, Sub, Mul, Table. Copy only moves."""

from __future__ import annotations

from knightlite.isa import Affine, Eltwise, EltwiseMode, Instruction, Lookup
from knightlite.lower.work import (
    SIZE_LIMIT,
    Lowering,
    Range,
    Tile,
    Work,
    parameter_records,
    tile_fields,
    type_code,
)
from knightlite.ops import View, affine, eltwise, table


def _fields(view: View, tile: Tile, bounds: tuple[int, int]) -> dict[str, int]:
    x, y = view.tensor(0), view.output
    fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
    return fields | {"y_low": bounds[0], "y_high": bounds[1]}


def _same(rows: Range) -> Range:
    return rows


def affine_work(view: View) -> Work:
    """Affine: parameters per channel in MSPM."""
    params = affine.integer_parameters(view)

    def parameters(outs: Range) -> bytes:
        chosen = slice(*outs)
        return parameter_records(params.m[chosen], params.q[chosen], params.b[chosen])

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        fields = _fields(view, tile, view.bounds)
        return (Affine(**fields, parameter_address=tile.parameter_address),)

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


def _eltwise_work(
    view: View, mode: EltwiseMode, multiplier: int, z_multiplier: int, shift: int
) -> Work:
    z_type = type_code(view.tensor(1).dtype)

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        assert tile.z is not None
        return (
            Eltwise(
                **_fields(view, tile, view.bounds),
                mode=mode,
                z_address=tile.z.address,
                z_row_stride=tile.z.row_stride,
                z_column_stride=tile.z.column_stride,
                z_type=z_type,
                multiplier=multiplier,
                z_multiplier=z_multiplier,
                shift=shift,
            ),
        )

    return Work(
        x=view.node.inputs[0],
        z=view.node.inputs[1],
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=compute,
    )


def add_work(view: View) -> Work:
    """Add and Sub of two tensors of one shape; the sign of Sub is in its second factor."""
    params = eltwise.add_parameters(view)
    return _eltwise_work(view, EltwiseMode.ADD, params.ma, params.mb, params.q)


def mul_work(view: View) -> Work:
    """Mul; a [1, C, 1, 1] operand is one pixel, broadcast with strides of 0."""
    params = eltwise.mul_parameters(view)
    return _eltwise_work(view, EltwiseMode.MUL, int(params.m[0]), 0, int(params.q[0]))


def table_work(view: View) -> Work:
    """Table: 256 bytes in MSPM, the same for every tile."""
    data = table.entries(view).tobytes()

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        dtype = view.output.dtype
        fields = _fields(view, tile, (dtype.minimum, dtype.maximum))
        return (Lookup(**fields, table_address=tile.prologue_address),)

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
    """Copy: loaded and stored, no engine in between."""
    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=_same,
        compute=lambda tile: (),
        moves_only=True,
    )


AFFINE = Lowering("Affine", (SIZE_LIMIT,), affine_work)
ADD = Lowering("Add", (SIZE_LIMIT,), add_work)
SUB = Lowering("Sub", (SIZE_LIMIT,), add_work)
MUL = Lowering("Mul", (SIZE_LIMIT,), mul_work)
TABLE = Lowering("Table", (SIZE_LIMIT,), table_work)
COPY = Lowering("Copy", (SIZE_LIMIT,), copy_work)
