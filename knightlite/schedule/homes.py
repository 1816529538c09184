"""Where every tensor can be seen: in DDR behind its stores, or in FSPM for a while, row by row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from knightlite.allocate import is_hosted, is_placed
from knightlite.isa import Instruction, Space
from knightlite.isa.alike import Alike, Extents
from knightlite.lower import Placement, Range
from knightlite.schedule.blocks import ScheduledStep
from knightlite.schedule.layers import overlap
from knightlite.schedule.network import Network
from knightlite.schedule.scheduled import Timed
from knightlite.schedule.tasks import Places, Stream


class Scattered(Exception):
    """Rows of what several layers write are never in one place together."""


class Piece(NamedTuple):
    """Rows of a tensor in FSPM; complete after instruction ``ready`` of the program."""

    rows: Range
    place: Placement
    first: int
    ready: int


class _Written(NamedTuple):
    """What a layer computes in a band: its step that shows the block, and when it writes there."""

    step: ScheduledStep
    tiles: dict[Range, Range]  # rows: the first and the last instruction that writes there
    first: int
    ready: int


def pieces(
    network: Network, timed: Timed, places: Places, code: Sequence[Instruction]
) -> Mapping[str, tuple[Piece, ...]]:
    """The pieces of every tensor that is not in DDR; Scattered where rows are never together.

    ``code``: the program, whose loads may come early into rows that are read, while others of the
    same tensor are still computed.
    """
    written, moved = _written(timed), _moved(timed)
    stored = {step.layer for step in timed.laid.steps if step.stores or step.alone}
    makers: dict[str, tuple[int, ...]] = {name: () for name in network.graph.inputs}
    executed = {layer.node.output: layer.index for layer in network.layers}
    found: dict[str, tuple[Piece, ...]] = {}
    overwritten = _overwritten(network, code)
    for node in network.graph.nodes:
        name = node.output
        if is_placed(node):  # its bytes are those of its inputs, or among them
            known = [makers[item] for item in node.inputs if item in makers]
            makers[name] = tuple(dict.fromkeys(index for group in known for index in group))
        else:
            makers[name] = () if is_hosted(node) else (executed[name],)
        if name in network.parts and makers[name] and not stored.issuperset(makers[name]):
            groups = [written[index] for index in makers[name]]
            found[name] = tuple(_pieces(network, places, name, groups, moved, overwritten))
    return found


def _by_rows(
    written: Sequence[_Written], height: int, placed: Callable[[Range], Placement]
) -> list[Piece]:
    """The rows of a block by when the last of their elements is there."""
    tiles = [tile for item in written for tile in item.tiles.items()]
    found = []
    for rows in pairwise(sorted({0, height, *(end for tile, _ in tiles for end in tile)})):
        lives = [life for tile, life in tiles if overlap(tile, rows)]
        found.append(Piece(rows, placed(rows), *reduce(_together, lives)))
    return found


def _overwritten(
    network: Network, code: Sequence[Instruction]
) -> Callable[[str, Collection[int], Piece], bool]:
    """Whether of a piece of a buffer, which some layers write, a part is lost before all is there.

    That is when a layer that is none of the buffer's makers writes over what these have written.
    """

    @cache
    def writes() -> Extents:
        found = Alike(code).extents().of(Space.FSPM, 0, len(code))
        return found.where(found.write)

    makers: dict[str, set[int]] = {}
    for layer in network.layers:
        makers.setdefault(layer.y.buffer, set()).add(layer.index)
    layer_of = np.array([item.layer for item in code], np.int64)

    def asked(buffer: str, layers: Collection[int], piece: Piece) -> bool:
        every, (address, row_stride, _) = writes(), piece.place
        end = address + (piece.rows[1] - piece.rows[0]) * row_stride
        low = int(np.searchsorted(every.number, piece.first))
        high = int(np.searchsorted(every.number, piece.ready, side="right"))
        first, last = every.first[low:high], every.last[low:high]
        here = np.flatnonzero((first < end) & (last > address))
        who = layer_of[every.number[low:high]]
        mine = here[np.isin(who[here], list(layers))]
        others = here[~np.isin(who[here], list(makers.get(buffer, ())))]
        return any(
            bool(np.any((first[before] < last[at]) & (last[before] > first[at])))
            for at in others.tolist()
            for before in (mine[mine < at],)
        )

    return asked


def _written(timed: Timed) -> dict[int, list[_Written]]:
    """By layer, its bands in order."""
    position = {task: index for index, task in enumerate(timed.merged.order)}
    found: dict[int, dict[int, _Written]] = {}
    for number, task in enumerate(timed.tasks):
        if task.stream in (Stream.MATRIX, Stream.VECTOR) and not task.passes_on:
            step = timed.laid.steps[task.step]
            if not step.tile.last:
                continue
            bands, at = found.setdefault(step.layer, {}), position[number]
            known = bands.get(step.band, _Written(step, {}, at, at))
            lives = known.tiles.get(step.tile.rows, (at, at))
            known.tiles[step.tile.rows] = _together(lives, (at, at))
            lives = _together((known.first, known.ready), (at, at))
            bands[step.band] = _Written(step, known.tiles, *lives)
    return {layer: list(bands.values()) for layer, bands in found.items()}


def _together(one: Range, other: Range) -> Range:
    return min(one[0], other[0]), max(one[1], other[1])


def _moved(timed: Timed) -> dict[int, Range]:
    """By the identity of a segment, the first and last instruction that passes rows on to it."""
    position = {task: index for index, task in enumerate(timed.merged.order)}
    found: dict[int, Range] = {}
    moves: dict[int, list[int]] = {}
    for number, task in enumerate(timed.tasks):
        if task.passes_on:
            moves.setdefault(task.step, []).append(position[number])
    for number, step in enumerate(timed.laid.steps):
        for move, at in zip(step.moves, moves.get(number, ()), strict=True):
            first, last = found.get(id(move.target), (at, at))
            found[id(move.target)] = (min(first, at), max(last, at))
    return found


def _pieces(
    network: Network,
    places: Places,
    name: str,
    groups: Sequence[Sequence[_Written]],
    moved: Mapping[int, Range],
    overwritten: Callable[[str, Collection[int], Piece], bool],
) -> Iterable[Piece]:
    """The rows of a tensor that several layers write, band by band."""
    part = network.parts[name]
    height = network.graph.tensors[name].shape[2]
    channels = (0, network.graph.tensors[name].shape[1])
    block = groups[0][0].step.y
    if block.key.kind == "whole" or not (part.plain or block.key.name == name):
        # what is cut otherwise than by channels can be shown in a block of the whole buffer only
        single = len(groups) == len(groups[0]) == 1 and block.key.name == part.buffer
        if block.key.kind != "whole" and not single:
            raise Scattered(name)
        every = [item for group in groups for item in group]
        whole = Piece(
            (0, height),
            places.placement(block, part, (0, height), channels),
            min(item.first for item in every),
            max(item.ready for item in every),
        )
        if not overwritten(part.buffer, {item.step.layer for item in every}, whole):
            yield whole
            return
        if not part.plain:
            raise Scattered(name)
        yield from _by_rows(
            every, height, lambda rows: places.placement(block, part, rows, channels)
        )
        return
    done = 0
    bands = sorted({item.step.band for group in groups for item in group})
    ends = dict.fromkeys(range(len(groups)), 0)
    for band in bands:
        here = {
            at: item for at, group in enumerate(groups) for item in group if item.step.band == band
        }
        block = next(iter(here.values())).step.y
        moves = moved.get(id(block))
        for at, item in here.items():
            ends[at] = item.step.tile.rows[1]
        begins = [
            item.step.tile.rows[0] if moves is None else block.rows[0] for item in here.values()
        ]
        rows = (done, min(ends.values()))
        missing = len(here) < len(groups) and moves is None
        if missing or max(begins) > done or rows[0] >= rows[1]:
            continue
        lives = [(item.first, item.ready) for item in here.values()]
        lives += [] if moves is None else [moves]
        place = places.placement(block, part, rows, channels)
        yield Piece(rows, place, min(a for a, _ in lives), max(b for _, b in lives))
        done = rows[1]
    if done < height:
        raise Scattered(name)
