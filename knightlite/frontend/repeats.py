"""Tile: a Concat of a tensor with itself, axis by axis."""

from __future__ import annotations

import numpy as np

from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import SourceNode

MOST = 64  # repeats along an axis: each is a copy of its own


def tile(state: Importer, node: SourceNode) -> None:
    """Tile of [N, C, H, W] features with constant repeats."""
    name, output = node.inputs[0], node.outputs[0]
    repeats = state.model.constants.get(node.inputs[1])
    if repeats is None:
        raise UnsupportedError(f"Tile {node.name} must have constant repeats.")
    counts = [int(count) for count in np.ravel(repeats)]
    if state.seen(name) != state.shape(name) or len(counts) != 4:
        raise UnsupportedError(f"Tile {node.name} must read [N, C, H, W] features.")
    if counts[0] != 1 or min(counts) < 1 or max(counts) > MOST:
        raise UnsupportedError(
            f"Tile {node.name} must repeat channels, rows and columns 1 to {MOST} times and the "
            f"batch once, not {counts} times."
        )
    tensor = state.value(name).tensor
    source = state.builder.tensors[tensor]
    shape = list(source.shape)
    axes = [axis for axis in (1, 2, 3) if counts[axis] > 1]
    for axis in axes:
        shape[axis] *= counts[axis]
        if axis == axes[-1]:
            made = output
            state.declare(output, tuple(shape))
        else:
            made = state.builder.fresh(f"{output}.part")
            state.builder.tensor(made, tuple(shape), source.dtype, source.scale)
        attributes = {} if axis == 1 else {"axis": axis}
        state.builder.node("Concat", (tensor,) * counts[axis], made, attributes)
        tensor = made
    state.values[output] = Value(tensor)
