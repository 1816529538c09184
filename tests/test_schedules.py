"""Schedules above level 0: the same bytes of every tensor, by whatever way they come about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conformance_checks import ORIGIN, artificial, build, random_inputs, reference, run
from integer_nets import resnet, text_direction
from knightlite.allocate import place_tensors
from knightlite.api.models.search_file import budget_from, saved_search
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.compiler import compile_graph, plan_graph
from knightlite.dtypes import S8
from knightlite.errors import CapacityError, FormatError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Load, Space
from knightlite.lower import Placement
from knightlite.schedule import LEVELS, Budget, Region, homes
from knightlite.schedule.network import network_of
from knightlite.schedule.regions import band_rows
from knightlite.sim import simulate_time
from quantized_nets import QuantizedNet

SMALL = replace(
    find("TX5368AV200").chip,
    matrix_input_lanes=8,
    matrix_output_lanes=8,
    depthwise_lanes=8,
    wspm_align_bytes=16,
    mspm_align_bytes=16,
)


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    """From memories that hold hardly a layer to such that hold a network."""
    return replace(
        SMALL,
        fspm_bytes=draw(st.sampled_from([1024, 2048, 4096, 8192, 65536])),
        wspm_bytes=draw(st.sampled_from([1024, 4096, 16384])),
        mspm_bytes=draw(st.sampled_from([1024, 4096])),
        vector_lanes=draw(st.sampled_from([2, 8, 32])),
        ddr_efficiency_percent=draw(st.sampled_from([5, 57, 100])),
    )


@st.composite
def networks(draw: st.DrawFn, most: int = 9) -> Graph:
    """Convolutions of all kinds, pools, sums, Concats and enlargements, wired at random."""
    net = QuantizedNet()
    size = draw(st.sampled_from([(5, 5), (8, 8), (12, 6), (16, 4)]))
    known: dict[tuple[int, int], list[tuple[str, int]]] = {
        size: [(net.input("x", draw(st.integers(1, 9)), *size), 0)]
    }
    known[size][0] = ("x", net.channels("x"))
    last = "x", size, net.channels("x")
    for index in range(draw(st.integers(2, most))):
        place = draw(st.sampled_from(sorted(known)))
        x, channels = draw(st.sampled_from(known[place]))
        if draw(st.booleans()):
            x, place, channels = last
        name, kind = f"n{index}", draw(st.sampled_from(KINDS))
        made = _grown(net, draw, name, kind, x, place, channels, known)
        if made is None:
            continue
        last = made
        known.setdefault(made[1], []).append((made[0], made[2]))
    outputs = [last[0]]
    others = sorted(name for items in known.values() for name, _ in items if name != "x")
    if draw(st.booleans()) and others:
        outputs.append(draw(st.sampled_from(others)))
    assume(last[0] != "x")
    return net.build(*dict.fromkeys(outputs))


KINDS = ("1x1", "3x3", "3x3", "stride", "depthwise", "pool", "add", "concat", "enlarge", "global")
Made = tuple[str, tuple[int, int], int]


def _grown(
    net: QuantizedNet,
    draw: st.DrawFn,
    name: str,
    kind: str,
    x: str,
    place: tuple[int, int],
    channels: int,
    known: dict[tuple[int, int], list[tuple[str, int]]],
) -> Made | None:
    """One more layer, where it fits; its name, size and channels."""
    outs = draw(st.integers(1, 20))
    half = (-(-place[0] // 2), -(-place[1] // 2))
    if kind == "1x1":
        return net.conv(x, name, outs), place, outs
    if kind == "3x3":
        return net.conv(x, name, outs, (3, 3), pads=(1,) * 4), place, outs
    if kind == "stride":
        return net.conv(x, name, outs, (3, 3), strides=(2, 2), pads=(1,) * 4), half, outs
    if kind == "depthwise":
        return (
            net.conv(x, name, channels, (3, 3), pads=(1,) * 4, group=channels), place, channels,
        )  # fmt: skip
    if kind == "pool":
        made = net.max_pool(x, name, kernel=(3, 3), strides=(2, 2), pads=(1,) * 4)
        return made, half, channels
    alike = [item for item, count in known[place] if count == channels and item != x]
    if kind == "add" and alike:
        return net.add(x, draw(st.sampled_from(alike)), name), place, channels
    if kind == "concat" and len(known[place]) > 1:
        other, more = draw(st.sampled_from([item for item in known[place] if item[0] != x]))
        return net.concat(name, x, other), place, channels + more
    if kind == "enlarge" and max(place) <= 8:
        made = net.transposed(x, name, outs, (2, 2), strides=(2, 2))
        return made, (2 * place[0], 2 * place[1]), outs
    if kind == "global" and draw(st.booleans()):
        return net.average_pool(x, name, kernel=place), (1, 1), channels
    return None


def exact(graph: Graph, chip: Chip, level: int) -> dict[str, Any]:
    """Every tensor of two pictures against the integer references; the times of the plan."""
    built = build(graph, artificial(chip), level)
    for seed in range(2):
        inputs = random_inputs(graph, np.random.default_rng(seed))
        found, wanted = run(built, inputs), reference(graph, inputs)
        assert {node.output for node in built.compiled.graph.nodes} <= set(found)
        for name in set(wanted) & set(found):
            np.testing.assert_array_equal(found[name], wanted[name], name)
    layers = built.program.meta.layers
    total = simulate_time(built.machine.instructions, chip).total_cycles
    ordered = built.compiled.plan.order is not None
    estimate = sum(item.estimated_cycles for item in layers) if ordered else total
    return {"cycles": total, "estimate": estimate}


@settings(max_examples=60)
@given(networks(), chips())
def test_random_networks_are_exact(graph: Graph, chip: Chip) -> None:
    """Nothing left out, nothing overwritten too early; the time is what the plan says it is."""
    try:
        plain = exact(graph, chip, 0)
    except (CapacityError, UnsupportedError):
        assume(False)
    for level in range(1, len(LEVELS)):
        found = exact(graph, chip, level)
        assert found["cycles"] == found["estimate"]
        assert found["cycles"] <= plain["cycles"]


def tiled() -> Graph:
    """Values repeated along channels, which scale what they were made of."""
    net = QuantizedNet()
    f = net.conv(net.input("x", 8, 16, 8), "f", 8)
    q, v = net.conv(f, "q", 8), net.conv(f, "v", 8)
    several = net.concat("several", *[net.conv(q, "r", 2)] * 4)
    scaled = net.node("Mul", (q, several), "scaled", S8, 0.05)
    return net.build(net.add(net.add(scaled, v, "z"), f, "y"))


@pytest.mark.parametrize("fspm", [1 << 12, 3 << 12, 1 << 16])
def test_rows_are_shown_when_they_are_complete(fspm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were they lost right behind that, each would still be seen whole."""
    chip = replace(SMALL, fspm_bytes=fspm, wspm_bytes=4096, mspm_bytes=4096)
    known = exact(tiled(), chip, 1)
    monkeypatch.setattr(homes, "_overwritten", lambda network, code: lambda *asked: True)
    assert exact(tiled(), chip, 1) == known
    tensors = build(tiled(), artificial(chip), 1).program.meta.tensors
    apart = [item for item in tensors if len({piece.ready for piece in item.pieces}) > 1]
    assert apart
    for item in apart:
        rows = [(piece.row, piece.row + piece.rows) for piece in item.pieces]
        assert [first for first, _ in rows] == [0, *(last for _, last in rows[:-1])]
        assert rows[-1][1] == item.shape[2]


@pytest.mark.parametrize(
    ("layer", "at", "address", "lost"),
    [
        (1, 2, 64, True),  # by another layer, into what is written, before all of it is
        (0, 2, 64, False),  # by a maker
        (2, 2, 64, False),  # by the maker of another part of the buffer
        (1, 0, 64, False),  # before it is written
        (1, 3, 64, True),  # right before the last
        (1, 5, 64, False),  # behind the last
        (1, 2, 56, False),  # in front of it
        (1, 2, 57, True),  # on its first byte
        (1, 2, 71, True),  # on its last byte
        (1, 2, 72, False),  # behind it
        (1, 2, 80, False),  # what is written later
    ],
)
def test_rows_are_lost_where_another_layer_writes(
    layer: int, at: int, address: int, lost: bool
) -> None:
    def load(layer: int, place: int, space: Space = Space.FSPM) -> Load:
        return Load(
            layer=layer, wait=0, signal=0, ddr_address=0, ddr_row_stride=8, ddr_column_stride=8,
            local_address=place, local_row_stride=8, local_column_stride=8, rows=1, columns=1,
            run_bytes=8, space=space,
        )  # fmt: skip

    def asked(other: Load) -> bool:
        code = [load(9, 4096), load(0, 64), load(9, 4096), load(9, 4096), load(0, 80)]
        code.insert(at, other)
        first, ready = (n for n, item in enumerate(code) if item.layer == 0 and item is not other)
        parts = [SimpleNamespace(index=n, y=SimpleNamespace(buffer="bcb"[n])) for n in range(3)]
        network: Any = SimpleNamespace(layers=parts)
        piece = homes.Piece((0, 2), Placement(64, 16, 4), first, ready)
        return homes._overwritten(network, code)("b", {0}, piece)

    assert asked(load(layer, address)) == lost
    assert not asked(load(layer, address, Space.WSPM))


@pytest.mark.parametrize("kept", [False, True])
def test_bands_begin_with_a_whole_phase(kept: bool) -> None:
    """Instructions that write every third row write equally many of a band, but of the last."""
    net = QuantizedNet()
    x = net.transposed(net.input("x", 3, 5, 5), "up", 4, (3, 3), strides=(3, 3))
    graph = net.build(net.conv(x, "y", 4, (3, 3), pads=(1,) * 4))
    placed, places = place_tensors(graph)
    network = network_of(placed, places, SMALL)
    for bands in range(2, 16):
        rows = band_rows(network, Region(0, 2, bands, kept), frozenset())
        walked = [item[0] for item in rows if 0 in item]
        assert walked[0][0] == 0
        assert walked[-1][1] == 15
        assert all(first % 3 == 0 and last % 3 == 0 for first, last in walked)


@pytest.mark.parametrize("chip", ["TX5368AV200", "TX5112CV201"])
def test_a_search_goes_on_where_it_stopped(chip: str, tmp_path: Path) -> None:
    """As if it had never stopped; from the file that it leaves, and not from another model's."""
    graph, family = text_direction(), find(chip)
    at_once, first = (
        compile_graph(graph, family, chip, ORIGIN, level=2, budget=Budget(count))
        for count in (12, 5)
    )
    order = first.plan.order
    assert order is not None
    assert order.tried == 5
    path = tmp_path / "x_r.search.json"
    digest = family.digest
    path.write_bytes(saved_search(order, "0" * 64, digest))
    budget = budget_from(path, "0" * 64, digest, 12, None)
    assert budget == Budget(12, None, order.decisions, 5)
    further = compile_graph(graph, family, chip, ORIGIN, level=2, budget=budget)
    assert further.program == at_once.program
    assert budget_from(path, "1" * 64, digest, 12, None) == Budget(12)
    assert budget_from(path, "0" * 64, digest, 4, None) == Budget(4)
    path.write_bytes(b"{}")
    with pytest.raises(FormatError, match="is damaged"):
        budget_from(path, "0" * 64, digest, 12, None)


def test_a_search_is_never_slower_and_ends_in_time() -> None:
    """Of a network where it finds something; no second is no change."""
    graph, family = resnet(), find("TX5368AV200")
    cycles = [
        sum(layer.estimated_cycles for layer in plan.layers)
        for plan in (
            plan_graph(graph, family, "TX5368AV200", level=level, budget=budget)
            for level, budget in ((1, None), (2, Budget(0)), (2, Budget(12)))
        )
    ]
    assert cycles[0] == cycles[1] > cycles[2]
    order = plan_graph(graph, family, "TX5368AV200", level=2, budget=Budget(100, seconds=0.0)).order
    assert order is not None
    assert order.tried <= 1


def test_what_is_not_a_schedule_is_not_gone_on_from() -> None:
    """Of other layers, of more bands than rows, of a buffer that cannot stay."""
    graph, family = resnet(), find("TX5368AV200")
    fresh = compile_graph(graph, family, "TX5368AV200", ORIGIN, level=2, budget=Budget(2))
    order = fresh.plan.order
    assert order is not None
    regions = order.decisions.regions
    for wrong in (
        replace(order.decisions, regions=regions[:-1]),
        replace(order.decisions, regions=(replace(regions[0], bands=999), *regions[1:])),
        replace(order.decisions, resident=frozenset(graph.inputs)),
    ):
        found = compile_graph(
            graph, family, "TX5368AV200", ORIGIN, level=2, budget=Budget(2, None, wrong, 0)
        )
        assert found.program == fresh.program
