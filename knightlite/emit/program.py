"""From plan to bytes: tokens, code, constants and the metadata that both files carry."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from knightlite.allocate import is_placed
from knightlite.chip import ChipFamily
from knightlite.container import Program, array_entry
from knightlite.emit.tokens import with_tokens
from knightlite.ir import Node, Tensor
from knightlite.ir.graph import flatten_chains
from knightlite.isa import Instruction, Store, assemble
from knightlite.ops import BY_NAME, View, host
from knightlite.schedule import Plan, plan_instructions

SCHEDULE_LEVEL = 0


def program_code(plan: Plan) -> list[Instruction]:
    """All instructions of a plan in order, with their layers' numbers and with tokens."""
    per_layer = plan_instructions(plan)
    flat = [
        replace(item, layer=index)
        for index, instructions in enumerate(per_layer)
        for item in instructions
    ]
    return with_tokens(flat)


def emit_program(
    plan: Plan, family: ChipFamily, chip_name: str, description: Mapping[str, Any]
) -> Program:
    """The program of a plan. ``description``: further metadata (model hash, recipe, version)."""
    code = program_code(plan)
    meta = {
        **description,
        "name": plan.graph.name,
        "chip": chip_name,
        "chip_family": family.family,
        "chip_digest": family.digest,
        "chip_values": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(family.chip).items()
        },
        "schedule_level": SCHEDULE_LEVEL,
        "layers": [_layer(plan, index) for index in range(len(plan.layers))],
        "fspm_peak": [layer.geometry.fspm_bytes(layer.tiling) for layer in plan.layers],
        "ddr_bytes": plan.ddr_bytes,
        "constants_bytes": len(plan.constants),
        **_interface(plan, code),
    }
    host_model = b""
    if host.needs_onnx_runtime(plan.graph):
        host_model = host.model(plan.graph).SerializeToString(deterministic=True)
    return Program(meta, assemble(code), plan.constants, host_model)


def _layer(plan: Plan, index: int) -> dict[str, Any]:
    layer = plan.layers[index]
    parts = flatten_chains([layer.node])
    macs = sum(BY_NAME[part.op].macs(View(plan.graph, part)) for part in parts)
    tiling = layer.tiling
    ins, outs = layer.geometry.tile_channels(tiling)
    return {
        "name": layer.node.name,
        "op": "+".join(part.op for part in parts),
        "macs": macs,
        "estimated_cycles": layer.estimated_cycles,
        "tile": {
            "rows": tiling.rows,
            "output_channels": outs,
            "input_channels": ins,
            "order": "channels" if tiling.outs_outer else "rows",
            "buffers": tiling.buffers,
        },
    }


def _interface(plan: Plan, code: list[Instruction]) -> dict[str, Any]:
    graph = plan.graph
    last_store: dict[int, int] = {}
    for index, item in enumerate(code):
        if isinstance(item, Store):
            last_store[item.layer] = index
    ready = dict.fromkeys(graph.inputs, -1)
    executed = {layer.node.output: index for index, layer in enumerate(plan.layers)}
    for node in graph.nodes:
        ready[node.output] = _ready(node, ready, executed, last_store)
    entries = {
        name: {**_entry(plan, graph.tensors[name]), "ready": ready[name]}
        for name in ready
        if name in plan.locations
    }
    return {
        "inputs": [entries[name] for name in graph.inputs],
        "outputs": [entries[name] for name in graph.chip_outputs],
        "tensors": list(entries.values()),
        "graph_outputs": list(graph.outputs),
        "host": [
            {
                "name": op.name,
                "op": op.op,
                "inputs": list(op.inputs),
                "outputs": list(op.outputs),
                "constants": {
                    name: array_entry(values) for name, values in sorted(op.constants.items())
                },
                "attributes": {
                    key: list(value) if isinstance(value, tuple) else value
                    for key, value in op.attributes.items()
                },
            }
            for op in graph.host
        ],
    }


def _ready(
    node: Node, ready: Mapping[str, int], executed: Mapping[str, int], last_store: Mapping[int, int]
) -> int:
    """The instruction after which the node's output is complete in DDR."""
    if is_placed(node):
        return max(ready[name] for name in node.inputs)
    return last_store[executed[node.output]]


def _entry(plan: Plan, tensor: Tensor) -> dict[str, Any]:
    location = plan.locations[tensor.name]
    assert tensor.scale is not None
    scale = tensor.scale.tolist()
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "type": tensor.dtype.name,
        "scale": scale,
        "address": location.address,
        "row_stride": location.row_stride,
        "column_stride": location.column_stride,
    }
