"""The time of a layer alone on the machine, tile by tile, without writing its instructions out.

The same rules as the simulator's event clock (``sim.clock``, which may not be imported here): one
instruction at a time per queue, in program order; transfers share the DDR in program order, their
setup overlaps. Who waits for whom follows from the slots: a load waits until what lies in its slot
is no longer read, a compute until its tiles are there and its output slot is stored, a store until
its tile is computed. Where nothing contends, this is the simulated time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from knightlite.lower import Tile, span
from knightlite.schedule.steps import LayerBuilder, Request, Visit
from knightlite.schedule.tiling import Geometry

Slot = tuple[str, int]  # kind of tile, address


class TileCosts:
    """Cycles of what a visit does. Tiles of one shape cost the same: one of each is lowered.

    Whatever the tiling: the strides of a tile follow from its shape.
    """

    def __init__(self, geometry: Geometry, builder: LayerBuilder) -> None:
        self.geometry, self._builder = geometry, builder
        self._known: dict[Hashable, int] = {}

    def load(self, request: Request) -> int:
        """Of the transfer that fulfils a request."""
        return self._once(
            request.shape(), lambda: self._builder.load(request).cycles(self.geometry.chip)
        )

    def compute(self, tile: Tile) -> int:
        """Of all compute instructions of a tile; 0 where it is only moved."""
        work, chip = self.geometry.work, self.geometry.chip
        return self._once(
            ("compute", self._shape(tile), tile.first, tile.last),
            lambda: sum(item.cycles(chip) for item in work.compute(tile)),
        )

    def store(self, tile: Tile) -> int:
        """Of the transfer that writes a tile."""
        return self._once(
            ("store", self._shape(tile)),
            lambda: self._builder.store(tile).cycles(self.geometry.chip),
        )

    def _once(self, key: Hashable, cycles: Callable[[], int]) -> int:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = cycles()
        return found

    def _shape(self, tile: Tile) -> tuple[object, ...]:
        # The first and last rows may differ: padding, and divisors of their own in pooling.
        edges = (tile.rows[0] == 0, tile.rows[1] == self.geometry.y.shape[2])
        phase = tile.rows[0] % self.geometry.work.interleave[0]
        return (span(tile.rows), span(tile.x_rows), span(tile.outs), span(tile.ins), edges, phase)


class LayerClock:
    """The queues, slots and the DDR while a layer's visits go by; ``end``: of all so far."""

    def __init__(self, costs: TileCosts, setup_cycles: int, moves_only: bool) -> None:
        """``setup_cycles``: of a transfer; ``moves_only``: nothing is computed."""
        self._costs, self._setup, self._moves_only = costs, setup_cycles, moves_only
        self._rdma = self._engine = self._wdma = self._ddr = 0  # when each is free
        self._unread: dict[Slot, int] = {}  # when what lies there is no longer read
        self._loaded: dict[Slot, int] = {}
        self._stored: dict[int, int] = {}  # by address of the output slot
        self._before: Visit | None = None
        self.end = 0

    def take(self, visit: Visit) -> None:
        """The next step's loads, around what the step before it does: ``in_program_order``."""
        self._loads(visit, early=True)
        if self._before is not None and self._moves_only:
            self._finish(self._before)
            self._loads(visit, early=False)
        elif self._before is not None:
            ready = self._compute(self._before)
            self._loads(visit, early=False)
            self._store(self._before, ready)
        else:
            self._loads(visit, early=False)
        self._before = visit

    def close(self) -> int:
        """After the last step; the layer's cycles."""
        if self._before is not None:
            self._finish(self._before)
        return self.end

    def _finish(self, visit: Visit) -> None:
        self._store(visit, self._compute(visit))

    def _loads(self, visit: Visit, early: bool) -> None:
        for request in visit.requests:
            if request.early == early:
                slot = (request.kind, request.address)
                start = max(self._rdma, self._unread.get(slot, 0))
                self._rdma = self._loaded[slot] = self._transfer(start, self._costs.load(request))

    def _compute(self, visit: Visit) -> int:
        """When the tile is there to be stored."""
        tile, last = visit.tile, visit.step.last
        named = [
            ("x", tile.x.address),
            ("weights", tile.weight_address),
            ("prologue", tile.prologue_address),
        ]
        if last:  # before it partial sums are left: nothing is requantized, added or written
            named.append(("parameters", tile.parameter_address))
            if tile.z is not None:
                named.append(("z", tile.z.address))
        slots = [slot for slot in named if slot in self._loaded]
        ready = max((self._loaded[slot] for slot in slots), default=0)
        if self._moves_only:
            return ready
        written = self._stored.get(tile.y.address, 0) if last else 0
        start = max(self._engine, ready, written)
        self._engine = start + self._costs.compute(tile)
        self.end = max(self.end, self._engine)
        for slot in slots:
            self._unread[slot] = self._engine
        return self._engine

    def _store(self, visit: Visit, ready: int) -> None:
        if visit.step.last:
            tile = visit.tile
            self._wdma = self._transfer(max(self._wdma, ready), self._costs.store(tile))
            self._stored[tile.y.address] = self._wdma
            if self._moves_only:
                self._unread["x", tile.x.address] = self._wdma

    def _transfer(self, start: int, cycles: int) -> int:
        """The end of a transfer that may start then: bytes wait for the DDR, its setup does not."""
        stall = max(0, self._ddr - (start + self._setup))
        self._ddr = start + stall + cycles
        self.end = max(self.end, self._ddr)
        return self._ddr
