"""The scheduler's price of a tiling is the simulated time of its instructions, layer by layer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_checks import artificial, build
from knightlite.chip import Chip
from knightlite.emit.tokens import with_tokens
from knightlite.errors import KnightliteError
from knightlite.ir import Graph
from knightlite.schedule import LayerPlan, Plan
from knightlite.schedule.choose import candidates
from knightlite.schedule.layer_clock import LayerClock, TileCosts
from knightlite.schedule.least import LeastCycles
from knightlite.schedule.price import constant_bytes, price, tile_costs
from knightlite.schedule.steps import (
    LayerBuilder,
    LayerWalk,
    Scratchpads,
    Visit,
    in_program_order,
)
from knightlite.schedule.tiling import Tiling
from knightlite.sim import simulate_time
from quantized_nets import QuantizedNet
from random_layers import TX5368, chips, layers
from test_schedule import every_tiling, gated, grouped, pooled, strided, upsampled


def simulated(plan: Plan, layer: LayerPlan, tiling: Tiling) -> int:
    """The event clock's time of the layer alone, cut like this."""
    shape = layer.geometry
    builder = LayerBuilder(shape, plan.locations, lambda key: (1 << 20, constant_bytes(shape, key)))
    visits = LayerWalk(shape, tiling, Scratchpads()).visits()
    code = with_tokens(in_program_order([builder.code(visit) for visit in visits]))
    return simulate_time(code, shape.chip).total_cycles


def moved(net: QuantizedNet) -> Graph:
    """Loaded and stored, nothing in between."""
    return net.build(net.moved("Copy", (net.input("x", 18, 9, 7),), "y"))


def activated(net: QuantizedNet) -> Graph:
    """Tables and slopes that come with the parameters of their channels."""
    c = net.conv(net.input("x", 20, 5, 7), "c", 20, (3, 3), pads=(1, 1, 1, 1))
    return net.build(net.prelu(net.conv(net.table(c, "t"), "d", 70), "y"))


@pytest.mark.parametrize(
    "make",
    [strided, pooled, gated, grouped, upsampled, moved, activated],
    ids=lambda item: item.__name__,
)
@pytest.mark.parametrize("facts", [{}, {"ddr_efficiency_percent": 7}], ids=["", "slow DDR"])
def test_a_price_is_the_simulated_time(
    make: Callable[[QuantizedNet], Graph], facts: dict[str, Any]
) -> None:
    chip = replace(TX5368, fspm_bytes=16384, wspm_align_bytes=64, **facts)
    plan = build(make(QuantizedNet()), artificial(chip)).compiled.plan
    layer = plan.layers[-1]
    prices = set()
    costs = tile_costs(layer.geometry, plan.locations)
    least = LeastCycles(costs)
    for tiling in itertools.islice(every_tiling(layer.geometry), 0, None, 3):
        wanted = simulated(plan, layer, tiling)
        assert price(costs, tiling) == wanted
        assert 0 < least.of(tiling) <= wanted
        assert price(costs, tiling, 2 * wanted) == wanted
        # given up where it is no better than what is known
        assert price(costs, tiling, wanted) is None
        prices.add(wanted)
    assert len(prices) >= 6


def test_rows_of_every_phase_have_their_own_price() -> None:
    """Row by row, tiles that read two rows have three taps or two, as their phase has."""
    net = QuantizedNet()
    x = net.input("x", 20, 9, 4)
    graph = net.build(net.transposed(x, "y", 18, (5, 1), strides=(2, 1)))
    plan = build(graph, artificial(TX5368)).compiled.plan
    (layer,) = plan.layers
    tiling = Tiling(1, 18, 20, False, 1)
    tiles = [visit.tile for visit in LayerWalk(layer.geometry, tiling, Scratchpads()).visits()]
    cycles = {
        sum(item.cycles(TX5368) for item in layer.geometry.work.compute(tile))
        for tile in tiles[1:-1]
        if tile.x_rows[1] - tile.x_rows[0] == 2
    }
    assert len(cycles) == 2
    costs = tile_costs(layer.geometry, plan.locations)
    assert price(costs, tiling) == simulated(plan, layer, tiling)


def walked(costs: TileCosts, tiling: Tiling) -> int:
    """The price by a walk to the end."""
    clock = LayerClock(costs)
    for visit in LayerWalk(costs.geometry, tiling, Scratchpads()).visits():
        clock.take(visit)
    return clock.close()


@settings(max_examples=80)
@given(layers(), chips(), st.sampled_from((3, 57)))
def test_rounds_that_repeat_need_no_walk(graph: Graph, chip: Chip, percent: int) -> None:
    """And of all tilings the first of the fastest is chosen, whatever is not walked at all."""
    chip = replace(chip, ddr_efficiency_percent=percent)
    try:
        built = build(graph, artificial(chip))
    except KnightliteError:
        return
    for layer in built.compiled.plan.layers:
        costs = tile_costs(layer.geometry, built.compiled.plan.locations)
        least = LeastCycles(costs)
        for tiling in itertools.islice(every_tiling(layer.geometry), 0, None, 3):
            cycles = walked(costs, tiling)
            assert price(costs, tiling) == cycles
            assert least.of(tiling) <= cycles
        prices = [(walked(costs, item), item) for item in candidates(layer.geometry)]
        best = min(prices, key=lambda found: found[0])
        assert (layer.estimated_cycles, layer.tiling) == best


def test_most_rounds_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 rounds of either loop: a walk of a few, and the bound keeps most tilings from one."""
    net = QuantizedNet()
    x = net.conv(net.input("x", 8, 200, 4), "c", 8, (3, 3), pads=(1, 1, 1, 1))
    y = net.conv(net.max_pool(x, "p", kernel=(200, 1), strides=(200, 1)), "d", 200 * 16)
    chip = replace(TX5368, fspm_bytes=8192, wspm_bytes=4096, matrix_output_lanes=16)
    plan = build(net.build(y), artificial(chip)).compiled.plan
    taken: list[int] = []
    take = LayerClock.take

    def counted(clock: LayerClock, visit: Visit) -> None:
        taken.append(1)
        take(clock, visit)

    monkeypatch.setattr(LayerClock, "take", counted)
    for layer, tiling in (
        (plan.layers[0], Tiling(1, 8, 8, False, 2)),
        (plan.layers[2], Tiling(1, 16, 8, True, 2)),
    ):
        costs = tile_costs(layer.geometry, plan.locations)
        cycles = price(costs, tiling)
        assert len(taken) < 30
        taken.clear()
        assert cycles == walked(costs, tiling)
        assert len(taken) == 200
        taken.clear()
