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
from knightlite.ir import Tensor
from knightlite.isa import Instruction, Load, Space, Store
from knightlite.lower import Placement, Range, Tile, span
from knightlite.schedule.tiling import Geometry, Step, Tiling

ConstantKey = tuple[str, Range, Range]  # kind, output channels, input channels


@dataclass(slots=True)
class Slots:
    """Equal slots of one scratchpad, refilled in turn."""

    base: int
    size: int
    count: int
    keys: list[Hashable] = field(default_factory=list)
    turn: int = 0

    def take(self, key: Hashable) -> tuple[int, bool]:
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


@dataclass(frozen=True, slots=True)
class Request:
    """A tile that must be loaded before a step.

    ``kind``: "x", "z" (with ``rows`` and ``channels``) or a constant's kind (with its ``key``).
    ``early``: its slot is free during the previous step's compute.
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
        return (self.kind, span(first), span(second))


class Visit(NamedTuple):
    """One step with its place in every scratchpad: the tile, and what must be loaded for it."""

    step: Step
    tile: Tile
    requests: tuple[Request, ...]


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
        self.features: dict[str, Slots] = {}
        for name, (size, count) in parts.items():
            self.features[name] = Slots(position, size, count)
            position += size * count
        size, _, count = geometry.weight_slots(tiling)
        self.weights = Slots(pads.take("wspm", size * count, chip.wspm_bytes), size, count)
        slots = geometry.parameter_slots(tiling)
        assert slots is not None
        (size_p, count_p), (size_q, count_q) = slots
        start = pads.take("mspm", size_p * count_p + size_q * count_q, chip.mspm_bytes)
        self.parameters = Slots(start, size_p, count_p)
        self.prologue = Slots(start + size_p * count_p, size_q, count_q)

    def visits(self) -> Iterator[Visit]:
        """Every step, in order."""
        in_use: set[tuple[str, int]] = set()  # slots that the previous step's compute reads
        for step in self.geometry.steps(self.tiling):
            visit, in_use = self._visit(step, in_use)
            yield visit

    def _visit(
        self, step: Step, before: set[tuple[str, int]]
    ) -> tuple[Visit, set[tuple[str, int]]]:
        work, geometry = self.geometry.work, self.geometry
        x_rows = work.input_rows(step.rows)
        requests: list[Request] = []
        in_use: set[tuple[str, int]] = set()

        def feature(kind: str, rows: Range, channels: Range) -> Placement:
            tensor = geometry.x if kind == "x" else geometry.z
            assert tensor is not None
            address, hit = self.features[kind].take((rows, channels))
            in_use.add((kind, address))
            if not hit:
                early = (kind, address) not in before
                requests.append(Request(kind, address, early, rows, channels))
            return self._placement(tensor, address, span(channels))

        def constant(slots: Slots, key: ConstantKey) -> int:
            address, hit = slots.take(key)
            in_use.add((key[0], address))
            if not hit:
                early = (key[0], address) not in before
                requests.append(Request(key[0], address, early, key=key))
            return address

        weights = parameters = prologue = 0
        if work.weights is not None:
            weights = constant(self.weights, ("weights", step.outs, step.ins))
        if work.parameters is not None and step.last:
            parameters = constant(self.parameters, ("parameters", step.outs, (0, 0)))
        if work.prologue is not None:
            part = (0, 0) if work.one_prologue else step.ins
            prologue = constant(self.prologue, ("prologue", (0, 0), part))
        x = feature("x", x_rows, step.ins)
        z = None
        if work.z is not None and step.last:
            z = self._broadcast(feature("z", *geometry.z_part(step.rows, step.outs)))
        if work.moves_only:
            y = x
        else:
            address, _ = self.features["y"].take((step.rows, step.outs))
            y = self._placement(geometry.y, address, span(step.outs))
        tile = Tile(
            rows=step.rows,
            outs=step.outs,
            ins=step.ins,
            x_rows=x_rows,
            x=x,
            z=z,
            y=y,
            accumulator_address=self.features["sums"].base if "sums" in self.features else 0,
            weight_address=weights,
            weight_align=geometry.chip.wspm_align_bytes,
            parameter_address=parameters,
            prologue_address=prologue,
            first=step.first,
            last=step.last,
        )
        return Visit(step, tile, tuple(requests)), in_use

    def _broadcast(self, z: Placement) -> Placement:
        """The second operand's tile with strides of 0 along what it has only one of."""
        assert self.geometry.z is not None
        _, _, height, width = self.geometry.z.shape
        return Placement(
            z.address, z.row_stride if height > 1 else 0, z.column_stride if width > 1 else 0
        )

    def _placement(self, tensor: Tensor, address: int, channels: int) -> Placement:
        column = self.geometry.column_stride(tensor, channels)
        return Placement(address, tensor.shape[3] * column, column)


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
