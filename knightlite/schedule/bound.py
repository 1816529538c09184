"""A lower bound of a network's cycles that knows no schedule: none can be faster on the machine.

Of the graph behind the compiler's passes: what runs in front of a convolution or behind it costs
what the matrix engine then takes. The bound is the largest of three:

- ``vector_cycles``: what only the vector engine does, one instruction after another;
- ``ddr_cycles``: constants, network inputs and outputs once each, at the DDR's effective rate;
- ``weight_cycles``: for some layer the matrix engine's work up to it, and then the constants of
  all behind it that do not fit the scratchpads before they are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from knightlite.allocate import layers
from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.isa import Engine
from knightlite.lower import Placement, Tile, Work, work_of

CARRIED = ("Add", "Affine", "Copy", "PRelu", "Table")  # by a matrix instruction, or by places


@dataclass(frozen=True, slots=True)
class Bound:
    """Cycles that every schedule takes. ``layer``: where the matrix engine waits for weights."""

    vector_cycles: int
    ddr_cycles: int
    weight_cycles: int
    layer: str

    @property
    def cycles(self) -> int:
        """The largest of the three."""
        return max(self.vector_cycles, self.ddr_cycles, self.weight_cycles)

    @property
    def binds(self) -> str:
        """Which of the three that is: "vector", "ddr" or "weights"."""
        parts = {
            "weights": self.weight_cycles,
            "ddr": self.ddr_cycles,
            "vector": self.vector_cycles,
        }
        return max(parts, key=lambda name: parts[name])


class _Need(NamedTuple):
    """What a layer takes whatever the schedule. ``constant_bytes``: weights and parameters."""

    name: str
    matrix_cycles: int
    vector_cycles: int
    constant_bytes: int


def lower_bound(graph: Graph, chip: Chip) -> Bound:
    """The bound of a graph behind the passes."""
    needs = [_need(graph, node, chip) for node in layers(graph)]
    names = dict.fromkeys((*graph.inputs, *graph.chip_outputs))
    features = sum(_feature_bytes(graph, name) for name in names)
    constants = sum(need.constant_bytes for need in needs)
    weight_cycles, layer = _weights(needs, chip)
    return Bound(
        sum(need.vector_cycles for need in needs),
        chip.ddr_cycles(constants + features),
        weight_cycles,
        layer,
    )


def _weights(needs: Sequence[_Need], chip: Chip) -> tuple[int, str]:
    """The largest sum of matrix cycles up to a layer and transfers behind it, and that layer."""
    kept = chip.wspm_bytes + chip.mspm_bytes
    done, left = 0, sum(need.constant_bytes for need in needs)
    found: list[tuple[int, str]] = []
    for need in needs:
        if need.matrix_cycles:
            found.append((done + chip.ddr_cycles(max(0, left - kept)), need.name))
        done += need.matrix_cycles
        left -= need.constant_bytes
    found.append((done, needs[-1].name if needs else ""))
    return max(found)


def _need(graph: Graph, node: Node, chip: Chip) -> _Need:
    work = work_of(graph, node)
    tile = _whole(graph, work, chip)
    matrix = vector = 0
    for item in work.compute(tile) if not work.moves_only else ():
        if item.ENGINE == Engine.RCCN:
            matrix += item.cycles(chip) - chip.matrix_setup_cycles
        elif node.op not in CARRIED:
            vector += item.cycles(chip) - chip.vector_setup_cycles
    return _Need(node.name, matrix, vector, sum(_constants(work, tile)))


def _whole(graph: Graph, work: Work, chip: Chip) -> Tile:
    """A layer as one tile, with places that cost nothing; it need not fit."""
    x, y = graph.tensors[work.x], graph.tensors[work.y]
    place = Placement(0, chip.fspm_align_bytes, chip.fspm_align_bytes)
    rows = (0, y.shape[2])
    return Tile(
        rows=rows,
        outs=(0, y.shape[1]),
        ins=(0, x.shape[1]),
        x_rows=work.input_rows(rows),
        x=place,
        z=place if work.z is not None else None,
        y=place,
        accumulator_address=0,
        weight_address=0,
        weight_align=chip.wspm_align_bytes,
        parameter_address=0,
        prologue_address=0,
        first=True,
        last=True,
    )


def _constants(work: Work, tile: Tile) -> Iterator[int]:
    """Bytes of the weights, the parameters and the prologue of a layer."""
    if work.weight_bytes is not None:
        yield work.weight_bytes(tile.outs, tile.ins, tile.weight_align)
    if work.parameters is not None:
        yield len(work.parameters(tile.outs))
    if work.prologue is not None:
        yield len(work.prologue(tile.ins))


def _feature_bytes(graph: Graph, name: str) -> int:
    tensor = graph.tensors[name]
    return tensor.elements * tensor.dtype.size_bytes
