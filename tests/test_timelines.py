"""Timelines by hand, to the cycle, of what boards told: every term of the clock is in one of them.

The machine has round figures: the DDR moves a byte a cycle in bursts of 16, a transfer is set up in
10 cycles, a matrix instruction in 4, a vector instruction in 2; the vector engine has 8 lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assembled import RCCN, RCVT, RDMA, TINY, WDMA, load, make, store
from knightlite.chip import Chip
from knightlite.emit.tokens import with_tokens
from knightlite.isa import Activation, Instruction, Load, Matrix, Move, Pool, Space
from knightlite.sim import simulate_time

CHIP = replace(
    TINY,
    clock_hz=1000,
    ddr_bytes_per_second=1000,
    ddr_efficiency_percent=100,
    ddr_burst_bytes=16,
    dma_setup_cycles=10,
    matrix_setup_cycles=4,
    vector_setup_cycles=2,
    vector_lanes=8,
    groups_per_block=1,
)  # 32 x 64 matrix lanes, 64 depthwise lanes, up to 4 packed channels, bank words of 32 bytes


def times(code: Sequence[Instruction], chip: Chip = CHIP) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in simulate_time(code, chip).events]


def test_pixels_share_bursts_and_a_prologue_passes_all_it_reads() -> None:
    code = [
        # 2 rows of 8 pixels of 3 bytes, 4 apart: from the first byte to the last 2 * 32 - 1 = 63,
        # 4 bursts, 64 bytes, not 16 bursts of a pixel each: 10 + 64
        make(
            Load, space=Space.FSPM, rows=2, columns=8, run_bytes=3, ddr_column_stride=4,
            ddr_row_stride=32, local_column_stride=4, local_row_stride=32,
        ),
        # 3 records of 8 bytes, 24: 2 bursts: 10 + 32
        load(Space.MSPM, 64, 24, signal=RCCN),
        # every second pixel of every second row: 4 of 3 -> 4 channels, a block each, 4 cycles; but
        # all 16 pixels pass the prologue, 48 values, 8 a cycle: 4 + max(4, 6)
        make(
            Matrix, x_height=2, x_width=8, x_channels=3, y_width=4, y_channels=4, stride_height=2,
            stride_width=2, prologue=1, wait=RDMA, signal=WDMA,
        ),
        store(1024, 256, 16, wait=RCCN),  # one burst: 10 + 16
    ]  # fmt: skip
    assert times(code) == [(0, 74), (74, 116), (116, 126), (126, 152)]


def test_every_group_takes_blocks_of_its_own() -> None:
    code = [
        load(Space.FSPM, 0, 56),  # 7 pixels of 8 channels: 4 bursts, 10 + 64
        load(Space.WSPM, 64, 96, signal=RCCN),  # 3 taps x 2 rows of 16 bytes: 10 + 96
        # 5 pixels, 4 groups of 2 -> 2 channels. Alone: the 3 columns of the kernel lie beside each
        # other, 3 x 4 of 32 lanes, so a block a group: 4 + 5 x 4
        make(
            Matrix, x_width=7, x_channels=8, y_width=5, y_channels=8, groups=4, kernel_width=3,
            wait=RDMA, signal=WDMA,
        ),
        store(1024, 256, 40, wait=RCCN),  # 3 bursts: 10 + 48
    ]  # fmt: skip
    assert times(code) == [(0, 74), (74, 180), (180, 204), (204, 262)]
    # if four shared a block, tap by tap: 4 + 5 x 3
    shared = replace(CHIP, groups_per_block=4)
    assert times(code, shared)[2:] == [(180, 199), (199, 257)]
    # if two did, 2 x 3 blocks, they would lie alone: 4
    assert times(code, replace(CHIP, groups_per_block=2)) == times(code)


def test_pixels_share_depthwise_lanes_while_the_next_tile_loads() -> None:
    def tile(x: int, y: int, **tokens: int) -> Matrix:
        # 8 pixels of 24 channels, 192 of 64 lanes: 3, not 8; 9 taps: 4 + 27
        return make(
            Matrix, x_address=x, x_height=4, x_width=6, x_channels=24, y_address=y, y_height=2,
            y_width=4, y_channels=24, depthwise=1, kernel_height=3, kernel_width=3, wait=RDMA,
            signal=WDMA, **tokens,
        )  # fmt: skip

    code = [
        load(Space.FSPM, 0, 576, signal=RCCN),  # 24 pixels of 24 channels, 36 bursts: 10 + 576
        load(Space.FSPM, 576, 576, 1024, signal=RCCN),
        tile(0, 2048),
        store(2048, 2048, 192, wait=RCCN),  # 12 bursts: 10 + 192
        tile(1024, 2560),
        store(2560, 2304, 192, wait=RCCN),
    ]
    assert times(code) == [
        (0, 586),
        (586, 1172),
        (586, 617),
        (617, 1364),  # set up at 627, it waits for the second load's bytes: 1172 + 192
        (1172, 1203),
        (1364, 1566),  # set up when the queue is free
    ]
    assert simulate_time(code, CHIP).events[3].ddr_stall == 1172 - 627


def test_an_activation_and_a_copy_go_at_the_lanes_rate() -> None:
    parts = store(1024, 4096, 40, columns=8, ddr_column_stride=64, local_column_stride=64)
    code = [
        load(Space.FSPM, 0, 128, signal=RCCN),  # 8 pixels of 16 channels: 10 + 128
        # a block a pixel, 8; but 8 x 40 results pass the table 8 at a time: 4 + 40
        make(
            Matrix, x_width=8, x_channels=16, y_width=8, y_channels=40,
            activation=Activation.TABLE, wait=RDMA, signal=RCVT,
        ),
        # into its part of a Concat, 8 runs of 40 bytes, 64 apart there: each run takes 2 words of a
        # bank, 16 cycles; but 320 bytes pass the lanes 8 at a time: 2 + 40
        make(
            Move, run_bytes=40, count3=8, x_stride3=40, y_stride3=64, y_address=1024, wait=RCCN,
            signal=WDMA,
        ),
        # 8 runs of 40 bytes, 64 apart in DDR: apart 8 x 3 bursts, as one run of 7 x 64 + 40 = 488
        # bytes it would be 31; the gap of 24 is more than a burst: 10 + 24 x 16
        replace(parts, wait=RCVT),
    ]  # fmt: skip
    assert times(code) == [(0, 138), (138, 182), (182, 224), (224, 618)]
    # runs 48 apart have a gap of 8: as one run 7 x 48 + 40 = 376, 24 bursts; apart 8 x 3 as well
    near = replace(parts, ddr_column_stride=48)
    assert near.cycles(CHIP) == 10 + 24 * 16
    # runs of 33 bytes with that gap: as one 7 x 41 + 33 = 320, 20 bursts; apart 8 x 3
    assert replace(near, run_bytes=33, ddr_column_stride=41).cycles(CHIP) == 10 + 20 * 16
    # runs of 16 with a gap of 15: as one 7 x 31 + 16 = 233, 15 bursts; apart 8
    assert replace(near, run_bytes=16, ddr_column_stride=31).cycles(CHIP) == 10 + 8 * 16


def test_layers_in_turn_and_as_soon_as_they_may() -> None:
    def layer(number: int, place: int) -> list[Instruction]:
        pool = {
            "y_height": 2,
            "y_width": 2,
            "y_channels": 8,
            "y_row_stride": 16,
            "y_column_stride": 8,
            "x_height": 3,
            "x_width": 3,
            "x_channels": 8,
            "x_row_stride": 24,
            "x_column_stride": 8,
            "kernel_height": 2,
            "kernel_width": 2,
        }
        return [
            load(Space.FSPM, 1024 * number, 72, place, layer=number),  # 5 bursts: 10 + 80
            # 4 pixels x 8 channels x 4 taps, 8 a cycle: 2 + 16
            make(Pool, **pool, x_address=place, y_address=place + 256, layer=number),
            store(place + 256, 1024 * number + 512, 32, layer=number),  # 2 bursts: 10 + 32
        ]  # fmt: skip

    code = [*layer(0, 0), *layer(1, 512)]
    # level 0: the second layer's load waits until the first one is stored
    assert times(with_tokens(code, in_turn=True)) == [
        (0, 90), (90, 108), (108, 150), (150, 240), (240, 258), (258, 300),
    ]  # fmt: skip
    # level 1: it goes on at once, but the DDR goes in program order: set up at 100, it waits for
    # the first store's bytes, 118 to 150, and moves its own until 230
    assert times(with_tokens(code)) == [
        (0, 90), (90, 108), (108, 150), (90, 230), (230, 248), (248, 290),
    ]  # fmt: skip
