"""Cycles that a tiling takes at least, from how many tiles of which shape there are: no walk.

It tells which tilings are worth a price, and in which order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple

from knightlite.lower import Range, span
from knightlite.schedule.layer_clock import TileCosts
from knightlite.schedule.steps import NO_RANGE, Request
from knightlite.schedule.tiling import Step, Tiling, cut

Kinds = list[tuple[Range, int]]  # parts of an axis: one of each shape, and how many there are


class _Rows(NamedTuple):
    """How the output rows are cut. ``read``: the same of the input rows, each part once."""

    parts: int
    kinds: Kinds
    read: Kinds
    distinct: bool  # no two parts read the same rows


class _Channels(NamedTuple):
    """How the output channels are cut. ``read``: the same of the inputs, each part once."""

    first: Range
    last: Range
    kinds: Kinds
    read: Kinds


class LeastCycles:
    """Of all tilings of a layer."""

    def __init__(self, costs: TileCosts) -> None:
        self._costs, self._geometry = costs, costs.geometry
        self._known_rows: dict[int, _Rows] = {}
        self._known_channels: dict[tuple[int, int], _Channels] = {}

    def of(self, tiling: Tiling) -> int:
        """Of the queue that has most to do, with what comes before its first, behind its last.

        Nothing is said of who waits for whom in between.
        """
        costs, geometry = self._costs, self._geometry
        setup, moves_only = geometry.chip.dma_setup_cycles, geometry.work.moves_only
        computed = stored = stores = loaded = loads = 0
        for step, count in self._steps(tiling):
            computed += 0 if moves_only else count * costs.compute(step)
            if step.last:
                stored += count * costs.store(step)
                stores += count
        for request, count in self._loads(tiling):
            loaded += count * costs.load(request)
            loads += count
        begin, end = self._begin(tiling), self._end(tiling)
        transfers = loaded + stored - (loads + stores - 1) * setup  # no byte waits for a setup
        return max(begin + computed + end, loaded + end, begin + stored, transfers)

    def _rows(self, tiling: Tiling) -> _Rows:
        if tiling.rows not in self._known_rows:
            parts = cut(self._geometry.y.shape[2], tiling.rows)
            read = list(map(self._geometry.input_rows, parts))
            once = dict.fromkeys(read)
            self._known_rows[tiling.rows] = _Rows(
                len(parts),
                _kinds(parts, self._costs.row_shape),
                _kinds(once, span),
                len(once) == len(parts),
            )
        return self._known_rows[tiling.rows]

    def _channels(self, tiling: Tiling) -> _Channels:
        key = (tiling.outs, tiling.ins)
        if key not in self._known_channels:
            parts = self._geometry.out_parts(tiling)
            read = list(map(self._geometry.input_channels, parts))
            self._known_channels[key] = _Channels(
                parts[0],
                parts[-1],
                _kinds(parts, lambda part: self._costs.out_shape(tiling, part)),
                _kinds(dict.fromkeys(read), span),
            )
        return self._known_channels[key]

    def _begin(self, tiling: Tiling) -> int:
        """The loads before the first compute."""
        load, geometry = self._costs.load, self._geometry
        outs = self._channels(tiling).first
        ins, *others = geometry.in_parts(tiling, outs)
        rows = geometry.input_rows((0, min(tiling.rows, geometry.y.shape[2])))
        cycles = load(_features("x", rows, ins))
        if geometry.work.weight_bytes is not None:
            cycles += load(_constant("weights", outs, ins))
        if geometry.work.parameters is not None and not others:
            cycles += load(_constant("parameters", outs, NO_RANGE))
        return cycles

    def _end(self, tiling: Tiling) -> int:
        """The store behind the last compute."""
        outs, height = self._channels(tiling).last, self._geometry.y.shape[2]
        ins = self._geometry.in_parts(tiling, outs)[-1]
        rows = ((height - 1) // tiling.rows * tiling.rows, height)
        return self._costs.store(Step(rows, outs, ins, False, True))

    def _steps(self, tiling: Tiling) -> Iterator[tuple[Step, int]]:
        """Steps of one shape, and how many."""
        for outs, out_count in self._channels(tiling).kinds:
            in_parts = self._geometry.in_parts(tiling, outs)
            for rows, row_count in self._rows(tiling).kinds:
                for ins in in_parts:
                    first, last = ins is in_parts[0], ins is in_parts[-1]
                    yield Step(rows, outs, ins, first, last), row_count * out_count

    def _loads(self, tiling: Tiling) -> Iterator[tuple[Request, int]]:
        """Every tile once, and again where it cannot have stayed: transfers, and how many.

        Slots are refilled in turn, so where a loop goes over more tiles than there are slots, it
        finds none of them again. Prologues and second operands that broadcast are left out.
        """
        geometry, work, outer = self._geometry, self._geometry.work, tiling.outs_outer
        rows, channels = self._rows(tiling), self._channels(tiling)
        out_count, in_count, _ = geometry.counts(tiling)
        inner = in_count * (rows.parts if outer else 1)
        again = rows.distinct and sum(count for _, count in channels.read) == 1
        slots = geometry.fspm_parts(tiling)["x"][1]
        turns = out_count if again and inner > slots else 1
        for whole, count in channels.read:
            for ins in self._parts_of(tiling, whole):
                for part, row_count in rows.read:
                    yield _features("x", part, ins), count * row_count * turns
        slots = geometry.weight_slots(tiling)[2]
        turns = rows.parts if in_count * (1 if outer else out_count) > slots else 1
        for outs, count in channels.kinds:
            if work.weight_bytes is not None:
                for ins in geometry.in_parts(tiling, outs):
                    yield _constant("weights", outs, ins), count * turns
            if work.parameters is not None:
                yield _constant("parameters", outs, NO_RANGE), count
            if geometry.z is not None and min(geometry.z.shape[1:3]) > 1:
                for part, row_count in rows.kinds:
                    yield _features("z", part, outs), count * row_count

    def _parts_of(self, tiling: Tiling, whole: Range) -> list[Range]:
        """The parts that the inputs of a tile are cut into."""
        if not self._geometry.splits(tiling):
            return [whole]
        return [(whole[0] + a, whole[0] + b) for a, b in cut(span(whole), tiling.ins)]


def _features(kind: str, rows: Range, channels: Range) -> Request:
    return Request(kind, 0, False, rows, channels)


def _constant(kind: str, outs: Range, ins: Range) -> Request:
    return Request(kind, 0, False, key=(kind, outs, ins))


def _kinds(parts: Iterable[Range], shape: Callable[[Range], Hashable]) -> Kinds:
    found: dict[Hashable, Range] = {}
    counts: Counter[Hashable] = Counter()
    for part in parts:
        one = shape(part)
        found.setdefault(one, part)
        counts[one] += 1
    return [(part, counts[one]) for one, part in found.items()]
