"""The most accurate mix of 8 and 16 bits whose extra predicted cycles stay within a budget.

Both axes are measured: noise by running the network with the units at hand exact
(:mod:`knightlite.quantize.mixed.sensitivity`), cycles by the clock of the compiled program. Units
are taken greedily by noise saved per cycle. A unit's gain and price change with what is wide beside
it (two neighbours share a tensor), so the best one is measured again, with all that is taken,
before it is taken; where it is no longer the best it goes back into the queue. That is the lazy
greedy of Minoux, "Accelerated greedy algorithms for maximizing submodular set functions", 1978, at
a benefit-cost ratio as in Leskovec et al., "Cost-effective outbreak detection in networks" (CELF),
2007; as there, the best single unit that fits stands beside the greedy choice.

What only tables read has 16 bits by rule, without a question. Here it is a unit like any other: the
search begins with the longest row of units, by noise saved per cycle, that stays within the budget.

Every set that was measured is a point; those that no other one beats in both are the Pareto list.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from knightlite.errors import KnightliteError, UnsupportedError, UsageError
from knightlite.quantize.choices import MixBudget
from knightlite.quantize.data.workload import Workload
from knightlite.quantize.mixed.cycles import Clock, draft, percent
from knightlite.quantize.mixed.sensitivity import Meter, Unit, some_pictures, units
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.assignment import assign
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.widths import whole_groups
from knightlite.quantize.settings import Widths

Array = NDArray[Any]

LEAST_SHARE = 2e-3  # of the noise without a mix: what has less is not priced by itself
GLANCE = 2  # pictures for the first order of units; what is taken is measured on all
LEAST_NOISE = 1.02  # times what no unit explains: below, there is nothing left to win
MISSES = 6  # units that went beyond the budget before the search ends


@dataclass(frozen=True, slots=True)
class Point:
    """A set of wide units: predicted cycles, and noise relative to the outputs' energy."""

    taken: frozenset[int]
    cycles: int
    noise: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the search gives: the Pareto list, and what to try, the best first.

    ``tried``: points within the budget and their widths, the last one without a mix; ``limit``:
    cycles that a network may take; ``base``: those without the mix.
    """

    points: tuple[Point, ...]
    tried: tuple[tuple[Point, Widths], ...]
    units: tuple[Unit, ...]
    base: int
    limit: int


def check_budget(budget: MixBudget, clock: Clock | None) -> Clock:
    """The clock; UsageError without one or for a negative budget, UnsupportedError at 8 bits."""
    if budget.amount < 0 or not math.isfinite(budget.amount):
        raise UsageError(f"the budget of a mix must be 0 or more, not {budget.amount:g}.")
    if clock is None:
        raise UsageError(
            "a budget of extra cycles needs a chip whose time is predicted.", "name one with --chip"
        )
    if 16 not in clock.bit_widths:
        raise UnsupportedError(
            f"{clock.chip} multiplies 8 bits only: a mix with 16 bits does not run there.",
            "name a chip that has 16 bits (knightlite chips), or leave out the budget",
        )
    return clock


def budgeted_mix(
    basis: Basis,
    workload: Workload,
    sample: tuple[Array, ...],
    clock: Clock,
    threads: int | None = None,
) -> Found:
    """The search for ``settings.mix_budget``. UnsupportedError where the chip cannot run it.

    ``sample``: pictures of the ``workload``, one array [n, C, H, W] per network input.
    """
    graph, settings = basis.graph, basis.settings
    assert settings.mix_budget is not None
    free = without_table_rule(basis)
    narrow = assign(free)
    found = units(graph, narrow, vector=True)
    pictures = some_pictures(graph, workload, sample, threads)
    everything = range(len(found))
    ruled = draft(basis).features
    by_rule = frozenset(
        index
        for index in everything
        if all(ruled[name].dtype.bits == 16 for name in found[index].tensors)
    )

    def widths(taken: frozenset[int]) -> Widths:
        names = frozenset(name for index in taken for name in found[index].tensors)
        mixed = Widths(settings.mix.wide | names, settings.mix.weights16)
        return whole_groups(graph, mixed)

    def cycles(taken: frozenset[int]) -> int | None:
        """None where an operator keeps one of the units at 8 bits, or the chip refuses it."""
        try:
            made = draft(free.switched(mix=widths(taken)))
            wide = {name for index in taken for name in found[index].tensors}
            if any(made.features[name].dtype.bits == 8 for name in wide):
                return None
            return clock.cycles(made.graph)
        except KnightliteError:
            if taken == by_rule:
                raise
            return None

    most = draft(free.switched(mix=widths(frozenset(everything)))).features
    wide = {name: item.scale for name, item in most.items() if item.dtype.bits == 16}
    # units that no operator keeps at 8 bits
    possible = [index for index in everything if set(wide).issuperset(found[index].tensors)]
    meter = Meter(graph, narrow, found, pictures, threads, wide)

    def noise(taken: frozenset[int]) -> float:
        narrow = [index for index in everything if index not in taken]
        return meter.noise(narrow, rest=True, wide=True)

    try:
        base = cycles(by_rule)
    except KnightliteError as error:
        raise UnsupportedError(
            f"the cycles on {clock.chip} cannot be predicted: {error.sentence}", error.hint
        ) from error
    assert base is not None
    start = Point(by_rule, base, noise(by_rule))
    limit = settings.mix_budget.limit(base)
    enough = max(
        LEAST_NOISE * meter.noise([], rest=True), 10 ** (-settings.mix_budget.enough_db / 10)
    )
    alone = [0.0] * len(found)  # also of units that cannot be wide
    if start.noise > enough:
        for index in possible:
            alone[index] = meter.noise([index], rest=False, pictures=GLANCE)
    points = pareto(search(start, alone, enough, limit, cycles, noise), start.noise)
    within = [point for point in points if point.cycles <= limit and point != start]
    within.sort(key=lambda point: max(point.noise, enough))  # what is enough: the cheapest first
    tried = tuple((point, widths(point.taken)) for point in (*within, start))
    return Found(points, tried, found, base, limit)


def without_table_rule(basis: Basis) -> Basis:
    """The settings with which the search's widths go: it decides itself what tables read."""
    return basis.switched(wide_tables=False)


def search(
    start: Point,
    alone: Sequence[float],
    enough: float,
    limit: int,
    cycles: Callable[[frozenset[int]], int | None],
    noise: Callable[[frozenset[int]], float],
) -> tuple[Point, ...]:
    """Every set that was measured, ``start``, what is wide without a mix, first.

    ``alone``: per unit the noise where only it is rounded, 0 to leave it; ``enough``: noise at
    which nothing is left to win; ``cycles`` may be None where a set cannot be.
    """
    measured = {start.taken: start}
    if start.noise <= enough:
        return (start,)

    def measure(taken: frozenset[int]) -> Point | None:
        if taken not in measured:
            price = cycles(taken)
            if price is None:
                return None
            measured[taken] = Point(taken, price, noise(taken))
        return measured[taken]

    here = measure(frozenset()) or start
    queue: list[_Entry] = []
    singles: list[int] = []
    for index, item in enumerate(alone):
        price = cycles(frozenset([index])) if item >= LEAST_SHARE * start.noise > 0 else None
        if price is not None:
            singles += [index] if price <= limit else []
            heapq.heappush(queue, _entry(index, item, price - here.cycles, frozenset()))
    if singles:
        measure(frozenset([max(singles, key=lambda index: (alone[index], -index))]))
    if start.taken:
        order = [index for _, _, index, _ in sorted(queue)]
        here = _longest_row(order, here, limit, enough, measure)
        queue = [entry for entry in queue if entry[2] not in here.taken]
        heapq.heapify(queue)
    misses = 0
    while queue and misses < MISSES and here.noise > enough:
        _, _, index, at = heapq.heappop(queue)
        point = measure(here.taken | {index})
        if point is None or point.noise >= here.noise:
            continue
        if at != here.taken or not here.taken:
            fresh = _entry(index, here.noise - point.noise, point.cycles - here.cycles, here.taken)
            if queue and fresh > queue[0]:
                heapq.heappush(queue, fresh)
                continue
        if point.cycles > limit:
            misses += 1
            continue
        here = point
    if not queue:
        quiet = [index for index, item in enumerate(alone) if 0 < item < LEAST_SHARE * start.noise]
        quiet.sort(key=lambda index: (-alone[index], index))
        _longest_row(quiet, here, limit, enough, measure)
    return tuple(measured.values())


_Entry = tuple[float, float, int, frozenset[int]]


def _longest_row(
    order: Sequence[int],
    here: Point,
    limit: int,
    enough: float,
    measure: Callable[[frozenset[int]], Point | None],
) -> Point:
    """``here`` with the most units from the front of ``order`` within the limit, not enough yet.

    By halving: cycles grow and noise falls along the order, nearly always.
    """
    taken, low, high = here.taken, 0, len(order) + 1
    while high - low > 1:
        middle = (low + high) // 2
        point = measure(taken.union(order[:middle]))
        if point is not None and point.cycles <= limit and point.noise > enough:
            low, here = middle, point
        else:
            high = middle
    return here


def _entry(index: int, gain: float, extra: int, taken: frozenset[int]) -> _Entry:
    """Smallest first: units that cost nothing by their gain, then by gain per cycle."""
    if extra <= 0:
        return -math.inf, -gain, index, taken
    return -gain / extra, -gain, index, taken


def pareto(points: Sequence[Point], most: float) -> tuple[Point, ...]:
    """By cycles, each with less noise than all cheaper ones and ``most`` at most."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda item: (item.cycles, item.noise, sorted(item.taken))):
        if point.noise <= most and (not kept or point.noise < kept[-1].noise):
            kept.append(point)
    return tuple(kept)


def rows(found: Found, clock: Clock, chosen: Point) -> list[Entry]:
    """The Pareto list for the report: cycles, latency, SQNR before steps, what is wide."""
    made = []
    for point in found.points:
        taken = [found.units[index] for index in sorted(point.taken)]
        made.append(
            {
                "extra_cycles": point.cycles - found.base,
                "extra_percent": percent(point.cycles, found.base),
                "latency_ms": clock.milliseconds(point.cycles),
                "sqnr_db": round(-10 * math.log10(point.noise), 2) if point.noise > 0 else None,
                "tensors": [name for unit in taken for name in unit.tensors],
                "operators": list(dict.fromkeys(name for unit in taken for name in unit.kernels)),
                "within": point.cycles <= found.limit,
                "chosen": point == chosen,
            }
        )
    return made
