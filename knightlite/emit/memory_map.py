"""The memory map as text: what lies where in DDR, and what each layer takes on the chip."""

from __future__ import annotations

from knightlite.chip import Chip
from knightlite.schedule import Plan


def memory_map(plan: Plan, chip: Chip) -> str:
    """A fixed-width listing of DDR buffers and per-layer scratchpad use."""
    lines = [
        f"DDR: {plan.ddr_bytes} bytes of {chip.ddr_bytes}",
        f"  {0:#010x} {len(plan.constants):>10} constants (weights, parameters, tables)",
    ]
    for block in sorted(plan.buffers, key=lambda item: (plan.addresses[item.name], item.first)):
        address = plan.addresses[block.name]
        lines.append(
            f"  {address:#010x} {block.size_bytes:>10} "
            f"layers {block.first}..{block.last} {block.name}"
        )
    lines.append("")
    lines.append(
        f"Scratchpads: FSPM {chip.fspm_bytes}, WSPM {chip.wspm_bytes}, MSPM {chip.mspm_bytes} bytes"
    )
    lines.append(f"  {'layer':>5} {'FSPM':>8} {'WSPM':>8} {'rows':>5} {'outs':>5} {'ins':>5}  name")
    for index, layer in enumerate(plan.layers):
        tiling = layer.tiling
        ins, outs = layer.geometry.tile_channels(tiling)
        lines.append(
            f"  {index:>5} {layer.fspm_bytes:>8} {layer.wspm_bytes:>8} "
            f"{tiling.rows:>5} {outs:>5} {ins:>5}  {layer.node.name}"
        )
    return "\n".join(lines) + "\n"
