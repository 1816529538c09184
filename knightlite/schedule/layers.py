"""A layer above level 0: which parts of buffers it touches, who computes it, what tiles cost."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from knightlite.ir import Node, Tensor
from knightlite.isa import Engine, Instruction
from knightlite.lower import Placement, Range, Tile
from knightlite.schedule.tiling import Geometry, Tiling


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor as a part of its buffer.

    ``plain``: rows and columns are the buffer's in all that lies there, only channels are cut; then
    ``channels`` says which.
    """

    tensor: str
    buffer: str
    channels: Range
    plain: bool

    def meets(self, other: Part) -> bool:
        """Whether they may share bytes."""
        if self.buffer != other.buffer:
            return False
        if not (self.plain and other.plain):
            return True
        return overlap(self.channels, other.channels)


def overlap(one: Range, other: Range) -> bool:
    """Whether two ranges share an element."""
    return one[0] < other[1] and other[0] < one[1]


@dataclass(frozen=True)
class Layer:
    """An executed node: what it reads and writes (``w``: as weights), and what it costs."""

    index: int
    node: Node
    geometry: Geometry
    x: Part
    z: Part | None
    w: Part | None
    y: Part

    @cached_property
    def _input_rows(self) -> dict[Range, Range]:
        return {}

    @cached_property
    def reads(self) -> tuple[Part, ...]:
        """What is walked in bands: x, and z where there is one."""
        return (self.x,) if self.z is None else (self.x, self.z)

    @cached_property
    def sources(self) -> tuple[Part, ...]:
        """All that is read: also the tensor whose bytes are loaded as weights."""
        return self.reads if self.w is None else (*self.reads, self.w)

    @property
    def height(self) -> int:
        """Output rows."""
        return self.geometry.y.shape[2]

    def whole_phases(self, rows: Range) -> Range:
        """Rows widened so that each instruction of a tile writes equally many, but at the end."""
        step = self.geometry.work.interleave[0]
        return rows[0] - rows[0] % step, min(-(-rows[1] // step) * step, self.height)

    def read_rows(self, part: Part, rows: Range) -> Range:
        """The rows of ``x`` or ``z`` that output rows read."""
        if part is self.x:
            if rows not in self._input_rows:
                self._input_rows[rows] = self.geometry.work.input_rows(rows)
            return self._input_rows[rows]
        assert self.geometry.z is not None
        return (0, 1) if self.geometry.z.shape[2] == 1 else rows

    @cached_property
    def whole(self) -> tuple[Instruction, ...]:
        """The instructions of the layer as one tile, wherever it lies."""
        outs = (0, self.geometry.y.shape[1])
        return self.instructions(outs, self.geometry.input_channels(outs))

    def instructions(
        self, outs: Range, ins: Range, first: bool = True, last: bool = True
    ) -> tuple[Instruction, ...]:
        """The instructions of all rows of some channels, wherever they lie."""
        work, rows, z = self.geometry.work, (0, self.height), self.geometry.z
        tile = Tile(
            rows, outs, ins, work.input_rows(rows), self._dense(self.geometry.x),
            self._dense(z) if z is not None and last else None, self._dense(self.geometry.y), 0, 0,
            self.geometry.chip.wspm_align_bytes, 0, 0, first, last,
        )  # fmt: skip
        return work.compute(tile)

    def _dense(self, tensor: Tensor) -> Placement:
        """At address 0, as a tile of its own."""
        pixel = self.geometry.column_stride(tensor, tensor.shape[1])
        return Placement(0, tensor.shape[3] * pixel, pixel)

    @cached_property
    def engine(self) -> Engine | None:
        """Who computes it; None where it is only moved."""
        return self.whole[0].ENGINE if self.whole else None

    @cached_property
    def setup(self) -> int:
        """Cycles of setup of one tile."""
        chip = self.geometry.chip
        one = chip.matrix_setup_cycles if self.engine is Engine.RCCN else chip.vector_setup_cycles
        return one * len(self.whole)

    @cached_property
    def weight_bytes(self) -> int:
        """Bytes of all its weights as one tile; 0 without."""
        return self.geometry.weight_slots(self.uncut)[0]

    @property
    def uncut(self) -> Tiling:
        """The layer as one tile."""
        return Tiling(self.height, self.geometry.y.shape[1], self.geometry.group[0], False, 1)

    @cached_property
    def elementwise(self) -> bool:
        """Whether an element of y depends on those of x and z at its own place alone."""
        return self.engine is Engine.RCVT and all(
            item.MNEMONIC in ("affine", "eltwise", "lookup") for item in self.whole
        )
