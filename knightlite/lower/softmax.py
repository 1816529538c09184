"""Softmax on the vector engine: all channels of a group at once, the exponentials in MSPM."""

from __future__ import annotations

from knightlite.chip import Chip
from knightlite.isa import Instruction, Softmax
from knightlite.lower.work import SIZE_LIMIT, Limit, Lowering, Tile, Work, span, tile_fields
from knightlite.ops import View, softmax


def work(view: View) -> Work:
    """One instruction a group; the tables are the same for every tile."""
    data = softmax.table_bytes(view)
    x, y, depth = view.tensor(0), view.output, softmax.depth(view)

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
        fields |= {
            "x_channels": depth,
            "y_channels": depth,
            "y_low": y.dtype.minimum,
            "y_high": y.dtype.maximum,
            "table_address": tile.prologue_address,
            "numerator": softmax.numerator(view),
            "fine": int(softmax.is_fine(view)),
        }
        return tuple(
            Softmax(
                **fields
                | {
                    "x_address": tile.x.address + at * x.dtype.size_bytes,
                    "y_address": tile.y.address + at * y.dtype.size_bytes,
                }
            )
            for at in range(0, span(tile.outs), depth)
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=softmax.groups(view) == 1,
        splits_inputs=False,
        input_rows=lambda rows: rows,
        compute=compute,
        prologue=lambda ins: data,
        one_prologue=True,
        cuts_channels=softmax.groups(view) > 1,
        cuts_groups=False,
        group=(depth, depth) if softmax.groups(view) > 1 else None,
    )


def _check_table(view: View, chip: Chip) -> str | None:
    if view.tensor(0).dtype.is_float:  # before it is quantized nobody knows
        return None
    size = len(softmax.table_bytes(view))
    if size <= chip.mspm_bytes:
        return None
    return (
        f"its exponentials take {size} bytes of MSPM, the chip has {chip.mspm_bytes}; quantize "
        "its input to 8 bits, or take a chip with more"
    )


TABLE_LIMIT = Limit("the exponentials fit MSPM", _check_table)
SOFTMAX = Lowering("Softmax", (SIZE_LIMIT, TABLE_LIMIT), work)
