"""The plan of a network at level 0: layer by layer, every layer through DDR."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace

from knightlite.allocate import Location, Place, align, assign_all, buffers, check_budget
from knightlite.allocate import layers as executed_layers
from knightlite.allocate import locations as locate
from knightlite.chip import Chip
from knightlite.errors import CapacityError, Finding, findings_error
from knightlite.ir import Graph, Node
from knightlite.ir.graph import flatten_chains
from knightlite.isa import Instruction
from knightlite.lower import work_of
from knightlite.ops import BY_NAME
from knightlite.schedule.choose import choose
from knightlite.schedule.levels import Level
from knightlite.schedule.records import LayerPlan, Plan
from knightlite.schedule.steps import (
    ConstantKey,
    LayerBuilder,
    LayerWalk,
    Scratchpads,
    constant_keys,
    in_program_order,
)
from knightlite.schedule.tiling import Geometry, Tiling, geometry

Tilings = MutableMapping[str, tuple[Tiling, int]]
"""Tilings that were chosen for a chip, with their estimated cycles, by :func:`layer_key`."""


def layer_key(graph: Graph, node: Node, locations: Mapping[str, Location]) -> str:
    """What the choice of a layer's tiling depends on, given the chip; layers alike share it.

    Operators, attributes, shapes, types and places; of constants also the values where they say
    what is done rather than with which numbers. Cycles do not depend on data or scales.
    """
    parts = flatten_chains([node])
    made = {part.output: f"#{index}" for index, part in enumerate(parts)}
    inner = {part.output for part in parts[:-1]}

    def told(name: str, shapes: bool) -> str:
        tensor = graph.tensors[name]
        text = f"{tensor.shape}{tensor.dtype.name}{made.get(name, '')}"
        if name in graph.constants:
            return text + (str(graph.constants[name].tolist()) if shapes else "")
        return text if name in inner else f"{text}{locations.get(name)}"

    lines = []
    for part in parts:
        shapes = BY_NAME[part.op].shapes_constants if part.op in BY_NAME else True
        names = (*part.inputs, *part.outputs)
        same = [names.index(name) for name in names]  # a tensor read twice is loaded once or twice
        attributes = sorted(part.attributes.items())
        lines.append(f"{part.op}{attributes}{same}{[told(name, shapes) for name in names]}")
    return "\n".join(lines)


def layerwise_plan(
    graph: Graph,
    places: Mapping[str, Place],
    chip: Chip,
    reuse_ddr: bool,
    tilings: Tilings,
    level: Level,
    apart: Sequence[str] = (),
) -> Plan:
    """Choose tilings, lay out constants, features behind them; all capacity findings at once.

    ``reuse_ddr``: buffers share addresses where their lives allow it. ``tilings``: those chosen
    before for the same chip, to which new ones are added. ``apart``: ``inputs`` and ``outputs`` lie
    outside the network's memory.
    """
    blocks = buffers(graph, places, chip)
    if not reuse_ddr:
        end = max((block.last for block in blocks), default=0)
        blocks = tuple(replace(block, first=-1, last=end) for block in blocks)
    strides_only = locate(graph, places, blocks, {block.name: 0 for block in blocks})
    data = bytearray()
    layers: list[LayerPlan] = []
    findings: list[Finding] = []
    for node in executed_layers(graph):
        shape = geometry(graph, work_of(graph, node), chip)
        key = layer_key(graph, node, strides_only)
        try:
            if key not in tilings:
                tilings[key] = choose(shape, strides_only, node.name)
        except CapacityError as error:
            findings.append(Finding(node.name, error.sentence, error.hint))
            continue
        tiling, cycles = tilings[key]
        constants = lay_out_constants(data, shape, tiling)
        size, _, slots = shape.weight_slots(tiling)
        fspm = shape.fspm_bytes(tiling)
        layers.append(LayerPlan(node, shape, tiling, cycles, constants, fspm, size * slots))
    if findings:
        raise findings_error(CapacityError, findings[0].sentence, findings, findings[0].hint)
    base = align(len(data), chip.ddr_align_bytes)
    found = assign_all(graph, places, blocks, base, chip, apart)
    check_budget(found.blocks, found.total, base, chip)
    return Plan(
        graph,
        tuple(layers),
        bytes(data),
        found.blocks,
        found.addresses,
        locate(graph, places, found.blocks, found.addresses),
        found.total,
        level,
        regions=found.regions,
    )


def lay_out_constants(
    data: bytearray, shape: Geometry, tiling: Tiling
) -> dict[ConstantKey, tuple[int, int]]:
    """Append a layer's constant tiles; where each begins, and its bytes."""
    found: dict[ConstantKey, tuple[int, int]] = {}
    for part, blob in constant_keys(shape, tiling).items():
        data.extend(bytes(align(len(data), shape.chip.ddr_align_bytes) - len(data)))
        found[part] = (len(data), len(blob))
        data.extend(blob)
    return found


def plan_instructions(plan: Plan) -> list[list[Instruction]]:
    """The instructions of every layer, in program order, without tokens."""
    pads = Scratchpads()
    found = []
    for layer in plan.layers:
        builder = LayerBuilder(layer.geometry, plan.locations, layer.constants.__getitem__)
        walk = LayerWalk(layer.geometry, layer.tiling, pads)
        found.append(in_program_order([builder.code(visit) for visit in walk.visits()]))
    return found
