"""A plan at any level: layer by layer, or with tensors on chip and layers walked together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from knightlite.allocate import Buffer, Place, align, assign, buffers, check_budget
from knightlite.allocate import locations as locate
from knightlite.chip import Chip
from knightlite.errors import CapacityError, Finding, KnightliteError, findings_error
from knightlite.ir import Graph
from knightlite.schedule.choose import choose
from knightlite.schedule.homes import Scattered, pieces
from knightlite.schedule.layers import Layer
from knightlite.schedule.levels import LEVELS, Level
from knightlite.schedule.network import Network, network_of
from knightlite.schedule.plan import Tilings, lay_out_constants, layer_key, layerwise_plan
from knightlite.schedule.price import constant_bytes
from knightlite.schedule.records import LayerPlan, Order, Plan
from knightlite.schedule.regions import Decisions, Region
from knightlite.schedule.scheduled import Laid, Timed, lay, timed
from knightlite.schedule.search import Limits, decide
from knightlite.schedule.steps import ConstantKey
from knightlite.schedule.tasks import Places
from knightlite.schedule.tiling import Tiling

SHARES = (100, 92, 80, 65, 50)  # percent of FSPM that a search may plan with, until all fits


def make_plan(
    graph: Graph,
    places: Mapping[str, Place],
    chip: Chip,
    reuse_ddr: bool = True,
    tilings: Tilings | None = None,
    level: Level = LEVELS[0],
) -> Plan:
    """Everything but bytes and tokens; all capacity findings at once.

    ``reuse_ddr``: buffers share addresses where their lives allow it. ``tilings``: those chosen
    before for the same chip, to which new ones are added.
    """
    tilings = {} if tilings is None else tilings
    if level.in_turn:
        return layerwise_plan(graph, places, chip, reuse_ddr, tilings, level)
    return _Planner(graph, places, chip, reuse_ddr, tilings, level).plan()


_Tried = tuple[Decisions, Laid, Timed]


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
    ) -> None:
        self.network = network_of(graph, places, chip)
        self.places, self.reuse_ddr = places, reuse_ddr
        self.tilings, self.level = tilings, level
        self._blocks = buffers(graph, places, chip)
        apart, address = {}, 1 << 32  # far from constants, and from one another
        for block in self._blocks:
            apart[block.name] = address
            address += block.size_bytes
        self._apart = locate(graph, places, self._blocks, apart)
        self._refused: dict[int, Finding] = {}

    def plan(self) -> Plan:
        """The best of what is tried: nothing is slower than every layer for itself."""
        found = [item for item in (self._estimated(), self._each_alone()) if item is not None]
        if not found:
            raise self._error()
        for tried in sorted(found, key=lambda item: item[2].cycles):
            try:
                return self._finished(*tried)
            except Scattered:
                continue
        raise self._error()

    def _estimated(self) -> _Tried | None:
        """The schedule that the estimates choose, with less of FSPM where it does not fit so."""
        for share in SHARES:
            limits = Limits(self.network.chip.fspm_bytes * share // 100)
            decisions = decide(self.network, limits, self._alone)
            tried = None if decisions is None else self._try(decisions)
            if tried is not None:
                return tried
        return None

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
            except CapacityError as error:
                self._refused[layer.index] = Finding(layer.node.name, error.sentence, error.hint)
                return None
        return self.tilings[key]

    def _error(self) -> KnightliteError:
        """What does not fit, of all layers."""
        findings = [self._refused[index] for index in sorted(self._refused)]
        return findings_error(CapacityError, findings[0].sentence, findings, findings[0].hint)

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
        addresses = assign(blocks, base)
        total = max((addresses[block.name] + block.size_bytes for block in blocks), default=base)
        check_budget(blocks, total, base, chip)
        locations = locate(network.graph, self.places, blocks, addresses)
        final = timed(network, laid, locations, lambda layer, key: constants[layer][key])
        assert final is not None
        where = Places(network, laid.addresses, locations)
        code, found = tuple(final.code()), pieces(network, final, where)
        order = Order(code, found, decisions, laid, network)
        layers = _layer_plans(network, laid, final, constants)
        return Plan(
            network.graph,
            layers,
            bytes(data),
            blocks,
            addresses,
            locations,
            total,
            self.level,
            order,
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
    end = 0
    for task in final.merged.order:
        if final.merged.ends[task] > end:
            cycles[final.tasks[task].instruction.layer] += final.merged.ends[task] - end
            end = final.merged.ends[task]
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
