"""A plan at any level: layer by layer, or with tensors on chip and layers walked together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from knightlite.allocate import Buffer, Place, align, assign_all, buffers, check_budget, trips
from knightlite.allocate import layers as executed_layers
from knightlite.allocate import locations as locate
from knightlite.chip import Chip
from knightlite.errors import CapacityError
from knightlite.ir import Graph
from knightlite.isa import Instruction, in_program
from knightlite.schedule.choose import choose
from knightlite.schedule.homes import Scattered, pieces
from knightlite.schedule.layers import Layer
from knightlite.schedule.levels import LEVELS, Level
from knightlite.schedule.local_search import Budget, Neighbours
from knightlite.schedule.merge import in_order
from knightlite.schedule.network import Network, network_of
from knightlite.schedule.plan import (
    Tilings,
    lay_out_constants,
    layer_key,
    layerwise_plan,
    plan_instructions,
)
from knightlite.schedule.price import constant_bytes
from knightlite.schedule.records import LayerPlan, Order, Plan
from knightlite.schedule.regions import Decisions, Region
from knightlite.schedule.scheduled import Laid, Timed, as_it_runs, lay, timed
from knightlite.schedule.search import Search
from knightlite.schedule.steps import ConstantKey
from knightlite.schedule.tasks import STREAMS, Places, Task
from knightlite.schedule.tiling import Tiling

NEAR = 105  # percent of what the busiest engine takes at least: not worth another look
FAR = 110  # percent of it: layers for themselves may be faster
SHARES = (100, 97, 94, 90, 80, 65, 50)  # percent of FSPM to plan with, until all fits


def make_plan(
    graph: Graph,
    places: Mapping[str, Place],
    chip: Chip,
    reuse_ddr: bool = True,
    tilings: Tilings | None = None,
    level: Level = LEVELS[0],
    budget: Budget | None = None,
    apart: Sequence[str] = (),
) -> Plan:
    """Everything but bytes and tokens; all capacity findings at once.

    ``reuse_ddr``: buffers share addresses where their lives allow it. ``tilings``: those chosen
    before for the same chip, to which new ones are added. ``budget``: of a level that searches.
    ``apart``: ``inputs`` and ``outputs`` lie outside the network's memory.
    """
    tilings = {} if tilings is None else tilings
    if level.in_turn or not executed_layers(graph):
        return layerwise_plan(graph, places, chip, reuse_ddr, tilings, level, apart)
    given = (Budget() if budget is None else budget) if level.searches else None
    return _Planner(graph, places, chip, reuse_ddr, tilings, level, given, apart).plan()


_Tried = tuple[Decisions, Laid, Timed]


def _cycles(tried: _Tried) -> int:
    return tried[2].cycles


class _Planner:
    """Tries schedules of one network."""

    def __init__(
        self,
        graph: Graph,
        places: Mapping[str, Place],
        chip: Chip,
        reuse_ddr: bool,
        tilings: Tilings,
        level: Level,
        budget: Budget | None,
        apart: Sequence[str],
    ) -> None:
        self.budget, self.apart = budget, apart
        self.tried = 0  # changes of a schedule
        self._alone_cycles: int | None = None  # of every layer for itself
        self.network = network_of(graph, places, chip)
        self.places, self.reuse_ddr = places, reuse_ddr
        self.tilings, self.level = tilings, level
        self._blocks = buffers(graph, places, chip)
        scattered, address = {}, 1 << 32  # far from constants, and from one another
        for block in self._blocks:
            scattered[block.name] = address
            address += block.size_bytes
        self._apart = locate(graph, places, self._blocks, scattered)
        self._refused: set[int] = set()
        self._search = Search(self.network, self._alone)

    def plan(self) -> Plan:
        """The best of what is tried: nothing is slower than layer by layer."""
        found = self._scheduled()
        cycles = None if found is None else sum(layer.estimated_cycles for layer in found.layers)
        if found is not None and cycles is not None and not self._worth_layerwise(cycles):
            return found
        graph, chip = self.network.graph, self.network.chip
        plain = layerwise_plan(
            graph, self.places, chip, self.reuse_ddr, self.tilings, self.level, self.apart
        )
        if found is not None and cycles is not None and cycles <= layerwise_cycles(plain):
            return found
        return plain

    def _worth_layerwise(self, cycles: int) -> bool:
        """Whether layer by layer may be faster: it is about as fast as every layer for itself."""
        if cycles * 100 <= FAR * self.network.least_cycles:
            return False
        return self._alone_cycles is None or cycles * FAR > 100 * self._alone_cycles

    def _scheduled(self) -> Plan | None:
        """The best schedule of regions; None where none is found that fits."""
        estimated = self._estimated()
        found = [] if estimated is None else [estimated]
        if estimated is None or estimated[2].cycles * 100 > FAR * self.network.least_cycles:
            alone = self._each_alone()
            if alone is not None:
                self._alone_cycles = alone[2].cycles
                found.append(alone)
        if self.budget is not None and found:
            found.append(self._searched(min(found, key=_cycles), self.budget))
        for tried in sorted(found, key=_cycles):
            with suppress(Scattered):
                return self._finished(*tried)
        return None

    def _searched(self, best: _Tried, budget: Budget) -> _Tried:
        """The best of a schedule and what small changes make of it, one after the other."""
        neighbours = Neighbours(self.network, self._search.may_stay, self._alone)
        if budget.best is not None and neighbours.sound(budget.best):
            known = self._try(budget.best)
            best = best if known is None else min(best, known, key=_cycles)
        begun = time.monotonic()
        self.tried = budget.tried
        while self.tried < budget.evaluations:
            if budget.seconds is not None and time.monotonic() - begun > budget.seconds:
                break
            changed = neighbours.drawn(best[0], self.tried)
            self.tried += 1
            found = None if changed is None else self._try(changed)
            if found is not None and found[2].cycles < best[2].cycles:
                best = found
        return best

    def _estimated(self) -> _Tried | None:
        """The schedule that the estimates choose, with less of FSPM where it does not fit so."""
        search = self._search
        for share in SHARES:
            room = self.network.chip.fspm_bytes * share // 100
            decisions = search.run(room)
            tried = None if decisions is None else self._try(decisions)
            if tried is not None:
                return self._corrected(search, room, tried)
        return None

    def _corrected(self, search: Search, room: int, first: _Tried) -> _Tried:
        """The best of some searches, each of which knows what the regions chosen so far took."""
        best = tried = first
        seen = {first[0]}
        for _ in range(self.level.corrections):
            if best[2].cycles * 100 <= NEAR * self.network.least_cycles:
                break
            search.learn(tried[0], region_cycles(*tried))
            decisions = search.run(room)
            if decisions is None or decisions in seen:
                break
            seen.add(decisions)
            found = self._try(decisions)
            if found is None:
                break
            tried = found
            if tried[2].cycles >= best[2].cycles:
                break
            best = tried
        return best

    def _each_alone(self) -> _Tried | None:
        """Every layer from DDR to DDR in tiles of its own."""
        regions = []
        for layer in self.network.layers:
            found = self._alone(layer)
            if found is None:
                return None
            regions.append(Region(layer.index, layer.index + 1, 1, tiling=found[0]))
        return self._try(Decisions(tuple(regions), frozenset()))

    def _alone(self, layer: Layer) -> tuple[Tiling, int] | None:
        """A layer's own tiling, from DDR to DDR, and its cycles."""
        if layer.index in self._refused:
            return None
        key = layer_key(self.network.graph, layer.node, self._apart)
        if key not in self.tilings:
            try:
                self.tilings[key] = choose(layer.geometry, self._apart, layer.node.name)
            except CapacityError:  # said where no other schedule is found
                self._refused.add(layer.index)
                return None
        return self.tilings[key]

    def _try(self, decisions: Decisions) -> _Tried | None:
        laid = lay(self.network, decisions)
        if laid is None:
            return None

        def constants(layer: int, key: ConstantKey) -> tuple[int, int]:
            return 0, constant_bytes(self.network.layers[layer].geometry, key)

        found = timed(self.network, laid, self._apart, constants)
        return None if found is None else (decisions, laid, found)

    # -------------------------------------------------------------- addresses at last

    def _finished(self, decisions: Decisions, laid: Laid, estimate: Timed) -> Plan:
        network, chip = self.network, self.network.chip
        data = bytearray()
        tilings = {step.layer: step.tiling for step in laid.steps}
        constants = {
            layer.index: lay_out_constants(data, layer.geometry, tilings[layer.index])
            for layer in network.layers
        }
        base = align(len(data), chip.ddr_align_bytes)
        blocks = self._in_ddr(decisions, laid)
        there = assign_all(network.graph, self.places, blocks, base, chip, self.apart)
        check_budget(there.blocks, there.total, base, chip)
        locations = locate(network.graph, self.places, there.blocks, there.addresses)
        final = timed(network, laid, locations, lambda layer, key: constants[layer][key])
        assert final is not None
        final = as_it_runs(final, network)
        where = Places(network, laid.addresses, locations)
        code = tuple(final.code())
        found = pieces(network, final, where, code)
        order = Order(code, found, decisions, laid, network, self.tried)
        layers = _layer_plans(network, laid, final, constants)
        return Plan(
            network.graph,
            layers,
            bytes(data),
            there.blocks,
            there.addresses,
            locations,
            there.total,
            self.level,
            order,
            there.regions,
        )

    def _in_ddr(self, decisions: Decisions, laid: Laid) -> tuple[Buffer, ...]:
        """The buffers that some step loads or stores, or the host; lives in whole regions."""
        network = self.network
        touched = {name for name, item in network.buffers.items() if item.given or item.delivered}
        for step in laid.steps:
            touched |= {load.part.buffer for load in step.loads}
            touched |= {store.part.buffer for store in step.stores}
            if step.alone:
                layer = network.layers[step.layer]
                touched |= {part.buffer for part in (*layer.reads, layer.y)}
        touched |= network.loaded_as_weights.keys()
        begin, end = {-1: -1}, {-1: -1}
        for region in decisions.regions:
            for index in range(region.first, region.last):
                begin[index], end[index] = region.first, region.last - 1
        count = len(network.layers)
        begin[count] = end[count] = count
        return tuple(
            replace(block, first=begin[block.first], last=end[block.last])
            if self.reuse_ddr
            else replace(block, first=-1, last=count)
            for block in self._blocks
            if block.name in touched
        )


def layerwise_cycles(plan: Plan) -> int:
    """Cycles of a plan whose layers follow each other, in the order in which they are written."""
    numbered = (
        in_program(item, layer, 0, 0)
        for layer, items in enumerate(plan_instructions(plan))
        for item in items
    )
    found = [Task(item, STREAMS[item.ENGINE], index) for index, item in enumerate(numbered)]
    borders = sorted({border for border, _ in trips(plan.graph)})
    return in_order(found, plan.layers[0].geometry.chip, borders).cycles if found else 0


def frame_cycles(plan: Plan, frame: Sequence[Instruction]) -> list[int]:
    """By how much each layer moves the end of a frame's work onward, by the machine's rules."""
    borders = {border for border, _ in trips(plan.graph)}
    if plan.order is None and plan.level.in_turn:
        borders.update(range(len(plan.layers)))  # each begins when the one before it is stored
    chip = plan.layers[0].geometry.chip
    found = [Task(item, STREAMS[item.ENGINE], index) for index, item in enumerate(frame)]
    cycles = [0] * len(plan.layers)
    for task, moved in in_order(found, chip, sorted(borders)).moved():
        cycles[frame[task].layer] += moved
    return cycles


def region_cycles(decisions: Decisions, laid: Laid, found: Timed) -> list[int]:
    """By how much each region moves the end of all finished work onward; they add up."""
    cycles = [0] * len(decisions.regions)
    for task, moved in found.merged.moved():
        cycles[laid.steps[found.tasks[task].step].region] += moved
    return cycles


def _layer_plans(
    network: Network,
    laid: Laid,
    final: Timed,
    constants: Mapping[int, Mapping[ConstantKey, tuple[int, int]]],
) -> tuple[LayerPlan, ...]:
    """What the report says of every layer."""
    cycles = [0] * len(network.layers)
    fspm = [0] * len(network.layers)
    rows = [0] * len(network.layers)
    tilings: dict[int, Tiling] = {}
    for task, moved in final.merged.moved():
        cycles[final.tasks[task].instruction.layer] += moved
    for step, live in zip(laid.steps, laid.live, strict=True):
        fspm[step.layer] = max(fspm[step.layer], live)
        rows[step.layer] = max(rows[step.layer], step.tile.rows[1] - step.tile.rows[0])
        tilings[step.layer] = step.tiling
    found: list[LayerPlan] = []
    for layer in network.layers:
        tiling = tilings[layer.index]
        tiling = replace(tiling, rows=min(tiling.rows, rows[layer.index]))
        size, _, _ = layer.geometry.weight_slots(tiling)
        found.append(
            LayerPlan(
                layer.node, layer.geometry, tiling, cycles[layer.index], constants[layer.index],
                fspm[layer.index], size,
            )
        )  # fmt: skip
    return tuple(found)
