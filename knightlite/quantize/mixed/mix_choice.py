"""Which mix of 8 and 16 bits the settings ask for, and what it costs.

By hand (``Settings.mix``), by the share of operators (:mod:`knightlite.quantize.mixed.auto_mix`) or
by extra cycles (:mod:`knightlite.quantize.mixed.mix_budget`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.settings import NARROW, Settings
from knightlite.quantize.statistics.observation_plan import observation_plan
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
    basis: Basis,
    seen_as: Graph,
    exact: Graph,
    workload: Workload,
    seen: Observation,
    threads: int | None = None,
    clock: Clock | None = None,
) -> Mixed:
    """Choose the mix, then types and scales by ``basis``.

    ``seen_as``: its float graph as it was ``seen``, on which a mix is measured; ``exact``: the one
    before tables were spread. ``clock``: tells what widths cost.
    """
    units: list[Entry] = []
    points: list[Entry] = []
    if not _may_spend(basis, workload, clock):
        basis = basis.switched(mix_budget=None)
    unmixed = basis.switched(mix=NARROW, auto_mix=None, mix_budget=None)
    asked = unmixed.settings != basis.settings
    if basis.settings.auto_mix is not None:
        measured = Basis.of(seen_as, seen, basis.settings)
        widths, units = automatic_mix(measured, workload, seen.sample, threads)
        basis = basis.switched(mix=widths, auto_mix=None)
    found = None
    if basis.settings.mix_budget is not None:
        clock = check_budget(basis.settings.mix_budget, clock)
        measured = Basis.of(seen_as, seen, basis.settings)
        try:
            found = budgeted_mix(measured, workload, seen.sample, clock, threads)
        except UnsupportedError:  # the chip cannot run the network, which compile says
            if basis.settings.mix_budget.asked:
                raise
            basis = basis.switched(mix_budget=None)
    if found is None:
        assignment = assign(basis)
    else:
        assert clock is not None
        assignment, basis, point = _within(found, basis, clock)
        points = rows(found, clock, point)
    settings, timer = basis.settings, clock

    def price() -> Entry | None:
        widths = assignment.widths
        inner = widths.wide - set(basis.graph.chip_outputs)
        spends = bool(inner or widths.weights16) or exact is not basis.graph
        if timer is None or not (spends or asked):
            return None  # all is at 8 bits but what is delivered: nothing to weigh
        plain = draft(unmixed).graph if asked else None
        narrow = Basis(exact, basis.statistics, observation_plan(exact), settings)
        return cost_of_widths(narrow, assignment.graph, timer, plain)

    return Mixed(assignment, settings, {"mix": units, "mix_points": points}, price)


def _may_spend(basis: Basis, workload: Workload, clock: Clock | None) -> bool:
    """False for an effort's budget that cannot be spent well.

    Where the chip is unknown or multiplies 8 bits only, where widths are given otherwise, and
    without pictures, whose noise is all that tells where 16 bits help.
    """
    settings, inputs = basis.settings, basis.graph.inputs
    if settings.mix_budget is None or settings.mix_budget.asked:
        return True
    given = settings.mix != NARROW or settings.auto_mix is not None or settings.widths is not None
    given |= settings.bit_width == 16 or any(pin.name not in inputs for pin in settings.pins)
    blind = is_made_up(workload)
    return clock is not None and 16 in clock.bit_widths and not given and not blind


def _within(found: Found, basis: Basis, clock: Clock) -> tuple[Assignment, Basis, Point]:
    """The best point whose network, as it will be, stays within the budget.

    What was priced had other ranges. Time does not depend on them, and this is the proof.
    """
    for point, widths in found.tried[:-1]:
        mixed = without_table_rule(basis).switched(mix=widths, mix_budget=None)
        assignment = assign(mixed)
        if clock.cycles(assignment.graph) <= found.limit:
            return assignment, mixed, point
    plain = basis.switched(mix_budget=None)
    return assign(plain), plain, found.tried[-1][0]
