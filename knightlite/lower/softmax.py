"""Softmax on the vector engine: all channels of a pixel at once, the exponentials in MSPM."""

from __future__ import annotations

from knightlite.isa import Instruction, Softmax
from knightlite.lower.work import SIZE_LIMIT, Lowering, Tile, Work, tile_fields
from knightlite.ops import View, softmax


def work(view: View) -> Work:
    """One instruction a tile; the table is the same for every tile."""
    data = softmax.entries(view).astype("<u2").tobytes()
    x, y = view.tensor(0), view.output

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        return (
            Softmax(
                **tile_fields(x, y, x.shape[3], y.shape[3], tile),
                y_low=y.dtype.minimum,
                y_high=y.dtype.maximum,
                table_address=tile.prologue_address,
                numerator=softmax.numerator(view),
            ),
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=True,
        splits_inputs=False,
        input_rows=lambda rows: rows,
        compute=compute,
        prologue=lambda ins: data,
        one_prologue=True,
        cuts_channels=False,
    )


SOFTMAX = Lowering("Softmax", (SIZE_LIMIT,), work)
