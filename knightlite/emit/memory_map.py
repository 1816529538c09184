"""The memory map as text: what lies where in DDR, and what each layer takes on the chip."""

from __future__ import annotations

from collections.abc import Iterator

from knightlite.chip import Chip
from knightlite.schedule import Order, Plan, block_name


def memory_map(plan: Plan, chip: Chip) -> str:
    """A fixed-width listing of DDR buffers and per-layer scratchpad use."""
    lines = [
        f"DDR: {plan.ddr_bytes} bytes of {chip.ddr_bytes}",
        f"  {0:#010x} {len(plan.constants):>10} constants (weights, parameters, tables)",
    ]
    lines += [
        f"  {item.address:#010x} {item.size_bytes:>10} {item.of}, outside the network's memory"
        for item in plan.regions
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
    lines += [] if plan.order is None else _blocks(plan.order)
    return "\n".join(lines) + "\n"


def _blocks(order: Order) -> Iterator[str]:
    """What lies in FSPM by step, in the order of addresses, also in place of what was there."""
    laid = order.laid
    yield ""
    live = max(laid.live)
    yield f"FSPM by step: {len(laid.steps)} steps, {laid.peak} bytes, {live} alive at most"
    yield f"  {'address':>8} {'bytes':>8}  {'steps':<13} {'rows':<11} what"
    roots = [(block.inside or block, block) for block in laid.blocks]
    lines = []
    for root, block in roots:
        address = laid.addresses[id(root)] + block.offset
        steps, rows = f"{block.first}..{block.last}", f"{block.rows[0]}..{block.rows[1] - 1}"
        kind = block.key.kind if block.key.band < 0 else f"band {block.key.band}"
        over = "" if block.inside is None else f", in place of {block_name(order, root)}"
        text = f"  {address:>#8x} {block.size:>8}  {steps:<13} {rows:<11} "
        lines.append((address, block.first, f"{text}{block_name(order, block)}, {kind}{over}"))
    yield from (line for _, _, line in sorted(lines))
