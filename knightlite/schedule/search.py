"""Which layers are walked together, in how many bands, and what stays on chip.

By dynamic programming: states are borders between layers, each with the buffers that stay in FSPM
across it; a step from one border to a later one is a region. Its price is an estimate: engines and
DDR beside each other, what cannot overlap in one band behind each other, fixed costs per
instruction and transfer. The estimate chooses; what a schedule takes is what its instructions take
(``scheduled``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from knightlite.schedule.layers import Layer
from knightlite.schedule.network import Network
from knightlite.schedule.regions import Decisions, Region
from knightlite.schedule.shapes import ALIKE, Shape, Shapes
from knightlite.schedule.tiling import Tiling

STATES = 10  # kept at a border: the cheapest
CHOSEN = 3  # buffers that are born in a region and may stay, each alone; of more all or none


class _Best(NamedTuple):
    """How a state is reached: cost, the border and state before it, the bands of the region."""

    cost: int
    border: int
    state: frozenset[str]
    bands: int  # 0: a layer in tiles of its own
    kept: bool = False


Alone = Callable[[Layer], tuple[Tiling, int] | None]
"""A layer's tiling from DDR to DDR, and its cycles; None where it does not fit so."""


Known = tuple[Region, frozenset[str]]
"""A region, and which of the buffers that it touches are whole in FSPM."""


class Search:
    """Finds the cheapest regions and homes, by estimates and by what was measured."""

    def __init__(self, network: Network, alone: Alone) -> None:
        self.network, self.alone = network, alone
        self._prices: dict[tuple[int, frozenset[str], frozenset[str]], tuple[int, int]] = {}
        self._measured: dict[Known, int] = {}
        self.chip = network.chip
        self._bytes = {n: b.whole_bytes(self.chip) for n, b in network.buffers.items()}
        self.may_stay = frozenset(
            name
            for name, buffer in network.buffers.items()
            if not buffer.given
            and not buffer.delivered
            and name not in network.loaded_as_weights
            and self._bytes[name] <= self.chip.fspm_bytes
            and buffer.encodable(buffer.tensor.shape[1], self.chip)
            and self._replaceable(name)
        )
        self._room = self.chip.fspm_bytes
        self._shapes = Shapes(network, self.may_stay, self.chip.fspm_bytes)

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
        self._room = room
        if room * 100 < ALIKE * self._shapes.room:  # more is short of it then
            self._shapes = Shapes(self.network, self.may_stay, room)
            self._prices.clear()
        count = len(self.network.layers)
        best: list[dict[frozenset[str], _Best]] = [{} for _ in range(count + 1)]
        best[0][frozenset()] = _Best(0, -1, frozenset(), 0)
        for last in range(1, count + 1):
            for shape in self._shapes.ending_at(last):
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
        if not self._shapes.pressed[layer.index]:
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

    # -------------------------------------------------------------- states and prices

    def _states(self, shape: Shape, before: frozenset[str]) -> Iterator[frozenset[str]]:
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

    def _corrected(self, shape: Shape, stay: frozenset[str], estimate: int) -> int:
        """What a region took, where that is known; never less than its engines' own work.

        What it took may be hidden behind what others wait for.
        """
        if not self._measured:
            return estimate
        region = Region(shape.first, shape.last, shape.bands, shape.kept)
        found = self._measured.get((region, stay & shape.touches))
        return estimate if found is None else max(found, shape.matrix, shape.vector)

    def _price(self, shape: Shape, before: frozenset[str], after: frozenset[str]) -> int | None:
        """Cycles of a region between two states by the estimate; None where it does not fit."""
        key = (id(shape), before, after)
        if key not in self._prices:
            self._prices[key] = self._priced(shape, before, after)
        needed, cost = self._prices[key]
        return cost if needed <= self._room else None

    def _priced(
        self, shape: Shape, before: frozenset[str], after: frozenset[str]
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
