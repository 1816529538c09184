"""Operators that only move values, row by row or block by block, with the Move instruction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from knightlite.isa import Instruction, Move
from knightlite.lower.work import SIZE_LIMIT, Limit, Lowering, Range, Tile, Work, span
from knightlite.ops import View, depth_to_space

Loop = tuple[int, int, int]  # turns, bytes between turns in x, in y
LOOPS = 4


def move(x_address: int, y_address: int, loops: Sequence[Loop], run: int) -> Move:
    """One Move; loops whose turns follow each other without a gap become one, or a longer run."""
    joined: list[Loop] = []
    for count, x_stride, y_stride in reversed([loop for loop in loops if loop[0] > 1]):
        if not joined and x_stride == y_stride == run:
            run *= count
            continue
        turns, x_step, y_step = joined[0] if joined else (0, 0, 0)
        if joined and (x_stride, y_stride) == (turns * x_step, turns * y_step):
            joined[0] = (turns * count, x_step, y_step)
        else:
            joined.insert(0, (count, x_stride, y_stride))
    spare: list[Loop] = [(1, 0, 0)] * (LOOPS - len(joined))
    fields = {"layer": 0, "wait": 0, "signal": 0, "run_bytes": run}
    for place, (count, x_stride, y_stride) in enumerate((*spare, *joined)):
        fields |= {
            f"count{place}": count,
            f"x_stride{place}": x_stride,
            f"y_stride{place}": y_stride,
        }
    return Move(x_address=x_address, y_address=y_address, **fields)


def _work(
    view: View,
    input_rows: Callable[[Range], Range],
    compute: Callable[[Tile], tuple[Instruction, ...]],
) -> Work:
    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=False,
        splits_inputs=False,
        input_rows=input_rows,
        compute=compute,
        cuts_channels=False,
    )


def shuffle_work(view: View) -> Work:
    """ChannelShuffle: pixel by pixel, group by group; the longer loop of the two is innermost."""
    _, channels, _, width = view.tensor(0).shape
    size, groups = view.output.dtype.size_bytes, view.integer("groups")
    depth = channels // groups

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        pixels = (
            (span(tile.rows), tile.x.row_stride, tile.y.row_stride),
            (width, tile.x.column_stride, tile.y.column_stride),
        )
        inner = ((groups, depth * size, size), (depth, size, groups * size))
        ordered = inner if depth >= groups else inner[::-1]
        return (move(tile.x.address, tile.y.address, (*pixels, *ordered), size),)

    return _work(view, lambda rows: rows, compute)


def swap_work(view: View) -> Work:
    """SwapChannels: in every row, pixels become channels; some of them, or all.

    In two moves (``run``): first [pixel][channel] becomes [run][pixel][channel of the run].
    """
    channels, size = view.tensor(0).shape[1], view.output.dtype.size_bytes
    run = view.node.attributes.get("run", 0)
    assert isinstance(run, int)

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        rows, pixels = span(tile.rows), span(tile.outs)
        x = tile.x.address + tile.outs[0] * tile.x.column_stride
        if not run:
            loops = (
                (rows, tile.x.row_stride, tile.y.row_stride),
                (channels, size, tile.y.column_stride),
                (pixels, tile.x.column_stride, size),
            )
            return (move(x, tile.y.address, loops, size),)
        together = run * size
        row, block = channels * pixels * size, pixels * together
        first = (
            (rows, tile.x.row_stride, row),
            (channels // run, together, block),
            (pixels, tile.x.column_stride, together),
        )
        second = (
            (rows, row, tile.y.row_stride),
            (channels // run, block, run * tile.y.column_stride),
            (run, size, tile.y.column_stride),
            (pixels, together, size),
        )
        return (
            move(x, tile.accumulator_address, first, together),
            move(tile.accumulator_address, tile.y.address, second, size),
        )

    made = _work(view, lambda rows: rows, compute)
    scratch = (lambda outs: channels * span(outs) * size) if run else None
    return replace(made, cuts_channels=True, scratch_row_bytes=scratch)


def depth_work(view: View) -> Work:
    """DepthToSpace: one Move for each row of a block."""
    _, inner, _, _ = view.output.shape
    width = view.tensor(0).shape[3]
    size, block = view.output.dtype.size_bytes, view.integer("block")
    blockwise = depth_to_space.mode_of(view) == "DCR"
    row_step = size * block * (inner if blockwise else 1)  # between the rows of a block, in x

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        found = []
        for row in range(block):
            first = -((row - tile.rows[0]) // block)  # first input row whose block row is in y
            last = -((row - tile.rows[1]) // block)
            if last <= first:
                continue
            loops = [
                (last - first, tile.x.row_stride, block * tile.y.row_stride),
                (width, tile.x.column_stride, block * tile.y.column_stride),
            ]
            if blockwise:
                loops += [(block, inner * size, tile.y.column_stride), (inner, size, size)]
            else:
                loops += [(block, size, tile.y.column_stride), (inner, block**2 * size, size)]
            x = tile.x.address + (first - tile.x_rows[0]) * tile.x.row_stride + row * row_step
            y = tile.y.address + (first * block + row - tile.rows[0]) * tile.y.row_stride
            found.append(move(x, y, loops, size))
        return tuple(found)

    return _work(view, lambda rows: depth_to_space.depth_region(view, 0, rows), compute)


def space_work(view: View) -> Work:
    """SpaceToDepth: one Move for each row of a block."""
    _, channels, _, _ = view.tensor(0).shape
    width = view.output.shape[3]
    size, block = view.output.dtype.size_bytes, view.integer("block")
    blockwise = depth_to_space.mode_of(view) == "DCR"
    row_step = size * block * (channels if blockwise else 1)  # between the rows of a block, in y

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        found = []
        for row in range(block):
            loops = [
                (span(tile.rows), block * tile.x.row_stride, tile.y.row_stride),
                (width, block * tile.x.column_stride, tile.y.column_stride),
            ]
            if blockwise:
                loops += [(block, tile.x.column_stride, channels * size), (channels, size, size)]
            else:
                loops += [(block, tile.x.column_stride, size), (channels, size, block**2 * size)]
            x, y = tile.x.address + row * tile.x.row_stride, tile.y.address + row * row_step
            found.append(move(x, y, loops, size))
        return tuple(found)

    return _work(view, lambda rows: depth_to_space.space_region(view, 0, rows), compute)


_LIMITS: tuple[Limit, ...] = (SIZE_LIMIT,)
CHANNEL_SHUFFLE = Lowering("ChannelShuffle", _LIMITS, shuffle_work)
SWAP_CHANNELS = Lowering("SwapChannels", _LIMITS, swap_work)
DEPTH_TO_SPACE = Lowering("DepthToSpace", _LIMITS, depth_work)
SPACE_TO_DEPTH = Lowering("SpaceToDepth", _LIMITS, space_work)
