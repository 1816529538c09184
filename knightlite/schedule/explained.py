"""What became of each layer in a schedule, in sentences with their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from knightlite.allocate import trips
from knightlite.ir.graph import flatten_chains
from knightlite.lower import span
from knightlite.schedule.blocks import Block, ScheduledStep
from knightlite.schedule.layers import Layer
from knightlite.schedule.network import Network
from knightlite.schedule.records import LayerPlan, Order, Plan
from knightlite.schedule.regions import Region, joins
from knightlite.schedule.tiling import cut


class Told(NamedTuple):
    """A sentence about a layer; ``nodes``: those that are fused in it, its own last."""

    nodes: tuple[str, ...]
    sentence: str


def explained(plan: Plan) -> list[Told]:
    """What became of every layer, in their order."""
    found = []
    for index, layer in enumerate(plan.layers):
        parts = flatten_chains([layer.node])
        names = tuple(part.name for part in parts)
        if len(parts) > 1:
            text = f"fused: {' + '.join(part.op for part in parts)} is one layer, {names[-1]}."
            found.append(Told(names, text))
        sentences = [_in_turn(layer)] if plan.order is None else _ordered(plan.order, index)
        found += [Told(names, sentence) for sentence in sentences]
    return found + _hosted(plan)


def _hosted(plan: Plan) -> list[Told]:
    """Of what the host computes between segments."""
    found, borders, tensors = [], trips(plan.graph), plan.graph.tensors
    numbers = {border: at for at, border in enumerate(dict(borders), start=1)}
    for border, node in borders:
        reads = tuple(dict.fromkeys(node.inputs))
        size = sum(tensors[n].elements * tensors[n].dtype.size_bytes for n in (*reads, node.output))
        place = "behind the last layer"
        if border < len(plan.layers):
            place = f"before {plan.layers[border].node.name}"
        found.append(
            Told(
                (node.name,),
                f"on the host, {place}, on trip {numbers[border]} of {len(numbers)}: "
                f"{', '.join(dict.fromkeys(op.op for op in node.host))} of {', '.join(reads)}, "
                f"{size:,} bytes moved.",
            )
        )
    return found


def _in_turn(layer: LayerPlan) -> str:
    """Of a layer at level 0."""
    tiling, shape = layer.tiling, layer.geometry
    outs, ins, _ = shape.counts(tiling)
    bands = len(cut(shape.y.shape[2], tiling.rows))
    return (
        f"level 0: from DDR to DDR in {bands} bands of rows x {outs} parts of its output channels "
        f"x {ins} of its input channels; {layer.fspm_bytes:,} bytes of FSPM's "
        f"{shape.chip.fspm_bytes:,}."
    )


def _ordered(order: Order, index: int) -> Iterator[str]:
    """Of a layer above level 0: how it is walked, where its output lives, why no further."""
    network, decisions = order.network, order.decisions
    layer = network.layers[index]
    region = next(item for item in decisions.regions if item.first <= index < item.last)
    steps = [step for step in order.laid.steps if step.layer == index]
    yield _walked(network, region, layer, steps)
    yield _lives(order, layer, steps)
    if region.tiling is None and region.last < len(network.layers) and index == region.last - 1:
        yield from _border(network, region)


def _walked(network: Network, region: Region, layer: Layer, steps: Sequence[ScheduledStep]) -> str:
    """The region, its bands and what they cost."""
    if region.tiling is not None:
        return "walked alone: from DDR to DDR in tiles of its own, as at level 0."
    first, last = (network.layers[at].node.name for at in (region.first, region.last - 1))
    count = region.last - region.first
    if region.bands == 1:
        return f"walked with {first} .. {last}." if count > 1 else "walked as a whole, in one band."
    with_whom = f" with {first} .. {last} ({count} layers)" if count > 1 else ""
    text = f"walked in {region.bands} bands of rows{with_whom}"
    rows = {step.band: step.tile.rows for step in steps}
    again = sum(span(item) for item in rows.values()) - layer.height
    moved = sum(
        span(move.rows) * move.width * span(move.channels) * move.size
        for step in steps
        for move in step.moves
    )
    if moved:
        text += f"; rows that two bands read are kept, {moved:,} bytes of them moved on chip"
    if again > 0:
        text += f"; {again} rows are computed again, beside its {layer.height}"
    return f"{text}."


def _lives(order: Order, layer: Layer, steps: Sequence[ScheduledStep]) -> str:
    """Where the output is: on chip as a whole, in segments, or in DDR, and why there."""
    network, y = order.network, steps[-1].y
    buffer = network.buffers[layer.y.buffer]
    size = buffer.whole_bytes(network.chip)
    if y.key.kind == "whole":
        part = layer.y.tensor != buffer.name
        its = f"its output, a part of {buffer.name}," if part else "its output"
        return f"resident: {its} ({size:,} bytes) {_until(order, layer, y)}."
    if not any(step.stores for step in steps) and not steps[0].alone:
        most = max(step.y.size for step in steps)
        return f"on chip: its output lives only in segments of up to {most:,} bytes in FSPM."
    return f"spilled: its output goes to DDR, {_why_spilled(order, layer, size)}"


def _until(order: Order, layer: Layer, block: Block) -> str:
    """Until when a block holds what a layer has written: its last reader may write in its place."""
    steps, layers = order.laid.steps, order.network.layers
    reads = [step for step in steps if _reads(layers[step.layer], layer, step, block)]
    if not reads:
        return "stays whole in FSPM until it is stored"
    reader, y = layers[reads[-1].layer], reads[-1].y
    told = f"stays whole in FSPM until {reader.node.name} has read it"
    if y is not block and y.inside is not None and y.inside is (block.inside or block):
        told += ", which writes its own output in that place"
    return told


def _reads(reader: Layer, layer: Layer, step: ScheduledStep, block: Block) -> bool:
    """Whether a step takes something that a layer has written from a block."""
    taken = ((reader.x, step.x), (reader.z, step.z))
    return any(part is not None and of is block and part.meets(layer.y) for part, of in taken)


def _why_spilled(order: Order, layer: Layer, size: int) -> str:
    network, laid = order.network, order.laid
    buffer, capacity = network.buffers[layer.y.buffer], network.chip.fspm_bytes
    if buffer.delivered:
        return "where the host reads it."
    if layer.engine is None:
        return "as what is only moved goes from DDR to DDR."
    if buffer.name in network.loaded_as_weights:
        reader = network.layers[network.loaded_as_weights[buffer.name]].node.name
        return f"from where {reader} loads it as weights: WSPM is filled from DDR alone."
    if size > capacity:
        return f"as whole it is {size:,} bytes and FSPM has {capacity:,}."
    fullest, others = 0, -1
    for number, step in enumerate(laid.steps):
        if buffer.first <= step.layer <= buffer.last:
            own = {id(item): item.size for item in (step.x, step.z, step.y) if item is not None
                   and item.key.name == buffer.name and item.inside is None}  # fmt: skip
            beside = laid.live[number] - sum(own.values())
            if beside > others:
                fullest, others = step.layer, beside
    name = network.layers[fullest].node.name
    text = f"as whole it is {size:,} bytes, beside {others:,} at {name}"
    if size + others > capacity:
        return f"{text}: {size + others:,} of FSPM's {capacity:,} do not fit."
    return f"{text}: FSPM's {capacity:,} would do, but the estimates found it no faster."


def _border(network: Network, region: Region) -> Iterator[str]:
    """Why the next layer is not walked with a region."""
    behind = network.layers[region.last]
    name, last = behind.node.name, network.layers[region.last - 1]
    if region.last in network.borders:
        yield f"not walked with {name}: the host computes before it."
    elif behind.engine is None:
        yield f"not walked with {name}, which no engine computes: it is moved from DDR to DDR."
    elif not joins(last, [behind]):
        yield (
            f"not walked with {name}: one of both cuts its tensors otherwise than by channels, or "
            "writes bytes that the other still reads."
        )
    elif region.bands > 1:
        yield (
            f"not walked with {name}: the estimates found {region.last - region.first} layers in "
            f"{region.bands} bands cheaper than with one more."
        )
