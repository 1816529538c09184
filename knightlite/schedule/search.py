"""Which layers are walked together, in how many bands, and what stays on chip.

By dynamic programming: states are borders between layers, each with the buffers that stay in FSPM
across it; a step from one border to a later one is a region. Its price is an estimate: engines and
DDR beside each other, what cannot overlap in one band behind each other, fixed costs per
instruction and transfer. The estimate chooses; what a schedule takes is what its instructions take
(``scheduled``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from typing import NamedTuple

from knightlite.isa import Engine
from knightlite.lower import Range, span
from knightlite.schedule.layers import Layer, Part
from knightlite.schedule.network import Buffer, Network
from knightlite.schedule.regions import Decisions, Region, hull, in_place, joins
from knightlite.schedule.tiling import Tiling

LONGEST = 12  # layers of a region
BANDS = (2, 3, 4, 6, 8, 11, 14, 19, 28, 38, 56, 112)
HIDING = 4  # layers of a region that only hides one engine's work behind the other's
FEW_BANDS = (3, 8)
ENOUGH = 5  # numbers of bands that are priced once they fit
STATES = 10  # kept at a border: the cheapest
CHOSEN = 3  # buffers that are born in a region and may stay, each alone; of more all or none


class _Best(NamedTuple):
    """How a state is reached: cost, the border and state before it, the bands of the region."""

    cost: int
    border: int
    state: frozenset[str]
    bands: int  # 0: a layer in tiles of its own
    kept: bool = False


@dataclass
class _Shape:
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
    crossing: dict[str, _Crossing] = field(default_factory=dict)

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
class _Crossing:
    """A buffer that others touch as well: its segment, its traffic and when it is touched."""

    buffer: Buffer
    segment: int  # bytes of a band's segment
    read: int  # bytes loaded in all bands where it lies in DDR
    written: int
    touched: Range  # layers of the region, from the first to behind the last
    transfers: int
    replaces: bool  # it takes the place of one that dies as it is born


Alone = Callable[[Layer], tuple[Tiling, int] | None]
"""A layer's tiling from DDR to DDR, and its cycles; None where it does not fit so."""


Known = tuple[Region, frozenset[str]]
"""A region, and which of the buffers that it touches are whole in FSPM."""


class Search:
    """Finds the cheapest regions and homes, by estimates and by what was measured."""

    def __init__(self, network: Network, alone: Alone) -> None:
        self.network, self.alone = network, alone
        self._room = network.chip.fspm_bytes
        self._found_shapes: dict[int, list[_Shape]] = {}
        self._prices: dict[tuple[int, frozenset[str], frozenset[str]], tuple[int, int]] = {}
        self._measured: dict[Known, int] = {}
        self.chip = network.chip
        self._bytes = {n: b.whole_bytes(self.chip) for n, b in network.buffers.items()}
        self.may_stay = frozenset(
            name
            for name, buffer in network.buffers.items()
            if not buffer.given
            and not buffer.delivered
            and self._bytes[name] <= self.chip.fspm_bytes
            and buffer.encodable(buffer.tensor.shape[1], self.chip)
            and self._replaceable(name)
        )
        self._in_place = [in_place(network, layer) for layer in network.layers]

    def _replaceable(self, name: str) -> bool:
        """Whether no layer writes bytes of a buffer that it reads: in DDR it has tiles of its own.

        Moves without an engine go from DDR to DDR.
        """
        for layer in self.network.layers:
            if layer.engine is None and name in {part.buffer for part in (*layer.reads, layer.y)}:
                return False
            if layer.y.buffer == name and any(layer.y.meets(part) for part in layer.reads):
                return False
        return True

    def known(self, region: Region, resident: frozenset[str]) -> Known:
        """What a measured time of a region is of."""
        touched = {
            part.buffer
            for layer in self.network.layers[region.first : region.last]
            for part in (*layer.reads, layer.y)
        }
        return region, resident & touched

    def learn(self, decisions: Decisions, cycles: Sequence[int]) -> None:
        """Take what the regions of a schedule took for their price from now on."""
        for region, measured in zip(decisions.regions, cycles, strict=True):
            self._measured[self.known(region, decisions.resident)] = measured

    def run(self, room: int) -> Decisions | None:
        """The cheapest in so many bytes of FSPM; None where none fits.

        Borders in order; at each the cheapest ways to every state.
        """
        if room != self._room:  # more is short of it then
            self._room = room
            self._found_shapes.clear()
            self._prices.clear()
            self.__dict__.pop("_pressed", None)
        count = len(self.network.layers)
        best: list[dict[frozenset[str], _Best]] = [{} for _ in range(count + 1)]
        best[0][frozenset()] = _Best(0, -1, frozenset(), 0)
        for last in range(1, count + 1):
            if last not in self._found_shapes:
                self._found_shapes[last] = list(self._shapes(last))
            for shape in self._found_shapes[last]:
                least = shape.needed
                for state, known in best[shape.first].items():
                    passing = sum(self._bytes[x] for x in state if x not in shape.crossing)
                    if passing + least > room:
                        continue
                    for after in self._states(shape, state):
                        cost = self._price(shape, state, after)
                        if cost is None:
                            continue
                        cost = known.cost + self._corrected(shape, state | after, cost)
                        old = best[last].get(after)
                        if old is None or cost < old.cost:
                            best[last][after] = _Best(
                                cost, shape.first, state, shape.bands, shape.kept
                            )
            self._leave_alone(last, best)
            cheapest = sorted(best[last].items(), key=lambda item: (item[1].cost, sorted(item[0])))
            best[last] = dict(cheapest[:STATES])
        return self._traced(best)

    def _leave_alone(self, last: int, best: Sequence[dict[frozenset[str], _Best]]) -> None:
        """The last layer before a border from DDR to DDR in tiles of its own."""
        layer = self.network.layers[last - 1]
        if not self._pressed[layer.index]:
            return
        own = {part.buffer for part in (*layer.reads, layer.y)}
        states = [(state, known) for state, known in best[last - 1].items() if not own & state]
        found = self.alone(layer) if states else None
        if found is None:
            return
        room = self.chip.fspm_bytes - layer.geometry.fspm_bytes(found[0])
        for state, known in states:
            if sum(self._bytes[name] for name in state) > room:
                continue
            after = frozenset(n for n in state if self.network.buffers[n].last >= last)
            region = Region(last - 1, last, 1, tiling=found[0])
            cost = known.cost + self._measured.get((region, frozenset()), found[1])
            old = best[last].get(after)
            if old is None or cost < old.cost:
                best[last][after] = _Best(cost, last - 1, state, 0)

    def _traced(self, best: Sequence[dict[frozenset[str], _Best]]) -> Decisions | None:
        border, state = len(best) - 1, frozenset[str]()
        if state not in best[border]:
            return None
        regions: list[Region] = []
        resident: set[str] = set()
        while border > 0:
            found = best[border][state]
            tiling = None
            if not found.bands:
                own = self.alone(self.network.layers[found.border])
                assert own is not None
                tiling = own[0]
            bands = max(1, found.bands)
            regions.append(Region(found.border, border, bands, found.kept, tiling))
            border, state = found.border, found.state
            resident |= state
        return Decisions(tuple(reversed(regions)), frozenset(resident))

    # -------------------------------------------------------------- shapes of regions

    @cached_property
    def _pressed(self) -> tuple[bool, ...]:
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
        return tuple(flag or live[index] > self._room for index, flag in enumerate(pressed))

    def _shapes(self, last: int) -> Iterator[_Shape]:
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
        short = any(self._pressed[max(0, last - LONGEST) : last])
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

    def _growing(self, last: int, bands: int, kept: bool, longest: int) -> Iterator[_Shape]:
        """Regions that end at a border, from one layer on, walked in so many bands."""
        wanted: list[tuple[Part, Range]] = []
        taken: list[tuple[Layer, Range]] = []
        useful = False
        self._grown: set[int] = set()
        for first in range(last - 1, max(-1, last - 1 - longest), -1):
            layer = self.network.layers[first]
            useful = useful or self._pressed[first] or layer.engine is not Engine.RCCN
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
                if shape is None or shape.needed > self._room:
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
    ) -> _Shape | None:
        """What a region costs; None where the constants of a layer do not fit."""
        chip = self.chip
        shape = _Shape(first, last, bands, kept, inner=[0] * (last - first))
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
            shape.crossing[name] = _Crossing(
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
        part = self._in_place[layer]
        return part is not None and self.network.layers[layer].y.buffer == name

    # -------------------------------------------------------------- states and prices

    def _states(self, shape: _Shape, before: frozenset[str]) -> Iterator[frozenset[str]]:
        """What may stay on chip behind a region: what stayed so far, and choices of what is new."""
        last = shape.last
        kept = frozenset(n for n in before if self.network.buffers[n].last >= last)
        born = [
            name
            for name, item in shape.crossing.items()
            if item.buffer.first >= shape.first
            and item.buffer.last >= last
            and name in self.may_stay
        ]
        if len(born) > CHOSEN:
            yield kept
            yield kept | frozenset(born)
            return
        for count in range(len(born) + 1):
            for some in combinations(born, count):
                yield kept | frozenset(some)

    def _corrected(self, shape: _Shape, stay: frozenset[str], estimate: int) -> int:
        """What a region took, where that is known; never less than its engines' own work.

        What it took may be hidden behind what others wait for.
        """
        if not self._measured:
            return estimate
        region = Region(shape.first, shape.last, shape.bands, shape.kept)
        found = self._measured.get((region, stay & shape.touches))
        return estimate if found is None else max(found, shape.matrix, shape.vector)

    def _price(self, shape: _Shape, before: frozenset[str], after: frozenset[str]) -> int | None:
        """Cycles of a region between two states by the estimate; None where it does not fit."""
        key = (id(shape), before, after)
        if key not in self._prices:
            self._prices[key] = self._priced(shape, before, after)
        needed, cost = self._prices[key]
        return cost if needed <= self._room else None

    def _priced(
        self, shape: _Shape, before: frozenset[str], after: frozenset[str]
    ) -> tuple[int, int]:
        """Bytes of FSPM that a region needs between two states, and its cycles by the estimate."""
        chip, bands = self.chip, shape.bands
        stay = before | after
        usage = list(shape.inner)
        count = len(usage)
        read = written = transfers = 0
        for name in stay:
            if name not in shape.crossing:
                size = self._bytes[name]
                for position in range(count):
                    usage[position] += size
        for name, item in shape.crossing.items():
            if name in stay:
                begin, end = 0, count
                if bands == 1:
                    if name not in before:
                        begin = item.touched[0] - shape.first
                        begin += item.replaces
                    if name not in after:
                        end = item.touched[1] - shape.first
                for position in range(begin, end):
                    usage[position] += self._bytes[name]
                continue
            double = bands > 1
            begin, end = item.touched[0] - shape.first, item.touched[1] - shape.first
            if item.written and not item.read and item.replaces:
                begin += 1
            for position in range(begin, end):
                usage[position] += item.segment
            if double:
                for position in range(count):
                    usage[position] += item.segment
            read += item.read
            written += item.written
            transfers += item.transfers
        again = bands if shape.weights > chip.wspm_bytes else 1
        ddr_in, ddr_out = chip.ddr_cycles(read), chip.ddr_cycles(written)
        setups = (transfers + shape.transfers * again) * chip.dma_setup_cycles
        ddr = ddr_in + ddr_out + chip.ddr_cycles(shape.weights * again) + setups
        busiest = max(shape.matrix, shape.vector, ddr)
        apart = shape.matrix + shape.vector - max(shape.matrix, shape.vector) + ddr_in + ddr_out
        return max(usage, default=0), busiest + apart // bands + shape.exposed * again
