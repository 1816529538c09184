"""What-ifs: the same program clocked again, held to the clock itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import RCCN, RDMA, TINY, WDMA, load, program, small_matrix, store
from integer_nets import NETWORKS
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.compiler import compile_graph
from knightlite.container import Origin, Program
from knightlite.emit.tokens import with_tokens
from knightlite.isa import Instruction, Space, Store
from knightlite.profiler import LIMITERS, frame_ms, profile
from knightlite.sim import simulate_time
from knightlite.sim.frames import total_cycles
from knightlite.sim.program_order import ProgramOrder
from random_instructions import Random
from test_clock_laws import chips, instruction, transfer

CHIP = replace(TINY, ddr_efficiency_percent=100, ddr_burst_bytes=64, dma_setup_cycles=100)


def net(chip: Chip = CHIP) -> Program:
    code = [
        load(Space.FSPM, 0, 2560, signal=RCCN),  # 0 to 200
        small_matrix(layer=1, wait=RDMA, signal=WDMA),  # 200 to 268
        store(1024, 4096, 16, layer=2, wait=RCCN),  # 268 to 268 + 100 + 3
    ]
    return program(code, fspm_peak=[2560, 4096, 16], chip=chip)


@st.composite
def programs(draw: st.DrawFn) -> list[Instruction]:
    """Any instructions, every third a store of bytes that none else touches: both queues of
    transfers are at work.
    """
    random = Random(draw(st.integers(0, 2**32 - 1)))
    return with_tokens(
        [
            transfer(random, Store, ddr_address=1 << 30, local_address=1 << 22)
            if random.integer(0, 2) == 0
            else instruction(random)
            for _ in range(draw(st.integers(1, 20)))
        ]
    )


@settings(max_examples=100)
@given(programs(), chips(), chips())
def test_the_order_of_a_program_is_that_of_the_clock(
    code: list[Instruction], one: Chip, other: Chip
) -> None:
    order = ProgramOrder(code)
    for chip in (one, other, one):
        own = [item.cycles(chip) for item in code]
        assert order.cycles(chip) == own
        total = total_cycles(order, own, chip.dma_setup_cycles)
        assert total == simulate_time(code, chip).total_cycles


@settings(max_examples=40)
@given(programs(), chips(), st.integers(200, 2000))
def test_every_answer_is_what_profile_finds_with_its_facts(
    code: list[Instruction], chip: Chip, clock: int
) -> None:
    """Every question names all facts that it changes, and all instructions that these concern."""
    made = program(
        [replace(item, layer=0) for item in code], chip=replace(chip, clock_hz=clock * 1_000_000)
    )
    for item in profile(made).what_ifs:
        again = profile(made, facts=item.facts)
        assert (again.cycles, again.time_ms) == (item.cycles, item.time_ms)
        assert frame_ms(made, item.facts) == item.time_ms


def test_questions_by_hand() -> None:
    found = {item.part: item for item in profile(net()).what_ifs}
    assert set(found) == {*LIMITERS, "clock"}
    assert found["ddr"].facts == {"ddr_bytes_per_second": 25_600_000_000}
    assert found["ddr"].cycles == 371 - 50 - 1  # of 100 + 50, 68, 100 + 2
    assert found["setup"].cycles == 371 - 99 - 63 - 99
    assert found["clock"].facts == {"clock_hz": 625_000_000}
    assert found["clock"].cycles == 200 + 25 + 68 + 104
    assert found["clock"].time_ms == 397 * 1e3 / 625_000_000
    assert found["matrix"].cycles == found["vector"].cycles == 371


@pytest.mark.parametrize("level", [0, 1])
def test_nothing_faster_makes_a_network_slower(level: int) -> None:
    family = find("TX5368AV200")
    for make_net in NETWORKS[:2]:
        made = compile_graph(
            make_net(), family, family.names[0], Origin("0", "0" * 64), level=level
        )
        found = profile(made.program)
        slower = [item.part for item in found.what_ifs if item.cycles > found.cycles]
        assert [part for part in slower if part in LIMITERS] == []
