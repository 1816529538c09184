"""From a program and its timeline to what each layer takes and what bounds it.

Every cycle of the total belongs to exactly one layer: the one whose instruction moved the front of
completed work onward. So the layers' cycles add up to the total although layers overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from knightlite.chip import Chip, Held
from knightlite.container import Layer, Program, program_chip
from knightlite.events import Timeline
from knightlite.isa import Engine, Instruction, Load, Matrix, SparseMatrix, Store, disassemble
from knightlite.isa.alike import Alike
from knightlite.profiler.assumptions import Assumption, assume
from knightlite.profiler.certainty import Certainty, certainty, plain
from knightlite.profiler.certificate import Certificate, certified
from knightlite.profiler.ddr_causes import ddr_bytes_by_cause
from knightlite.profiler.frame_time import FrameTime, frame_rate, host_ms
from knightlite.profiler.per_frame import once_cycles, per_frame
from knightlite.profiler.what_if import WhatIf, what_ifs
from knightlite.sim.checks import require_all_fields
from knightlite.sim.clock import simulate_time
from knightlite.sim.frames import simulate_frames
from knightlite.sim.program_order import ProgramOrder

MATRIX, VECTOR, READ, WRITE = ("matrix", "vector", "ddr read", "ddr write")
CONV = "Conv"
BATCHES = (1, 4, 8)  # frames back to back that are predicted, as in PaddleClas's tables


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """One row. ``bound``: the busiest of matrix, vector and DDR (read or write), or "latency".

    ``op``: of the ``.cfg``, and whether a convolution reads one input channel for each output.

    ``mac_utilization`` is the share of the matrix engine's peak over the layer's own cycles, or
    over those that the engine works for it where these are more (other layers moved the end
    meanwhile); ``burst_bytes``: of the whole bursts in which the DDR moves what is read and
    written.
    """

    name: str
    op: str
    instructions: int
    cycles: int
    time_ms: float
    macs: int
    mac_utilization: float
    read_bytes: int
    write_bytes: int
    burst_bytes: int
    bound: str
    fspm_peak_bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames back to back: ``frames_per_second`` with the digits that the time's bar allows."""

    frames: int
    cycles: int
    time_ms: float
    frames_per_second: float

    @property
    def rate_text(self) -> str:
        """Frames per second as text."""
        return plain(self.frames_per_second)


@dataclass(frozen=True, slots=True)
class Trip:
    """What the host computes in one go between two segments of the chip.

    ``layers``: general layers; ``op``: kinds of their operators; ``before``: the layer that waits
    for it, "" behind the last; bytes: of the tensors that they read and write.
    """

    layers: tuple[str, ...]
    op: str
    before: str
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A program's predicted time on a chip. Bytes are payload but for ``burst_bytes``.

    Bandwidth is in bytes per second.

    ``busy_cycles``: per engine name; ``ddr_busy_cycles``: when transfers occupied the DDR;
    ``assumed``: where the figures are not those of the chip that was compiled for;
    ``certainty``: how far off the time may be, None where nothing is known; ``batches``: of one
    frame and of several back to back; ``host_ms``: what a picture is said to take on the host
    beside it, in no other figure but ``frame``'s with it, 0 where nobody said it; ``certificate``:
    how far the schedule is from a bound, and why; ``ddr_causes``: why bytes move, by the keys of
    ``ddr_causes.CAUSES``; ``what_ifs``: the same program where one part of the machine
    is faster; ``trips``: to the host in the middle, whose time nobody knows;
    ``once_cycles``: of loading what stays on the chip, before all frames, in no other figure.
    """

    name: str
    chip_name: str
    clock_hz: int
    ddr_bytes_per_second: int
    ddr_efficiency_percent: int
    layers: tuple[LayerProfile, ...]
    timeline: Timeline
    cycles: int
    macs: int
    mac_utilization: float
    read_bytes: int
    write_bytes: int
    burst_bytes: int
    ddr_busy_cycles: int
    busy_cycles: dict[str, int]
    transfers: tuple[Transfer, ...]
    assumed: tuple[Assumption, ...]
    certainty: Certainty | None
    batches: tuple[Batch, ...]
    host_ms: float
    certificate: Certificate
    ddr_causes: Mapping[str, int]
    what_ifs: tuple[WhatIf, ...]
    trips: tuple[Trip, ...] = ()
    once_cycles: int = 0

    @property
    def time_ms(self) -> float:
        """Latency of one frame."""
        return self.cycles * 1e3 / self.clock_hz

    @property
    def frame(self) -> FrameTime:
        """A frame on the chip, and with the host."""
        return FrameTime(self.time_ms, self.host_ms, self.certainty)

    @property
    def frames_per_second(self) -> float:
        """One frame at a time, with the digits that the time's error bar allows."""
        return self.frame.frames_per_second

    @property
    def ddr_utilization(self) -> float:
        """Share of the time in which the DDR is occupied."""
        return self.ddr_busy_cycles / self.cycles if self.cycles else 0.0


class Transfer(NamedTuple):
    """One transfer while it occupies the DDR, in cycles from the start of the program.

    ``number``: of its instruction; ``bytes``: asked for; ``burst_bytes``: of the bursts that move
    them.
    """

    number: int
    start: int
    end: int
    bytes: int
    burst_bytes: int
    reads: bool


@dataclass(slots=True)
class _Work:
    """What the instructions of one layer add up to."""

    instructions: int = 0
    cycles: int = 0
    macs: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    burst_bytes: int = 0
    depthwise: bool = False
    busy: tuple[int, int, int, int] = (0, 0, 0, 0)  # matrix, vector, read, write, without setup

    def bound(self) -> str:
        """The busiest resource; latency where even that is idle most of the layer's cycles.

        Reads and writes share the DDR: it is named by what it does most.
        """
        matrix, vector, read, write = self.busy
        most = max(matrix, vector, read + write)
        if 2 * most < self.cycles or most == 0:
            return "latency"
        if read + write == most:
            return READ if read >= write else WRITE
        return MATRIX if matrix == most else VECTOR


def profile(
    program: Program,
    chip: Chip | None = None,
    facts: Mapping[str, int] | None = None,
    evidence: Held | None = None,
) -> Profile:
    """Predict a program's time, on its own chip or another description.

    ``facts``: figures to assume instead of the chip's (:func:`assumed_facts`). ``evidence``: what
    its figures were held against, and whether on this chip itself.
    """
    target, assumed = assume(chip or program_chip(program), facts or {})
    loaded_once = once_cycles(program, target)
    program = per_frame(program)
    instructions = disassemble(program.code)
    names = [layer.name for layer in program.meta.layers]
    alike = Alike(instructions)
    require_all_fields(alike, instructions, names)
    timeline = simulate_time(instructions, target, alike)
    own = [event.cycles for event in timeline.events]
    order = ProgramOrder(instructions, alike)
    layers = _work_of(program, order, timeline, target)
    rows = _rows(program, layers, target)
    macs = sum(row.macs for row in rows)
    busy = {engine.name: 0 for engine in Engine}
    for event in timeline.events:
        busy[event.engine] += event.cycles
    bar = certainty(
        evidence,
        program.meta.chip,
        program.meta.schedule_level,
        [layer.op for layer in program.meta.layers],
        [item.fact for item in assumed],
        any(isinstance(item, SparseMatrix) for item in alike.kinds),
    )
    return Profile(
        name=program.meta.name,
        chip_name=program.meta.chip,
        clock_hz=target.clock_hz,
        ddr_bytes_per_second=target.ddr_bytes_per_second,
        ddr_efficiency_percent=target.ddr_efficiency_percent,
        layers=rows,
        timeline=timeline,
        cycles=timeline.total_cycles,
        macs=macs,
        mac_utilization=_share(macs, timeline.total_cycles, target),
        read_bytes=sum(row.read_bytes for row in rows),
        write_bytes=sum(row.write_bytes for row in rows),
        burst_bytes=sum(row.burst_bytes for row in rows),
        ddr_busy_cycles=sum(work.busy[2] + work.busy[3] for work in layers),
        busy_cycles=busy,
        transfers=tuple(_transfers(order, timeline, target)),
        assumed=assumed,
        certainty=bar,
        batches=_batches(program, order, own, target, bar),
        host_ms=host_ms(evidence),
        certificate=certified(program, order, timeline, target, bool(assumed)),
        ddr_causes=ddr_bytes_by_cause(program, instructions, target),
        what_ifs=what_ifs(order, target),
        trips=tuple(_trips(program, instructions)),
        once_cycles=loaded_once,
    )


def _trips(program: Program, instructions: Sequence[Instruction]) -> Iterator[Trip]:
    """To the host and back, in order."""
    meta = program.meta
    sizes = {item.name: item.pixel_bytes * item.shape[2] * item.shape[3] for item in meta.tensors}
    for trip in meta.trips:
        at = trip[0].at
        before = meta.layers[instructions[at].layer].name if at < len(instructions) else ""
        kinds = dict.fromkeys(kind for item in trip for kind in item.op.split(", "))
        read = {name for item in trip for name in item.reads}
        yield Trip(
            tuple(item.name for item in trip),
            ", ".join(kinds),
            before,
            sum(sizes[name] for name in read),
            sum(sizes[item.output] for item in trip),
        )


def _batches(
    program: Program,
    order: ProgramOrder,
    own: Sequence[int],
    chip: Chip,
    bar: Certainty | None,
) -> tuple[Batch, ...]:
    """The batches of tables, and that of the program (``-ib``).

    Where states stay, a frame begins behind the end of the one before.
    """
    counts = sorted({*BATCHES, program.meta.usual_frames})
    if program.meta.states:
        (alone,) = simulate_frames(order, chip, [1], own)
        totals = tuple(alone * count for count in counts)
    else:
        totals = simulate_frames(order, chip, counts, own)
    return tuple(
        Batch(count, cycles, time_ms, frame_rate(count, time_ms, bar))
        for count, cycles in zip(counts, totals, strict=True)
        for time_ms in (cycles * 1e3 / chip.clock_hz,)
    )


def _transfers(order: ProgramOrder, timeline: Timeline, chip: Chip) -> Iterator[Transfer]:
    """When each transfer's bytes moved: all of its own cycles but the setup, at its end."""
    moved = order.alike.each(
        lambda item: (
            (item.payload_bytes, item.ddr_bytes(chip), isinstance(item, Load))
            if isinstance(item, (Load, Store))
            else None
        )
    )
    setup = chip.dma_setup_cycles
    for event, sizes in zip(timeline.events, moved, strict=True):
        if sizes is not None:
            yield Transfer(event.number, event.end - event.cycles + setup, event.end, *sizes)


def _work_of(program: Program, order: ProgramOrder, timeline: Timeline, chip: Chip) -> list[_Work]:
    """What each layer's instructions add up to; those of a layer that are alike at once."""
    layers = [_Work() for _ in program.meta.layers]
    in_layer: Counter[tuple[int, int]] = Counter()
    front = 0
    for event, kind in zip(timeline.events, order.alike.kind_of, strict=True):
        in_layer[event.layer, kind] += 1
        if event.end > front:
            layers[event.layer].cycles += event.end - front
            front = event.end
    for (layer, kind), count in in_layer.items():
        _add(layers[layer], order.alike.kinds[kind], count, chip)
    return layers


def _share(macs: int, cycles: int, chip: Chip) -> float:
    return macs / (cycles * chip.peak_macs_per_cycle) if cycles else 0.0


def _useful(layer: Layer, work: _Work) -> int:
    """Multiply-accumulates of a layer: rows computed twice count once, skipped zeros do not."""
    return min(layer.macs, work.macs)


def _add(work: _Work, item: Instruction, count: int, chip: Chip) -> None:
    """So many instructions that are alike."""
    matrix, vector, read, write = work.busy
    cycles = item.cycles(chip)
    work.instructions += count
    if isinstance(item, (Load, Store)):
        work.burst_bytes += item.ddr_bytes(chip) * count
    if isinstance(item, Load):
        work.read_bytes += item.payload_bytes * count
        read += (cycles - chip.dma_setup_cycles) * count
    elif isinstance(item, Store):
        work.write_bytes += item.payload_bytes * count
        write += (cycles - chip.dma_setup_cycles) * count
    elif item.ENGINE == Engine.RCCN:
        work.macs += item.macs() * count
        work.depthwise = work.depthwise or (isinstance(item, Matrix) and bool(item.depthwise))
        matrix += (cycles - chip.matrix_setup_cycles) * count
    else:
        vector += (cycles - chip.vector_setup_cycles) * count
    work.busy = (matrix, vector, read, write)


def _rows(program: Program, layers: Sequence[_Work], chip: Chip) -> tuple[LayerProfile, ...]:
    meta = program.meta
    return tuple(
        LayerProfile(
            name=entry.name,
            op=entry.op.replace(CONV, f"depthwise {CONV}", 1) if work.depthwise else entry.op,
            instructions=work.instructions,
            cycles=work.cycles,
            time_ms=work.cycles * 1e3 / chip.clock_hz,
            macs=_useful(entry, work),
            mac_utilization=_share(_useful(entry, work), max(work.cycles, work.busy[0]), chip),
            read_bytes=work.read_bytes,
            write_bytes=work.write_bytes,
            burst_bytes=work.burst_bytes,
            bound=work.bound(),
            fspm_peak_bytes=peak,
        )
        for entry, peak, work in zip(meta.layers, meta.fspm_peak, layers, strict=True)
    )
