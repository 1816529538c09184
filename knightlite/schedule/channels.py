"""How a layer is cut over channels where rows are cut by bands: its weights must pass WSPM.

Output channels are cut evenly, in whole lanes; input channels where one block of output lanes is
too large already, or where what stands in front of the products would be done again for every part
of the outputs. What is cheapest is taken: the engine's cycles, and those of loads that cannot go
ahead because their tile leaves no room beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from knightlite.allocate import align
from knightlite.lower import LEAST_CHANNELS, span
from knightlite.schedule.choose import channel_cuts
from knightlite.schedule.layers import Layer
from knightlite.schedule.tiling import Geometry, Tiling

LANE_FACTORS = (32, 16, 8, 4, 2, 1)  # input channels of a part, in lanes
ROOMS = (100, 50)  # percent of WSPM that a weight tile takes: all of it, or with room for the next


@dataclass(frozen=True, slots=True)
class Cut:
    """A layer's channel parts: cycles of all of them for all rows, without setups; instructions.

    ``exposed``: cycles of loads that cannot go ahead. ``sum_bytes``: of partial sums, a row.
    """

    tiling: Tiling
    cycles: int
    instructions: int
    exposed: int
    sum_bytes: int


def channel_cut(layer: Layer) -> Cut | None:
    """The cheapest cut whose constants fit; None where none does."""
    chip = layer.geometry.chip
    found: list[Cut] = []
    for kind in (_output_parts, _input_parts):
        for room in ROOMS:
            limit = chip.wspm_bytes * room // 100
            cut = next(
                (_cut(layer, x) for x in kind(layer) if _fits(layer.geometry, x, limit)), None
            )
            if cut is not None:
                found.append(cut)
                if not cut.exposed and cut.tiling == layer.uncut:
                    return cut
    return min(found, key=lambda cut: _cost(layer, cut), default=None)


def _cost(layer: Layer, cut: Cut) -> int:
    setup = layer.setup // max(1, len(layer.whole))
    return cut.cycles + cut.exposed + cut.instructions * setup


def _cut(layer: Layer, tiling: Tiling) -> Cut:
    geometry = layer.geometry
    chip = geometry.chip
    known: dict[tuple[object, ...], tuple[int, int]] = {}
    cycles = instructions = sum_bytes = 0
    for outs in geometry.out_parts(tiling):
        parts = geometry.in_parts(tiling, outs)
        for ins in parts:
            ends = (ins == parts[0], ins == parts[-1])
            key = (span(outs), span(ins), *ends, geometry.stored_blocks(outs, ins))
            if key not in known:
                items = layer.instructions(outs, ins, *ends)
                known[key] = sum(x.cycles(chip) for x in items), len(items)
            cycles += known[key][0]
            instructions += known[key][1]
        if len(parts) > 1:
            width = geometry.y.shape[3]
            size = width * span(outs) * geometry.work.accumulator_bytes
            sum_bytes = max(sum_bytes, size)
        elif geometry.work.scratch_row_bytes is not None:
            sum_bytes = max(sum_bytes, geometry.work.scratch_row_bytes(outs))
    size, count, slots = geometry.weight_slots(tiling)
    exposed = (
        count * chip.ddr_cycles(size) if size and slots < 2 and size * 2 > chip.wspm_bytes else 0
    )
    setup = layer.setup // max(1, len(layer.whole))
    return Cut(tiling, cycles - instructions * setup, instructions, exposed, sum_bytes)


def _output_parts(layer: Layer) -> Iterator[Tiling]:
    """From one part of the output channels on, ever more of them."""
    geometry, whole = layer.geometry, layer.uncut
    yield whole
    if not geometry.work.cuts_channels:
        return
    channels, work, chip = geometry.y.shape[1], geometry.work, geometry.chip
    if geometry.group[1] < channels and not work.channelwise:
        yield from (replace(whole, outs=cut) for cut in channel_cuts(geometry) if cut < channels)
        return
    lanes = chip.vector_lanes if work.channelwise else chip.matrix_output_lanes
    last = channels
    for count in range(2, -(-channels // lanes) + 1):
        part = align(-(-channels // count), lanes)
        if part < last:
            last = part
            yield replace(whole, outs=part)


def _input_parts(layer: Layer) -> Iterator[Tiling]:
    """Sums over parts of the input channels: of all outputs, then of ever fewer."""
    geometry = layer.geometry
    lanes, inputs = geometry.chip.matrix_input_lanes, geometry.group[0]
    outputs = [tiling.outs for tiling in _output_parts(layer)]
    for outs in dict.fromkeys((outputs[0], outputs[-1], LEAST_CHANNELS)):
        for factor in LANE_FACTORS:
            part = replace(layer.uncut, outs=outs, ins=lanes * factor)
            if part.ins < inputs and outs <= outputs[0] and geometry.splits(part):
                yield part


def _fits(geometry: Geometry, tiling: Tiling, weight_room: int) -> bool:
    size, _, slots = geometry.weight_slots(tiling)
    if size and (slots < 1 or size > weight_room):
        return False
    parameters = sum(geometry.parameter_bytes(tiling))
    return geometry.weights_encodable(tiling) and parameters <= geometry.chip.mspm_bytes
