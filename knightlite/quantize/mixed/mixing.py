"""Which mix of 8 and 16 bits the settings ask for, and what it costs.

By hand (``Settings.mix``), by the share of operators (:mod:`knightlite.quantize.mixed.auto_mix`) or
by extra cycles (:mod:`knightlite.quantize.mixed.mix_budget`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from knightlite.errors import UnsupportedError
from knightlite.ir import Graph
from knightlite.quantize.data.workload import Workload
from knightlite.quantize.data_free.workloads import is_made_up
from knightlite.quantize.mixed.auto_mix import automatic_mix
from knightlite.quantize.mixed.cycles import Clock, cost_of_widths, draft
from knightlite.quantize.mixed.mix_budget import (
    Found,
    Point,
    budgeted_mix,
    check_budget,
    rows,
    without_table_rule,
)
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.scales.assignment import Assignment, assign
from knightlite.quantize.settings import NARROW, Settings
from knightlite.quantize.statistics.observers import Statistics
from knightlite.quantize.statistics.passes import Observation


@dataclass(frozen=True, slots=True)
class Mixed:
    """The choice by the settings with the mix in them, and the report's keys about it.

    ``price``: makes the report's ``cycles``, None where nothing has 16 bits but what is delivered;
    it takes as long as to compile the network.
    """

    assignment: Assignment
    settings: Settings
    report: Entry
    price: Callable[[], Entry | None]


def choose_mix(
    graph: Graph,
    seen_as: Graph,
    exact: Graph,
    workload: Workload,
    seen: Observation,
    statistics: Mapping[str, Statistics],
    settings: Settings,
    threads: int | None = None,
    clock: Clock | None = None,
) -> Mixed:
    """Choose the mix, then types and scales from ``statistics``.

    ``seen_as``: the float ``graph`` as it was observed, on which a mix is measured; ``exact``: the
    one before tables were spread. ``clock``: tells what widths cost.
    """
    units: list[Entry] = []
    points: list[Entry] = []
    if not _may_spend(graph, workload, settings, clock):
        settings = replace(settings, mix_budget=None)
    unmixed = replace(settings, mix=NARROW, auto_mix=None, mix_budget=None)
    asked = unmixed != settings
    if settings.auto_mix is not None:
        widths, units = automatic_mix(seen_as, workload, seen, settings, threads)
        settings = replace(settings, mix=widths, auto_mix=None)
    found = None
    if settings.mix_budget is not None:
        clock = check_budget(settings.mix_budget, clock)
        try:
            found = budgeted_mix(seen_as, workload, seen, settings, clock, threads)
        except UnsupportedError:  # the chip cannot run the network, which compile says
            if settings.mix_budget.asked:
                raise
            settings = replace(settings, mix_budget=None)
    if found is None:
        assignment = assign(graph, statistics, seen.plan, settings)
    else:
        assert clock is not None
        assignment, settings, point = _within(found, graph, statistics, seen, settings, clock)
        points = rows(found, clock, point)
    chosen, timer = settings, clock

    def price() -> Entry | None:
        widths = assignment.widths
        inner = widths.wide - set(graph.chip_outputs)
        spends = bool(inner or widths.weights16) or exact is not graph
        if timer is None or not (spends or asked):
            return None  # all is at 8 bits but what is delivered: nothing to weigh
        plain = draft(graph, statistics, seen.plan, unmixed).graph if asked else None
        return cost_of_widths(exact, assignment.graph, statistics, chosen, timer, plain)

    return Mixed(assignment, settings, {"mix": units, "mix_points": points}, price)


def _may_spend(graph: Graph, workload: Workload, settings: Settings, clock: Clock | None) -> bool:
    """False for an effort's budget that cannot be spent well.

    Where the chip is unknown or multiplies 8 bits only, where widths are given otherwise, and
    without pictures, whose noise is all that tells where 16 bits help.
    """
    if settings.mix_budget is None or settings.mix_budget.asked:
        return True
    given = settings.mix != NARROW or settings.auto_mix is not None or settings.widths is not None
    given |= settings.bit_width == 16 or any(pin.name not in graph.inputs for pin in settings.pins)
    blind = is_made_up(workload)
    return clock is not None and 16 in clock.bit_widths and not given and not blind


def _within(
    found: Found,
    graph: Graph,
    statistics: Mapping[str, Statistics],
    seen: Observation,
    settings: Settings,
    clock: Clock,
) -> tuple[Assignment, Settings, Point]:
    """The best point whose network, as it will be, stays within the budget.

    What was priced had other ranges. Time does not depend on them, and this is the proof.
    """
    for point, widths in found.tried[:-1]:
        mixed = replace(without_table_rule(settings), mix=widths, mix_budget=None)
        assignment = assign(graph, statistics, seen.plan, mixed)
        if clock.cycles(assignment.graph) <= found.limit:
            return assignment, mixed, point
    plain = replace(settings, mix_budget=None)
    return assign(graph, statistics, seen.plan, plain), plain, found.tried[-1][0]
