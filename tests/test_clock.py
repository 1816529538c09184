"""The event clock: timelines worked out by hand, and the laws of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import RCCN, RCVT, RDMA, TINY, WDMA, load, make, program, small_matrix, store
from knightlite.chip import Chip
from knightlite.errors import MachineError
from knightlite.isa import Engine, Instruction, Pool, Space, Transfer
from knightlite.profiler import profile
from knightlite.sim import simulate_time

# one byte per cycle, setup 10; matrix 64 setup; so every number below is easy to follow
CHIP = replace(
    TINY,
    clock_hz=1000,
    ddr_bytes_per_second=1000,
    ddr_efficiency_percent=100,
    ddr_burst_bytes=1,
    dma_setup_cycles=10,
    matrix_setup_cycles=64,
)


def times(code: Sequence[Instruction], chip: Chip = CHIP) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in simulate_time(code, chip).events]


def test_two_loads_wait_for_their_queue() -> None:
    code = [load(Space.FSPM, 0, 100), load(Space.FSPM, 0, 50)]
    assert times(code) == [(0, 110), (110, 170)]


def test_setup_overlaps_the_other_queue_s_bytes() -> None:
    code = [load(Space.FSPM, 0, 100), store(0, 0, 50)]
    found = simulate_time(code, CHIP)
    # the store is set up at 10, finds the DDR busy until 110, then moves 50 bytes
    assert [(event.start, event.end) for event in found.events] == [(0, 110), (0, 160)]
    assert found.events[1].ddr_stall == 100
    assert found.events[1].stall_reason == "DDR"
    assert found.events[1].cycles == 60
    assert found.total_cycles == 160


def test_bytes_wait_for_those_that_waited() -> None:
    """The store moves from 110 to 160; the second load is set up at 120 and waits for it."""
    code = [load(Space.FSPM, 0, 100), store(0, 0, 50), load(Space.FSPM, 0, 20)]
    assert times(code) == [(0, 110), (0, 160), (110, 180)]


def test_ddr_is_given_in_program_order() -> None:
    code = [store(0, 0, 50), load(Space.FSPM, 0, 100)]
    assert times(code) == [(0, 60), (0, 160)]


def test_a_transfer_that_waited_keeps_the_ddr_to_its_own_end() -> None:
    code = [load(Space.FSPM, 0, 100), store(0, 0, 50), load(Space.FSPM, 0, 30)]
    assert times(code) == [(0, 110), (0, 160), (110, 190)]  # 100 bytes, 50, then 30
    assert simulate_time(code, CHIP).events[2].ddr_stall == 40


def test_load_compute_store_chain() -> None:
    matrix = small_matrix(wait=RDMA, signal=WDMA)  # 4 pixels, one block each: 64 + 4
    code = [load(Space.FSPM, 0, 32, signal=RCCN), matrix, store(1024, 0, 16, wait=RCCN)]
    found = simulate_time(code, CHIP)
    assert [(event.start, event.end) for event in found.events] == [(0, 42), (42, 110), (110, 136)]
    assert [event.stall_reason for event in found.events] == [
        "",
        "token from RDMA",
        "token from RCCN",
    ]
    assert [event.token_stall for event in found.events] == [0, 42, 110]


def test_a_token_is_to_blame_only_where_it_is_late() -> None:
    """At 68 the queue is free: a token then or before stalls nothing, one at 69 does."""
    for size, stall, sender in ((57, 0, ""), (58, 0, ""), (59, 1, "RDMA")):
        code = [load(Space.FSPM, 0, size, signal=RCCN), small_matrix(), small_matrix(wait=RDMA)]
        event = simulate_time(code, CHIP).events[2]
        assert (event.start, event.token_stall, event.token_from) == (68 + stall, stall, sender)
        assert event.stall_reason == (f"token from {sender}" if stall else "")


def test_of_several_tokens_the_last_is_to_blame() -> None:
    """Of those that come at once the first engine's."""
    for pixels, sender, end in ((1, "WDMA", 100), (36, "WDMA", 100), (37, "RCVT", 101)):
        vector = make(Pool, signal=RCCN, y_width=pixels * 64, x_width=pixels * 64)
        code = [store(0, 0, 90, signal=RCCN), vector, small_matrix(wait=WDMA | RCVT)]
        found = simulate_time(code, replace(CHIP, vector_setup_cycles=64, vector_lanes=64)).events
        assert found[0].end == 100
        assert (found[2].start, found[2].token_from) == (end, sender)


def test_double_buffering_hides_the_loads() -> None:
    pair = [load(Space.FSPM, 0, 20, signal=RCCN), small_matrix(wait=RDMA)]
    assert times([*pair, *pair]) == [(0, 30), (30, 98), (30, 60), (98, 166)]


def test_engines_without_tokens_run_side_by_side() -> None:
    code = [small_matrix(), make(Pool), load(Space.FSPM, 0, 7)]
    vector = make(Pool).cycles(CHIP)
    assert times(code) == [(0, 68), (0, vector), (0, 17)]


@pytest.mark.parametrize(
    ("groups", "ins", "outs", "blocks"),
    [  # of 32 x 64 lanes
        (32, 4, 4, 4),  # 8 groups have 32 inputs
        (32, 16, 16, 16),  # 2 groups have 32 inputs
        (6, 5, 24, 3),  # 2 groups have 48 outputs
        (6, 4, 24, 2),  # with 4 inputs, alone: 3 columns of 4 share a block, 6 x 3 for 9 taps
        (5, 5, 24, 3),
        (3, 48, 8, 6),  # each group alone, 2 blocks of inputs
        (2, 33, 65, 8),  # 2 x 2 blocks each
        (7, 1, 2, 1),  # depthwise with a multiplier
    ],
)
def test_groups_share_a_block_where_they_fit(groups: int, ins: int, outs: int, blocks: int) -> None:
    given = {"groups": groups, "x_channels": groups * ins, "y_channels": groups * outs}
    item = small_matrix(**given, kernel_height=3, kernel_width=3)
    assert item.cycles(CHIP) == 64 + 4 * 9 * blocks  # 4 pixels, 9 taps
    assert item.macs() == 4 * 9 * groups * ins * outs
    assert item.weight_rows() == 9 * ins


def test_lanes_at_16_bit_are_facts_of_the_chip() -> None:
    """Whatever they are to those of 8 bit; and what has 8 bits does not ask them."""
    dense = {"x_channels": 32, "y_channels": 64, "kernel_height": 3, "kernel_width": 3}
    depthwise = {**dense, "groups": 64, "x_channels": 64, "depthwise": 1}
    for width in (7, 16, 64, 80):
        chip = replace(CHIP, wide_matrix_output_lanes=width, wide_depthwise_lanes=2 * width)
        for shape, lanes in ((dense, width), (depthwise, 2 * width)):
            narrow, wide = small_matrix(**shape), small_matrix(**shape, weight_type=1)
            assert wide.wide
            assert narrow.cycles(chip) == narrow.cycles(CHIP) == 64 + 4 * 9
            shared = shape is depthwise and lanes > 64  # four pixels beside each other
            blocks = -(-4 * 64 // lanes) if shared else 4 * -(-64 // lanes)
            assert wide.cycles(chip) == 64 + 9 * blocks


def test_missing_token() -> None:
    with pytest.raises(
        MachineError,
        match=r"^instruction 0 \(matrix\) waits for a token of RDMA that no earlier",
    ):
        simulate_time([small_matrix(wait=RDMA)], CHIP)


@st.composite
def programs(draw: st.DrawFn) -> list[Instruction]:
    """Random instructions of all engines with tokens that never run short."""
    waiting: dict[tuple[Engine, Engine], int] = {}
    code: list[Instruction] = []
    for _ in range(draw(st.integers(1, 25))):
        size = draw(st.integers(1, 300))
        item: Instruction = [
            load(Space.FSPM, 0, size, rows=size % 3 + 1, ddr_row_stride=7 * size),
            store(0, 0, size),
            small_matrix(
                y_channels=size, x_channels=size if size % 2 else size % 50 + 1, depthwise=size % 2
            ),
            small_matrix(
                groups=size % 9 + 1, y_channels=8 * (size % 9 + 1), x_channels=size % 9 + 1
            ),
            make(
                Pool,
                y_height=size % 7 + 1,
                y_width=9,
                x_channels=size,
                y_channels=size,
                kernel_width=3,
            ),
        ][draw(st.integers(0, 4))]
        wait = signal = 0
        for engine in Engine:
            if waiting.get((engine, item.ENGINE), 0) and draw(st.booleans()):
                waiting[engine, item.ENGINE] -= 1
                wait |= 1 << engine
            if draw(st.booleans()):
                waiting[item.ENGINE, engine] = waiting.get((item.ENGINE, engine), 0) + 1
                signal |= 1 << engine
        code.append(replace(item, wait=wait, signal=signal))
    return code


SLOW = replace(TINY, fspm_banks=1, fspm_bank_bytes_per_cycle=16)


@given(programs())
@settings(max_examples=60)
def test_laws(code: list[Instruction]) -> None:
    found = simulate_time(code, SLOW)
    transfers = [item for item in code if isinstance(item, Transfer)]
    moved = sum(item.ddr_bytes(SLOW) for item in transfers)
    rate = SLOW.ddr_bytes_per_second * SLOW.ddr_efficiency_percent
    assert all(event.token_stall >= 0 and event.ddr_stall >= 0 for event in found.events)
    assert found.total_cycles * SLOW.peak_macs_per_cycle >= sum(item.macs() for item in code)
    assert found.total_cycles * rate >= moved * SLOW.clock_hz * 100
    queues: dict[str, int] = {}
    for event, item in zip(found.events, code, strict=True):
        assert event.cycles == item.cycles(SLOW)
        assert event.start == queues.get(event.engine, 0) + event.token_stall
        assert event.end == event.start + event.ddr_stall + event.cycles
        queues[event.engine] = event.end


@given(programs(), st.integers(1, 8))
@settings(max_examples=60)
def test_a_faster_part_never_makes_a_program_slower(code: list[Instruction], factor: int) -> None:
    base = simulate_time(code, SLOW).total_cycles
    bandwidth = replace(SLOW, ddr_bytes_per_second=SLOW.ddr_bytes_per_second * factor + 1)
    banks = replace(SLOW, fspm_banks=factor)
    clock = replace(SLOW, clock_hz=SLOW.clock_hz * factor + 1)
    assert simulate_time(code, bandwidth).total_cycles <= base
    assert simulate_time(code, banks).total_cycles <= base
    faster = simulate_time(code, clock).total_cycles  # more cycles perhaps, but not more seconds
    # every transfer rounds up to whole cycles, so the bound is exact only up to one per transfer
    slack = sum(isinstance(item, Transfer) for item in code)
    assert (faster - slack) * SLOW.clock_hz <= base * clock.clock_hz


@given(programs())
@settings(max_examples=40)
def test_serial_program_takes_the_sum_of_its_cycles(code: list[Instruction]) -> None:
    """The scheduler's estimate is the simulated time when nothing overlaps."""
    serial = []
    for index, item in enumerate(code):
        wait = 1 << code[index - 1].ENGINE if index else 0
        signal = 1 << code[index + 1].ENGINE if index + 1 < len(code) else 0
        serial.append(replace(item, wait=wait, signal=signal))
    assert simulate_time(serial, SLOW).total_cycles == sum(item.cycles(SLOW) for item in serial)


@given(programs())
@settings(max_examples=40)
def test_every_cycle_belongs_to_one_layer(code: list[Instruction]) -> None:
    spread = [replace(item, layer=index % 3) for index, item in enumerate(code)]
    found = profile(program(spread))
    assert sum(row.cycles for row in found.layers) == found.cycles
    assert found.cycles == simulate_time(spread, TINY).total_cycles
    assert found.macs == sum(item.macs() for item in spread)


def test_engines_are_independent_masks() -> None:
    assert (RDMA, WDMA, RCCN, RCVT) == (1, 2, 4, 8)
