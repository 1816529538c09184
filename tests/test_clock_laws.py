"""Laws of what instructions cost, over random chips and instructions: every term of the clock.

A law holds for any figures, so it tells a formula that is wrong where no example was worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import S8, TINY, make
from integer_nets import NETWORKS
from knightlite.chip import TIMING_FACTS, Chip
from knightlite.chip_files import find
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.emit.tokens import with_tokens
from knightlite.isa import (
    Activation,
    Engine,
    Instruction,
    Load,
    Matrix,
    Move,
    Space,
    Store,
    Transfer,
)
from knightlite.sim import simulate_time
from random_instructions import Random

SIZES = {
    "matrix_input_lanes": (1, 3, 4, 16, 32),
    "matrix_output_lanes": (1, 5, 16, 32, 64),
    "wide_matrix_output_lanes": (1, 7, 16, 32),
    "depthwise_lanes": (1, 6, 32, 64),
    "wide_depthwise_lanes": (1, 5, 32),
    "groups_per_block": (1, 2, 5, 64),
    "vector_lanes": (1, 3, 8, 64),
    "matrix_setup_cycles": (1, 16, 64),
    "vector_setup_cycles": (1, 16, 32),
    "fspm_banks": (1, 3, 8),
    "fspm_bank_bytes_per_cycle": (4, 13, 32),
    "ddr_bytes_per_second": (400_000_000, 3_200_000_000, 12_800_000_000),
    "ddr_efficiency_percent": (7, 57, 100),
    "ddr_burst_bytes": (1, 24, 64, 128),
    "dma_setup_cycles": (1, 20, 100),
}
# more of these is never slower; of the setups less is. A burst may be too short or too long, and
# a clock, kernel columns beside each other or the word of a bank are not more of the same
MORE = (
    "matrix_input_lanes", "matrix_output_lanes", "wide_matrix_output_lanes", "depthwise_lanes",
    "wide_depthwise_lanes", "groups_per_block", "vector_lanes", "fspm_banks",
    "ddr_bytes_per_second", "ddr_efficiency_percent",
)  # fmt: skip
LESS = ("matrix_setup_cycles", "vector_setup_cycles", "dma_setup_cycles")


@st.composite
def chips(draw: st.DrawFn) -> Chip:
    facts: dict[str, Any] = {name: draw(st.sampled_from(SIZES[name])) for name in SIZES}
    return replace(TINY, **facts)


def transfer(draw: Random, kind: type[Transfer] = Load, **given: int) -> Transfer:
    """Runs that touch, nearly touch or lie apart, in rows that do."""
    run, columns, rows = draw.integer(1, 200), draw.integer(1, 6), draw.integer(1, 6)
    column = run + draw.one_of(0, 1, draw.integer(0, 80), draw.integer(0, 400))
    whole = (columns - 1) * column + run
    row = whole + draw.one_of(0, column - run, draw.integer(0, 80), draw.integer(0, 400))
    place: dict[str, int] = {"space": Space.FSPM} if kind is Load else {}
    return make(
        kind, rows=rows, columns=columns, run_bytes=run, ddr_row_stride=row,
        ddr_column_stride=column, **{**place, **given},
    )  # fmt: skip


def moves(draw: Random) -> Move:
    fields = {f"count{loop}": draw.integer(1, 5) for loop in range(4)}
    fields |= {f"x_stride{loop}": draw.integer(0, 90) for loop in range(4)}
    fields |= {f"y_stride{loop}": draw.integer(0, 90) for loop in range(4)}
    return make(Move, run_bytes=draw.integer(1, 90), **fields)


def instruction(draw: Random) -> Instruction:
    kind = draw.integer(0, 6)
    if kind < 3:
        return draw.pointwise(kind)
    others: tuple[Callable[[], Instruction], ...] = (
        draw.matrix, draw.pool, lambda: transfer(draw), lambda: moves(draw),
    )  # fmt: skip
    return others[kind - 3]()


@st.composite
def programs(draw: st.DrawFn) -> list[Instruction]:
    """Any instructions, ordered by what they touch as the compiler orders its own."""
    random = Random(draw(st.integers(0, 2**32 - 1)))
    return with_tokens([instruction(random) for _ in range(draw(st.integers(1, 20)))])


seeds = st.integers(0, 2**32 - 1)


# ------------------------------------------------------------------ more is never slower


@pytest.mark.parametrize("fact", [*MORE, *LESS])
@settings(max_examples=40)
@given(code=programs(), chip=chips(), data=st.data())
def test_a_better_part_never_makes_anything_slower(
    fact: str, code: list[Instruction], chip: Chip, data: st.DataObject
) -> None:
    if fact == "vector_lanes":  # words are fetched whole: wider ones want banks that feed them
        chip = replace(chip, fspm_banks=1 << 12)
    value = getattr(chip, fact)
    better: Any = data.draw(
        st.integers(value, 100 if fact.endswith("percent") else 4 * value)
        if fact in MORE
        else st.integers(1, value)
    )
    faster = replace(chip, **{fact: better})
    for item in code:
        assert item.cycles(faster) <= item.cycles(chip)
    before, after = simulate_time(code, chip), simulate_time(code, faster)
    assert after.total_cycles <= before.total_cycles


def test_every_fact_of_time_is_in_a_law_or_named_as_an_exception() -> None:
    others = {"clock_hz", "matrix_packed_channels", "ddr_burst_bytes", "fspm_bank_bytes_per_cycle"}
    assert {*MORE, *LESS} | others == set(TIMING_FACTS)
    assert not {*MORE, *LESS} & others


@settings(max_examples=100)
@given(programs(), chips())
def test_no_time_is_below_what_its_parts_need(code: list[Instruction], chip: Chip) -> None:
    """MACs at the peak, bytes at the DDR's rate, every queue's own cycles; no stall is negative."""
    found = simulate_time(code, chip)
    bursts = sum(item.ddr_bytes(chip) for item in code if isinstance(item, Transfer))
    rate = chip.ddr_bytes_per_second * chip.ddr_efficiency_percent
    assert found.total_cycles * rate >= bursts * chip.clock_hz * 100
    peak = max(chip.peak_macs_per_cycle, chip.depthwise_lanes, chip.wide_depthwise_lanes,
               chip.matrix_input_lanes * chip.wide_matrix_output_lanes)  # fmt: skip
    assert found.total_cycles * peak >= sum(item.macs() for item in code)
    for engine in Engine:
        busy = sum(item.cycles(chip) for item in code if engine == item.ENGINE)
        assert found.total_cycles >= busy
    for event in found.events:
        assert event.token_stall >= 0
        assert event.ddr_stall >= 0
    assert found.total_cycles <= sum(item.cycles(chip) for item in code)


# ------------------------------------------------------------------ transfers


@settings(max_examples=200)
@given(seeds, chips())
def test_bursts_hold_what_is_asked_for(seed: int, chip: Chip) -> None:
    """At least its bytes, at most those of every run alone; whole bursts; both ways alike."""
    item = transfer(Random(seed))
    burst = chip.ddr_burst_bytes
    found = item.ddr_bytes(chip)
    assert found % burst == 0
    assert item.payload_bytes <= found
    assert found <= item.rows * item.columns * -(-item.run_bytes // burst) * burst
    twin = transfer(Random(seed), Store)
    assert (twin.payload_bytes, twin.ddr_bytes(chip)) == (item.payload_bytes, found)


def parts(item: Transfer, at: int, by: str) -> tuple[Transfer, Transfer]:
    """The transfer cut in two: rows, the runs of each row, or each run."""
    first, rest = replace(item, **{by: at}), replace(item, **{by: getattr(item, by) - at})
    return first, rest


@settings(max_examples=300)
@given(seeds, chips(), st.sampled_from(("rows", "columns", "run_bytes")), st.data())
def test_splitting_a_transfer_is_never_cheaper(
    seed: int, chip: Chip, by: str, data: st.DataObject
) -> None:
    """But for the one burst that a cut through a gap may save: less than a burst lies in a gap."""
    draw = Random(seed)
    item = transfer(draw)
    if getattr(item, by) < 2:
        return
    at = data.draw(st.integers(1, getattr(item, by) - 1))
    both = parts(item, at, by)
    burst = chip.ddr_burst_bytes
    assert sum(part.payload_bytes for part in both) == item.payload_bytes
    bursts = sum(part.ddr_bytes(chip) for part in both)
    cuts = 1 if by == "rows" else item.rows * (1 if by == "columns" else item.columns)
    assert bursts >= item.ddr_bytes(chip) - cuts * burst
    touching = item.ddr_column_stride == item.run_bytes and (
        item.ddr_row_stride == item.columns * item.run_bytes
    )
    apart = item.ddr_column_stride >= item.run_bytes + burst and (
        item.ddr_row_stride >= (item.columns - 1) * item.ddr_column_stride + item.run_bytes + burst
    )
    if by != "run_bytes" and (touching or apart):
        assert bursts >= item.ddr_bytes(chip)
        assert sum(part.cycles(chip) for part in both) >= item.cycles(chip)


# ------------------------------------------------------------------ the matrix engine


def alone(chip: Chip, **given: int) -> int:
    """Cycles of a matrix instruction without its setup."""
    return make(Matrix, **given).cycles(chip) - chip.matrix_setup_cycles


@settings(max_examples=100)
@given(seeds, chips())
def test_prologue_and_activation_go_at_the_vector_engine_s_rate(seed: int, chip: Chip) -> None:
    """Whatever is slowest: products, sums through the banks, values in front, values behind."""
    item = Random(seed).matrix()
    plain = replace(item, prologue=0, activation=0, x_type=S8, prologue_type=S8)
    front = -(-item.x_height * item.x_width * item.x_channels // chip.vector_lanes)
    behind = -(-item.pixels * item.y_channels // chip.vector_lanes)
    setup = chip.matrix_setup_cycles
    bare = plain.cycles(chip) - setup
    assert replace(plain, prologue=1).cycles(chip) == setup + max(bare, front)
    for kind in (Activation.TABLE, Activation.TWO_SIDED):
        slow = bare if plain.accumulate_out else max(bare, behind)
        assert replace(plain, activation=kind).cycles(chip) == setup + slow
        if not plain.accumulate_out:
            both = replace(plain, activation=kind, prologue=1)
            assert both.cycles(chip) == setup + max(bare, front, behind)


@settings(max_examples=150)
@given(
    chips(), st.integers(1, 9), st.integers(1, 40), st.integers(1, 70), st.integers(1, 3),
    st.integers(1, 3), st.integers(1, 6), st.integers(0, 1),
)  # fmt: skip
def test_groups_cost_between_one_block_s_share_and_one_each(
    chip: Chip, groups: int, ins: int, outs: int, down: int, right: int, width: int, wide: int
) -> None:
    """Where none share, as small convolutions one after the other; more may share, never slower."""
    kernel = {"kernel_height": down, "kernel_width": right, "y_width": width, "weight_type": wide}
    one = alone(chip, x_channels=ins, y_channels=outs, **kernel)
    given = {"x_channels": groups * ins, "y_channels": groups * outs, "groups": groups, **kernel}
    costs = [
        alone(replace(chip, groups_per_block=share), **given) for share in range(1, groups + 1)
    ]
    assert costs[0] == groups * one
    assert costs == sorted(costs, reverse=True)
    lanes = chip.wide_matrix_output_lanes if wide else chip.matrix_output_lanes
    assert costs[-1] * chip.matrix_input_lanes * lanes >= width * groups * ins * outs * down * right


@settings(max_examples=100)
@given(
    chips(), st.integers(1, 200), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9),
    st.integers(0, 1),
)  # fmt: skip
def test_few_channels_share_the_depthwise_lanes(
    chip: Chip, channels: int, height: int, width: int, taps: int, wide: int
) -> None:
    """No faster than all lanes full, no slower than a pixel at a time; equal where they fill."""
    lanes = chip.wide_depthwise_lanes if wide else chip.depthwise_lanes
    found = alone(
        chip, x_channels=channels, y_channels=channels, depthwise=1, y_height=height,
        y_width=width, kernel_width=taps, weight_type=wide,
    )  # fmt: skip
    pixels = height * width
    assert found >= -(-pixels * channels // lanes) * taps
    assert found <= pixels * -(-channels // lanes) * taps
    if channels % lanes == 0:
        assert found == pixels * channels // lanes * taps
    if channels <= lanes:
        assert found == -(-pixels * channels // lanes) * taps


# ------------------------------------------------------------------ the vector engine


@settings(max_examples=150)
@given(seeds, chips())
def test_a_move_is_held_to_the_lanes_and_to_a_bank_s_word(seed: int, chip: Chip) -> None:
    item = moves(Random(seed))
    turns = item.count0 * item.count1 * item.count2 * item.count3
    cycles = item.cycles(chip) - chip.vector_setup_cycles
    size = turns * item.run_bytes
    assert cycles * chip.vector_lanes >= size
    slowest = turns * -(-item.run_bytes // min(chip.vector_lanes, chip.fspm_bank_bytes_per_cycle))
    assert cycles <= slowest
    dense = replace(item, x_stride3=item.run_bytes, y_stride3=item.run_bytes)
    assert dense.cycles(chip) - chip.vector_setup_cycles >= -(-size // chip.vector_lanes)


@settings(max_examples=100)
@given(seeds, chips(), st.integers(0, 2))
def test_pointwise_work_is_held_to_lanes_and_banks(seed: int, chip: Chip, kind: int) -> None:
    item = Random(seed).pointwise(kind)
    cycles = item.cycles(chip) - chip.vector_setup_cycles
    elements = item.pixels * item.y_channels
    assert cycles * chip.vector_lanes >= elements
    assert cycles * chip.fspm_bytes_per_cycle >= elements * (item.x_bytes + item.y_bytes)


# ------------------------------------------------------------------ the scheduler's estimate


@pytest.mark.parametrize("make_net", NETWORKS, ids=lambda item: item.__name__)
def test_a_network_takes_what_the_scheduler_said(make_net: Any) -> None:
    """To 1 % at level 0, where a layer begins when the one before it is stored: none contend.

    At level 1 layers overlap, so that it takes at most what was said.
    """
    graph = make_net()
    for name in ("TX5368AV200", "TX5112CV201"):
        family = find(name)
        for level in (0, 1):
            plan = plan_graph(graph, family, name, level=level)
            said = sum(layer.estimated_cycles for layer in plan.layers)
            found = simulate_time(program_code(plan), family.chip).total_cycles
            assert found <= 1.01 * said
            assert level > 0 or found >= 0.99 * said
