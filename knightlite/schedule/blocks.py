"""Steps of a schedule, and the blocks of FSPM that they need, each for some steps.

A buffer that stays on chip is one block for its life. Otherwise every band has a segment of it: the
rows that the band's layers read or write, loaded before and stored behind where the rest of the
network wants it so. A step is a tile of a layer; lives are counted in steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.lower import Range
from knightlite.schedule.layers import Part
from knightlite.schedule.tiling import Step, Tiling


class Key(NamedTuple):
    """What a block holds: a buffer, or a region's segment of it in a band; ``kind`` says which."""

    kind: str  # "whole", "band", "sums", "slots"
    name: str
    region: int = -1
    band: int = -1


@dataclass(slots=True)
class Block:
    """Bytes of FSPM from step ``first`` to step ``last``.

    ``rows`` and ``channels``: of the buffer that it holds. ``held``: the steps that its place is
    kept for, loads ahead and stores behind included. ``inside``: it lies ``offset`` bytes behind
    the begin of another block, whose bytes it replaces.
    """

    key: Key
    rows: Range
    channels: Range
    size: int = 0
    row_stride: int = 0
    pixel_stride: int = 0
    first: int = -1
    last: int = -1
    held: Range = (0, 0)
    inside: Block | None = None
    offset: int = 0
    loaded: bool = False
    stored: bool = False
    filled: dict[Range, int] = field(default_factory=dict)  # channels: one past their last row

    def touch(self, step: int) -> None:
        """Used in a step."""
        self.first = step if self.first < 0 else min(self.first, step)
        self.last = max(self.last, step)

    def holds(self, other: Block) -> bool:
        """Whether another block is part of its rows, laid out alike."""
        return (
            (self.row_stride, self.pixel_stride, self.channels)
            == (other.row_stride, other.pixel_stride, other.channels)
            and self.rows[0] <= other.rows[0]
            and other.rows[1] <= self.rows[1]
        )


@dataclass(frozen=True, slots=True)
class FeatureLoad:
    """Rows and channels (the tensor's own) of a tensor from DDR into a block."""

    part: Part
    block: Block
    rows: Range
    channels: Range


@dataclass(frozen=True, slots=True)
class FeatureStore:
    """Rows of what a layer writes, from a block to DDR."""

    part: Part
    block: Block
    rows: Range


@dataclass(frozen=True, slots=True)
class RowMove:
    """Rows that one band's segment passes on to the next one's."""

    source: Block
    target: Block
    rows: Range
    channels: Range  # of the buffer
    size: int  # bytes of an element
    width: int  # pixels of a row


@dataclass(slots=True)
class ScheduledStep:
    """A tile of a layer, the blocks of its operands, what is loaded before and stored behind it."""

    layer: int
    region: int
    band: int
    tile: Step
    tiling: Tiling
    x: Block
    z: Block | None
    y: Block
    sums: Block | None
    alone: bool = False  # a whole layer from DDR to DDR in tiles of its own, all in block ``x``
    moves: list[RowMove] = field(default_factory=list)
    loads: list[FeatureLoad] = field(default_factory=list)
    stores: list[FeatureStore] = field(default_factory=list)


@dataclass(slots=True)
class Walk:
    """All steps in order and all blocks."""

    steps: list[ScheduledStep]
    blocks: dict[Key, Block]
