"""What a tiling costs: cycles of the layer alone on the machine.

Most layers repeat themselves: round after round of their outer loop the same tiles are loaded,
computed and stored, with the queues as far apart as the round before. So the walk stops where it
stands as it stood before, and counts the rounds that are left.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from knightlite.allocate import Location
from knightlite.lower import Range, span
from knightlite.schedule.layer_clock import LayerClock, TileCosts
from knightlite.schedule.steps import (
    ConstantKey,
    LayerBuilder,
    LayerWalk,
    Origins,
    Scratchpads,
)
from knightlite.schedule.tiling import Geometry, Tiling


def tile_costs(geometry: Geometry, locations: Mapping[str, Location]) -> TileCosts:
    """What tiles of a layer cost, whatever the tiling they are of."""
    return TileCosts(
        geometry,
        LayerBuilder(geometry, locations, lambda key: (0, constant_bytes(geometry, key))),
    )


def constant_bytes(geometry: Geometry, key: ConstantKey) -> int:
    """Bytes of a constant tile."""
    kind, outs, ins = key
    work = geometry.work
    if kind == "weights":
        assert work.weight_bytes is not None
        return work.weight_bytes(outs, ins, geometry.chip.wspm_align_bytes)
    function = work.parameters if kind == "parameters" else work.prologue
    assert function is not None
    return len(function(outs if kind == "parameters" else ins))


def price(costs: TileCosts, tiling: Tiling, limit: int | None = None) -> int | None:
    """Cycles of a layer alone on the machine, from its instructions' own cycles.

    None as soon as ``limit`` is reached: not better than what is known.
    """
    clock, walk = LayerClock(costs), LayerWalk(costs.geometry, tiling, Scratchpads())
    rounds = _rounds(costs, tiling)
    seen: dict[Hashable, tuple[int, int]] = {}  # state -> round that began so, and when
    at = 0
    while at < len(rounds):
        if at:
            state = (rounds[at - 1].kind, clock.state(), walk.state(rounds[at].origins))
            earlier = seen.setdefault(state, (at, clock.now))
            turns = _turns(rounds, earlier[0], at)
            if turns:
                clock.move(turns * (clock.now - earlier[1]))
                last = at
                at += turns * (at - earlier[0])
                if at == len(rounds):
                    break
                walk.move(rounds[last].origins, rounds[at].origins)
        for visit in walk.round(rounds[at].part):
            clock.take(visit)
            if limit is not None and clock.end >= limit:
                return None
        at += 1
    cycles = clock.close()
    return None if limit is not None and cycles >= limit else cycles


class _Round(NamedTuple):
    """A part of the outer loop. Of rounds of one kind each does what the one before it does."""

    part: Range
    kind: Hashable
    origins: Origins


def _rounds(costs: TileCosts, tiling: Tiling) -> list[_Round]:
    geometry = costs.geometry
    found: list[_Round] = []
    before = (0, 0)
    for part in geometry.rounds(tiling):
        shape: Hashable
        if tiling.outs_outer:
            read, shape = geometry.input_channels(part), costs.out_shape(tiling, part)
        else:
            read, shape = geometry.input_rows(part), costs.row_shape(part)
        starts = (part[0], read[0])
        steps = (starts[0] - before[0], starts[1] - before[1])
        kind = (shape, span(read), steps)
        found.append(_Round(part, kind, _origins(geometry, tiling, *starts)))
        before = starts
    return found


def _origins(geometry: Geometry, tiling: Tiling, written: int, read: int) -> Origins:
    """What a round's tiles count from: their outputs from ``written``, inputs from ``read``."""
    z = geometry.z
    if not tiling.outs_outer:
        z_rows = 0 if z is None or z.shape[2] == 1 else written
        none = dict.fromkeys(("weights", "parameters", "prologue", "sums"), (0, 0))
        return none | {"x": (read, 0), "y": (written, 0), "z": (z_rows, 0)}
    z_channels = 0 if z is None or z.shape[1] == 1 else written
    return {
        "x": (0, read),
        "y": (0, written),
        "z": (0, z_channels),
        "weights": (written, read),
        "parameters": (written, 0),
        "prologue": (0, 0 if geometry.work.one_prologue else read),
        "sums": (0, 0),
    }


def _turns(rounds: list[_Round], earlier: int, at: int) -> int:
    """How often what was done from ``earlier`` to ``at`` is done again from there on."""
    period, same = at - earlier, 0
    if not period:
        return 0
    while at + same < len(rounds) and rounds[earlier + same].kind == rounds[at + same].kind:
        same += 1
    return same // period
