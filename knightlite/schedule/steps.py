"""A layer's steps as instructions: loads ahead of the compute they feed, stores behind.

Each scratchpad gives the layer slots; a tile already in a slot is not loaded again. The loads of
the next step come before this step's compute wherever their slot is free, so that with the tokens
(derived later from what instructions touch) load, compute and store overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from knightlite.allocate import Location
from knightlite.isa import Instruction, Load, Space, Store
from knightlite.lower import Placement, Range, Tile, span
from knightlite.schedule.tiling import Geometry, Step, Tiling

ConstantKey = tuple[str, Range, Range]  # kind, output channels, input channels
TileKey = tuple[Range, Range]  # of features: rows, channels; of constants: outputs, inputs
Origins = Mapping[str, tuple[int, int]]  # by kind of tile: where both ranges of keys count from
NO_RANGE = (0, 0)


@dataclass(slots=True)
class Slots:
    """Equal slots of one scratchpad, refilled in turn."""

    base: int
    size: int
    count: int
    keys: list[TileKey] = field(default_factory=list)
    turn: int = 0

    def state(self, first: int, second: int) -> Hashable:
        """What is in which slot, counted from an origin, and which one is refilled next."""
        return self.turn, tuple(_moved(key, -first, -second) for key in self.keys)

    def move(self, first: int, second: int) -> None:
        """Let the tiles so much further on lie where these lie."""
        self.keys = [_moved(key, first, second) for key in self.keys]

    def take(self, key: TileKey) -> tuple[int, bool]:
        """(address, hit): where ``key`` lies, and whether it was there already."""
        if key in self.keys:
            return self.base + self.keys.index(key) * self.size, True
        if len(self.keys) < self.count:
            self.keys.append(key)
            return self.base + (len(self.keys) - 1) * self.size, False
        slot = self.turn
        self.turn = (self.turn + 1) % self.count
        self.keys[slot] = key
        return self.base + slot * self.size, False


def _moved(key: TileKey, first: int, second: int) -> TileKey:
    (a, b), (c, d) = key
    return (a + first, b + first), (c + second, d + second)


@dataclass(slots=True)
class Scratchpads:
    """Where the next layer's slots begin: layers take turns so that neighbours may overlap."""

    fspm: int = 0
    wspm: int = 0
    mspm: int = 0

    def take(self, space: str, size: int, capacity: int) -> int:
        """The begin of ``size`` bytes behind the previous layer's, or at 0 if too far."""
        start = getattr(self, space)
        if start + size > capacity:
            start = 0
        setattr(self, space, start + size)
        return int(start)


class Request(NamedTuple):
    """A tile that must be loaded before a step.

    ``kind``: "x", "z" (with ``rows`` and ``channels``) or a constant's kind (with its ``key``).
    ``early``: its slot is free during the previous step's compute. Weights that are a tensor's have
    a key as constant ones have.
    """

    kind: str
    address: int
    early: bool
    rows: Range = (0, 0)
    channels: Range = (0, 0)
    key: ConstantKey | None = None

    def shape(self) -> tuple[object, ...]:
        """What its transfer's cost depends on."""
        first, second = self.key[1:] if self.key is not None else (self.rows, self.channels)
        return (self.kind, first[1] - first[0], second[1] - second[0])


class Visit(NamedTuple):
    """One step with its place in every scratchpad, and what must be loaded for it.

    ``read``: where what its instructions read lies, by kind; ``written``, ``sums``: where in FSPM
    the output tile and the partial sums lie.
    """

    geometry: Geometry
    step: Step
    read: Mapping[str, int]
    written: int
    sums: int
    requests: tuple[Request, ...]

    @property
    def tile(self) -> Tile:
        """What is lowered."""
        geometry, step, read = self.geometry, self.step, self.read
        placement = geometry.placement
        x = placement(geometry.x, read["x"], span(step.ins))
        z = None
        if geometry.z is not None and step.last:
            _, channels = geometry.z_part(step.rows, step.outs)
            z = self._broadcast(placement(geometry.z, read["z"], span(channels)))
        y = x
        if not geometry.work.moves_only:
            y = placement(geometry.y, self.written, span(step.outs))
        return Tile(
            rows=step.rows,
            outs=step.outs,
            ins=step.ins,
            x_rows=geometry.input_rows(step.rows),
            x=x,
            z=z,
            y=y,
            accumulator_address=self.sums,
            weight_address=read.get("weights", 0),
            weight_align=geometry.chip.wspm_align_bytes,
            parameter_address=read.get("parameters", 0),
            prologue_address=read.get("prologue", 0),
            first=step.first,
            last=step.last,
        )

    def _broadcast(self, z: Placement) -> Placement:
        """The second operand's tile with strides of 0 along what it has only one of."""
        assert self.geometry.z is not None
        _, _, height, width = self.geometry.z.shape
        return Placement(
            z.address, z.row_stride if height > 1 else 0, z.column_stride if width > 1 else 0
        )


class StepCode(NamedTuple):
    """The instructions of one step. ``early`` loads may precede the previous step's compute."""

    early: tuple[Instruction, ...]
    late: tuple[Instruction, ...]
    compute: tuple[Instruction, ...]
    store: tuple[Instruction, ...]


class LayerWalk:
    """Walks a layer's tiles and keeps the slots of every scratchpad."""

    def __init__(self, geometry: Geometry, tiling: Tiling, pads: Scratchpads) -> None:
        self.geometry, self.tiling = geometry, tiling
        chip = geometry.chip
        parts = geometry.fspm_parts(tiling)
        position = pads.take("fspm", geometry.fspm_bytes(tiling), chip.fspm_bytes)
        self._slots: dict[str, Slots] = {}  # by kind of tile
        for name, (size, count) in parts.items():
            self._slots[name] = Slots(position, size, count)
            position += size * count
        size, _, count = geometry.weight_slots(tiling)
        start = pads.take("wspm", size * count, chip.wspm_bytes)
        self._slots["weights"] = Slots(start, size, count)
        slots = geometry.parameter_slots(tiling)
        assert slots is not None
        (size_p, count_p), (size_q, count_q) = slots
        start = pads.take("mspm", size_p * count_p + size_q * count_q, chip.mspm_bytes)
        self._slots["parameters"] = Slots(start, size_p, count_p)
        self._slots["prologue"] = Slots(start + size_p * count_p, size_q, count_q)
        self._before: Mapping[str, int] = {}  # what the previous step's compute reads

    def visits(self) -> Iterator[Visit]:
        """Every step, in order."""
        for part in self.geometry.rounds(self.tiling):
            yield from self.round(part)

    def round(self, part: Range) -> Iterator[Visit]:
        """The steps of a part of the outer loop, in order."""
        for step in self.geometry.round_steps(self.tiling, part):
            yield self._visit(step)

    def state(self, origin: Origins) -> Hashable:
        """What further visits depend on, the keys counted from an origin of their kind."""
        return tuple((kind, slots.state(*origin[kind])) for kind, slots in self._slots.items())

    def move(self, start: Origins, goal: Origins) -> None:
        """Stand where a whole number of equal rounds later the walk stands."""
        for kind, slots in self._slots.items():
            (rows, channels), (more_rows, more_channels) = start[kind], goal[kind]
            slots.move(more_rows - rows, more_channels - channels)

    def _visit(self, step: Step) -> Visit:
        work, geometry, before = self.geometry.work, self.geometry, self._before
        requests: list[Request] = []
        read: dict[str, int] = {}

        def take(kind: str, key: TileKey) -> bool:
            """Give a tile its place; whether it must be loaded."""
            read[kind], hit = self._slots[kind].take(key)
            return not hit

        def feature(kind: str, rows: Range, channels: Range) -> None:
            if take(kind, (rows, channels)):
                early = before.get(kind) != read[kind]
                requests.append(Request(kind, read[kind], early, rows, channels))

        def constant(kind: str, outs: Range, ins: Range) -> None:
            if take(kind, (outs, ins)):
                early = before.get(kind) != read[kind]
                requests.append(Request(kind, read[kind], early, key=(kind, outs, ins)))

        if work.weight_bytes is not None:
            constant("weights", step.outs, step.ins)
        if work.parameters is not None and step.last:
            constant("parameters", step.outs, NO_RANGE)
        if work.prologue is not None:
            constant("prologue", NO_RANGE, NO_RANGE if work.one_prologue else step.ins)
        feature("x", geometry.input_rows(step.rows), step.ins)
        if work.z is not None and step.last:
            feature("z", *geometry.z_part(step.rows, step.outs))
        written = 0
        if not work.moves_only:
            written, _ = self._slots["y"].take((step.rows, step.outs))
        sums = self._slots["sums"].base if "sums" in self._slots else 0
        self._before = read
        return Visit(geometry, step, read, written, sums, tuple(requests))


@dataclass(frozen=True, slots=True)
class LayerBuilder:
    """Makes the instructions of a layer's visits. ``constants``: key -> DDR address, bytes."""

    geometry: Geometry
    locations: Mapping[str, Location]
    constants: Callable[[ConstantKey], tuple[int, int]]

    def code(self, visit: Visit) -> StepCode:
        """The instructions of one step."""
        return StepCode(
            tuple(self.load(item) for item in visit.requests if item.early),
            tuple(self.load(item) for item in visit.requests if not item.early),
            self.geometry.work.compute(visit.tile),
            (self.store(visit.tile),) if visit.step.last else (),
        )

    def load(self, request: Request) -> Load:
        """The transfer that fulfils a request."""
        if request.kind == "weights" and self.geometry.w is not None:
            assert request.key is not None
            return load_weights(self.geometry, self.locations, request.key, request.address)
        if request.key is not None:
            source, size = self.constants(request.key)
            space = Space.WSPM if request.kind == "weights" else Space.MSPM
            return load_constant(space, source, request.address, size)
        if request.kind == "x":
            tensor, name = self.geometry.x, self.geometry.work.x
        else:
            assert self.geometry.z is not None
            assert self.geometry.work.z is not None
            tensor, name = self.geometry.z, self.geometry.work.z
        size = tensor.dtype.size_bytes
        column = self.geometry.column_stride(tensor, span(request.channels))
        source_place = self.locations[name]
        return Load(
            layer=0,
            wait=0,
            signal=0,
            space=Space.FSPM,
            ddr_address=source_place.address
            + request.rows[0] * source_place.row_stride
            + request.channels[0] * size,
            ddr_row_stride=source_place.row_stride,
            ddr_column_stride=source_place.column_stride,
            local_address=request.address,
            local_row_stride=tensor.shape[3] * column,
            local_column_stride=column,
            rows=span(request.rows),
            columns=tensor.shape[3],
            run_bytes=span(request.channels) * size,
        )

    def store(self, tile: Tile) -> Store:
        """The transfer that writes the output tile."""
        tensor = self.geometry.y
        target = self.locations[self.geometry.work.y]
        size = tensor.dtype.size_bytes
        return Store(
            layer=0,
            wait=0,
            signal=0,
            ddr_address=target.address + tile.rows[0] * target.row_stride + tile.outs[0] * size,
            ddr_row_stride=target.row_stride,
            ddr_column_stride=target.column_stride,
            local_address=tile.y.address,
            local_row_stride=tile.y.row_stride,
            local_column_stride=tile.y.column_stride,
            rows=span(tile.rows),
            columns=tensor.shape[3],
            run_bytes=span(tile.outs) * size,
        )


def load_constant(space: Space, source: int, address: int, size: int) -> Load:
    """The transfer of a constant tile, ``size`` bytes without a gap."""
    return Load(
        layer=0,
        wait=0,
        signal=0,
        space=space,
        ddr_address=source,
        ddr_row_stride=size,
        ddr_column_stride=size,
        local_address=address,
        local_row_stride=size,
        local_column_stride=size,
        rows=1,
        columns=1,
        run_bytes=size,
    )


def load_weights(
    geometry: Geometry, locations: Mapping[str, Location], key: ConstantKey, address: int
) -> Load:
    """The transfer of a tile of weights out of the tensor that holds them."""
    work, tensor = geometry.work, geometry.w
    assert tensor is not None
    assert work.weight_runs is not None
    assert work.weight_row_bytes is not None
    _, outs, ins = key
    source, size, runs = (
        locations[tensor.name],
        tensor.dtype.size_bytes,
        work.weight_runs(outs, ins),
    )
    pixel, run = source.column_stride, runs.channels * size
    return Load(
        layer=0,
        wait=0,
        signal=0,
        space=Space.WSPM,
        ddr_address=source.address + runs.pixel * pixel + runs.channel * size,
        ddr_row_stride=runs.row_pixels * pixel,
        ddr_column_stride=runs.column_pixels * pixel,
        local_address=address,
        local_row_stride=work.weight_row_bytes(outs),
        local_column_stride=run,
        rows=runs.rows,
        columns=runs.columns,
        run_bytes=run,
    )


def constant_keys(geometry: Geometry, tiling: Tiling) -> dict[ConstantKey, bytes]:
    """Every constant tile of a layer, in order of first use."""
    work, align = geometry.work, geometry.chip.wspm_align_bytes
    found: dict[ConstantKey, bytes] = {}
    for step in geometry.steps(tiling):
        keys: list[tuple[ConstantKey, Callable[[], bytes]]] = []
        outs, ins = step.outs, step.ins
        if (weights := work.weights) is not None:
            keys.append((("weights", outs, ins), lambda w=weights, o=outs, i=ins: w(o, i, align)))  # type: ignore[misc]
        if (parameters := work.parameters) is not None and step.last:
            keys.append((("parameters", outs, (0, 0)), lambda p=parameters, o=outs: p(o)))  # type: ignore[misc]
        if (prologue := work.prologue) is not None:
            part = (0, 0) if work.one_prologue else ins
            keys.append((("prologue", (0, 0), part), lambda p=prologue, i=part: p(i)))  # type: ignore[misc]
        for key, make in keys:
            if key not in found:
                found[key] = make()
    return found


def in_program_order(steps: list[StepCode]) -> list[Instruction]:
    """Software-pipelined: early loads of step i+1, compute i, late loads of i+1, store i."""
    found: list[Instruction] = [*steps[0].early, *steps[0].late]
    for index, step in enumerate(steps):
        following = steps[index + 1] if index + 1 < len(steps) else None
        if following:
            found.extend(following.early)
        found.extend(step.compute)
        late = following.late if following else ()
        # A late load overwrites what this step's compute, or without one its store, reads.
        found.extend((*late, *step.store) if step.compute else (*step.store, *late))
    return found
