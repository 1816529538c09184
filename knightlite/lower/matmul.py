"""MatMul on the matrix engine: a 1 x 1 convolution whose weights are loaded of a computed tensor.

WSPM holds a row of weights per input channel. "values" lie so: a row is a pixel, its channels are
the outputs. "keys" lie the other way round, so a pass turns them first: "turned".
"""

from __future__ import annotations

import numpy as np

from knightlite.chip import Chip
from knightlite.isa import (
    ACCUMULATOR_BYTES,
    WEIGHT_TYPES,
    WIDE_ACCUMULATOR_BYTES,
    Instruction,
    Matrix,
)
from knightlite.lower.chain import PLAIN, weight_row_bytes
from knightlite.lower.work import (
    SIZE_LIMIT,
    Limit,
    Lowering,
    Range,
    Tile,
    WeightRuns,
    Work,
    parameter_records,
    span,
    tile_fields,
    tile_shape,
    type_code,
)
from knightlite.numerics import NARROW
from knightlite.ops import View, matmul

ONE_TAP = {
    "kernel_height": 1,
    "kernel_width": 1,
    "stride_height": 1,
    "stride_width": 1,
    "dilation_height": 1,
    "dilation_width": 1,
    "pad_top": 0,
    "pad_left": 0,
    "depthwise": 0,
}


def work(view: View) -> Work:
    """Tiles of whole groups, or inside one; their weights are runs of the second operand."""
    x, w, y = view.tensor(0), view.tensor(1), view.output
    size = w.dtype.size_bytes
    group = matmul.depth(view), matmul.group_outputs(view)
    params, (low, high) = matmul.requantize_parameters(view), view.bounds
    fixed = {
        **ONE_TAP,
        **PLAIN,
        "prologue_address": 0,
        "y_low": low,
        "y_high": high,
        "middle_type": type_code(y.dtype),
        "middle_low": low,
        "middle_high": high,
        "weight_type": WEIGHT_TYPES.index(w.dtype),
    }
    made: dict[tuple[object, ...], tuple[Instruction, ...]] = {}

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        key = tile_shape(tile)
        if key not in made:
            fields = tile_fields(x, y, x.shape[3], y.shape[3], tile) | fixed
            fields |= {
                "groups": max(1, span(tile.outs) // group[1]),
                "weight_address": tile.weight_address,
                "weight_row_bytes": row_bytes(tile.outs),
                "accumulate_in": int(not tile.first),
                "accumulate_out": int(not tile.last),
                "accumulator_address": 0 if tile.first and tile.last else tile.accumulator_address,
                "parameter_address": tile.parameter_address if tile.last else 0,
            }
            made[key] = (Matrix(**fields),)
        return made[key]

    def row_bytes(outs: Range) -> int:
        return weight_row_bytes(span(outs), size)

    def weight_bytes(outs: Range, ins: Range, align: int) -> int:
        return span(ins) // max(1, span(outs) // group[1]) * row_bytes(outs)

    def parameters(outs: Range) -> bytes:
        return parameter_records(np.repeat(params.m, span(outs)), np.repeat(params.q, span(outs)))

    return Work(
        x=x.name,
        z=None,
        y=y.name,
        channelwise=False,
        splits_inputs=True,
        input_rows=lambda rows: rows,
        compute=compute,
        weight_bytes=weight_bytes,
        weight_row_bytes=row_bytes,
        parameters=parameters,
        group=group,
        accumulator_bytes=(
            ACCUMULATOR_BYTES if matmul.accumulator(view) is NARROW else WIDE_ACCUMULATOR_BYTES
        ),
        w=w.name,
        weight_runs=lambda outs, ins: _runs(matmul.form(view), group, outs, ins),
    )


def _runs(form: str, group: tuple[int, int], outs: Range, ins: Range) -> WeightRuns:
    """A row for each input channel of a group: all outputs of it, group by group."""
    inputs, outputs = group
    if form == "values":  # pixel: input; channel: output, of all groups
        return WeightRuns(ins[0] % inputs, outs[0], min(span(ins), inputs), 1, 1, 1, span(outs))
    # pixel: input, of all groups; channel: output
    assert form == "turned", "a pass turns keys"
    groups = max(1, span(outs) // outputs)
    return WeightRuns(
        ins[0], outs[0] % outputs, span(ins) // groups, 1, groups, inputs, span(outs) // groups
    )


def _check_width(view: View, chip: Chip) -> str | None:
    operands = [view.tensor(0), view.tensor(1)]
    wide = [tensor.name for tensor in operands if tensor.dtype.bits == 16]
    if not wide or 16 in chip.bit_widths:
        return None
    return (
        f"the chip multiplies 8-bit features by 8-bit features only, but {' and '.join(wide)} "
        "have 16 bits; quantize them to 8 bits, or take a chip with 16"
    )


MATMUL = Lowering(
    op="MatMul",
    limits=(
        SIZE_LIMIT,
        Limit("both operands have 8 bits where the chip has no 16", _check_width),
    ),
    work=work,
)
