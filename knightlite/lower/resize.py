"""Resize on the vector engine: one instruction a tile, its offset moved to the tile's first row."""

from __future__ import annotations

from collections.abc import Callable

from knightlite.chip import Chip
from knightlite.isa import Instruction, Resize, ResizeMode, largest
from knightlite.lower.work import SIZE_LIMIT, Limit, Lowering, Range, Tile, Work, tile_fields
from knightlite.ops import View, resize, sampling
from knightlite.ops.sampling import Line

LARGEST = largest(Resize, "offset_height")  # signed: steps and units hold twice as much


def nearest_lines(view: View) -> list[Line]:
    """Lines of height and width whose floors are the elements to take, where there are such."""
    found = [sampling.nearest_line(axis, resize.rounding(view)) for axis in resize.axes(view)]
    return [item for item in found if item is not None]


def linear_lines(view: View) -> list[Line]:
    """The exact positions of height and width."""
    return list(map(sampling.line, resize.axes(view)))


def _work(
    view: View,
    lines: list[Line],
    mode: ResizeMode,
    multiplier: int,
    shift: int,
    bounds: Range,
    region: Callable[[View, int, Range], Range],
) -> Work:
    height, width = lines
    x, y = view.tensor(0), view.output

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        # positions count from the tile's first row, for its first output row
        offset = height.offset + tile.rows[0] * height.step - tile.x_rows[0] * height.unit
        return (
            Resize(
                **tile_fields(x, y, x.shape[3], y.shape[3], tile),
                y_low=bounds[0],
                y_high=bounds[1],
                mode=mode,
                step_height=height.step,
                offset_height=offset,
                unit_height=height.unit,
                step_width=width.step,
                offset_width=width.offset,
                unit_width=width.unit,
                multiplier=multiplier,
                shift=shift,
            ),
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=lambda rows: region(view, 0, rows),
        compute=compute,
    )


def nearest_work(view: View) -> Work:
    """Elements at the floors of a line."""
    dtype = view.output.dtype
    bounds = (dtype.minimum, dtype.maximum)
    lines = nearest_lines(view)
    return _work(view, lines, ResizeMode.NEAREST, 0, 0, bounds, resize.region_nearest)


def linear_work(view: View) -> Work:
    """Four elements, weighted by the fractions of the position."""
    params = resize.linear_parameters(view)
    factor = (int(params.m[0]), int(params.q[0]))
    lines = linear_lines(view)
    return _work(view, lines, ResizeMode.LINEAR, *factor, view.bounds, resize.region_linear)


def _check(lines: Callable[[View], list[Line]]) -> Callable[[View, Chip], str | None]:
    def check(view: View, chip: Chip) -> str | None:
        numbers = ((item.step, abs(item.offset), item.unit) for item in lines(view))
        found = max(map(max, numbers), default=0)
        if found <= LARGEST:
            return None
        return f"positions must have steps, offsets and units of at most {LARGEST}, not {found}"

    return check


_RULE = "steps, offsets and denominators of positions are below 2^31"
RESIZE_NEAREST = Lowering(
    resize.NEAREST, (SIZE_LIMIT, Limit(_RULE, _check(nearest_lines))), nearest_work
)
RESIZE_LINEAR = Lowering(
    resize.LINEAR, (SIZE_LIMIT, Limit(_RULE, _check(linear_lines))), linear_work
)
