"""Weights of the matrix engine as float factors, with the proof that adding them up is exact.

A float32 product of integers is exact while no partial sum, in whatever order BLAS adds, leaves
[-2^24, 2^24]. That is proved per instruction from its weights and the range of its input; where it
does not hold the depth is split, or float64 used: it is exact up to 2^53, and even 16-bit operands
(products below 2^30) reach that with 2^23 rows of weights only, more than an address counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import MachineError
from knightlite.isa import WEIGHT_TYPES, Matrix, SparseMatrix
from knightlite.sim.memory import Bytes, flat_view, tile_view
from knightlite.sim.thresholds import EXACT_FLOAT32

Array = NDArray[Any]

MOST_PARTS = 4  # beyond it float64, at half the speed, is the better way


@dataclass(frozen=True, slots=True)
class Weights:
    """Decoded weights: factors [depth, output channels] cut over the depth, and what they reach.

    ``reach`` is the largest magnitude that any subset of the products can add up to; ``lowest`` and
    ``highest`` are the ends of it per output channel.
    """

    parts: tuple[Array, ...]
    starts: tuple[int, ...]
    lowest: Array
    highest: Array

    @property
    def reach(self) -> int:
        """Of all channels."""
        return int(max(self.highest.max(), -self.lowest.min()))

    @property
    def dtype(self) -> Any:
        """float32 or float64."""
        return self.parts[0].dtype


def ends(factors: Array, low: int, high: int) -> tuple[Array, Array]:
    """Smallest and largest partial sum of ``x @ factors`` per column, in any order.

    x lies in [low, high] or is 0.
    """
    low, high = min(low, 0), max(high, 0)
    positive = np.maximum(factors, 0).sum(axis=0, dtype=np.int64)
    negative = positive - factors.sum(axis=0, dtype=np.int64)
    return positive * low - negative * high, positive * high - negative * low


def reach(factors: Array, low: int, high: int) -> int:
    """Largest |partial sum| of ``x @ factors`` in any order, x in [low, high] or 0."""
    lowest, highest = ends(factors, low, high)
    return int(max(highest.max(), -lowest.min()))


def split(factors: Array, low: int, high: int) -> Weights:
    """The fewest equal cuts that are exact in float32 (at most MOST_PARTS), else float64."""
    total = ends(factors, low, high)
    for count in range(1, MOST_PARTS + 1):
        pieces = np.array_split(factors, count)
        if count > factors.shape[0]:
            break
        if all(reach(piece, low, high) <= EXACT_FLOAT32 for piece in pieces):
            starts = np.cumsum([0, *(piece.shape[0] for piece in pieces[:-1])])
            parts = tuple(np.ascontiguousarray(piece, np.float32) for piece in pieces)
            return Weights(parts, tuple(int(start) for start in starts), *total)
    return Weights((np.ascontiguousarray(factors, np.float64),), (0,), *total)


def read_weights(
    item: Matrix,
    memory: Bytes,
    low: int,
    high: int,
    known: dict[tuple[Any, ...], Weights] | None,
) -> Weights:
    """Decode the weights of an instruction; equal ones are shared where they are ``known``."""
    if isinstance(item, SparseMatrix):
        stored = _dense(item, memory)
    else:
        stored = tile_view(memory, item.weights(), WEIGHT_TYPES[item.weight_type])[0, :, 0]
    decode = _depthwise if item.depthwise else split
    if known is None:
        return decode(stored, low, high)
    key = (stored.shape, item.weight_type, bool(item.depthwise), low, high, stored.tobytes())
    if key not in known:
        known[key] = decode(stored, low, high)
    return known[key]


def _dense(item: SparseMatrix, memory: Bytes) -> Array:
    """All weights [rows, output channels], zeros where a block is not stored.

    MachineError where the mask is of other blocks than the instruction says.
    """
    data = flat_view(memory, item.weights())
    place, total = item.mask_bytes(), item.block_count()
    mask = np.unpackbits(data[:place], bitorder="little")
    if mask.sum() != item.blocks or mask[total:].any():
        raise MachineError(
            f"the weights in WSPM at {item.weight_address:#x} have a mask with {mask.sum()} bits, "
            f"their instruction has {item.blocks} of {total} blocks.",
            "compile the model again",
        )
    chosen = [block for block, stored in zip(item.all_blocks(), mask, strict=False) if stored]
    sizes = [block.size_bytes(item.weight_size) for block in chosen]
    if place + sum(sizes) != item.stored_bytes:
        raise MachineError(
            f"the weights in WSPM at {item.weight_address:#x} have a mask of "
            f"{place + sum(sizes)} bytes, their instruction has {item.stored_bytes}.",
            "compile the model again",
        )
    kind = WEIGHT_TYPES[item.weight_type].numpy
    weights = np.zeros((item.taps(), item.x_channels, item.y_channels), kind)
    for block, size in zip(chosen, sizes, strict=True):
        rows = data[place : place + size].view(kind).reshape(block.inputs[1] - block.inputs[0], -1)
        target = weights[block.tap, slice(*block.inputs), slice(*block.outputs)]
        target[...] = rows[:, : target.shape[1]]
        place += size
    return weights.reshape(-1, item.y_channels)


def _depthwise(factors: Array, low: int, high: int) -> Weights:
    kind = np.float32 if reach(factors, low, high) <= EXACT_FLOAT32 else np.float64
    return Weights((factors.astype(kind),), (0,), *ends(factors, low, high))
