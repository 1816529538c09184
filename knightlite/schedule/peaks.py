"""What lies in each memory where it is fullest: names, bytes, and the bound that lives set.

The scratchpads of constants are looked at in the program itself: a tile lies from its load until
its last reader in program order. FSPM above level 0 by the schedule's blocks, at level 0 by the
slots of the layer that takes most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knightlite.allocate.packing import Life, live_bytes
from knightlite.chip import Chip
from knightlite.isa import Instruction, Load, Space
from knightlite.schedule.blocks import Block
from knightlite.schedule.records import Order, Plan
from knightlite.schedule.scheduled import Laid

TIGHT = 1.02  # peak by bound: what is more is to have a reason
SLOTS = {"x": "input tiles", "y": "output tiles", "z": "second operand", "sums": "partial sums"}


@dataclass(frozen=True, slots=True)
class Holder:
    """Something that lies in a memory: ``kind`` says as what."""

    name: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Peak:
    """A memory at its fullest.

    ``taken``: bytes up to the highest that is used; ``live``: most that is alive at once, which no
    placement takes less than; ``where``: the layer at work then; ``reason``: why ``taken`` is more
    than 2 % above ``live``, else "".
    """

    memory: str
    capacity: int
    taken: int
    live: int
    where: str
    holders: tuple[Holder, ...]
    reason: str = ""


def memory_peaks(plan: Plan, code: Sequence[Instruction], chip: Chip) -> tuple[Peak, ...]:
    """FSPM, WSPM, MSPM and DDR; ``code``: the plan's program."""
    fspm = _layer_by_layer(plan, chip) if plan.order is None else _by_steps(plan.order, chip)
    return (
        fspm,
        _constants(plan, code, Space.WSPM, chip.wspm_bytes),
        _constants(plan, code, Space.MSPM, chip.mspm_bytes),
        _ddr(plan, chip),
    )


def _layer_by_layer(plan: Plan, chip: Chip) -> Peak:
    layer = max(plan.layers, key=lambda item: item.fspm_bytes)
    holders = [
        Holder(layer.node.name, f"{SLOTS[name]}, {count} x {size:,}", size * count)
        for name, (size, count) in layer.geometry.fspm_parts(layer.tiling).items()
    ]
    taken = layer.fspm_bytes
    return Peak("FSPM", chip.fspm_bytes, taken, taken, layer.node.name, _sorted(holders))


def _by_steps(order: Order, chip: Chip) -> Peak:
    laid = order.laid
    at = max(range(len(laid.live)), key=lambda step: (laid.live[step], -step))
    roots = [block for block in laid.blocks if block.inside is None]
    alive = [block for block in roots if block.first <= at <= block.last]
    ranges = [_range(laid.addresses[id(block)], block) for block in alive]
    ahead = [
        block
        for block in roots
        if block not in alive
        and block.held[0] <= at <= block.held[1]
        and _is_free(_range(laid.addresses[id(block)], block), ranges)
    ]
    holders = [
        Holder(block_name(order, _in_place_of(laid, block, at)), _kind(block), block.size)
        for block in alive
    ]
    holders += [
        Holder(block_name(order, block), "held for loads ahead or stores behind", block.size)
        for block in ahead
    ]
    live = max(laid.live, default=0)
    held = live_bytes([Life(block.size, *block.held) for block in roots], len(laid.steps))
    reason = ""
    if laid.peak > live * TIGHT:
        most = min(int(held.max(initial=0)), chip.fspm_bytes)
        reason = (
            f"with loads ahead and stores behind up to {most:,} bytes are held, and the first "
            f"placement within {chip.fspm_bytes:,} is taken"
        )
    layer = order.network.layers[laid.steps[at].layer].node.name
    return Peak("FSPM", chip.fspm_bytes, laid.peak, live, layer, _sorted(holders), reason)


def _in_place_of(laid: Laid, root: Block, step: int) -> Block:
    """What lies in a block's place at a step: the block, or the last one that has replaced it."""
    own = (item for item in laid.blocks if (item.inside or item) is root and item.first <= step)
    return max(own, key=lambda item: item.first)


def _range(address: int, block: Block) -> tuple[int, int]:
    return address, address + block.size


def _is_free(one: tuple[int, int], others: Sequence[tuple[int, int]]) -> bool:
    return all(one[1] <= first or last <= one[0] for first, last in others)


def block_name(order: Order, block: Block) -> str:
    """The tensor, or the layer, that a block is of."""
    if block.key.kind == "slots":
        return order.network.layers[int(block.key.name)].node.name
    if block.key.kind == "sums":
        return order.network.layers[order.laid.steps[block.first].layer].node.name
    return block.key.name


def _kind(block: Block) -> str:
    rows = f"rows {block.rows[0]}..{block.rows[1] - 1}"
    return {
        "whole": "whole",
        "band": f"segment, {rows}",
        "sums": "partial sums",
        "slots": "tiles of a layer alone",
    }[block.key.kind]


@dataclass(slots=True)
class _Tile:
    """A constant tile in a scratchpad: its layer, its bytes, and the instructions it lies for."""

    layer: int
    range: tuple[int, int]
    first: int
    last: int


def _tiles(code: Sequence[Instruction], space: Space) -> Iterator[_Tile]:
    """Every tile that is loaded into a scratchpad of constants."""
    there: list[_Tile] = []
    for number, item in enumerate(code):
        for access in item.accesses():
            if access.space is not space:
                continue
            touched = (access.first, access.last)
            if isinstance(item, Load):
                for tile in there:
                    if not _is_free(tile.range, [touched]):
                        yield tile
                there = [tile for tile in there if _is_free(tile.range, [touched])]
                there.append(_Tile(item.layer, touched, number, number))
            else:
                for tile in there:
                    if not _is_free(tile.range, [touched]):
                        tile.last = number
    yield from there


def _constants(plan: Plan, code: Sequence[Instruction], space: Space, capacity: int) -> Peak:
    tiles = list(_tiles(code, space))
    taken = max((tile.range[1] for tile in tiles), default=0)
    lives = [Life(tile.range[1] - tile.range[0], tile.first, tile.last) for tile in tiles]
    alive = live_bytes(lives, len(code))
    live = int(alive.max(initial=0))
    if not live:
        return Peak(space.name, capacity, 0, 0, "", ())
    at = int(alive.argmax())
    holders: dict[int, int] = {}
    for tile in tiles:
        if tile.first <= at <= tile.last:
            size = tile.range[1] - tile.range[0]
            holders[tile.layer] = holders.get(tile.layer, 0) + size
    worker = code[at].layer
    found = [
        Holder(plan.layers[layer].node.name, "constants" if layer <= worker else "ahead", size)
        for layer, size in holders.items()
    ]
    reason = "tiles go round so that loads can go ahead" if taken > live * TIGHT else ""
    where = plan.layers[worker].node.name
    return Peak(space.name, capacity, taken, live, where, _sorted(found), reason)


def _ddr(plan: Plan, chip: Chip) -> Peak:
    constants = len(plan.constants)
    moments = sorted({block.first for block in plan.buffers}) or [0]
    groups = [[b for b in plan.buffers if b.first <= moment <= b.last] for moment in moments]
    sizes = [sum(block.size_bytes for block in group) for group in groups]
    most = sizes.index(max(sizes))
    own = plan.regions[0].address if plan.regions else plan.ddr_bytes
    holders = [
        Holder(
            block.name,
            "features" if plan.addresses[block.name] < own else "outside the network's memory",
            block.size_bytes,
        )
        for block in groups[most]
    ]
    holders.append(Holder("constants", "weights, parameters, tables", constants))
    live = constants + sizes[most]
    reason = "lives leave gaps between addresses" if plan.ddr_bytes > live * TIGHT else ""
    moment = moments[most]
    inside = 0 <= moment < len(plan.layers)
    where = plan.layers[moment].node.name if inside else "the host"
    return Peak("DDR", chip.ddr_bytes, plan.ddr_bytes, live, where, _sorted(holders), reason)


def _sorted(holders: Sequence[Holder]) -> tuple[Holder, ...]:
    return tuple(sorted(holders, key=lambda item: (-item.size_bytes, item.name)))
