"""Certificates: how far a schedule is from its bound, what keeps it, and shared banks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from assembled import RCCN, RDMA, TINY, WDMA, load, make, program, small_matrix, store, tensor
from conformance_checks import ORIGIN
from integer_nets import NETWORKS
from knightlite.chip_files import find
from knightlite.compiler import Compiled, compile_graph
from knightlite.container import LowerBound, RegionNote, ScheduleNotes
from knightlite.isa import (
    Affine,
    Eltwise,
    Instruction,
    Load,
    Matrix,
    Move,
    Pool,
    Space,
    Store,
)
from knightlite.profiler import (
    Certificate,
    certificate,
    certificate_json,
    certificate_lines,
    profile,
    region_table,
)
from knightlite.profiler.regions import LOSSES, RegionProfile
from knightlite.schedule import explained, memory_peaks
from knightlite.sim import shared_banks, simulate_time
from knightlite.sim.program_order import ProgramOrder
from knightlite.sim.shared_banks import fspm_bytes, shared_fspm_cycles

CHIPS = ("TX5112CV201", "BENCH-1024")
# one byte per cycle of DDR and of FSPM's banks
SLOW = replace(
    TINY,
    clock_hz=1000,
    ddr_bytes_per_second=1000,
    ddr_efficiency_percent=100,
    ddr_burst_bytes=1,
    dma_setup_cycles=10,
    vector_setup_cycles=10,
    fspm_banks=1,
    fspm_bank_bytes_per_cycle=1,
)


@pytest.fixture(scope="module")
def compiled() -> dict[tuple[str, str], Compiled]:
    """Two networks at level 1, one with joins and one with residuals."""
    found = {}
    for graph in (make_graph() for make_graph in NETWORKS):
        if graph.name in ("squeezenet", "mobilenet_v2"):
            for chip in CHIPS:
                found[graph.name, chip] = compile_graph(graph, find(chip), chip, ORIGIN, level=1)
    assert len(found) == 4
    return found


def test_every_cycle_of_a_region_is_useful_or_lost(
    compiled: dict[tuple[str, str], Compiled],
) -> None:
    for (name, chip), made in compiled.items():
        found = certificate(made.program)
        code = made.plan.order.code if made.plan.order else ()
        total = profile(made.program).cycles
        assert found.cycles == total == sum(item.cycles for item in found.regions), (name, chip)
        assert sum(item.layers for item in found.regions) == len(made.program.meta.layers)
        for item in found.regions:
            losses = [int(getattr(item, loss)) for loss in LOSSES]
            assert item.cycles == item.useful + sum(losses)
            assert min(losses) >= 0
            assert item.keeps == "nothing" or getattr(item, item.keeps) == max(losses)
        # whole instructions are never counted twice: setups of an engine are its instructions'
        setups = sum(isinstance(one, Matrix) for one in code) * find(chip).chip.matrix_setup_cycles
        matrix = [item.setup for item in found.regions if item.busiest == "matrix"]
        assert sum(matrix) <= setups
        assert found.bound is not None
        assert found.ratio == found.cycles / found.bound.cycles
        assert found.ratio >= 1
        assert found.shared_cycles >= found.cycles
        assert certificate_json(found)["ratio"] == found.ratio


def test_a_region_by_hand() -> None:
    """A load of 100 bytes, then a product that waits for it, then a store that waits for that."""
    chip = replace(SLOW, matrix_setup_cycles=64, fspm_banks=8, fspm_bank_bytes_per_cycle=16)
    code = [
        load(Space.FSPM, 0, 2560, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA),
        store(1024, 4096, 16, layer=2, wait=RCCN),
    ]
    work = code[1].cycles(chip) - 64
    notes = ScheduleNotes(LowerBound(5, 100, 50, "conv1"), (RegionNote(2, 3), RegionNote(1, 1)))
    found = certificate(program(code, chip=chip, schedule=notes))
    first, second = found.regions
    assert (first.first, first.last, first.bands) == ("conv1", "conv2", 3)
    # nothing that is moved is an input, an output or a constant: none of it is in the bound
    assert (first.busiest, first.cycles) == ("ddr", 2570 + 64 + work)
    assert (first.bandwidth, first.dependency, first.useful) == (2560, 10 + 64 + work, 0)
    assert (second.cycles, second.bandwidth, second.dependency) == (26, 16, 10)
    assert (found.bound, found.ratio) == (notes.bound, found.cycles / 100)
    assert certificate_lines(found)[1] == ("lower bound", "100 cycles, by the DDR")
    assumed = profile(program(code, chip=chip, schedule=notes), facts={"clock_hz": 7})
    assert assumed.certificate.bound is None


@pytest.mark.parametrize(
    ("bound", "cycles", "binds"),
    [
        (LowerBound(5, 6, 7, ""), 7, "the matrix engine"),
        (LowerBound(5, 6, 7, "conv1"), 7, "the matrix engine before conv1, then weights"),
        (LowerBound(7, 7, 7, "conv1"), 7, "the matrix engine before conv1, then weights"),
        (LowerBound(8, 8, 7, "conv1"), 8, "the DDR"),
        (LowerBound(9, 8, 7, "conv1"), 9, "the vector engine"),
    ],
)
def test_what_binds_in_words(bound: LowerBound, cycles: int, binds: str) -> None:
    assert (bound.cycles, bound.binds) == (cycles, binds)


def region(lost: dict[str, int], name: str = "conv1", layers: int = 1) -> RegionProfile:
    """A region of which every figure is another one."""
    losses = {loss: 10 + at for at, loss in enumerate(LOSSES)} | lost
    figures = {"cycles": 1900, "bound": 1200, "useful": 1900 - sum(losses.values()), **losses}
    return RegionProfile(name, "conv9", layers, 3, busiest="vector", **figures)


def test_what_a_region_takes_at_least_by_hand() -> None:
    """Constants once, in bursts of 16; inputs and outputs as they are; a byte takes a cycle.

    What is computed beside products is in no bound; 128 products on 80 lanes are 1.6 cycles.
    """
    chip = replace(SLOW, ddr_burst_bytes=16, matrix_input_lanes=8, matrix_output_lanes=10)
    code = [
        load(Space.WSPM, 0, 40),
        load(Space.WSPM, 0, 40),  # again
        load(Space.MSPM, 64, 8),
        load(Space.FSPM, 4096, 24),  # the input
        load(Space.FSPM, 8192, 50),  # in between
        store(0, 6000, 9),  # the output
        small_matrix(layer=1),
        replace(affine(30), layer=1),
        replace(affine(20), layer=2),
        replace(affine(30), layer=2),
    ]
    x, y = tensor("x", "u8", (1, 1, 24), 4096), tensor("y", "u8", (1, 1, 9), 6000, first=5, ready=5)
    notes = ScheduleNotes(None, (RegionNote(1, 1), RegionNote(1, 1), RegionNote(1, 1)))
    found = certificate(program(code, bytes(72), [x], [y], [x, y], chip=chip, schedule=notes))
    assert [item.bound for item in found.regions] == [48 + 16 + 24 + 9, 2, 40 + 60]
    assert [item.busiest for item in found.regions] == ["ddr", "vector", "vector"]


def test_totals_in_words() -> None:
    bound = LowerBound(1600, 1500, 1400, "conv1")
    assert certificate_lines(Certificate(2000, bound, 2500, ())) == [
        ("cycles", "2,000"),
        ("lower bound", "1,600 cycles, by the vector engine"),
        ("cycles / bound", "1.250"),
        ("with FSPM's banks shared", "2,500 cycles, 25.0 % more"),
    ]
    for nothing in (None, LowerBound(0, 0, 0, "")):
        assert certificate_lines(Certificate(0, nothing, 0, ())) == [
            ("cycles", "0"), ("with FSPM's banks shared", "0 cycles, 0.0 % more"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("lanes", "array shape, 1,500 cycles of lanes not filled"),
        ("again", "rows computed twice, 1,500 cycles"),
        ("setup", "setup, 1,500 cycles"),
        ("bandwidth", "bandwidth, 1,500 cycles"),
        ("dependency", "dependency, 1,500 cycles in which it waits for another engine"),
    ],
)
def test_a_region_in_words(loss: str, words: str) -> None:
    several, alone = region({loss: 1500}, layers=2), region({loss: 1500}, "conv8")
    found = Certificate(2000, None, 2000, (several, alone))
    titles, *rows = region_table(found)
    assert titles == (
        "region",
        "layers",
        "bands",
        "cycles",
        "lost",
        "least alone",
        "busiest",
        "lost most to",
    )
    several_lost = f"{1500 + sum(range(10, 15)) - 10 - LOSSES.index(loss):,}"
    assert rows == [
        ("conv1 .. conv9", "2", "3", "1,900", several_lost, "1,200", "vector", words),
        ("conv8", "1", "3", "1,900", several_lost, "1,200", "vector", words),
    ]
    told = certificate_json(found)
    assert [item["keeps"] for item in told["regions"]] == [loss, loss]
    assert {**told["regions"][0], "keeps": ""} == {**asdict(several), "keeps": ""}
    assert told["bound"] is told["ratio"] is None


def test_a_region_whose_work_ran_beside_others() -> None:
    """It adds less than it takes alone, as where its constants came while others computed."""
    hidden = replace(region({}), cycles=1199)
    assert region_table(Certificate(1, None, 1, (hidden,)))[1][3:] == (
        "1,199", "-", "1,200", "vector", "nothing: its work ran beside others",
    )  # fmt: skip
    assert (
        "beside" not in region_table(Certificate(1, None, 1, (replace(hidden, cycles=1200),)))[1][7]
    )


def test_what_a_region_loses_most_to() -> None:
    """Of equal losses the first; nothing is nothing."""
    none = dict.fromkeys(LOSSES, 0)
    assert region(none).keeps == "nothing"
    assert region_table(Certificate(1, None, 1, (region(none),)))[1][-1] == "nothing"
    for place, loss in enumerate(LOSSES):
        assert region(none | dict.fromkeys(LOSSES[place:], 7)).keeps == loss
    assert region_table(Certificate(1, None, 1, ())) == []


def affine(pixels: int) -> Affine:
    """As many bytes read as written, one each a pixel."""
    return make(
        Affine, x_height=1, x_width=pixels, x_channels=1, x_row_stride=pixels, x_column_stride=1,
        y_height=1, y_width=pixels, y_channels=1, y_row_stride=pixels, y_column_stride=1,
        y_address=pixels,
    )  # fmt: skip


def test_banks_are_shared_by_who_is_at_work() -> None:
    """A load of 100 bytes beside an affine of 2 x 30, and one byte a cycle.

    Both are set up at 10 and halve each other until the affine is done at 130; the load at 170.
    """
    both = [load(Space.FSPM, 0, 100), affine(30)]
    assert [fspm_bytes(item, SLOW) for item in both] == [100, 60]
    assert simulate_time(both, SLOW).total_cycles == 110
    assert shared_fspm_cycles(ProgramOrder(both), SLOW) == 170
    assert shared_fspm_cycles(ProgramOrder(both[:1]), SLOW) == 110
    assert shared_fspm_cycles(ProgramOrder(both[1:]), SLOW) == 70
    wide = replace(SLOW, fspm_banks=64)
    assert shared_fspm_cycles(ProgramOrder(both), wide) == simulate_time(both, wide).total_cycles


TILES = {"x_height": 5, "x_width": 7, "y_height": 3, "y_width": 4}  # 35 and 12 pixels


@pytest.mark.parametrize(
    ("item", "size"),
    [
        (load(Space.FSPM, 0, 100), 100),
        (load(Space.WSPM, 0, 100), 0),  # ports of their own
        (store(0, 0, 7, rows=3, columns=5), 105),
        # 70 channels of x and y; y_type of 2 bytes
        (make(Affine, **TILES, x_channels=70, y_channels=70, y_type=2), 35 * 70 + 2 * 12 * 70),
        (make(Eltwise, **TILES, x_channels=6, y_channels=6, z_type=2), 35 * 6 + 12 * 6 * 2 + 72),
        # x once for every 64 outputs, or 32 where an operand has 16 bits
        (make(Matrix, **TILES, x_channels=8, y_channels=64), 35 * 8 + 12 * 64),
        (make(Matrix, **TILES, x_channels=8, y_channels=65), 2 * 35 * 8 + 12 * 65),
        (make(Matrix, **TILES, x_channels=8, y_channels=65, x_type=2), 3 * 2 * 35 * 8 + 12 * 65),
        (make(Matrix, **TILES, x_channels=8, y_channels=65, weight_type=1), 3 * 35 * 8 + 12 * 65),
        (make(Matrix, **TILES, x_channels=130, y_channels=130, groups=2), 2 * 35 * 130 + 12 * 130),
        (make(Matrix, **TILES, x_channels=130, y_channels=130, depthwise=1), 35 * 130 + 12 * 130),
        # sums of 4 bytes, or 8, are passed once each way
        (make(Matrix, **TILES, x_channels=8, y_channels=10, accumulate_in=1), 280 + 480 + 120),
        (make(Matrix, **TILES, x_channels=8, y_channels=10, accumulate_out=1), 280 + 480),
        (make(Matrix, **TILES, x_channels=8, y_channels=10, weight_type=1, accumulate_out=1),
         280 + 960),
        # a tap each: 12 pixels of 6 channels and 9 taps; never less than x
        (make(Pool, **TILES, x_channels=6, y_channels=6, kernel_height=3, kernel_width=3),
         9 * 72 + 72),
        (make(Pool, **TILES, x_channels=6, y_channels=6, kernel_height=3, x_type=2, y_type=2),
         2 * (216 + 72)),
        (make(Pool, **TILES, x_channels=6, y_channels=6, kernel_height=2), 35 * 6 + 72),
        (make(Move, run_bytes=3, count0=2, count1=5, count2=7, count3=11), 2 * 3 * 770),
    ],
)  # fmt: skip
def test_what_passes_the_banks_by_hand(item: Instruction, size: int) -> None:
    assert fspm_bytes(item, TINY) == size


def test_with_banks_for_all_both_clocks_agree(
    compiled: dict[tuple[str, str], Compiled],
) -> None:
    for made in compiled.values():
        chip = replace(made.program.meta.chip_values, fspm_banks=1 << 20)
        code = made.plan.order.code if made.plan.order else ()
        items = [replace(item, wait=0, signal=0) for item in code]
        assert (
            shared_fspm_cycles(ProgramOrder(items), chip) == simulate_time(items, chip).total_cycles
        )
        few = replace(chip, fspm_banks=1, fspm_bank_bytes_per_cycle=4)
        assert shared_fspm_cycles(ProgramOrder(items), few) > simulate_time(items, few).total_cycles


def test_where_the_banks_suffice_the_event_clock_is_asked(
    compiled: dict[tuple[str, str], Compiled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cycles with its ends as without; more only where all of it is simulated."""
    simulated: list[ProgramOrder] = []
    queues = shared_banks._queues

    def watched(order: ProgramOrder) -> list[list[int]]:
        simulated.append(order)
        return queues(order)

    monkeypatch.setattr(shared_banks, "_queues", watched)
    both = set()
    for made in compiled.values():
        code = made.plan.order.code if made.plan.order else ()
        order = ProgramOrder([replace(item, wait=0, signal=0) for item in code])
        for banks in (1, 4, 16, 1 << 20):
            chip = replace(made.program.meta.chip_values, fspm_banks=banks)
            ends = [event.end for event in simulate_time(order.instructions, chip).events]
            simulated.clear()
            found = shared_fspm_cycles(order, chip, ends=ends)
            both.add(bool(simulated))
            assert simulated or found == max(ends, default=0)
            assert found == shared_fspm_cycles(order, chip)
    assert both == {False, True}


# ------------------------------------------------------------------ what is told


def test_what_is_told_of_a_layer_is_what_its_instructions_do(
    compiled: dict[tuple[str, str], Compiled],
) -> None:
    seen = set()
    for made in compiled.values():
        order = made.plan.order
        assert order is not None
        told = explained(made.plan)
        stored = {item.layer for item in order.code if isinstance(item, Store)}
        for index, layer in enumerate(made.plan.layers):
            own = [item.sentence for item in told if item.nodes[-1] == layer.node.name]
            (home,) = (
                text.partition(":")[0]
                for text in own
                if text.startswith(("resident:", "on chip:", "spilled:"))
            )
            assert (home == "spilled") == (index in stored), own
            assert (len(layer.node.parts) > 1) == own[0].startswith("fused: ")
            walked = next(text for text in own if text.startswith("walked"))
            bands = {step.band for step in order.laid.steps if step.layer == index}
            if "bands" in walked:
                assert len(bands) > 1
            seen |= {home, *(word for word in ("kept", "again", "bands") if word in walked)}
    assert seen == {"resident", "on chip", "spilled", "kept", "again", "bands"}


def touched(made: Compiled, space: Space) -> Iterator[int]:
    """One past the last byte of each access of a memory."""
    order = made.plan.order
    assert order is not None
    for item in order.code:
        yield from (access.last for access in item.accesses() if access.space is space)


def test_memories_at_their_fullest(compiled: dict[tuple[str, str], Compiled]) -> None:
    for (_, name), made in compiled.items():
        order, chip = made.plan.order, find(name).chip
        assert order is not None
        for peak in memory_peaks(made.plan, order.code, chip):
            held = sum(item.size_bytes for item in peak.holders if "held" not in item.kind)
            assert held == peak.live <= peak.taken <= peak.capacity
            assert bool(peak.reason) == (peak.taken > peak.live * 1.02), peak
            if peak.memory != "DDR":
                assert max(touched(made, Space[peak.memory])) <= peak.taken
        loaded = [item for item in order.code if isinstance(item, Load)]
        wspm = sum(item.payload_bytes for item in loaded if item.space == Space.WSPM)
        assert memory_peaks(made.plan, order.code, chip)[1].live <= wspm


def test_memories_at_level_0() -> None:
    (make_graph,) = (one for one in NETWORKS if one().name == "mobilenet_v2")
    chip = find("TX5112CV201")
    made = compile_graph(make_graph(), chip, "TX5112CV201", ORIGIN)
    from knightlite.emit import program_code

    for peak in memory_peaks(made.plan, program_code(made.plan), chip.chip):
        assert sum(item.size_bytes for item in peak.holders) == peak.live <= peak.taken
    for told in explained(made.plan):
        assert told.sentence.startswith(("level 0: from DDR to DDR in ", "fused: "))
    assert certificate(made.program).regions == ()
    assert certificate(made.program).bound is None
