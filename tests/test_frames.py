"""Frames back to back: timelines by hand, laws, and the same as one program of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings

from assembled import RCCN, RDMA, TINY, WDMA, load, small_matrix, store
from conformance_checks import artificial, build
from integer_nets import densenet, squeezenet, text_direction
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.compiler import plan_graph
from knightlite.emit import program_code
from knightlite.emit.tokens import with_tokens
from knightlite.errors import CapacityError, UnsupportedError
from knightlite.ir import Graph
from knightlite.isa import Engine, Instruction, Space, Transfer
from knightlite.profiler import profile
from knightlite.sim import simulate_time
from knightlite.sim.frames import SIMULATED, Border, border_of, simulate_frames
from knightlite.sim.ordering import check_races, order
from knightlite.sim.program_order import ProgramOrder
from random_layers import chips, layers
from test_description import NOTES
from test_profiler import net

# one byte per cycle, setup 10; matrix 64 setup
CHIP = replace(
    TINY, clock_hz=1000, ddr_bytes_per_second=1000, ddr_efficiency_percent=100, ddr_burst_bytes=1,
    dma_setup_cycles=10,
)  # fmt: skip


def frame(x: int, y: int) -> list[Instruction]:
    """Load 100 bytes to ``x``, multiply from 0 to ``y``, store 16 bytes from 1024."""
    return [
        load(Space.FSPM, 0, 100, local_address=x, signal=RCCN),  # 0 to 110
        small_matrix(y_address=y, wait=RDMA, signal=WDMA),  # 4 pixels: 110 to 178
        store(1024, 4096, 16, wait=RCCN),  # 178 to 204
    ]


def test_the_next_frame_loads_once_its_place_is_free() -> None:
    """Both frames load where the matrix engine reads.

    178: the second load may begin, but the DDR goes in order: its setup ends at 188, the store's
    bytes at 204, so its own 100 at 304; the product ends at 372, the store at 398.
    """
    code = frame(0, 1024)
    assert border_of(ProgramOrder(code)).head == 0
    assert simulate_frames(ProgramOrder(code), CHIP, (1, 2, 3)) == (204, 398, 592)


def test_a_load_whose_place_is_free_runs_beside_the_end_of_the_frame_before() -> None:
    """The first load has a place of its own, the second (2 bytes) one that is read until the end.

    0 to 110 the first, to 122 the second, 122 to 190 the product, 190 to 216 its store. The next
    frame's first load stands behind the second one: 122 to 232. The store's bytes wait for it, from
    200 to 232: its end is 248. The second load's place is free at 190 and its queue at 232; set up
    at 242 it waits until 248: 250. Product until 318, store until 344.
    """
    code = [
        load(Space.FSPM, 0, 100, local_address=2048),
        load(Space.FSPM, 0, 2, local_address=0, signal=RCCN),
        small_matrix(y_address=1024, wait=RDMA, signal=WDMA),
        store(1024, 4096, 16, wait=RCCN),
    ]
    assert border_of(ProgramOrder(code)).head == 1
    assert simulate_frames(ProgramOrder(code), CHIP, (1, 2)) == (216, 344)
    assert list(in_order(border_of(ProgramOrder(code)), 4, 2)) == [
        (0, 0), (0, 1), (1, 0), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3),
    ]  # fmt: skip


def test_a_frame_waits_for_what_the_one_before_still_needs() -> None:
    """The store must be done with its bytes before the product of the next frame writes them."""
    slow = replace(CHIP, matrix_setup_cycles=1)
    code = [small_matrix(signal=WDMA), store(1024, 4096, 500, wait=RCCN)]
    # product 0 to 5, store 5 to 515; product 515 to 520, store 520 to 1030
    assert border_of(ProgramOrder(code)).waits == ((1,), (0,))
    assert simulate_frames(ProgramOrder(code), slow, (1, 2)) == (515, 1030)


NETWORKS = [densenet, squeezenet, text_direction]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda item: str(item.__name__))
def network(request: pytest.FixtureRequest) -> Graph:
    make: Callable[[], Graph] = request.param
    return make()


def in_order(border: Border, count: int, frames: int) -> Iterable[tuple[int, int]]:
    """(frame, instruction) of all frames of a program of ``count`` instructions, in order."""
    for frame in range(frames):
        for index in range(border.head if frame else 0, count):
            yield frame, index
            if index == border.last_load and frame + 1 < frames:
                for first in range(border.head):
                    yield frame + 1, first


def together(code: Sequence[Instruction], border: Border, frames: int) -> list[Instruction]:
    """All frames as one program, in the order of the clock, with tokens from what they touch."""
    return with_tokens([code[index] for _, index in in_order(border, len(code), frames)])


def test_frames_are_one_program_of_them_all(network: Graph) -> None:
    """As the compiler would write them: tokens between frames as inside; no race."""
    code = program_code(plan_graph(network, find("TX5368AV200"), "TX5368AV200", level=1))
    chip = find("TX5368AV200").chip
    border = border_of(ProgramOrder(code))
    found = []
    for count in (1, 2, 3, 5):
        both = [together(code, item, count) for item in (border, replace(border, head=0))]
        names = ["layer"] * 1000
        for whole in both:
            check_races(whole, order(whole, names), names)
        assert count > 1 or both == [code, code]
        found.append(min(simulate_time(whole, chip).total_cycles for whole in both))
    ends = simulate_frames(ProgramOrder(code), chip, (1, 2, 3, 5))
    assert ends == tuple(found)
    assert ends[1] <= 2 * ends[0]


def test_level_0_overlaps_at_the_borders_only(network: Graph) -> None:
    chip = find("TX5368AV200").chip
    code = program_code(plan_graph(network, find("TX5368AV200"), "TX5368AV200"))
    alone = simulate_time(code, chip).total_cycles
    ends = simulate_frames(ProgramOrder(code), chip, (1, 4, 8))
    assert ends[0] == alone
    assert 0.9 * 8 * alone < ends[2] < 8 * alone
    assert ends[1] - 4 * alone > ends[2] - 8 * alone  # later borders gain too


@settings(max_examples=40)
@given(layers(), chips())
def test_laws_of_any_layer_on_any_chip(graph: Graph, chip: Chip) -> None:
    """No slower than one at a time, no faster than the busiest resource; more is never less."""
    try:
        code = program_code(build(graph, artificial(chip)).compiled.plan)
    except (CapacityError, UnsupportedError):
        return
    ends = simulate_frames(ProgramOrder(code), chip, (1, 2, 5))
    assert ends[0] == simulate_time(code, chip).total_cycles
    assert ends[0] < ends[1] < ends[2] <= 5 * ends[0]
    busy = [sum(item.cycles(chip) for item in code if engine == item.ENGINE) for engine in Engine]
    moved = sum(
        item.cycles(chip) - chip.dma_setup_cycles for item in code if isinstance(item, Transfer)
    )
    assert ends[2] >= 5 * max(*busy, moved)
    faster = replace(chip, ddr_bytes_per_second=2 * chip.ddr_bytes_per_second)
    assert simulate_frames(ProgramOrder(code), faster, (5,))[0] <= ends[2]


def test_many_frames_go_on_as_the_last_ones_did() -> None:
    code = frame(0, 1024)
    ends = simulate_frames(ProgramOrder(code), CHIP, (SIMULATED, SIMULATED + 1, 4096))
    assert ends == tuple(204 + 194 * (count - 1) for count in (SIMULATED, SIMULATED + 1, 4096))


def test_batches_of_a_profile() -> None:
    """371 cycles each: the load of 2560 bytes would overwrite what the store still reads."""
    found = profile(net())
    assert [item.frames for item in found.batches] == [1, 4, 8]
    assert [item.cycles for item in found.batches] == [371, 4 * 371, 8 * 371]
    for item in found.batches:
        assert item.time_ms == item.cycles / 5e5
        assert item.frames_per_second == 1_300_000  # of 1,347,709: nobody has measured this machine


def test_a_program_of_several_frames_predicts_them_too() -> None:
    """``-ib N``: what ``sim`` runs unasked; a number of the tables is there once."""
    for frames, wanted in ((3, [1, 3, 4, 8]), (8, [1, 4, 8]), (100, [1, 4, 8, 100])):
        made = net()
        notes = replace(NOTES, ir_batch=frames)
        found = profile(replace(made, meta=replace(made.meta, quantization=notes)))
        assert [item.frames for item in found.batches] == wanted
        assert [item.cycles for item in found.batches] == [371 * count for count in wanted]
