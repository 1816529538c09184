"""A lower bound of a network's cycles that knows no schedule: none is faster on the machine.

Of the layers behind the compiler's passes, and of tiles as ``lower.Work`` cuts them. The largest of
three:

- ``vector_cycles``: what only the vector engine can do, one instruction after another;
- ``ddr_cycles``: constants, network inputs and outputs once each, at the DDR's effective rate;
- ``weight_cycles``: for some layer the work of the matrix engine before it; then, of the constants
  that are needed from there on, no more can be there than the scratchpads hold: the rest is still
  to be loaded. So it is where layers are finished in the graph's order, also where they are walked
  row by row together: the last row of each needs all of its weights. It does not hold where zeros
  among the weights are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knightlite.allocate import is_hosted, is_placed, layers
from knightlite.chip import Chip
from knightlite.ir import Graph, Node
from knightlite.ir.graph import flatten_chains
from knightlite.isa import Matrix
from knightlite.lower import Tile, Work, span, work_of
from knightlite.ops import BY_NAME
from knightlite.schedule.least_work import matrix_cycles, vector_cycles, whole_layer

# what a matrix instruction can do in front of its products or behind them, or places can spare
CARRIED = ("Add", "Affine", "Copy", "PRelu", "Table")


@dataclass(frozen=True, slots=True)
class Bound:
    """Cycles that every schedule takes. ``layer``: in front of which weights are waited for.

    "" where the matrix engine's work alone takes longer than with any such wait.
    """

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
        """Which of the three that is: "weights", "ddr" or "vector"."""
        parts = {
            "weights": self.weight_cycles,
            "ddr": self.ddr_cycles,
            "vector": self.vector_cycles,
        }
        return max(parts, key=lambda name: parts[name])


@dataclass(frozen=True, slots=True)
class _Need:
    """What a layer takes at least. ``constant_bytes``: weights, parameters and tables."""

    name: str
    matrix_cycles: int
    vector_cycles: int
    constant_bytes: int


def lower_bound(graph: Graph, chip: Chip) -> Bound:
    """The bound of a quantized graph behind the passes."""
    needs: list[_Need] = []
    works: list[Work] = []
    loaded: set[str] = set()
    for node in layers(graph):
        work = work_of(graph, node)
        works.append(work)
        needs.append(_need(graph, node, work, chip, loaded))
    weight_cycles, layer = _weights(needs, chip)
    constants = sum(need.constant_bytes for need in needs)
    features = _input_bytes(graph, works) + _output_bytes(graph)
    return Bound(
        sum(need.vector_cycles for need in needs),
        chip.ddr_cycles(constants + features),
        weight_cycles,
        layer,
    )


def _need(graph: Graph, node: Node, work: Work, chip: Chip, loaded: set[str]) -> _Need:
    """``loaded``: weights that a layer before it has too; they are counted there."""
    tile = whole_layer(graph, work, chip)
    code = () if work.moves_only else work.compute(tile)
    matrix = sum(matrix_cycles(item, chip) for item in code if isinstance(item, Matrix))
    vector = sum(vector_cycles(item, work, chip) for item in code if not isinstance(item, Matrix))
    return _Need(
        node.name,
        matrix,
        0 if node.op in CARRIED else vector,
        sum(_constant_bytes(node, work, tile, loaded)),
    )


def _constant_bytes(node: Node, work: Work, tile: Tile, loaded: set[str]) -> Iterator[int]:
    kernels = {
        part.inputs[1] for part in flatten_chains([node]) if BY_NAME[part.op].kernel is not None
    }
    if work.weight_bytes is not None and not kernels <= loaded:
        yield work.weight_bytes(tile.outs, tile.ins, tile.weight_align)
    loaded |= kernels
    if work.parameters is not None:
        yield len(work.parameters(tile.outs))
    if work.prologue is not None:
        yield len(work.prologue(tile.ins))


def _weights(needs: Sequence[_Need], chip: Chip) -> tuple[int, str]:
    """The largest sum of work before a layer and transfers from there on, and that layer."""
    kept = chip.wspm_bytes + chip.mspm_bytes
    done, left = 0, sum(need.constant_bytes for need in needs)
    waits: list[tuple[int, str]] = []
    for need in needs:
        if need.matrix_cycles:
            waits.append((done + chip.ddr_cycles(max(0, left - kept)), need.name))
        done += need.matrix_cycles
        left -= need.constant_bytes
    return max((*waits, (done, "")))


# ------------------------------------------------------------------ what must pass the DDR


def _input_bytes(graph: Graph, works: Sequence[Work]) -> int:
    """Of every network input the rows that some layer reads of it."""
    found = dict.fromkeys(graph.inputs, 0)
    for work in works:
        rows = span(work.input_rows((0, graph.tensors[work.y].shape[2])))
        for name, count in ((work.x, rows), (work.z, None)):
            if name in found:
                found[name] = max(found[name], _bytes(graph, name, count))
    return sum(found.values())


def _output_bytes(graph: Graph) -> int:
    """Of what layers make and the network gives, in whichever place it lies."""
    producers = graph.producers()
    waiting, seen = list(graph.chip_outputs), set(graph.inputs)
    total = 0
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        node = producers[name]
        if is_hosted(node):
            continue
        if not is_placed(node):
            total += _bytes(graph, name)
        elif BY_NAME[node.op].joins is not None:
            waiting.extend(node.inputs)  # a Slice may show what another output has too
    return total


def _bytes(graph: Graph, name: str, rows: int | None = None) -> int:
    tensor = graph.tensors[name]
    whole = tensor.elements * tensor.dtype.size_bytes
    return whole if rows is None else whole // tensor.shape[2] * rows
