"""ConvTranspose on the matrix engine: one ordinary convolution per phase of its strides.

The output pixels of a phase (rows and columns equal modulo the strides) are written between those
of the others, by strides of the output tile that skip them. Their kernels, the taps that the phase
sees, stand one after another in the weight tile.
"""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import Instruction, Matrix
from knightlite.lower.chain import WIDTH_LIMIT, Chain, chain_of, weight_tile_bytes, weights_limit
from knightlite.lower.work import (
    LARGEST_WINDOW,
    SIZE_LIMIT,
    Limit,
    Lowering,
    Placement,
    Range,
    Tile,
    Work,
    span,
)
from knightlite.ops import View, transposed, weighted
from knightlite.ops.transposed import Phase


@dataclass(frozen=True, slots=True)
class Window:
    """A phase of one axis in a tile: ``outputs`` positions from ``first`` of the tile, reading.

    ``inputs`` positions of the input tile from ``begin``, behind ``pad`` of padding.
    """

    first: int
    outputs: int
    begin: int
    inputs: int
    pad: int


def window(phase: Phase, stride: int, outputs: Range, inputs: Range) -> Window | None:
    """Where a phase lies in a tile of output and input positions; None where it has no output."""
    place = transposed.output_places(phase, stride, outputs)
    if place is None:
        return None
    first, begin, count = place
    covered = count - 1 + max(1, phase.reach)
    skipped = begin - inputs[0]
    if skipped >= span(inputs):  # all behind the picture: a position that no window reaches
        return Window(first - outputs[0], count, 0, 1, covered)
    inside = max(0, skipped)
    return Window(first - outputs[0], count, inside, span(inputs) - inside, max(0, -skipped))


def work(view: View) -> Work:
    """A single ConvTranspose."""
    return chain_work(view.graph, (view.node,))


def chain_work(graph: Graph, parts: tuple[Node, ...]) -> Work:
    """A chain [Affine,] ConvTranspose [, Add or activation]."""
    chain = chain_of(graph, parts)
    view = chain.center
    pairs = _pairs(view)
    taps = [_taps(*pair) for pair in pairs]

    def weights(outs: Range, ins: Range, align: int) -> bytes:
        found = bytearray()
        for row, column in pairs:
            # a phase without taps multiplies by one tap of zeros, and adds its bias
            rows = chain.weight_rows(outs, ins, row.taps, column.taps)
            rows = rows or bytes(chain.tap_bytes(outs, ins))
            found += rows + bytes(-len(rows) % align)
        return bytes(found)

    def weight_bytes(outs: Range, ins: Range, align: int) -> int:
        return weight_tile_bytes(taps, chain.tap_bytes(outs, ins), align)

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        return _instructions(chain, pairs, tile)

    return chain.work(
        lambda rows: transposed.region(view, 0, rows),
        compute,
        weights,
        weight_bytes,
        interleave=(view.integers("strides")[0], view.integers("strides")[1]),
    )


def _pairs(view: View) -> tuple[tuple[Phase, Phase], ...]:
    """The phases of rows with those of columns, in the order of their kernels in a weight tile."""
    return tuple(
        (row, column)
        for row in transposed.axis_phases(view, 0)
        for column in transposed.axis_phases(view, 1)
    )


def _taps(row: Phase, column: Phase) -> int:
    return max(1, len(row.taps) * len(column.taps))


def _instructions(
    chain: Chain, pairs: tuple[tuple[Phase, Phase], ...], tile: Tile
) -> tuple[Instruction, ...]:
    """One Matrix per phase that has outputs in the tile."""
    view = chain.center
    strides = view.integers("strides")
    width, y_width = view.tensor(0).shape[3], view.output.shape[3]
    fields = chain.fields(tile)
    weight_address, sums = tile.weight_address, tile.accumulator_address
    tap = chain.tap_bytes(tile.outs, tile.ins)
    found = []
    for row, column in pairs:
        down = window(row, strides[0], tile.rows, tile.x_rows)
        right = window(column, strides[1], (0, y_width), (0, width))
        if down is not None and right is not None:
            placed = fields | _window_fields(row, column, down, right)
            placed |= _places(tile, down, right, strides)
            placed |= {"weight_address": weight_address}
            if not (tile.first and tile.last):
                placed["accumulator_address"] = sums
            sums += down.outputs * right.outputs * span(tile.outs) * chain.accumulator_bytes
            found.append(Matrix(**placed))
        weight_address += weight_tile_bytes((_taps(row, column),), tap, tile.weight_align)
    return tuple(found)


def _window_fields(row: Phase, column: Phase, down: Window, right: Window) -> dict[str, int]:
    seen = bool(row.taps and column.taps)
    return {
        "kernel_height": len(row.taps) if seen else 1,
        "kernel_width": len(column.taps) if seen else 1,
        "stride_height": 1,
        "stride_width": 1,
        "dilation_height": row.dilation,
        "dilation_width": column.dilation,
        "pad_top": down.pad,
        "pad_left": right.pad,
        "x_height": down.inputs,
        "x_width": right.inputs,
        "y_height": down.outputs,
        "y_width": right.outputs,
    }


def _places(tile: Tile, down: Window, right: Window, strides: tuple[int, ...]) -> dict[str, int]:
    """Addresses and strides of the tiles: the input's window, every n-th output pixel."""
    x, y = tile.x, _every(tile.y, down, right, strides)
    found = {
        "x_address": x.address + down.begin * x.row_stride + right.begin * x.column_stride,
        "y_address": y.address,
        "y_row_stride": y.row_stride,
        "y_column_stride": y.column_stride,
    }
    if tile.z is not None and tile.last:
        z = _every(tile.z, down, right, strides)
        found |= {
            "residual_address": z.address,
            "residual_row_stride": z.row_stride,
            "residual_column_stride": z.column_stride,
        }
    return found


def _every(place: Placement, down: Window, right: Window, strides: tuple[int, ...]) -> Placement:
    """The pixels of a phase. A stride that leads nowhere stays as it is, and fits its field."""
    address = place.address + down.first * place.row_stride + right.first * place.column_stride
    return Placement(
        address,
        place.row_stride * (strides[0] if down.outputs > 1 else 1),
        place.column_stride * (strides[1] if right.outputs > 1 else 1),
    )


# ------------------------------------------------------------------ limits


def _check_window(view: View, chip: Chip) -> str | None:
    kernel, dilations = weighted.weights(view).shape[2:], view.integers("dilations")
    reach = tuple(dilations[axis] * (kernel[axis] - 1) + 1 for axis in range(2))
    largest = max(*reach, *view.integers("strides"))
    if largest <= LARGEST_WINDOW:
        return None
    return f"dilated kernel and stride must be at most {LARGEST_WINDOW}, not {largest}"


def _check_weights(view: View, chip: Chip) -> str | None:
    return weights_limit(view, chip, [_taps(*pair) for pair in _pairs(view)])


TRANSPOSED = Lowering(
    op="ConvTranspose",
    limits=(
        SIZE_LIMIT,
        WIDTH_LIMIT,
        Limit(f"dilated kernel and stride are at most {LARGEST_WINDOW}", _check_window),
        Limit("the smallest weight tile fits WSPM", _check_weights),
    ),
    work=work,
    chain=chain_work,
)
