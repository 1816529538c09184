"""What lies where and when: the bytes of every memory from their first writer to their last reader.

From the program and its timeline alone. In the scratchpads a tile is what instructions write in
one place for one layer; in DDR a tensor, and the constants as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from knightlite.chip import Chip
from knightlite.container import Program
from knightlite.events import Timeline
from knightlite.isa import Instruction, Load, Space

SCRATCHPADS = (Space.FSPM, Space.WSPM, Space.MSPM)
MOST_SPANS = 8_000  # of a memory; of more, the largest (bytes times cycles)


@dataclass(slots=True)
class Span:
    """Bytes [``first``, ``last``) from cycle ``start`` to ``end``, of layer number ``layer``.

    ``name``: of the tensor, or of the layer that the bytes were loaded or computed for; the
    constants in DDR have layer -1.
    """

    first: int
    last: int
    start: int
    end: int
    layer: int
    name: str


@dataclass(frozen=True, slots=True)
class Occupancy:
    """A memory over the time of one frame. ``left_out``: small spans beyond MOST_SPANS."""

    memory: str
    capacity: int
    spans: tuple[Span, ...]
    left_out: int


def occupancies(
    program: Program, instructions: Sequence[Instruction], timeline: Timeline, chip: Chip
) -> tuple[Occupancy, ...]:
    """FSPM, WSPM, MSPM and DDR."""
    capacities = {
        Space.FSPM: chip.fspm_bytes,
        Space.WSPM: chip.wspm_bytes,
        Space.MSPM: chip.mspm_bytes,
    }
    names = [layer.name for layer in program.meta.layers]
    tiles = _tiles(instructions, timeline, names)
    found = [_occupancy(space.name, capacities[space], tiles[space]) for space in SCRATCHPADS]
    features = _tensors(program, instructions, timeline)
    return (*found, _occupancy("DDR", program.meta.ddr_bytes, features))


def _occupancy(memory: str, capacity: int, spans: list[Span]) -> Occupancy:
    kept = spans
    if len(spans) > MOST_SPANS:
        kept = sorted(spans, key=lambda one: (one.last - one.first) * (one.start - one.end))
        kept = kept[:MOST_SPANS]
    ordered = sorted(kept, key=lambda one: (one.start, one.first, one.end, one.last))
    return Occupancy(memory, capacity, tuple(ordered), len(spans) - len(kept))


def _tiles(
    instructions: Sequence[Instruction], timeline: Timeline, names: Sequence[str]
) -> Mapping[Space, list[Span]]:
    """Every tile of the scratchpads; bytes that something else overwrites end there."""
    done: dict[Space, list[Span]] = {space: [] for space in SCRATCHPADS}
    there: dict[Space, list[Span]] = {space: [] for space in SCRATCHPADS}
    for item, event in zip(instructions, timeline.events, strict=True):
        for access in item.accesses():
            if access.space is Space.DDR:
                continue
            alive = there[access.space]
            met = [one for one in alive if one.first < access.last and access.first < one.last]
            if not access.write:
                for one in met:
                    one.end = max(one.end, event.end)
                continue
            same = [
                one
                for one in met
                if one.layer == item.layer
                and not isinstance(item, Load)
                and (one.first <= access.first and access.last <= one.last)
            ]
            if same:
                same[0].end = max(same[0].end, event.end)
                continue
            for one in met:
                alive.remove(one)
            done[access.space] += met
            alive.append(
                Span(
                    access.first, access.last, event.start, event.end, item.layer, names[item.layer]
                )
            )
    return {space: done[space] + there[space] for space in SCRATCHPADS}


def _tensors(
    program: Program, instructions: Sequence[Instruction], timeline: Timeline
) -> list[Span]:
    """Tensors in DDR from the first that stores of them to the last that loads them."""
    meta = program.meta
    total = timeline.total_cycles
    outputs = {tensor.name for tensor in meta.outputs}
    read = list(_reads(instructions))
    spans = []
    if meta.constants_bytes:
        spans.append(Span(0, meta.constants_bytes, 0, total, -1, "weights, parameters and tables"))
    for tensor in meta.tensors_in_ddr:
        begins = 0 if tensor.first < 0 else timeline.events[tensor.first].start
        replaced = min(
            (
                other.first
                for other in meta.tensors_in_ddr
                if other.first > tensor.ready
                and other.address < tensor.end
                and tensor.address < other.end
            ),
            default=len(instructions),
        )
        last = max(
            (
                number
                for number, first, end in read
                if tensor.ready < number < replaced and first < tensor.end and tensor.address < end
            ),
            default=max(tensor.ready, 0),
        )
        ends = total if tensor.name in outputs else timeline.events[last].end
        layer = instructions[max(tensor.ready, 0)].layer
        spans.append(Span(tensor.address, tensor.end, begins, ends, layer, tensor.name))
    return spans


def _reads(instructions: Sequence[Instruction]) -> Iterator[tuple[int, int, int]]:
    """What layers load into FSPM: bytes [first, last) in DDR, and the number of the last load."""
    loads: dict[int, list[tuple[int, int, int]]] = {}
    for number, item in enumerate(instructions):
        if isinstance(item, Load) and item.space == Space.FSPM:
            side = item.ddr_side(False)
            loads.setdefault(item.layer, []).append((side.address, side.last, number))
    for runs in loads.values():
        runs.sort()
        first, last, number = runs[0]
        for run in runs[1:]:
            if run[0] > last:
                yield number, first, last
                first, last, number = run
            last, number = max(last, run[1]), max(number, run[2])
        yield number, first, last
