"""ArgMax and ArgMin on the vector engine: all channels of a group at once."""

from __future__ import annotations

from knightlite.isa import Instruction, Pick
from knightlite.lower.work import SIZE_LIMIT, Lowering, Tile, Work, span, tile_fields
from knightlite.ops import View, pick


def work(view: View) -> Work:
    """One instruction a group."""
    x, y, depth = view.tensor(0), view.output, pick.depth(view)
    grouped = pick.groups(view) > 1

    def compute(tile: Tile) -> tuple[Instruction, ...]:
        fields = tile_fields(x, y, x.shape[3], y.shape[3], tile)
        fields |= {
            "x_channels": depth,
            "y_channels": 1,
            "y_low": y.dtype.minimum,
            "y_high": y.dtype.maximum,
            "least": int(pick.picks_least(view)),
            "last": int(pick.picks_last(view)),
        }
        return tuple(
            Pick(
                **fields
                | {
                    "x_address": tile.x.address + at * depth * x.dtype.size_bytes,
                    "y_address": tile.y.address + at * y.dtype.size_bytes,
                }
            )
            for at in range(span(tile.outs))
        )

    return Work(
        x=view.node.inputs[0],
        z=None,
        y=view.node.output,
        channelwise=False,
        splits_inputs=False,
        input_rows=lambda rows: rows,
        compute=compute,
        cuts_channels=grouped,
        cuts_groups=False,
        group=(depth, 1) if grouped else None,
    )


ARG_MAX = Lowering("ArgMax", (SIZE_LIMIT,), work)
ARG_MIN = Lowering("ArgMin", (SIZE_LIMIT,), work)
