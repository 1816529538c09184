"""No program beats the lower bound; what it is made of, by hand; what FSPM must hold at most."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from assembled import make
from conformance_checks import SHORT, artificial
from knightlite import dtypes
from knightlite.allocate import Buffer, buffers, place_tensors
from knightlite.chip import Chip
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.errors import CapacityError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Matrix, Pool, PoolMode
from knightlite.lower import work_of
from knightlite.passes import PIPELINE, Explanations, run_passes
from knightlite.schedule import LEVELS, Bound, live_bytes, lower_bound, overwritten
from knightlite.schedule.least_work import matrix_cycles, vector_cycles
from knightlite.sim import simulate_time
from quantized_nets import QuantizedNet
from random_layers import TX5368, chips, layers


def passed(graph: Graph, chip: Chip) -> Graph:
    return run_passes(graph, chip, PIPELINE, Explanations())


# ------------------------------------------------------------------ no program is faster


KINDS = ("conv", "residual", "joined", "depthwise", "pool", "prologue")


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """A few layers with branches: weights from a few bytes to more than WSPM, adds and joins."""
    net = QuantizedNet(seed=draw(st.integers(0, 9)))
    x = net.input("x", draw(st.sampled_from((3, 16, 40))), draw(st.integers(1, 9)), 7)
    for index in range(draw(st.integers(2, 6))):
        name = f"y{index}"
        count = net.channels(x)
        kind = draw(
            st.sampled_from(("conv", "residual", "joined", "depthwise", "pool", "prologue"))
        )
        if kind == "pool":
            x = net.max_pool(x, name, kernel=(3, 3), pads=(1, 1, 1, 1))
        elif kind == "depthwise":
            x = net.conv(x, name, count, (3, 3), pads=(1, 1, 1, 1), group=count)
        elif kind == "prologue":
            x = net.conv(net.affine(x, f"{name}.norm"), name, 24)
        elif kind == "residual":
            x = net.add(net.conv(x, f"{name}.main", count, (3, 3), pads=(1, 1, 1, 1)), x, name)
        elif kind == "joined":
            branch = net.conv(x, f"{name}.branch", draw(st.sampled_from((4, 33))))
            x = net.concat(name, branch, x) if net.builder.tensors[x].dtype == dtypes.S8 else branch
        else:
            stride = draw(st.integers(1, 2))
            x = net.conv(x, name, draw(st.sampled_from((5, 70))), strides=(stride, stride))
    return net.build(x)


def check_levels(graph: Graph, chip: Chip) -> None:
    bound = lower_bound(passed(graph, chip), chip)
    for level in range(len(LEVELS)):
        try:
            plan = plan_graph(graph, artificial(chip), "ANY", level=level, budget=SHORT)
        except (CapacityError, UnsupportedError):
            reject()
        assert simulate_time(program_code(plan), chip).total_cycles >= bound.cycles
        # the same for the graph as it was planned, with its copies and its order
        assert lower_bound(plan.graph, chip).weight_cycles <= bound.weight_cycles


@settings(max_examples=40)
@given(networks(), chips())
def test_no_network_is_faster(graph: Graph, chip: Chip) -> None:
    check_levels(graph, chip)


@settings(max_examples=100)
@given(layers(), chips())
def test_no_layer_is_faster(graph: Graph, chip: Chip) -> None:
    check_levels(graph, chip)


# ------------------------------------------------------------------ by hand


def three_convolutions() -> Graph:
    """384, 768 and 2560 bytes of weights and parameters; 16, 16 and 4 pixels; a pool between."""
    net = QuantizedNet()
    a = net.conv(net.input("x", 16, 4, 4), "a", 16)
    pooled = net.max_pool(net.conv(a, "b", 32), "pool", strides=(2, 2))
    return net.build(net.conv(pooled, "c", 64))


def slow(lanes: int, vector_lanes: int, bytes_per_second: int, kept: int) -> Chip:
    """1600 cycles a second; ``kept``: bytes of WSPM, beside 128 of MSPM."""
    return replace(
        TX5368, clock_hz=1600, ddr_bytes_per_second=bytes_per_second, ddr_efficiency_percent=100,
        matrix_input_lanes=lanes, matrix_output_lanes=lanes, matrix_packed_channels=1,
        vector_lanes=vector_lanes, wspm_bytes=kept, mspm_bytes=128,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chip", "bound", "binds"),
    [
        # products: 4096 + 8192 + 8192; before c 12288, and (2560 - 144) bytes at 4 cycles
        (slow(1, 8, 400, 16), Bound(64, 4 * 4224, 12288 + 4 * 2416, "c"), "weights"),
        # the scratchpads hold all of c, nothing is waited for
        (slow(1, 8, 400, 4096), Bound(64, 4 * 4224, 20480, ""), "weights"),
        # 3712 bytes of constants, 256 of x, 256 of c; without the products all waits in front of a
        (slow(16, 8, 160, 16), Bound(64, 42240, 10 * (3712 - 144), "a"), "ddr"),
        # a pool of 4 pixels, 32 channels and 4 taps, one element a cycle
        (slow(16, 1, 25600, 16), Bound(512, 264, 223, "a"), "vector"),
    ],
)
def test_by_hand(chip: Chip, bound: Bound, binds: str) -> None:
    assert lower_bound(passed(three_convolutions(), chip), chip) == bound
    assert (bound.binds, bound.cycles) == (binds, max(bound.vector_cycles, bound.ddr_cycles,
                                                      bound.weight_cycles))  # fmt: skip


def test_what_runs_beside_products_is_no_vector_work() -> None:
    """An Add behind a convolution and a BatchNorm in front; an Add alone could be behind one."""
    net = QuantizedNet()
    x, z = net.input("x", 16, 4, 4), net.input("z", 16, 4, 4)
    graph = net.build(net.add(net.conv(net.affine(x, "norm"), "conv", 16), z, "y"))
    assert lower_bound(passed(graph, TX5368), TX5368).vector_cycles == 0
    assert lower_bound(graph, TX5368).vector_cycles == 0


def test_shared_weights_are_loaded_once() -> None:
    def constants(shared: bool) -> int:
        net = QuantizedNet()
        a = net.conv(net.input("x", 32, 4, 4), "a", 32)
        graph = net.build(net.conv(a, "b", 32))
        if shared:
            first, second = graph.nodes
            inputs = (second.inputs[0], first.inputs[1], second.inputs[2])
            graph = graph.with_nodes([first, replace(second, inputs=inputs)])
        return lower_bound(graph, slow(32, 8, 1600, 16)).ddr_cycles

    assert constants(shared=False) - constants(shared=True) == 32 * 32


def test_what_no_layer_reads_and_what_is_given_twice() -> None:
    """A stride that ends before the last row; a Concat of outputs; a Slice of one."""
    net = QuantizedNet()
    x = net.input("x", 16, 4, 4)
    a = net.max_pool(x, "a", strides=(2, 2), kernel=(1, 1))  # rows 0 and 2
    joined = net.concat("joined", a, net.max_pool(a, "b", kernel=(1, 1)))
    graph = net.build(joined, a, net.cut(joined, "part", ends=(8, 2, 2)))
    cycles = lower_bound(graph, slow(32, 8, 1600, 16)).ddr_cycles
    assert cycles == 16 * 3 * 4 + 2 * 16 * 2 * 2


def test_an_input_passes_once_for_all_its_readers() -> None:
    """The most of its rows that one of them reads; as a second operand it is read whole."""
    for kernels, rows in ((((1, 1),) * 2, 3), (((1, 1), (2, 2)), 4), (((2, 2), (1, 1)), 4)):
        net = QuantizedNet()
        x = net.input("x", 16, 4, 4)
        a, b = (
            net.max_pool(x, name, strides=(2, 2), kernel=kernel)
            for name, kernel in zip("ab", kernels, strict=True)
        )
        cycles = lower_bound(net.build(a, b), slow(32, 8, 1600, 16)).ddr_cycles
        assert cycles == 16 * rows * 4 + 2 * 16 * 2 * 2
    net = QuantizedNet()
    x, z = net.input("x", 16, 4, 4), net.input("z", 16, 4, 4)
    graph = net.build(net.add(net.max_pool(x, "a", kernel=(1, 1)), z, "y"), net.add(x, z, "w"))
    assert lower_bound(graph, slow(32, 8, 1600, 16)).ddr_cycles == 4 * 16 * 16


# ------------------------------------------------------------------ however a layer is cut


def cheapest(size: int, cost: Any) -> int:
    """The least sum of costs over all ways to write ``size`` as a sum."""

    @lru_cache
    def best(left: int) -> int:
        return min((cost(part) + best(left - part) for part in range(1, left + 1)), default=0)

    return best(size)


sizes = st.integers(1, 14)


@given(chips(), sizes, sizes, st.integers(1, 9), st.integers(1, 3))
def test_depthwise_channels_cut_in_any_way(
    chip: Chip, channels: int, width: int, taps: int, lanes: int
) -> None:
    chip = replace(chip, depthwise_lanes=lanes)
    item = matrix_of(channels, channels, width, taps, depthwise=1)
    assert matrix_cycles(item, chip) == cheapest(
        channels, lambda part: least_of(replace(item, x_channels=part, y_channels=part), chip)
    )


@given(chips(), sizes, sizes, sizes, st.integers(1, 9))
def test_input_channels_cut_in_any_way(
    chip: Chip, ins: int, outs: int, width: int, taps: int
) -> None:
    item = matrix_of(ins, outs, width, taps)
    assert matrix_cycles(item, chip) == cheapest(
        ins, lambda part: least_of(replace(item, x_channels=part), chip)
    )
    assert matrix_cycles(item, chip) <= cheapest(
        outs, lambda part: matrix_cycles(replace(item, y_channels=part), chip)
    )


@given(chips(), sizes, st.integers(1, 3), st.integers(1, 3), st.integers(1, 9))
def test_groups_cut_in_any_way(chip: Chip, groups: int, ins: int, outs: int, taps: int) -> None:
    item = matrix_of(groups * ins, groups * outs, 5, taps, groups=groups)

    def together(count: int) -> int:
        part = replace(item, groups=count, x_channels=count * ins, y_channels=count * outs)
        return matrix_cycles(part, chip) if count == 1 else least_of(part, chip)

    assert matrix_cycles(item, chip) == cheapest(groups, together)


@given(chips(), sizes, st.integers(1, 9))
def test_vector_channels_cut_in_any_way(chip: Chip, channels: int, taps: int) -> None:
    chip = replace(chip, vector_lanes=4)
    net = QuantizedNet()
    work = work_of(net.build(net.max_pool(net.input("x", 1, 2, 2), "y")), net.builder.nodes[0])
    item = replace(pool_of(taps), x_channels=channels, y_channels=channels)

    def alone(part: int) -> int:
        tile = replace(item, x_channels=part, y_channels=part)
        return tile.cycles(chip) - chip.vector_setup_cycles

    assert vector_cycles(item, work, chip) == cheapest(channels, alone)


def matrix_of(ins: int, outs: int, width: int, taps: int, **given: int) -> Matrix:
    return make(
        Matrix, x_channels=ins, y_channels=outs, x_width=width, y_width=width, kernel_width=taps,
        **given,
    )  # fmt: skip


def pool_of(taps: int) -> Pool:
    return make(Pool, y_height=3, y_width=5, kernel_height=taps, mode=PoolMode.MAX)


def least_of(item: Matrix, chip: Chip) -> int:
    return item.cycles(chip) - chip.matrix_setup_cycles


@pytest.mark.parametrize(("prologue", "activation"), [(1, 0), (0, 1), (1, 1)])
def test_the_lanes_in_front_and_behind_set_the_pace(prologue: int, activation: int) -> None:
    """96 channels on 64 lanes: 3 pixels in 5 turns, not 6; 288 values on 8 vector lanes in 36."""
    item = matrix_of(96, 96, 3, 1, depthwise=1)
    assert matrix_cycles(item, replace(TX5368, vector_lanes=8)) == 5
    item = replace(item, prologue=prologue, activation=activation)
    assert matrix_cycles(item, replace(TX5368, vector_lanes=8)) == 36
    assert matrix_cycles(item, replace(TX5368, vector_lanes=64)) == 5


# ------------------------------------------------------------------ what FSPM must hold


def test_live_bytes_by_hand() -> None:
    blocks = [
        Buffer("x", 100, 1, 1, -1, 1),
        Buffer("a", 60, 1, 1, 0, 2),
        Buffer("b", 80, 1, 1, 1, 3),
        Buffer("c", 90, 1, 1, 2, 3),
    ]
    assert live_bytes(blocks, {}) == 100 + 60 + 80
    assert live_bytes(blocks, {"b": "x"}) == 60 + 80 + 90  # 80 of b lie in x
    assert live_bytes(blocks, {"b": "x", "c": "a"}) == 80 + 90
    assert live_bytes([], {}) == 0


def test_what_may_be_written_over() -> None:
    """A sum over its second operand as it dies, a table over its input; nothing over a window."""
    net = QuantizedNet()
    x = net.input("x", 16, 4, 4)
    a = net.conv(x, "a", 16)
    b = net.add(net.conv(a, "b.conv", 16), a, "b")  # over a, which is read last there
    c = net.table(net.max_pool(b, "pool", kernel=(1, 1)), "c")  # over the pool
    d = net.concat("joined", c, net.conv(c, "d", 16))  # one buffer
    graph, places = place_tensors(passed(net.build(d), TX5368))
    blocks = buffers(graph, places, TX5368)
    assert overwritten(graph, places, blocks) == {"b": "a", "pool": "b", "joined": "pool"}
    assert live_bytes(blocks, overwritten(graph, places, blocks)) == 2 * 16 * 16
