"""What a layer costs its engine at least, however it is cut into tiles.

Mostly the cycles of one instruction that does all of it, without setup. But tiles may fill lanes
better than a whole layer: 96 channels on 64 depthwise lanes take two turns at once, one and a half
as 64 and 32. So the cuts that can gain something are priced, with the instructions' own cycles.
"""

from __future__ import annotations

from dataclasses import replace

from knightlite.chip import Chip
from knightlite.ir import Graph
from knightlite.isa import FeatureInstruction, Instruction, Matrix, Move
from knightlite.lower import Placement, Tile, Work


def whole_layer(graph: Graph, work: Work, chip: Chip) -> Tile:
    """A layer as one tile, with places that cost nothing; it need not fit."""
    x, y = graph.tensors[work.x], graph.tensors[work.y]
    place = Placement(0, chip.fspm_align_bytes, chip.fspm_align_bytes)
    rows = (0, y.shape[2])
    return Tile(
        rows=rows,
        outs=(0, y.shape[1]),
        ins=(0, x.shape[1]),
        x_rows=work.input_rows(rows),
        x=place,
        z=place if work.z is not None else None,
        y=place,
        accumulator_address=0,
        weight_address=0,
        weight_align=chip.wspm_align_bytes,
        parameter_address=0,
        prologue_address=0,
        first=True,
        last=True,
    )


def matrix_cycles(item: Matrix, chip: Chip) -> int:
    """Cycles of the matrix engine, without setup, for what one instruction does of a layer."""
    whole = item.cycles(chip) - chip.matrix_setup_cycles
    plain = _multiplying_only(item)
    products = plain.cycles(chip) - chip.matrix_setup_cycles
    least = _depthwise(plain, chip) if item.depthwise else _dense(plain, chip)
    # what the vector lanes change in front or behind is passed value by value, however it is cut
    return least if whole == products else whole


def vector_cycles(item: Instruction, work: Work, chip: Chip) -> int:
    """Cycles of the vector engine, without setup; 0 for what transfers could move as well."""
    if not isinstance(item, FeatureInstruction) or isinstance(item, Move):
        return 0
    parts = _lane_parts(item.y_channels, chip.vector_lanes) if work.cuts_channels else ()
    found = [item.cycles(chip) - chip.vector_setup_cycles]
    if len(parts) > 1:
        tiles = (replace(item, x_channels=part, y_channels=part) for part in parts)
        found.append(sum(tile.cycles(chip) - chip.vector_setup_cycles for tile in tiles))
    return min(found)


def _multiplying_only(item: Matrix) -> Matrix:
    """The products alone: nothing in front of them, nothing behind."""
    x_type = item.prologue_type if item.prologue else item.x_type  # says which lanes there are
    return replace(item, prologue=0, x_type=x_type, activation=0)


def _depthwise(item: Matrix, chip: Chip) -> int:
    lanes = chip.wide_depthwise_lanes if item.wide else chip.depthwise_lanes
    parts = _lane_parts(item.y_channels, lanes)
    return min(
        _cycles(item, chip),
        sum(_cycles(replace(item, x_channels=part, y_channels=part), chip) for part in parts),
    )


def _dense(item: Matrix, chip: Chip) -> int:
    """Of groups that share blocks, or lie alone; of sums that are cut where that packs columns."""
    alone = _one_group(item, chip)
    found = [_cycles(item, chip), item.groups * alone]
    for sharing in range(2, min(item.groups, chip.matrix_input_lanes) + 1):
        full, rest = divmod(item.groups, sharing)
        together = _cycles(_of_groups(item, sharing), chip)
        found.append(full * together + min(rest * alone, _rest(item, rest, chip)))
    return min(found)


def _rest(item: Matrix, groups: int, chip: Chip) -> int:
    return _cycles(_of_groups(item, groups), chip) if groups else 0


def _one_group(item: Matrix, chip: Chip) -> int:
    """A group by itself, its input channels cut into blocks and what is left into packed ones."""
    group = _of_groups(item, 1)
    packed = chip.matrix_packed_channels
    full, rest = divmod(group.x_channels, chip.matrix_input_lanes)

    def part(channels: int) -> int:
        return _cycles(replace(group, x_channels=channels), chip) if channels else 0

    left = min(part(rest), rest // packed * part(packed) + part(rest % packed))
    return min(_cycles(group, chip), full * part(chip.matrix_input_lanes) + left)


def _of_groups(item: Matrix, groups: int) -> Matrix:
    return replace(
        item,
        groups=groups,
        x_channels=item.group_inputs * groups,
        y_channels=item.group_outputs * groups,
    )


def _cycles(item: Matrix, chip: Chip) -> int:
    return item.cycles(chip) - chip.matrix_setup_cycles


def _lane_parts(channels: int, lanes: int) -> tuple[int, ...]:
    """What fills whole words of lanes, and the rest."""
    rest = channels % lanes
    return tuple(part for part in (channels - rest, rest) if part)
