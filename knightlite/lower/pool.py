"""Pooling on the vector engine; averages with a divisor of their own at the edges are split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.isa import TYPES, Instruction, Pool, PoolMode
from knightlite.lower.work import (
    LARGEST_WINDOW,
    SIZE_LIMIT,
    Limit,
    Lowering,
    Tile,
    Work,
    tile_fields,
    window_limits,
)
from knightlite.ops import View, pool


def _rectangles(counts: NDArray[np.int64]) -> list[tuple[int, int, int, int, int]]:
    """Maximal runs (row0, row1, column0, column1, divisor) of a separable divisor map."""

    def runs(values: list[bytes]) -> list[tuple[int, int]]:
        edges = [0] + [i for i in range(1, len(values)) if values[i] != values[i - 1]]
        return list(zip(edges, [*edges[1:], len(values)], strict=True))

    rows = runs([row.tobytes() for row in counts])
    columns = runs([column.tobytes() for column in np.ascontiguousarray(counts.T)])
    return [(r0, r1, c0, c1, int(counts[r0, c0])) for r0, r1 in rows for c0, c1 in columns]


def _pool(view: View, tile: Tile, box: tuple[int, int, int, int], mode: PoolMode,
          multiplier: int, shift: int) -> Pool:  # fmt: skip
    """The instruction for output rows/columns ``box`` (absolute) of a tile."""
    x, y = view.tensor(0), view.output
    kernel, strides = view.integers("kernel"), view.integers("strides")
    top, left, _, _ = view.integers("pads")
    first_row, last_row, first_column, last_column = box
    # The box's own input window: rows and columns inside the picture, pads where it starts before.
    row_start, column_start = first_row * strides[0] - top, first_column * strides[1] - left
    row_end = min((last_row - 1) * strides[0] - top + kernel[0], x.shape[2])
    column_end = min((last_column - 1) * strides[1] - left + kernel[1], x.shape[3])
    x_row, x_column = max(0, row_start), max(0, column_start)
    fields = tile_fields(x, y, column_end - x_column, last_column - first_column, tile)
    y_bytes = TYPES[fields["y_type"]].size_bytes
    assert tile.y.column_stride >= y_bytes
    low, high = view.bounds if mode is PoolMode.SUM else (y.dtype.minimum, y.dtype.maximum)
    fields |= {
        "x_address": tile.x.address
        + (x_row - tile.x_rows[0]) * tile.x.row_stride
        + x_column * tile.x.column_stride,
        "x_height": row_end - x_row,
        "y_address": tile.y.address
        + (first_row - tile.rows[0]) * tile.y.row_stride
        + first_column * tile.y.column_stride,
        "y_height": last_row - first_row,
        "y_low": low,
        "y_high": high,
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "pad_top": x_row - row_start,
        "pad_left": x_column - column_start,
        "mode": mode,
        "multiplier": multiplier,
        "shift": shift,
    }
    return Pool(**fields)


def max_work(view: View) -> Work:
    """MaxPool: one instruction a tile."""

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        box = (*tile.rows, 0, view.output.shape[3])
        return (_pool(view, tile, box, PoolMode.MAX, 0, 0),)

    return _work(view, compute)


def average_work(view: View) -> Work:
    """AveragePool: one instruction for each rectangle of one divisor in a tile."""
    counts = pool.divisors(view)

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        found = []
        for r0, r1, c0, c1, divisor in _rectangles(counts[tile.rows[0] : tile.rows[1]]):
            params = pool.average_parameters(view, divisor)
            box = (tile.rows[0] + r0, tile.rows[0] + r1, c0, c1)
            found.append(_pool(view, tile, box, PoolMode.SUM, int(params.m[0]), int(params.q[0])))
        return tuple(found)

    return _work(view, compute)


def _work(view: View, compute: Callable[[Tile], tuple[Instruction, ...]]) -> Work:
    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=lambda rows: pool.region(view, 0, rows),
        compute=compute,
    )


def _check_window(view: View, chip: Chip) -> str | None:
    return window_limits(view, view.integers("kernel"), view.integers("strides"))


_LIMITS = (SIZE_LIMIT, Limit(f"window, stride and pad are at most {LARGEST_WINDOW}", _check_window))
MAX_POOL = Lowering("MaxPool", _LIMITS, max_work)
AVERAGE_POOL = Lowering("AveragePool", _LIMITS, average_work)
