"""What regions cost, whatever stays on chip: work of the engines, bytes to move, bytes of FSPM.

Of one band in the middle, for all of them: an estimate, which a search compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from knightlite.isa import Engine
from knightlite.lower import Range, span
from knightlite.schedule.layers import Layer, Part
from knightlite.schedule.network import Buffer, Network
from knightlite.schedule.regions import hull, in_place, joins

ALIKE = 94  # percent of the room, down to which the same regions are worth looking at
LONGEST = 12  # layers of a region
BANDS = (2, 3, 4, 6, 8, 11, 14, 19, 28, 38, 56, 112)
HIDING = 4  # layers of a region that only hides one engine's work behind the other's
FEW_BANDS = (3, 8)
ENOUGH = 5  # numbers of bands that are priced once they fit


@dataclass
class Shape:
    """A region of some layers in some bands, whatever stays on chip."""

    first: int
    last: int
    bands: int
    kept: bool = False
    matrix: int = 0
    vector: int = 0
    weights: int = 0  # bytes
    exposed: int = 0  # cycles of loads that cannot go ahead
    halo: bool = False  # two bands need the same rows
    transfers: int = 0
    inner: list[int] = field(default_factory=list)  # bytes per layer of what is born and dies here
    crossing: dict[str, Crossing] = field(default_factory=dict)

    @cached_property
    def needed(self) -> int:
        """Bytes of FSPM that it needs whatever stays on chip: of everything a segment."""
        usage = list(self.inner)
        for item in self.crossing.values():
            begin = item.touched[0] + item.replaces - self.first
            for position in range(begin, item.touched[1] - self.first):
                usage[position] += item.segment
        return max(usage)

    @cached_property
    def touches(self) -> frozenset[str]:
        """The buffers that others touch as well."""
        return frozenset(self.crossing)


@dataclass(slots=True)
class Crossing:
    """A buffer that others touch as well: its segment, its traffic and when it is touched."""

    buffer: Buffer
    segment: int  # bytes of a band's segment
    read: int  # bytes loaded in all bands where it lies in DDR
    written: int
    touched: Range  # layers of the region, from the first to behind the last
    transfers: int
    replaces: bool  # it takes the place of one that dies as it is born


class Shapes:
    """The regions that a search may choose from, with ``room`` bytes of FSPM."""

    def __init__(self, network: Network, may_stay: frozenset[str], room: int) -> None:
        self.network, self.may_stay, self.room = network, may_stay, room
        self.chip = network.chip
        self._bytes = {n: b.whole_bytes(self.chip) for n, b in network.buffers.items()}
        self._replacing = [in_place(network, layer) for layer in network.layers]
        self._known: dict[int, list[Shape]] = {}

    def ending_at(self, last: int) -> list[Shape]:
        """Those that end at a border."""
        if last not in self._known:
            self._known[last] = list(self.of(last))
        return self._known[last]

    @cached_property
    def pressed(self) -> tuple[bool, ...]:
        """Layers where not all that lives can stay on chip: there walking in bands may help."""
        count = len(self.network.layers)
        live = [0] * (count + 1)
        pressed = [False] * count
        for name, buffer in self.network.buffers.items():
            first, last = max(0, buffer.first), min(buffer.last, count - 1)
            if name in self.may_stay:
                first += self._replaces(name, first)
                for index in range(first, last + 1):
                    live[index] += self._bytes[name]
            else:
                for layer in self.network.layers[first : last + 1]:
                    if any(part.buffer == name for part in (*layer.reads, layer.y)):
                        pressed[layer.index] = True
        return tuple(
            flag or live[index] * 100 > ALIKE * self.room for index, flag in enumerate(pressed)
        )

    def of(self, last: int) -> Iterator[Shape]:
        """Regions that end at a border: a layer as a whole, and runs of layers in bands.

        Runs are long and the bands many where memory is short. Elsewhere only what the vector
        engine does may be hidden behind the matrix engine's work, and few bands do.
        """
        layers = self.network.layers
        layer = layers[last - 1]
        if layer.engine is None:
            return  # moved from DDR to DDR
        alone = self._shape(last - 1, last, 1, False, [(layer, (0, layer.height))])
        if alone is not None:
            yield alone
        short = any(self.pressed[max(0, last - LONGEST) : last])
        longest = LONGEST if short else HIDING
        if not short and all(x.engine is Engine.RCCN for x in layers[max(0, last - HIDING) : last]):
            return
        fitting: dict[int, int] = {}  # first layer -> bands that fit so far
        for bands in BANDS if short else FEW_BANDS:
            if bands > layer.height:
                break
            level: set[int] = set()  # regions in which no two bands need the same rows
            for kept in (False, True) if short else (False,):
                for shape in self._growing(last, bands, kept, longest):
                    if kept and shape.first in level:
                        continue
                    if not kept and not shape.halo:
                        level.add(shape.first)
                    if fitting.get(shape.first, 0) < ENOUGH:
                        yield shape
            for first in range(max(0, last - longest), last):
                fitting[first] = fitting.get(first, 0) + (first in self._grown)

    def _growing(self, last: int, bands: int, kept: bool, longest: int) -> Iterator[Shape]:
        """Regions that end at a border, from one layer on, walked in so many bands."""
        wanted: list[tuple[Part, Range]] = []
        taken: list[tuple[Layer, Range]] = []
        useful = False
        self._grown: set[int] = set()
        for first in range(last - 1, max(-1, last - 1 - longest), -1):
            if self.network.parted(first, last):
                return
            layer = self.network.layers[first]
            useful = useful or self.pressed[first] or layer.engine is not Engine.RCCN
            if layer.engine is None or not joins(layer, [other for other, _ in taken]):
                return
            needs = [item for part, item in wanted if part.meets(layer.y)]
            if self.network.leaves(layer, first, last):
                rows = -(-layer.height // bands)
                begin = min(bands // 2 * rows, layer.height - rows)
                needs.append((begin, begin + rows))
            rows_needed = hull(needs) or (0, 1)
            if kept:  # what the band before has not
                fresh = -(-layer.height // bands)
                rows_needed = (max(rows_needed[0], rows_needed[1] - fresh), rows_needed[1])
            rows_needed = layer.whole_phases(rows_needed)
            wanted.extend((part, layer.read_rows(part, rows_needed)) for part in layer.reads)
            taken.insert(0, (layer, rows_needed))
            if useful:
                shape = self._shape(first, last, bands, kept, taken)
                if shape is None or shape.needed > self.room:
                    return
                self._grown.add(first)
                yield shape

    def _shape(
        self,
        first: int,
        last: int,
        bands: int,
        kept: bool,
        taken: Sequence[tuple[Layer, Range]],
    ) -> Shape | None:
        """What a region costs; None where the constants of a layer do not fit."""
        chip = self.chip
        shape = Shape(first, last, bands, kept, inner=[0] * (last - first))
        segments: dict[str, tuple[Range, Range, Range]] = {}  # rows, channels, layers touching
        reads: dict[str, list[tuple[Range, int]]] = {}
        written: dict[str, list[Range]] = {}
        traffic_out: dict[str, int] = {}
        for layer, rows in taken:
            cut = self.network.cuts[layer.index]
            if cut is None:
                return None
            again = (bands - 1) * max(0, span(rows) - -(-layer.height // bands))
            busy = cut.cycles * (layer.height + again) // layer.height
            busy += layer.setup * bands * cut.instructions // max(1, len(layer.whole))
            shape.exposed += cut.exposed
            shape.inner[layer.index - first] += cut.sum_bytes * span(rows)
            if layer.engine is Engine.RCCN:
                shape.matrix += busy
            else:
                shape.vector += busy
            shape.weights += layer.weight_bytes
            shape.transfers += 2 * cut.instructions if layer.weight_bytes else 1
            for part in (*layer.reads, layer.y):
                needed = rows if part is layer.y else layer.read_rows(part, rows)
                channels = part.channels if part.plain else (0, span(part.channels))
                known = segments.get(part.buffer)
                if known is None:
                    segments[part.buffer] = (needed, channels, (layer.index, layer.index + 1))
                else:
                    both = (
                        hull((known[0], needed)) or needed,
                        hull((known[1], channels)) or channels,
                    )
                    segments[part.buffer] = (*both, (known[2][0], layer.index + 1))
                if part is layer.y:
                    written.setdefault(part.buffer, []).append(channels)
                    if self.network.leaves(layer, first, last):
                        size = span(channels) * self._pixel_size(part) * layer.height
                        traffic_out[part.buffer] = traffic_out.get(part.buffer, 0) + size
                elif not any(
                    a <= channels[0] and channels[1] <= b for a, b in written.get(part.buffer, [])
                ):
                    size = span(channels) * self._pixel_size(part)
                    reads.setdefault(part.buffer, []).append((needed, size))
        runs = self._runs(taken)
        for name, (rows, channels, touched) in segments.items():
            buffer = self.network.buffers[name]
            size = buffer.fspm_bytes(span(rows), span(channels), chip)
            waves = runs[touched[1] - 1 - first] - runs[touched[0] - first]
            halo = max(0, span(rows) - -(-buffer.tensor.shape[2] // bands))
            shape.halo |= halo > 0
            if halo and kept:
                moved = halo * buffer.row_bytes(span(channels), chip)
                each = chip.vector_setup_cycles + -(-moved // chip.vector_lanes)
                shape.vector += (bands - 1) * each
            if self._inside(buffer, first, last):
                replaced = self._replaces(name, touched[0])
                begin = touched[0] + 1 if replaced else touched[0]
                for position in range(begin - first, touched[1] - first):
                    shape.inner[position] += size
                more = (
                    waves + bool(halo and kept) if bands > 1 else 0
                )  # bands of it that are there at once
                for position in range(last - first):
                    shape.inner[position] += more * size
                continue
            loaded = [item for item in reads.get(name, ())]
            whole = hull(item for item, _ in loaded)
            rows_read = self._rows_read(span(whole), buffer, bands) if whole is not None else 0
            per_row = max((size for _, size in loaded), default=0)
            shape.crossing[name] = Crossing(
                buffer,
                size,
                (buffer.tensor.shape[2] if kept and whole is not None else rows_read) * per_row,
                traffic_out.get(name, 0),
                touched,
                bands * (bool(loaded) + (name in traffic_out)),
                self._replaces(name, touched[0]),
            )
        return shape

    def _runs(self, taken: Sequence[tuple[Layer, Range]]) -> list[int]:
        """For every layer of a region, how often another engine has taken over before it."""
        found = [0]
        for (before, _), (layer, _) in pairwise(taken):
            found.append(found[-1] + (before.engine is not layer.engine))
        return found

    def _rows_read(self, rows: int, buffer: Buffer, bands: int) -> int:
        """Rows loaded in all bands, of which one needs so many."""
        height = buffer.tensor.shape[2]
        return (
            min(height, bands * rows)
            if bands == 1
            else max(
                min(height, bands * rows), height + (bands - 1) * max(0, rows - -(-height // bands))
            )
        )

    def _pixel_size(self, part: Part) -> int:
        """Bytes of a row of one channel."""
        tensor = self.network.graph.tensors[part.tensor]
        return tensor.shape[3] * tensor.dtype.size_bytes

    def _inside(self, buffer: Buffer, first: int, last: int) -> bool:
        return first <= buffer.first and buffer.last < last

    def _replaces(self, name: str, layer: int) -> bool:
        """Whether a buffer takes the place of one that dies as it is born."""
        part = self._replacing[layer]
        return part is not None and self.network.layers[layer].y.buffer == name
