"""The scheduler's price of a tiling, held to every tile lowered and added up, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from conformance_checks import artificial, build
from knightlite.ir import Graph
from knightlite.schedule.choose import constant_bytes, price
from knightlite.schedule.plan import LayerPlan, Plan
from knightlite.schedule.steps import LayerBuilder, LayerWalk, Scratchpads
from knightlite.schedule.tiling import Tiling
from quantized_nets import QuantizedNet
from random_layers import TX5368
from test_schedule import every_tiling, gated, grouped, pooled, strided, upsampled


def added_up(plan: Plan, layer: LayerPlan, tiling: Tiling) -> int:
    """The first load, the last store, and between them the slowest engine; all, with one buffer."""
    shape, chip = layer.geometry, layer.geometry.chip
    builder = LayerBuilder(shape, plan.locations, lambda key: (0, constant_bytes(shape, key)))
    loads, computes, stores = [], [], []
    for visit in LayerWalk(shape, tiling, Scratchpads()).visits():
        code = builder.code(visit)
        loads.append(sum(item.cycles(chip) for item in (*code.early, *code.late)))
        computes.append(sum(item.cycles(chip) for item in code.compute))
        stores.append(sum(item.cycles(chip) for item in code.store))
    transfers = sum(loads[1:]) + sum(stores[:-1])
    if tiling.buffers == 1:
        return loads[0] + transfers + sum(computes) + stores[-1]
    return loads[0] + max(sum(computes), transfers) + stores[-1]


@pytest.mark.parametrize(
    "make", [strided, pooled, gated, grouped, upsampled], ids=lambda item: item.__name__
)
def test_a_price_is_what_its_tiles_cost(make: Callable[[QuantizedNet], Graph]) -> None:
    chip: Any = replace(TX5368, fspm_bytes=16384, wspm_align_bytes=64)
    plan = build(make(QuantizedNet()), artificial(chip)).compiled.plan
    (layer,) = plan.layers
    prices = set()
    for tiling in itertools.islice(every_tiling(layer.geometry), 0, None, 3):
        wanted = added_up(plan, layer, tiling)
        assert price(layer.geometry, tiling, plan.locations) == wanted
        assert price(layer.geometry, tiling, plan.locations, 2 * wanted) == wanted
        # given up where it is no better than what is known
        assert price(layer.geometry, tiling, plan.locations, wanted) is None
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
    assert price(layer.geometry, tiling, plan.locations) == added_up(plan, layer, tiling)
