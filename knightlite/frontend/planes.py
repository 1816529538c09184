"""Constants that differ from pixel to pixel, as features: positions, masks, coordinates.

A convolution's bias differs from channel to channel only. So a constant is spread from a single
pixel whose value is 1, by a transposed convolution whose kernel is the constant itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import rearranging
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode
from knightlite.ir import Attribute
from knightlite.ops import table

Array = NDArray[Any]
TAPS = 64  # of a kernel: the smallest WSPM holds so many of 16 channels
KERNEL: dict[str, Attribute] = {
    "strides": (1, 1),
    "dilations": (1, 1),
    "pads": (0, 0, 0, 0),
    "output_padding": (0, 0),
    "group": 1,
}


def feature(state: Importer, node: SourceNode, values: Array) -> str:
    """A tensor that is always ``values`` [1, C, H, W], which are finite, for ``node``."""
    hint, (height, width) = node.outputs[0], values.shape[2:]
    if not np.all(np.isfinite(values)):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have a finite constant, but "
            f"{np.count_nonzero(~np.isfinite(values))} of its {values.size} values are not.",
            "train or export the model again",
        )
    one = _one(state, node)
    columns = min(width, TAPS)
    rows = max(1, min(height, TAPS // columns))
    bands = []
    for top in range(0, height, rows):
        pieces = [
            _spread(state, one, values[:, :, top : top + rows, left : left + columns], hint)
            for left in range(0, width, columns)
        ]
        bands.append(rearranging.stacked(state, pieces, 2, hint))
    return rearranging.stacked(state, bands, 1, hint)


def _spread(state: Importer, one: str, kernel: Array, hint: str) -> str:
    builder = state.builder
    made = builder.tensor(builder.fresh(f"{hint}.constant"), kernel.shape)
    weight = np.swapaxes(kernel, 0, 1).astype(np.float32)
    name = builder.constant(builder.fresh(f"{made}.weight"), weight)
    return builder.node("ConvTranspose", (one, name), made, KERNEL)


def _one(state: Importer, node: SourceNode) -> str:
    """A tensor of one element, 1, made of any pixel of the node's features."""
    builder = state.builder
    for made in builder.nodes:
        if made.op == "Table" and made.attributes.get("alpha") == 1 == made.attributes.get("beta"):
            return made.output
    name = next(name for name in node.inputs if state.values.get(name) is not None)
    source = state.value(name).tensor
    pixel = rearranging.cut(state, source, [0, 0, 0], [1, 1, 1], [1, 1, 1], source)
    output = builder.tensor(builder.fresh(f"{source}.one"), (1, 1, 1, 1))
    table.append(builder, pixel, "Clip", {"alpha": 1.0, "beta": 1.0}, output)
    return output
