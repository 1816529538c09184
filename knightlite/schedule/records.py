"""What a plan says, at every level: layers, constants, places of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knightlite.allocate import Buffer, Location, Region
from knightlite.ir import Graph, Node
from knightlite.isa import Instruction
from knightlite.schedule.homes import Piece
from knightlite.schedule.levels import Level
from knightlite.schedule.network import Network
from knightlite.schedule.regions import Decisions
from knightlite.schedule.scheduled import Laid
from knightlite.schedule.steps import ConstantKey
from knightlite.schedule.tiling import Geometry, Tiling


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer: its node, geometry, tiling, estimated cycles and where its constants lie.

    ``fspm_bytes``, ``wspm_bytes``: most that is taken while it is at work.
    """

    node: Node
    geometry: Geometry
    tiling: Tiling
    estimated_cycles: int
    constants: Mapping[ConstantKey, tuple[int, int]]  # key -> DDR address, bytes
    fspm_bytes: int
    wspm_bytes: int


@dataclass(frozen=True, slots=True)
class Order:
    """A program in order, where layers do not simply follow each other.

    ``code``: instructions with their layers and without tokens; ``pieces``: where the tensors are
    that are not in DDR; ``decisions``: which layers are walked together, what stays on chip;
    ``laid``: its steps and blocks, and where they lie in FSPM; ``network``: what they are of;
    ``tried``: how many changes of a schedule a search has tried.
    """

    code: tuple[Instruction, ...]
    pieces: Mapping[str, tuple[Piece, ...]]
    decisions: Decisions
    laid: Laid
    network: Network
    tried: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A network ready to emit: layers in order, constants' bytes, where every tensor lies.

    ``level``: by whose rules its tensors were placed, and its layers follow one another.
    ``order``: of the instructions; None where layers are written out one after the other.
    ``regions``: inputs and outputs that lie outside the network's memory, behind all else in DDR.
    """

    graph: Graph
    layers: tuple[LayerPlan, ...]
    constants: bytes
    buffers: tuple[Buffer, ...]
    addresses: Mapping[str, int]  # buffer name -> DDR address
    locations: Mapping[str, Location]
    ddr_bytes: int
    level: Level
    order: Order | None = None
    regions: tuple[Region, ...] = ()
