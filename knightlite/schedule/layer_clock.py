"""The time of a layer alone on the machine, tile by tile, without writing its instructions out.

The same rules as the simulator's event clock (``sim.clock``, which may not be imported here): one
instruction at a time per queue, in program order; transfers share the DDR in program order, their
setup overlaps. Who waits for whom follows from the slots: a load waits until what lies in its slot
is no longer read, a compute until its tiles are there and its output slot is stored, a store until
its tile is computed. Where nothing contends, this is the simulated time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from knightlite.lower import Range, span
from knightlite.schedule.steps import LayerBuilder, Request, Visit
from knightlite.schedule.tiling import Geometry, Step, Tiling

Slot = tuple[str, int]  # kind of tile, address
# of what a step reads before its sums are complete: nothing is requantized, added or written
TILES = dict.fromkeys(("weights", "parameters", "prologue", "x", "z"), 0)


class TileCosts:
    """Cycles of what a visit does. Tiles of one shape cost the same: one of each is lowered.

    Whatever the tiling: the strides of a tile follow from its shape.
    """

    def __init__(self, geometry: Geometry, builder: LayerBuilder) -> None:
        self.geometry, self._builder = geometry, builder
        self._known: dict[Hashable, int] = {}
        self._interleave = geometry.work.interleave[0]
        self._height = geometry.y.shape[2]
        self._sparse = geometry.work.stored_blocks is not None

    def load(self, request: Request) -> int:
        """Of the transfer that fulfils a request."""
        shape: Hashable = request.shape()
        if self._sparse and request.kind == "weights" and request.key is not None:
            shape = (shape, self.geometry.stored_blocks(*request.key[1:]))
        return self._once(shape, lambda: self._builder.load(request).cycles(self.geometry.chip))

    def compute(self, step: Step) -> int:
        """Of all compute instructions of a tile; 0 where it is only moved."""
        work, chip = self.geometry.work, self.geometry.chip
        return self._once(
            ("compute", self.shape(step), step.first, step.last),
            lambda: sum(item.cycles(chip) for item in work.compute(self._visit(step).tile)),
        )

    def store(self, step: Step) -> int:
        """Of the transfer that writes a tile."""
        return self._once(
            ("store", self.shape(step)),
            lambda: self._builder.store(self._visit(step).tile).cycles(self.geometry.chip),
        )

    def row_shape(self, rows: Range) -> tuple[object, ...]:
        """What the cost of a tile depends on of its rows."""
        first, last = rows
        begin, end = self.geometry.input_rows(rows)
        # The first and last rows may differ: padding, and divisors of their own in pooling.
        edges = (first == 0, last == self._height)
        return (last - first, end - begin, edges, first % self._interleave)

    def shape(self, step: Step) -> tuple[object, ...]:
        """What the cost of a tile depends on."""
        shape = (self.row_shape(step.rows), span(step.outs), span(step.ins))
        if not self._sparse:
            return shape
        return (*shape, self.geometry.stored_blocks(step.outs, step.ins))

    def out_shape(self, tiling: Tiling, outs: Range) -> Hashable:
        """What the cost of tiles depends on of their output channels."""
        shape = (span(outs), span(self.geometry.input_channels(outs)))
        if not self._sparse:
            return shape
        in_parts = self.geometry.in_parts(tiling, outs)
        return (shape, *(self.geometry.stored_blocks(outs, ins) for ins in in_parts))

    def _once(self, key: Hashable, cycles: Callable[[], int]) -> int:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = cycles()
        return found

    def _visit(self, step: Step) -> Visit:
        """A tile anywhere: no cost depends on addresses."""
        return Visit(self.geometry, step, TILES, 0, 0, ())


class LayerClock:
    """The queues, slots and the DDR while a layer's visits go by; ``end``: of all so far."""

    def __init__(self, costs: TileCosts) -> None:
        self._costs, self._setup = costs, costs.geometry.chip.dma_setup_cycles
        self._moves_only = costs.geometry.work.moves_only
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

    @property
    def now(self) -> int:
        """When the queue that the others wait for is free."""
        return self._wdma if self._moves_only else self._engine

    def state(self) -> Hashable:
        """What the time of further visits depends on, counted from ``now``.

        A time that is over is any time that is over: nobody waits for it.
        """
        now, rdma = self.now, self._rdma
        wdma = max(self._wdma, now)
        ddr = max(self._ddr, min(rdma, wdma) + self._setup)
        return (
            rdma - now,
            wdma - now,
            ddr - now,
            self.end - now,
            tuple((slot, max(time, rdma) - now) for slot, time in sorted(self._unread.items())),
            tuple((slot, max(time, now) - now) for slot, time in sorted(self._loaded.items())),
            tuple((slot, max(time, now) - now) for slot, time in sorted(self._stored.items())),
        )

    def move(self, cycles: int) -> None:
        """Stand where, so much later, everything is as it is now."""
        self._rdma += cycles
        self._engine += cycles
        self._wdma += cycles
        self._ddr += cycles
        self.end += cycles
        self._unread = {slot: time + cycles for slot, time in self._unread.items()}
        self._loaded = {slot: time + cycles for slot, time in self._loaded.items()}
        self._stored = {slot: time + cycles for slot, time in self._stored.items()}

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
        loaded, last = self._loaded, visit.step.last
        ready = max(loaded[slot] for slot in visit.read.items())
        if self._moves_only:
            return ready
        written = self._stored.get(visit.written, 0) if last else 0
        self._engine = max(self._engine, ready, written) + self._costs.compute(visit.step)
        self.end = max(self.end, self._engine)
        for slot in visit.read.items():
            self._unread[slot] = self._engine
        return self._engine

    def _store(self, visit: Visit, ready: int) -> None:
        if visit.step.last:
            self._wdma = self._transfer(max(self._wdma, ready), self._costs.store(visit.step))
            self._stored[visit.written] = self._wdma
            if self._moves_only:
                self._unread["x", visit.read["x"]] = self._wdma

    def _transfer(self, start: int, cycles: int) -> int:
        """The end of a transfer that may start then: bytes wait for the DDR, its setup does not."""
        stall = max(0, self._ddr - (start + self._setup))
        self._ddr = start + stall + cycles
        self.end = max(self.end, self._ddr)
        return self._ddr
