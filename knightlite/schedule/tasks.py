"""The instructions of a schedule in logical order: a step's loads, its compute, its stores.

Logical order is what the program means. The order in the binary is another (``merge``), in which
every instruction still finds the bytes that it finds here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import NamedTuple

from knightlite.allocate import Location
from knightlite.isa import Engine, Instruction, Load, Move, Space, Store, in_program
from knightlite.lower import Placement, Range, Tile, span
from knightlite.schedule.blocks import Block, FeatureLoad, FeatureStore, RowMove, ScheduledStep
from knightlite.schedule.layers import Layer, Part
from knightlite.schedule.network import Network
from knightlite.schedule.price import constant_bytes
from knightlite.schedule.steps import (
    ConstantKey,
    LayerBuilder,
    LayerWalk,
    Scratchpads,
    load_constant,
    load_weights,
)
from knightlite.schedule.tiles import Use, place_tiles
from knightlite.schedule.tiling import Tiling


class Stream(IntEnum):
    """Who does a task, in order: the loads of features and of constants are two, on one engine."""

    FEATURES = 0
    CONSTANTS = 1
    STORES = 2
    MATRIX = 3
    VECTOR = 4


STREAMS = {
    Engine.RDMA: Stream.FEATURES,
    Engine.WDMA: Stream.STORES,
    Engine.RCCN: Stream.MATRIX,
    Engine.RCVT: Stream.VECTOR,
}  # of an engine whose instructions are in order already
SLOTS = "slots"  # of a layer in tiles of its own, in place of constants of a kind
ENGINES = (Engine.RDMA, Engine.RDMA, Engine.WDMA, Engine.RCCN, Engine.RCVT)  # by stream


class Task(NamedTuple):
    """An instruction, and the step that it belongs to.

    ``block``: the identity of the block in FSPM that it writes to, 0 where it writes to none.
    ``passes_on``: it only moves rows from one band's segment to the next.
    """

    instruction: Instruction
    stream: Stream
    step: int
    block: int = 0
    passes_on: bool = False


Constants = Callable[[int, ConstantKey], tuple[int, int]]  # layer, key -> DDR address, bytes


def tasks(
    network: Network,
    steps: Sequence[ScheduledStep],
    addresses: Mapping[int, int],
    locations: Mapping[str, Location],
    constants: Constants,
) -> list[Task]:
    """All instructions in logical order, with their layers and without tokens.

    ``addresses``: of the blocks in FSPM, by their identity; ``locations``: of tensors in DDR.
    """
    wspm = _Scratchpad(steps, network, locations, constants, Space.WSPM)
    mspm = _Scratchpad(steps, network, locations, constants, Space.MSPM)
    place = Places(network, addresses, locations)
    found: list[Task] = []
    for number, step in enumerate(steps):
        layer = network.layers[step.layer]

        def add(instruction: Instruction, stream: Stream, block: Block | None = None) -> None:
            root = 0 if block is None else id(block.inside or block)
            numbered = in_program(instruction, step.layer, 0, 0)  # noqa: B023
            found.append(Task(numbered, stream, number, root))  # noqa: B023

        if step.alone:
            pads = Scratchpads(
                place.base(step.x), wspm.address(number, SLOTS), mspm.address(number, SLOTS)
            )
            for item, stream in _alone(layer, step.tiling, pads, locations, constants):
                add(item, stream)
            continue
        for move in step.moves:
            add(place.move(move), Stream.VECTOR, move.target)
            found[-1] = found[-1]._replace(passes_on=True)
        for load in step.loads:
            add(place.load(load), Stream.FEATURES, load.block)
        weights = Stream.CONSTANTS if layer.w is None else Stream.FEATURES
        for item in mspm.missing(number):
            add(item, Stream.CONSTANTS)
        for item in wspm.missing(number):
            add(item, weights)
        work = layer.geometry.work
        items = work.compute(place.tile(layer, step, wspm, mspm, number))
        for item in items:
            beside = work.scratch_row_bytes is not None and item is not items[-1]
            target = step.y if step.tile.last and not beside else step.sums
            add(item, Stream.MATRIX if item.ENGINE is Engine.RCCN else Stream.VECTOR, target)
        for store in step.stores:
            add(place.store(store), Stream.STORES)
    return found


def _alone(
    layer: Layer,
    tiling: Tiling,
    pads: Scratchpads,
    locations: Mapping[str, Location],
    constants: Constants,
) -> Iterator[tuple[Instruction, Stream]]:
    """A layer from DDR to DDR, tile by tile, in the places that ``pads`` say."""
    geometry = layer.geometry
    builder = LayerBuilder(geometry, locations, lambda key: constants(layer.index, key))
    for visit in LayerWalk(geometry, tiling, pads).visits():
        for request in visit.requests:
            computed = request.kind == "weights" and layer.w is not None
            stream = Stream.CONSTANTS if request.key and not computed else Stream.FEATURES
            yield builder.load(request), stream
        for item in geometry.work.compute(visit.tile):
            engine = Stream.MATRIX if item.ENGINE is Engine.RCCN else Stream.VECTOR
            yield item, engine
        if visit.step.last:
            yield builder.store(visit.tile), Stream.STORES


def slot_bytes(layer: Layer, tiling: Tiling, space: Space) -> int:
    """Bytes of WSPM or MSPM that the slots of a layer in tiles of its own take."""
    if space is Space.WSPM:
        size, _, count = layer.geometry.weight_slots(tiling)
        return size * count
    slots = layer.geometry.parameter_slots(tiling)
    assert slots is not None
    return sum(size * count for size, count in slots)


def step_constants(layer: Layer, step: ScheduledStep) -> dict[str, ConstantKey]:
    """The constant tiles of a step: kind -> key."""
    work, tile = layer.geometry.work, step.tile
    found: dict[str, ConstantKey] = {}
    if work.weight_bytes is not None:
        found["weights"] = ("weights", tile.outs, tile.ins)
    if work.parameters is not None and tile.last:
        found["parameters"] = ("parameters", tile.outs, (0, 0))
    if work.prologue is not None:
        found["prologue"] = ("prologue", (0, 0), (0, 0) if work.one_prologue else tile.ins)
    return found


class _Scratchpad:
    """Where the constants of each step lie in WSPM or MSPM, and which must be loaded."""

    def __init__(
        self,
        steps: Sequence[ScheduledStep],
        network: Network,
        locations: Mapping[str, Location],
        constants: Constants,
        space: Space,
    ) -> None:
        chip = network.chip
        capacity, align = chip.mspm_bytes, chip.mspm_align_bytes
        if space is Space.WSPM:
            capacity, align = chip.wspm_bytes, chip.wspm_align_bytes
        uses: list[Use] = []
        self._keys: list[tuple[int, str]] = []
        makers: list[Callable[[int], Instruction] | None] = []  # of the load to an address
        for number, step in enumerate(steps):
            if step.alone:
                size = slot_bytes(network.layers[step.layer], step.tiling, space)
                if size:
                    uses.append(Use(number, (step.layer, SLOTS), size))
                    self._keys.append((number, SLOTS))
                    makers.append(None)
                continue
            geometry = network.layers[step.layer].geometry
            for kind, key in step_constants(network.layers[step.layer], step).items():
                if (kind == "weights") != (space is Space.WSPM):
                    continue
                if kind == "weights" and geometry.w is not None:
                    size = constant_bytes(geometry, key)
                    makers.append(partial(load_weights, geometry, locations, key))
                else:
                    source, size = constants(step.layer, key)
                    makers.append(partial(_constant, space, source, size))
                uses.append(Use(number, (step.layer, key), size))
                self._keys.append((number, kind))
        self._address: dict[tuple[int, str], int] = {}
        self._loads: dict[int, list[Instruction]] = {}
        places = place_tiles(uses, capacity, align)
        for (number, kind), make, (address, fresh) in zip(self._keys, makers, places, strict=True):
            self._address[number, kind] = address
            if fresh and make is not None:
                self._loads.setdefault(number, []).append(make(address))

    def missing(self, step: int) -> Sequence[Instruction]:
        """What must be loaded before a step."""
        return self._loads.get(step, ())

    def address(self, step: int, kind: str) -> int:
        """Where a step's constants of a kind lie; 0 without any."""
        return self._address.get((step, kind), 0)


def _constant(space: Space, source: int, size: int, address: int) -> Load:
    return load_constant(space, source, address, size)


@dataclass(frozen=True, slots=True)
class Places:
    """Addresses of tiles in FSPM and DDR."""

    network: Network
    addresses: Mapping[int, int]
    locations: Mapping[str, Location]

    def base(self, block: Block) -> int:
        """Where a block begins."""
        root = block.inside or block
        return self.addresses[id(root)] + block.offset

    def placement(self, block: Block, part: Part, rows: Range, channels: Range) -> Placement:
        """Where rows and channels of a tensor begin in a block, and their strides."""
        size = self.network.graph.tensors[part.tensor].dtype.size_bytes
        base, row, pixel = self.base(block), block.row_stride, block.pixel_stride
        if block.key.kind == "band" and (part.plain or block.key.name == part.tensor):
            frame = part.channels[0] if block.key.name == part.buffer else 0
            channel = frame + channels[0] - block.channels[0]
            return Placement(base + (rows[0] - block.rows[0]) * row + channel * size, row, pixel)
        window = self.network.windows[part.tensor]
        strides = (row * window.row_step, pixel * window.column_step)
        down, right = reversed(strides) if window.turned else strides
        start = base + window.row * row + window.column * pixel
        channel = window.channel + channels[0]
        return Placement(start + rows[0] * down + channel * size, down, right)

    def tile(
        self,
        layer: Layer,
        step: ScheduledStep,
        wspm: _Scratchpad,
        mspm: _Scratchpad,
        number: int,
    ) -> Tile:
        """The tile of a step with its addresses."""
        rows, outs, ins, first, last = step.tile
        work, chip = layer.geometry.work, self.network.chip
        x_rows = work.input_rows(rows)
        z = None
        if step.z is not None and layer.z is not None:
            z_rows, z_channels = layer.geometry.z_part(rows, outs)
            found = self.placement(step.z, layer.z, z_rows, z_channels)
            assert layer.geometry.z is not None
            (_, _, *sizes), (_, _, *whole) = layer.geometry.z.shape, layer.geometry.y.shape
            strides = (found.row_stride, found.column_stride)
            row, pixel = (  # 0 broadcasts; where y has one as well, it may lie in z's place
                stride if size == full else 0
                for stride, size, full in zip(strides, sizes, whole, strict=True)
            )
            z = Placement(found.address, row, pixel)
        return Tile(
            rows=rows,
            outs=outs,
            ins=ins,
            x_rows=x_rows,
            x=self.placement(step.x, layer.x, x_rows, ins),
            z=z,
            y=self.placement(step.y, layer.y, rows, outs),
            accumulator_address=self.base(step.sums) if step.sums is not None else 0,
            weight_address=wspm.address(number, "weights"),
            weight_align=chip.wspm_align_bytes,
            parameter_address=mspm.address(number, "parameters"),
            prologue_address=mspm.address(number, "prologue"),
            first=first,
            last=last,
        )

    def move(self, item: RowMove) -> Move:
        """Rows from one segment to the next, pixel by pixel where pixels have gaps."""
        source, target = item.source, item.target
        run = span(item.channels) * item.size
        loops = [(1, 0, 0), (1, 0, 0)]
        rows = (span(item.rows), source.row_stride, target.row_stride)
        pixels = (item.width, source.pixel_stride, target.pixel_stride)
        if run == source.pixel_stride == target.pixel_stride:
            loops.extend([(1, 0, 0), (1, 0, 0)])
            run *= item.width * span(item.rows)
        else:
            loops.extend([rows, pixels])
        begin = [
            self.base(block)
            + (item.rows[0] - block.rows[0]) * block.row_stride
            + (item.channels[0] - block.channels[0]) * item.size
            for block in (source, target)
        ]
        return Move(
            layer=0,
            wait=0,
            signal=0,
            x_address=begin[0],
            y_address=begin[1],
            run_bytes=run,
            **{f"count{i}": loop[0] for i, loop in enumerate(loops)},
            **{f"x_stride{i}": loop[1] for i, loop in enumerate(loops)},
            **{f"y_stride{i}": loop[2] for i, loop in enumerate(loops)},
        )

    def load(self, item: FeatureLoad) -> Load:
        """The transfer of rows and channels of a tensor into its segment."""
        tensor = self.network.graph.tensors[item.part.tensor]
        size = tensor.dtype.size_bytes
        source = self.locations[item.part.tensor]
        local = self.placement(item.block, item.part, item.rows, item.channels)
        return Load(
            layer=0,
            wait=0,
            signal=0,
            space=Space.FSPM,
            ddr_address=source.address + item.rows[0] * source.row_stride + item.channels[0] * size,
            ddr_row_stride=source.row_stride,
            ddr_column_stride=source.column_stride,
            local_address=local.address,
            local_row_stride=local.row_stride,
            local_column_stride=local.column_stride,
            rows=span(item.rows),
            columns=tensor.shape[3],
            run_bytes=span(item.channels) * size,
        )

    def store(self, item: FeatureStore) -> Store:
        """The transfer of rows of a tensor from its segment."""
        tensor = self.network.graph.tensors[item.part.tensor]
        channels = (0, tensor.shape[1])
        target = self.locations[item.part.tensor]
        local = self.placement(item.block, item.part, item.rows, channels)
        return Store(
            layer=0,
            wait=0,
            signal=0,
            ddr_address=target.address + item.rows[0] * target.row_stride,
            ddr_row_stride=target.row_stride,
            ddr_column_stride=target.column_stride,
            local_address=local.address,
            local_row_stride=local.row_stride,
            local_column_stride=local.column_stride,
            rows=span(item.rows),
            columns=tensor.shape[3],
            run_bytes=tensor.shape[1] * tensor.dtype.size_bytes,
        )
