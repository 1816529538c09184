"""From decisions to steps and blocks: region by region, band by band, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from knightlite.allocate import align
from knightlite.lower import Range, span
from knightlite.schedule.blocks import (
    Block,
    FeatureLoad,
    FeatureStore,
    Key,
    RowMove,
    ScheduledStep,
    Walk,
)
from knightlite.schedule.layers import Layer, Part, overlap
from knightlite.schedule.network import Network
from knightlite.schedule.regions import (
    Decisions,
    Region,
    band_rows,
    hull,
    in_place,
    stages,
    walkable,
)
from knightlite.schedule.tiling import Step, Tiling


def walk(network: Network, decisions: Decisions) -> Walk | None:
    """The steps and blocks of what was decided; None where a layer's constants do not fit."""
    made = _Walker(network, decisions)
    for index, region in enumerate(decisions.regions):
        if not made.region(index, region):
            return None
    made.replace_in_place()
    made.hold()
    return Walk(made.steps, made.blocks)


class _Walker:
    def __init__(self, network: Network, decisions: Decisions) -> None:
        self.network, self.decisions = network, decisions
        self.steps: list[ScheduledStep] = []
        self.blocks: dict[Key, Block] = {}
        self._groups: list[Range] = []  # steps of a layer in a band, in order
        self._stored_rows: dict[int, int] = {}  # layer -> rows that are stored for good
        self._tilings: dict[int, Tiling] = {}

    def region(self, index: int, region: Region) -> bool:
        """Add the steps of a region; False where a layer's constants do not fit."""
        layers = self.network.layers[region.first : region.last]
        if region.tiling is not None:
            self._alone(index, layers[0], region.tiling)
            return True
        for layer in layers:
            cut = self.network.cuts[layer.index]
            if cut is None:
                return False
            self._tilings[layer.index] = cut.tiling
        walker = _BandWalker(self, index, region, walkable(layers))
        rows = band_rows(self.network, region, self.decisions.resident)
        for band, needed in enumerate(rows):
            walker.segments(layers, needed, band)
        walker.keep()
        runs = stages(layers)
        for wave in range(region.bands + len(runs) - 1):
            for stage, run in enumerate(runs):
                band = wave - stage
                if 0 <= band < region.bands:
                    walker.steps([x for x in run if x.index in rows[band]], rows[band], band)
        return True

    def _alone(self, index: int, layer: Layer, tiling: Tiling) -> None:
        """A layer in tiles of its own."""
        geometry, begin = layer.geometry, len(self.steps)
        rows, outs = (0, layer.height), (0, geometry.y.shape[1])
        block = self.block(Key("slots", str(layer.index), index), rows, outs)
        block.size = geometry.fspm_bytes(tiling)
        block.touch(begin)
        tile = Step(rows, outs, geometry.input_channels(outs), True, True)
        step = ScheduledStep(
            layer.index, index, 0, tile, tiling, block, None, block, None, alone=True
        )
        self.steps.append(step)
        self.group(begin)

    def block(self, key: Key, rows: Range, channels: Range) -> Block:
        """A block that holds so much, made or widened."""
        block = self.blocks.get(key)
        if block is None:
            block = self.blocks[key] = Block(key, rows, channels)
        block.rows = hull((block.rows, rows)) or rows
        block.channels = hull((block.channels, channels)) or channels
        return block

    def group(self, begin: int) -> None:
        """The steps from ``begin`` on are those of a layer in a band."""
        self._groups.append((begin, len(self.steps)))

    def tiling(self, layer: int) -> Tiling:
        """How a layer is cut over channels."""
        return self._tilings[layer]

    def fresh_rows(self, layer: int, rows: Range) -> Range:
        """Those rows of a layer's output that are not stored yet; they count as stored."""
        begin = max(rows[0], self._stored_rows.get(layer, 0))
        self._stored_rows[layer] = max(begin, rows[1])
        return begin, rows[1]

    def replace_in_place(self) -> None:
        """Let what a layer writes replace what it reads last, where the machine may."""
        for begin, end in self._groups:
            step = self.steps[end - 1]
            layer = self.network.layers[step.layer]
            part = in_place(self.network, layer)
            if part is None or step.alone:
                continue
            other = step.x if part is layer.x else step.z
            assert other is not None
            root = other.inside or other
            alone = self.decisions.regions[step.region].bands == 1
            if (
                step.y.inside is None
                and root is not step.y
                and step.y.key.kind == other.key.kind
                and (alone or other.key.kind == "band")
                and other.last == end - 1
                and step.y.first >= begin
                and other.holds(step.y)
            ):
                step.y.inside = root
                step.y.offset = other.offset + (step.y.rows[0] - other.rows[0]) * other.row_stride
                root.last = max(root.last, step.y.last)
                root.stored |= step.y.stored

    def hold(self) -> None:
        """How long every block is kept for: beyond its steps for loads ahead and stores behind."""
        end = len(self.steps)
        series: dict[tuple[str, int], list[Block]] = {}
        for block in self.blocks.values():
            block.held = (block.first, block.last)
            if block.inside is None and block.key.kind == "band":
                series.setdefault((block.key.name, block.key.region), []).append(block)
        starts = {begin: max(0, index - 1) for index, (begin, _) in enumerate(self._groups)}
        ends = {last - 1: index for index, (_, last) in enumerate(self._groups)}
        for blocks in series.values():
            for before, block, after in _neighbours(blocks):
                first, last = block.first, block.last
                if block.loaded:
                    begin = self._groups[starts[first]][0] if first in starts else first
                    first = min(first, before.first if before is not None else begin)
                if block.stored or self._crosses(block):
                    group = self._groups[min(ends.get(last, 0) + 1, len(self._groups) - 1)]
                    last = max(last, after.last if after is not None else group[1] - 1)
                block.held = (first, min(last, end - 1))

    def _crosses(self, block: Block) -> bool:
        """Whether one engine reads what another has written."""
        writers = {self.steps[n].layer for n in (block.first, block.last)}
        return len({self.network.layers[index].engine for index in writers}) > 1


def _neighbours(blocks: list[Block]) -> Iterator[tuple[Block | None, Block, Block | None]]:
    for index, block in enumerate(blocks):
        before = blocks[index - 1] if index else None
        yield before, block, blocks[index + 1] if index + 1 < len(blocks) else None


@dataclass(slots=True)
class _BandWalker:
    """Adds the bands of a region. ``together``: segments are of buffers, not of tensors alone."""

    walker: _Walker
    index: int
    region: Region
    together: bool
    written: dict[int, list[Part]] = field(default_factory=dict)  # by band
    loaded: dict[Key, list[Range]] = field(default_factory=dict)
    passed: set[tuple[Key, Range]] = field(default_factory=set)  # parts that have been moved

    def segments(self, layers: Sequence[Layer], rows: Mapping[int, Range], band: int) -> None:
        """Room for all that a band touches."""
        for layer in layers:
            if layer.index in rows:
                for part in (*layer.reads, layer.y):
                    self._segment(layer, part, rows[layer.index], band)

    def keep(self) -> None:
        """Let a band hold the rows that a later one reads, though it reads none itself."""
        if not self.region.kept:
            return
        mine = [block for block in self.walker.blocks.values() if block.key.region == self.index]
        later: dict[str, int] = {}
        for block in sorted(mine, key=lambda item: -item.key.band):
            first = min(block.rows[0], later.get(block.key.name, block.rows[0]))
            later[block.key.name] = first
            block.rows = (first, block.rows[1])
            block.size = align(span(block.rows) * block.row_stride, self._align)

    def steps(self, layers: Sequence[Layer], rows: Mapping[int, Range], band: int) -> None:
        """The steps of some layers in a band, with what they load and store."""
        for layer in layers:
            begin = len(self.walker.steps)
            self._steps(layer, rows[layer.index], band)
            self.walker.group(begin)
            written = self.written.setdefault(band, [])
            for part in layer.reads:
                self._load(part, self._block(part, band), begin, written)
            written.append(layer.y)
            block = self._block(layer.y, band)
            if block.rows[0] < rows[layer.index][0]:
                self._pass_on(layer.y, block, begin)
            block.filled[self._frame(layer.y)] = rows[layer.index][1]
            self._store(layer, rows[layer.index])

    def _load(self, part: Part, block: Block, step: int, written: Sequence[Part]) -> None:
        """Before a step, what it reads of a tensor and nobody has written or loaded here."""
        if block.key.kind == "whole":
            return
        self._pass_on(part, block, step)
        ends = {channels: source.filled[channels] for channels, source in self._kept(block).items()}
        known = [self._frame(item) for item in written if item.meets(part)]
        loaded = self.loaded.setdefault(block.key, [])
        for channels in _without(self._frame(part), known + loaded):
            loaded.append(channels)
            for some, begin in _split(channels, ends):
                rows = (max(begin, block.rows[0]), block.rows[1])
                block.filled[some] = rows[1]
                if rows[0] < rows[1]:
                    shift = self._frame(part)[0]
                    own = (some[0] - shift, some[1] - shift)
                    load = FeatureLoad(part, block, rows, own)
                    self.walker.steps[step].loads.append(load)
                    block.loaded = True

    def _kept(self, block: Block) -> dict[Range, Block]:
        """Where rows of bands before a segment's are kept: channels -> what has most of them."""
        found: dict[Range, Block] = {}
        for band in reversed(range(block.key.band if self.region.kept else 0)):
            other = self.walker.blocks.get(block.key._replace(band=band))
            if other is not None:
                for channels, end in other.filled.items():
                    if channels not in found or found[channels].filled[channels] < end:
                        found[channels] = other
        return found

    def _pass_on(self, part: Part, block: Block, step: int) -> None:
        """Move what bands before have of the rows of a part."""
        tensor = self.walker.network.graph.tensors[part.tensor]
        for channels, source in sorted(self._kept(block).items(), key=lambda item: item[0]):
            rows = (block.rows[0], min(source.filled[channels], block.rows[1]))
            if (block.key, channels) in self.passed or not overlap(channels, self._frame(part)):
                continue
            self.passed.add((block.key, channels))
            if rows[0] < rows[1]:
                size = tensor.dtype.size_bytes
                move = RowMove(source, block, rows, channels, size, tensor.shape[3])
                self.walker.steps[step].moves.append(move)
                source.touch(step)
                block.touch(step)
                block.filled[channels] = max(rows[1], block.filled.get(channels, 0))

    def _frame(self, part: Part) -> Range:
        """The channels of a tensor, counted in what its segment is of."""
        return part.channels if self.together else (0, span(part.channels))

    def _key(self, part: Part, band: int) -> Key:
        if part.buffer in self.walker.decisions.resident:
            return Key("whole", part.buffer)
        name = part.buffer if self.together else part.tensor
        return Key("band", name, self.index, band)

    def _block(self, part: Part, band: int) -> Block:
        return self.walker.blocks[self._key(part, band)]

    def _segment(self, layer: Layer, part: Part, rows: Range, band: int) -> None:
        """Make room for what a layer touches of a tensor."""
        network, key = self.walker.network, self._key(part, band)
        buffer = network.buffers[part.buffer]
        if key.kind == "whole":
            shape = buffer.tensor.shape
            block = self.walker.block(key, (0, shape[2]), (0, shape[1]))
        else:
            needed = rows if part is layer.y else layer.read_rows(part, rows)
            block = self.walker.block(key, needed, self._frame(part))
            shape = network.graph.tensors[part.tensor].shape
        block.pixel_stride = buffer.pixel_bytes(span(block.channels), network.chip)
        block.row_stride = shape[3] * block.pixel_stride
        block.size = align(span(block.rows) * block.row_stride, self._align)

    @property
    def _align(self) -> int:
        return self.walker.network.chip.fspm_align_bytes

    def _steps(self, layer: Layer, rows: Range, band: int) -> None:
        """The steps of a layer in a band."""
        walker, geometry = self.walker, layer.geometry
        tiling = walker.tiling(layer.index)
        x, y = self._block(layer.x, band), self._block(layer.y, band)
        for outs in geometry.out_parts(tiling):
            parts = geometry.in_parts(tiling, outs)
            beside = len(parts) > 1 or geometry.work.scratch_row_bytes is not None
            sums = self._sums(layer, rows, outs) if beside else None
            for ins in parts:
                number, last = len(walker.steps), ins == parts[-1]
                z = self._block(layer.z, band) if layer.z is not None and last else None
                for block in (x, sums, z, y if last else None):
                    if block is not None:
                        block.touch(number)
                tile = Step(rows, outs, ins, ins == parts[0], last)
                walker.steps.append(
                    ScheduledStep(layer.index, self.index, band, tile, tiling, x, z, y, sums)
                )

    def _sums(self, layer: Layer, rows: Range, outs: Range) -> Block:
        """Room for the partial sums of a tile, or for what it needs beside its tensors."""
        geometry, chip = layer.geometry, self.walker.network.chip
        number = len(self.walker.steps)
        block = self.walker.block(Key("sums", str(number)), rows, outs)
        work, row = geometry.work, geometry.y.shape[3] * span(outs)
        row *= work.accumulator_bytes
        if work.scratch_row_bytes is not None:
            row = work.scratch_row_bytes(outs)
        block.size = align(span(rows) * row, chip.fspm_align_bytes)
        return block

    def _store(self, layer: Layer, rows: Range) -> None:
        """Behind a layer's last step, what leaves the region."""
        walker = self.walker
        if layer.y.buffer in walker.decisions.resident:
            return
        if not walker.network.leaves(layer, self.region.first, self.region.last):
            return
        fresh = walker.fresh_rows(layer.index, rows)
        if fresh[0] < fresh[1]:
            step = walker.steps[-1]
            step.stores.append(FeatureStore(layer.y, step.y, fresh))
            step.y.stored = True


def _split(whole: Range, filled: Mapping[Range, int]) -> Iterator[tuple[Range, int]]:
    """A range in parts with one past the last row that each has; 0 where it has none."""
    for channels, end in sorted(filled.items()):
        if overlap(channels, whole):
            yield (max(channels[0], whole[0]), min(channels[1], whole[1])), end
    for rest in _without(whole, list(filled)):
        yield rest, 0


def _without(whole: Range, parts: list[Range]) -> list[Range]:
    """What is left of a range without others."""
    found, position = [], whole[0]
    for first, last in sorted(parts):
        if first > position and position < whole[1]:
            found.append((position, min(first, whole[1])))
        position = max(position, last)
    if position < whole[1]:
        found.append((position, whole[1]))
    return found
