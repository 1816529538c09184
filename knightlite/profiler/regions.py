"""What keeps a region from its own bound, from the program and its timeline alone.

A region is a run of layers that the schedule walks together; its bound is what the busiest of
matrix engine, vector engine and DDR takes for it at least. Its time is that in which its
instructions move the front of finished work onward, so regions add up to the total. All of it is
told apart by what the one does meanwhile that is busiest in the region: useful work, or a loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from knightlite.chip import Chip
from knightlite.container import Program
from knightlite.events import Timeline
from knightlite.isa import Engine, Instruction, Load, Matrix, Space, Store, Transfer
from knightlite.sim.program_order import ProgramOrder

MATRIX, VECTOR, DDR = RESOURCES = ("matrix", "vector", "ddr")
LOSSES = ("lanes", "again", "setup", "bandwidth", "dependency")


@dataclass(frozen=True, slots=True)
class RegionProfile:
    """Layers ``first`` to ``last``, by name. All figures but ``layers`` and ``bands`` are cycles.

    ``bound``: the most of what the matrix engine takes with all lanes filled, the vector engine for
    layers without products, and the DDR for the region's constants and the network's inputs and
    outputs, once each. ``busiest``: of the three, as the region's instructions are, which may be
    another than the one that its bound is of. ``cycles`` = ``useful`` + all losses, as that one
    spends them: ``lanes`` of the array that are not filled; ``again``: rows computed twice;
    ``setup``; ``bandwidth``: the engine waits while bytes are moved, or the DDR moves other bytes
    than those; ``dependency``: it waits for another engine. Work of a neighbour may fall into the
    time, and the region's into the neighbour's.
    """

    first: str
    last: str
    layers: int
    bands: int
    cycles: int
    bound: int
    busiest: str
    useful: int
    lanes: int
    again: int
    setup: int
    bandwidth: int
    dependency: int

    @property
    def lost(self) -> int:
        """All losses: of ``cycles`` what is not useful, which is not what they are above the bound.

        That may be of another of the three than the busiest, and its work in other regions' time.
        """
        return self.cycles - self.useful

    @property
    def keeps(self) -> str:
        """The largest loss in words; "nothing" where there is none."""
        most = max(LOSSES, key=lambda name: int(getattr(self, name)))
        return most if getattr(self, most) else "nothing"


@dataclass(slots=True)
class _Needs:
    """What the instructions of a region take at least, and how busy they keep whom."""

    busy: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESOURCES, 0))
    matrix: float = 0.0
    vector: int = 0
    constants: dict[int, int] = field(default_factory=dict)  # DDR address: bytes in bursts
    features: int = 0  # bytes of the network's inputs and outputs


class _Phase(NamedTuple):
    """What an engine, or the DDR, does from ``start`` to ``end``.

    ``useful`` and ``again``: shares of the time; the rest is ``lanes``, or of the DDR
    ``bandwidth``.
    """

    resource: str
    start: int
    end: int
    setup: bool = False
    useful: float = 1.0
    again: float = 0.0


def region_profiles(
    program: Program, order: ProgramOrder, timeline: Timeline, chip: Chip
) -> tuple[RegionProfile, ...]:
    """A row for every region; none where the ``.cfg`` names none."""
    notes = program.meta.schedule
    if notes is None:
        return ()
    region_of = [n for n, note in enumerate(notes.regions) for _ in range(note.layers)]
    macs = order.alike.each(lambda item: item.macs())
    shares = _useful_shares(program, timeline, macs)
    needs = _needs(program, order, timeline, macs, region_of, shares, chip)
    busiest = [max(RESOURCES, key=need.busy.__getitem__) for need in needs]
    phases = list(_phases(program, order, timeline, macs, shares, chip))
    spent = _spent(_windows(timeline, region_of), phases, busiest)
    found, first = [], 0
    for note, need, by, parts in zip(notes.regions, needs, busiest, spent, strict=True):
        names = [layer.name for layer in program.meta.layers[first : first + note.layers]]
        first += note.layers
        whole = {name: round(parts[name]) for name in LOSSES}
        cycles = round(sum(parts.values()))
        found.append(
            RegionProfile(
                names[0], names[-1], note.layers, note.bands, cycles, _bound(need, chip), by,
                useful=cycles - sum(whole.values()), **whole,
            )
        )  # fmt: skip
    return tuple(found)


def _full_lanes(item: Matrix, chip: Chip) -> int:
    """Multiply-accumulates a cycle where every lane for such products is filled."""
    if item.depthwise:
        return chip.wide_depthwise_lanes if item.wide else chip.depthwise_lanes
    outputs = chip.wide_matrix_output_lanes if item.wide else chip.matrix_output_lanes
    return chip.matrix_input_lanes * outputs


def _useful_shares(program: Program, timeline: Timeline, macs: Sequence[int]) -> list[float]:
    """For every layer the share of its products that are not computed a second time."""
    done = [0] * len(program.meta.layers)
    for event, count in zip(timeline.events, macs, strict=True):
        done[event.layer] += count
    layers = program.meta.layers
    return [
        min(1.0, one.macs / count) if count else 1.0
        for one, count in zip(layers, done, strict=True)
    ]


def _needs(
    program: Program,
    order: ProgramOrder,
    timeline: Timeline,
    macs: Sequence[int],
    region_of: Sequence[int],
    shares: Sequence[float],
    chip: Chip,
) -> list[_Needs]:
    found = [_Needs() for _ in range(region_of[-1] + 1)]
    instructions = order.instructions
    multiplies = {item.layer for item in instructions if isinstance(item, Matrix)}
    outside = _outside(program)
    setups = order.alike.each(lambda item: _setup(item, chip))
    for item, event, setup, count in zip(instructions, timeline.events, setups, macs, strict=True):
        need = found[region_of[item.layer]]
        resource = DDR if isinstance(item, Transfer) else _engine(item)
        need.busy[resource] += event.cycles - setup
        if isinstance(item, Matrix):
            need.matrix += count * shares[item.layer] / _full_lanes(item, chip)
        elif isinstance(item, Load) and item.space != Space.FSPM:
            need.constants[item.ddr_address] = item.ddr_bytes(chip)
        elif isinstance(item, Transfer):
            if _touches(item, outside):
                need.features += item.payload_bytes
        elif item.layer not in multiplies:
            need.vector += event.cycles - setup
    return found


def _engine(item: Instruction) -> str:
    return MATRIX if item.ENGINE is Engine.RCCN else VECTOR


def _setup(item: Instruction, chip: Chip) -> int:
    if isinstance(item, Transfer):
        return chip.dma_setup_cycles
    matrix = item.ENGINE is Engine.RCCN
    return chip.matrix_setup_cycles if matrix else chip.vector_setup_cycles


def _outside(program: Program) -> list[tuple[int, int]]:
    """Where the network's inputs and outputs lie in DDR."""
    meta = program.meta
    return [(tensor.address, tensor.end) for tensor in (*meta.inputs, *meta.outputs)]


def _touches(item: Transfer, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= item.ddr_address < last for first, last in ranges)


def _bound(need: _Needs, chip: Chip) -> int:
    moved = chip.ddr_cycles(sum(need.constants.values()) + need.features)
    return max(round(need.matrix), need.vector, moved)


def _phases(
    program: Program,
    order: ProgramOrder,
    timeline: Timeline,
    macs: Sequence[int],
    shares: Sequence[float],
    chip: Chip,
) -> Iterator[_Phase]:
    """What matrix engine, vector engine and DDR do, without idle times."""
    outside = _outside(program)
    loaded: set[int] = set()
    setups = order.alike.each(lambda item: _setup(item, chip))
    for item, event, setup, count in zip(
        order.instructions, timeline.events, setups, macs, strict=True
    ):
        work = event.end - event.cycles + setup
        if isinstance(item, (Load, Store)):
            constant = isinstance(item, Load) and item.space != Space.FSPM
            once = item.ddr_address not in loaded if constant else _touches(item, outside)
            loaded.add(item.ddr_address)
            yield _Phase(DDR, work, event.end, useful=float(once))
            continue
        name = _engine(item)
        yield _Phase(name, event.start, work, setup=True)
        if work < event.end:
            useful, again = 1.0, 0.0
            if isinstance(item, Matrix):
                filled = min(1.0, count / ((event.end - work) * _full_lanes(item, chip)))
                useful, again = filled * shares[item.layer], filled * (1 - shares[item.layer])
            yield _Phase(name, work, event.end, False, useful, again)


def _windows(timeline: Timeline, region_of: Sequence[int]) -> list[tuple[int, int]]:
    """(end, region) of the times in which a region moves the front of finished work onward."""
    found: list[tuple[int, int]] = []
    front = 0
    for event in timeline.events:
        if event.end > front:
            front = event.end
            found.append((front, region_of[event.layer]))
    return found


def _spent(
    windows: Sequence[tuple[int, int]], phases: Sequence[_Phase], busiest: Sequence[str]
) -> list[dict[str, float]]:
    """For every region its cycles by use."""
    changes: list[tuple[int, int, str, _Phase | None]] = []
    for phase in phases:
        if phase.start < phase.end:
            changes.append((phase.start, 1, phase.resource, phase))
            changes.append((phase.end, 0, phase.resource, None))
    changes.sort(key=itemgetter(0, 1))
    state: dict[str, _Phase | None] = dict.fromkeys(RESOURCES)
    found = [dict.fromkeys(("useful", *LOSSES), 0.0) for _ in busiest]
    at = begin = 0
    for end, region in windows:
        while begin < end:
            while at < len(changes) and changes[at][0] <= begin:
                state[changes[at][2]] = changes[at][3]
                at += 1
            follows = min(end, changes[at][0]) if at < len(changes) else end
            _add(found[region], state, busiest[region], follows - begin)
            begin = follows
    return found


def _add(
    parts: dict[str, float], state: dict[str, _Phase | None], resource: str, cycles: int
) -> None:
    """Cycles of a region that are all alike."""
    phase = state[resource]
    if phase is None:
        moving = resource != DDR and state[DDR] is not None
        parts["bandwidth" if moving else "dependency"] += cycles
    elif phase.setup:
        parts["setup"] += cycles
    else:
        parts["useful"] += cycles * phase.useful
        parts["again"] += cycles * phase.again
        rest = "bandwidth" if resource == DDR else "lanes"
        parts[rest] += cycles * (1 - phase.useful - phase.again)
