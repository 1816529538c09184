"""Pad on the vector engine: a sum over windows of one pixel reads 0 outside its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from knightlite.chip import Chip
from knightlite.isa import Instruction, Pool, PoolMode
from knightlite.lower.work import (
    LARGEST_WINDOW,
    SIZE_LIMIT,
    Limit,
    Lowering,
    Range,
    Tile,
    Work,
    span,
    tile_fields,
)
from knightlite.ops import View, pad


def work(view: View) -> Work:
    """One instruction for the values, and more for channels of zeros (a sum times 0)."""
    x, y = view.tensor(0), view.output
    (before, top, left), _ = pad.amounts(view)
    size, channels, height = y.dtype.size_bytes, x.shape[1], x.shape[2]
    picture_only = channels == y.shape[1]

    def input_rows(rows: Range) -> Range:
        first, last = pad.region(view, 0, rows)
        if first < last:
            return first, last
        return min(first, height - 1), min(first, height - 1) + 1  # a tile holds some row

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        base = tile_fields(x, y, x.shape[3], y.shape[3], tile) | {
            "y_low": y.dtype.minimum,
            "y_high": y.dtype.maximum,
            "kernel_height": 1,
            "kernel_width": 1,
            "stride_height": 1,
            "stride_width": 1,
            "pad_top": 0,
            "pad_left": 0,
            "mode": PoolMode.SUM,
            "multiplier": 0,
            "shift": 0,
        }

        def part(first: int, count: int) -> Pool:
            """Zeros in ``count`` channels of y from ``first`` on."""
            return Pool(
                **base
                | {
                    "x_channels": count,
                    "y_channels": count,
                    "y_address": tile.y.address + first * size,
                }
            )

        found: list[Instruction] = []
        for begin, end in ((0, before), (before + channels, y.shape[1])):
            found += [part(*piece) for piece in _pieces(begin, end, channels)]
        inside = part(before, span(tile.ins))
        if span(pad.region(view, 0, tile.rows)):
            above = max(0, top - tile.rows[0])
            inside = replace(inside, multiplier=1, pad_top=above, pad_left=left)
        return (*found, inside)

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=picture_only,
        splits_inputs=False,
        input_rows=input_rows,
        compute=compute,
        cuts_channels=picture_only,
    )


def _pieces(begin: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """[begin, end) as (first, count) of at most ``most``."""
    for first in range(begin, end, most):
        yield first, min(most, end - first)


def _check_pads(view: View, chip: Chip) -> str | None:
    (_, top, left), _ = pad.amounts(view)
    if max(top, left) <= LARGEST_WINDOW:
        return None
    return f"zeros above and on the left must be at most {LARGEST_WINDOW}, not {max(top, left)}"


PAD = Lowering(
    "Pad",
    (SIZE_LIMIT, Limit(f"at most {LARGEST_WINDOW} zeros above and on the left", _check_pads)),
    work,
)
