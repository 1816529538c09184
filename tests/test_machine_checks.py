"""Each rule of the machine broken once: the sentence names instruction, layer and addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import (
    RCCN,
    RCVT,
    RDMA,
    S8,
    S16,
    TINY,
    U8,
    WDMA,
    load,
    make,
    program,
    small_matrix,
    store,
    tensor,
)
from knightlite.errors import FormatError, MachineError
from knightlite.isa import (
    Affine,
    Eltwise,
    Engine,
    Instruction,
    Lookup,
    Matrix,
    Pick,
    Pool,
    Resize,
    Softmax,
    Space,
)
from knightlite.sim import Machine
from knightlite.sim.checks import field_problem
from knightlite.sim.ordering import check_races, order

LAYERS = ("conv1", "conv2", "conv3")
CLAMPS = {"y": {}, "middle": {"residual": 1}, "prologue": {"prologue": 1}}
"""What a Matrix clamps, and what it does it for."""


@pytest.mark.parametrize("name", CLAMPS)
def test_a_clamp_may_leave_one_value_but_not_none(name: str) -> None:
    """Also where the type's own end is that value."""
    for low, high in ((5, 5), (127, 300), (-300, -128)):
        ends = {f"{name}_type": S8, f"{name}_low": low, f"{name}_high": high}
        assert field_problem(small_matrix(**CLAMPS[name], **ends)) is None
        for narrower in ({f"{name}_low": max(low, -128) + 1}, {f"{name}_high": min(high, 127) - 1}):
            found = field_problem(small_matrix(**CLAMPS[name], **{**ends, **narrower}))
            assert found is not None
            assert found.startswith(f"has an empty {name} clamp [")


def sound() -> list[Any]:
    """Weights, parameters, x in; one matrix instruction; y out."""
    return [
        load(Space.WSPM, 0, 32),
        load(Space.MSPM, 0, 32),
        load(Space.FSPM, 64, 32, signal=RCCN),
        small_matrix(layer=1, wait=RDMA, signal=WDMA),
        store(1024, 128, 16, wait=RCCN, layer=2),
    ]


def check(code: Sequence[Instruction], **more: Any) -> None:
    given = {"inputs": [tensor("x", "u8", (8, 1, 4), 64)], "ddr_bytes": 4096, **more}
    Machine(program(code, bytes(64), **given)).check()


def changed(index: int, **fields: int) -> list[Any]:
    code = sound()
    code[index] = replace(code[index], **fields)
    return code


def refuse(code: Sequence[Instruction], sentence: str, **more: Any) -> None:
    with pytest.raises(MachineError, match=f"^{re.escape(sentence)}$"):
        check(code, **more)


def test_sound_program_passes() -> None:
    check(sound(), outputs=[tensor("y", "s8", (4, 1, 4), 128)])


MATRIX = "instruction 3 (matrix, layer conv2) "
WHO = {
    0: "instruction 0 (load, layer conv1) ",
    2: "instruction 2 (load, layer conv1) ",
    3: MATRIX,
    4: "instruction 4 (store, layer conv3) ",
}


@pytest.mark.parametrize(
    ("index", "fields", "sentence"),
    [
        (
            3,
            {"x_address": 4080},
            "touches FSPM [0xff0, 0x1010) with its input tile, beyond its 4096 bytes.",
        ),
        (
            3,
            {"y_address": 4090},
            "touches FSPM [0xffa, 0x100a) with its output tile, beyond its 4096 bytes.",
        ),
        (
            3,
            {"weight_row_bytes": 300},
            "touches WSPM [0x0, 0x838) with its weights, beyond its 2048 bytes.",
        ),
        (
            3,
            {"parameter_address": 2024},
            "touches MSPM [0x7e8, 0x808) with its parameters, beyond its 2048 bytes.",
        ),
        (
            0,
            {"ddr_address": 4090},
            "touches DDR [0xffa, 0x101a) with its DDR side, beyond its 4096 bytes.",
        ),
        (
            4,
            {"ddr_address": 4090},
            "touches DDR [0xffa, 0x100a) with its DDR side, beyond its 4096 bytes.",
        ),
        (
            0,
            {"local_address": 2047},
            "touches WSPM [0x7ff, 0x81f) with its scratchpad side, beyond its 2048 bytes.",
        ),
        (
            3,
            {"weight_address": 8},
            "must have its weights in WSPM at a multiple of 16 bytes, not 0x8.",
        ),
        (
            3,
            {"parameter_address": 4},
            "must have the address of its parameters in MSPM at a multiple of 8 bytes, not 0x4.",
        ),
        (
            3,
            {"prologue": 1, "prologue_address": 12},
            "must have the address of its prologue parameters in MSPM at a multiple of 8 bytes, "
            "not 0xc.",
        ),
        (
            3,
            {"accumulate_out": 1, "accumulator_address": 2},
            "must have the address of its partial sums in FSPM at a multiple of 4 bytes, not 0x2.",
        ),
        (
            3,
            {"y_type": S16, "y_column_stride": 9},
            "must have the column stride of its output tile in FSPM at a multiple of 2 bytes, "
            "not 0x9.",
        ),
        (3, {"x_type": 3}, "must have x_type of u8, s8 or s16, not code 3."),
        (3, {"y_type": 3}, "must have y_type of u8, s8 or s16, not code 3."),
        (
            3,
            {"prologue": 1, "prologue_type": 3},
            "must have prologue_type of u8, s8 or s16, not code 3.",
        ),
        (
            3,
            {"residual": 1, "residual_type": 3},
            "must have residual_type of u8, s8 or s16, not code 3.",
        ),
        (
            3,
            {"residual": 1, "middle_type": 3},
            "must have middle_type of u8, s8 or s16, not code 3.",
        ),
        (
            3,
            {"activation": 1, "middle_type": 3},
            "must have middle_type of u8, s8 or s16, not code 3.",
        ),
        (3, {"activation": 3}, "must have an activation of 0 to 2, not 3."),
        (3, {"activation": 1, "residual": 1}, "must have a residual or an activation, not both."),
        (
            3,
            {"activation": 1, "middle_type": S16},
            "must have 2^8 to 2^12 intervals for a 16-bit input type, not 2^0.",
        ),
        (
            3,
            {"activation": 1, "activation_intervals": 8},
            "must have 0 intervals and 0 fraction bits for an 8-bit input type, not 8 and 0.",
        ),
        (
            3,
            {"activation": 2, "middle_low": 9, "middle_high": 8},
            "has an empty middle clamp [9, 8] for u8.",
        ),
        (
            3,
            {"activation": 1, "activation_address": 2024},
            "touches MSPM [0x7e8, 0x8e8) with its table, beyond its 2048 bytes.",
        ),
        (
            3,
            {"activation": 2, "activation_address": 2024},
            "touches MSPM [0x7e8, 0x828) with its activation parameters, beyond its 2048 bytes.",
        ),
        (
            3,
            {"activation": 2, "activation_address": 4},
            "must have the address of its activation parameters in MSPM at a multiple of 8 bytes, "
            "not 0x4.",
        ),
        (
            3,
            {"activation": 1},
            "reads uninitialised MSPM byte 0x20 of its table at 0x0.",
        ),
        (3, {"y_low": 200}, "has an empty y clamp [200, 32767] for s8."),
        (3, {"depthwise": 1}, "must have as many output as input channels, not 4 and 8."),
        (3, {"groups": 3}, "must have 3 equal groups, not 8 input and 4 output channels."),
        (3, {"groups": 8}, "must have 8 equal groups, not 8 input and 4 output channels."),
        (
            3,
            {"depthwise": 1, "groups": 4, "x_channels": 4},
            "must have 1 group where it is depthwise, not 4.",
        ),
        (2, {"space": 0}, "must load into a scratchpad, not DDR."),
        (4, {"ddr_address": 63}, "stores to DDR 0x3f inside the 64 bytes of constants."),
        (
            3,
            {"y_address": 16},
            "overwrites its input tile at FSPM 0x0 with its output tile at FSPM 0x10.",
        ),
        (3, {"y_column_stride": 3}, "writes a byte of its output tile at FSPM 0x400 twice."),
        (
            3,
            {"x_width": 5, "x_row_stride": 40},
            "reads uninitialised FSPM byte 0x20 of its input tile at 0x0.",
        ),
        (3, {"weight_row_bytes": 8}, "reads uninitialised WSPM byte 0x20 of its weights at 0x0."),
        (
            3,
            {"parameter_address": 8},
            "reads uninitialised MSPM byte 0x20 of its parameters at 0x8.",
        ),
        (2, {"ddr_address": 65}, "reads uninitialised DDR byte 0x60 of its DDR side at 0x41."),
        (
            4,
            {"run_bytes": 17},
            "reads uninitialised FSPM byte 0x410 of its scratchpad side at 0x400.",
        ),
        (3, {"wait": RDMA | RCVT}, "waits for a token of RCVT that no instruction sends."),
    ],
)
def test_broken_rule(index: int, fields: dict[str, int], sentence: str) -> None:
    refuse(changed(index, **fields), WHO[index] + sentence)


LAST = {
    "input tile": ({2: {"local_address": 4064}, 3: {"x_address": 4064}}, 3, "x_address"),
    "output tile": ({3: {"y_address": 4080}, 4: {"local_address": 4080}}, 3, "y_address"),
    "weights": ({0: {"local_address": 2016}, 3: {"weight_address": 2016}}, 0, "local_address"),
    "parameters": (
        {1: {"local_address": 2016}, 3: {"parameter_address": 2016}},
        1,
        "local_address",
    ),
    "source": ({2: {"ddr_address": 64}}, 2, "ddr_address"),
    "result": ({4: {"ddr_address": 4080}}, 4, "ddr_address"),
}


@pytest.mark.parametrize("part", LAST)
def test_a_memory_ends_behind_its_last_byte(part: str) -> None:
    """What ends with it is sound; one byte on is refused, in every memory."""
    changes, index, name = LAST[part]
    code = sound()
    for place, fields in changes.items():
        code[place] = replace(code[place], **fields)
    more = {"ddr_bytes": 96} if part == "source" else {}
    if part == "source":
        code = [*code[:3], replace(code[3], signal=0)]
    check(code, **more)
    code[index] = replace(code[index], **{name: getattr(code[index], name) + 1})
    with pytest.raises(MachineError, match=r"beyond its \d+ bytes\.$"):
        check(code, **more)


def test_tensors_and_constants_end_where_they_do() -> None:
    whole = {"outputs": [tensor("y", "s8", (4, 1, 4), 128, ready=4)], "ddr_bytes": 144}
    check(sound(), **whole)
    code = changed(4, ddr_address=64)  # the first byte behind the constants
    check(code, outputs=[tensor("y", "s8", (4, 1, 4), 64, ready=4)])
    for more, sentence in (
        ({**whole, "ddr_bytes": 143}, "tensor y ends at DDR 0x90, beyond 143 bytes."),
        (
            {"inputs": [tensor("x", "u8", (8, 1, 4), 63)]},
            "input x lies at DDR 0x3f, inside the constants.",
        ),
        (
            {"ddr_bytes": 63},
            "the .cfg asks for 63 bytes of DDR, with 64 bytes of constants and 1048576 bytes on "
            "the chip.",
        ),
        (
            {"ddr_bytes": (1 << 20) + 1},
            "the .cfg asks for 1048577 bytes of DDR, with 64 bytes of constants and 1048576 bytes "
            "on the chip.",
        ),
    ):
        with pytest.raises(FormatError, match=f"^{re.escape(sentence)}$"):
            check(sound(), **more)
    check(sound(), ddr_bytes=1 << 20)


def test_unknown_layer() -> None:
    refuse(
        changed(3, layer=3),
        "instruction 3 (matrix, layer number 3) must name one of 3 layers, not 3.",
    )


def test_gaps_between_runs_are_not_initialised() -> None:
    code = changed(2, run_bytes=7, columns=4, ddr_column_stride=8, local_column_stride=8)
    refuse(code, MATRIX + "reads uninitialised FSPM byte 0x7 of its input tile at 0x0.")


def test_vector_shapes() -> None:
    affine = make(Affine, x_width=2, x_column_stride=1, y_address=64)
    who = "instruction 0 ({}, layer conv1) must have "
    shapes = "equal input and output shapes, not (1, 2, 1) and (1, 1, 1)."
    refuse([affine], who.format("affine") + shapes)
    lookup = make(Lookup, x_type=S16, y_address=64, intervals=7)
    few = "2^8 to 2^12 intervals for a 16-bit input type, not 2^7."
    refuse([lookup], who.format("lookup") + few)
    lookup = make(Lookup, y_address=64, fraction=1)
    none = "0 intervals and 0 fraction bits for an 8-bit input type, not 0 and 1."
    refuse([lookup], who.format("lookup") + none)
    pool = make(Pool, x_type=U8, y_type=1, y_address=64)
    refuse([pool], who.format("pool") + "equal input and output types for a maximum.")
    softmax = make(Softmax, x_type=S16, y_address=64)
    refuse([softmax], who.format("softmax") + "fine exponentials for a 16-bit input type.")
    pick = make(Pick, y_channels=2, y_width=2, y_column_stride=2, y_address=64)
    refuse([pick], who.format("pick") + "one output channel of 1 x 1 pixels, not 2 of 1 x 2.")
    resize = make(Resize, x_type=U8, y_type=1, y_address=64)
    refuse([resize], who.format("resize") + "equal input and output types for nearest.")
    resize = make(Resize, y_channels=2, y_address=64)
    refuse([resize], who.format("resize") + "as many output as input channels, not 2 and 1.")
    resize = make(Resize, mode=1, unit_height=4096, unit_width=2049, y_address=64)
    sentence = "units whose product is at most 8388608, not 8392704."
    refuse([resize], who.format("resize") + sentence)
    eltwise = make(Eltwise, z_type=3, y_address=64)
    refuse([eltwise], who.format("eltwise") + "z_type of u8, s8 or s16, not code 3.")


def test_windows_may_be_large_but_not_absurd() -> None:
    wide = replace(TINY, fspm_bytes=1 << 20)
    start = load(Space.FSPM, 64, 13 * 13 * 1000, signal=RCVT)
    gap = make(Pool, x_height=13, x_row_stride=13000, x_width=13, x_column_stride=1000)
    gap = replace(gap, x_channels=1000, y_channels=1000, y_address=1 << 19, wait=RDMA)
    x = [tensor("x", "u8", (1000, 13, 13), 64)]
    gap = replace(gap, kernel_height=13, kernel_width=13)
    check([start, gap], chip=wide, inputs=x, ddr_bytes=1 << 18)
    absurd = replace(gap, y_height=300, y_width=300, stride_height=200, stride_width=200)
    refuse(
        [start, absurd],
        "instruction 1 (pool, layer conv1) covers 59813 x 59813 x 1000 inputs, beyond any memory.",
        chip=wide,
        inputs=x,
        ddr_bytes=1 << 18,
    )


def test_a_window_may_cover_so_much_and_no_more() -> None:
    """2^28 inputs: 16384 rows and columns of one channel."""
    reach = {"y_height": 65, "y_width": 65, "stride_height": 255, "stride_width": 255}
    pool = make(Pool, **reach, kernel_height=64, kernel_width=64)
    assert field_problem(pool) is None
    assert field_problem(replace(pool, kernel_width=65)) == (
        "covers 16384 x 16385 x 1 inputs, beyond any memory."
    )
    matrix = make(Matrix, **reach, kernel_height=64, kernel_width=22, dilation_width=3)
    assert field_problem(matrix) is None
    assert field_problem(replace(matrix, kernel_width=23)) == (
        "covers 16384 x 16387 x 1 inputs, beyond any memory."
    )


def test_pointwise_may_work_in_place_a_window_may_not() -> None:
    start = [load(Space.FSPM, 64, 32), load(Space.MSPM, 0, 64, signal=RCVT)]
    x = {"x_height": 4, "x_row_stride": 8, "x_channels": 8}
    tile = {**x, "y_height": 4, "y_row_stride": 8, "y_channels": 8}
    check([*start, make(Affine, **tile, wait=RDMA)])
    refuse(
        [*start, make(Pool, **tile, wait=RDMA)],
        "instruction 2 (pool, layer conv1) overwrites its input tile at FSPM 0x0 with its output "
        "tile at FSPM 0x0.",
    )
    refuse(
        [*start, make(Resize, **tile, wait=RDMA)],
        "instruction 2 (resize, layer conv1) overwrites its input tile at FSPM 0x0 with its output "
        "tile at FSPM 0x0.",
    )
    refuse(  # all channels are read for the first one that is written
        [*start, load(Space.MSPM, 0, 512), make(Softmax, **tile, wait=RDMA)],
        "instruction 3 (softmax, layer conv1) overwrites its input tile at FSPM 0x0 with its "
        "output tile at FSPM 0x0.",
    )
    refuse(
        [*start, make(Pick, **{**tile, "y_channels": 1}, wait=RDMA)],
        "instruction 2 (pick, layer conv1) overwrites its input tile at FSPM 0x0 with its output "
        "tile at FSPM 0x0.",
    )
    # channels side by side in one buffer share no byte, though their extents overlap
    side = {**tile, "x_channels": 4, "y_channels": 4, "y_address": 4}
    check([*start, make(Pool, **side, wait=RDMA)])


def test_missing_token_is_a_race() -> None:
    code = changed(2, signal=0)
    code[3] = replace(code[3], wait=0)
    refuse(
        code,
        MATRIX + "reads FSPM [0x0, 0x20), a race with instruction 2 (load, layer conv1), "
        "which writes [0x0, 0x20): no token orders them.",
    )


def test_overwriting_what_is_still_read_is_a_race() -> None:
    code = [*sound(), load(Space.FSPM, 64, 32)]
    refuse(
        code,
        "instruction 5 (load, layer conv1) writes FSPM [0x0, 0x20), a race with instruction 3 "
        "(matrix, layer conv2), which reads [0x0, 0x20): no token orders them.",
    )
    code[3] = replace(code[3], signal=WDMA | RDMA)
    code[5] = replace(code[5], wait=RCCN)
    check(code)


def test_reading_back_from_ddr_needs_a_token() -> None:
    code = [*sound(), load(Space.FSPM, 128, 16, 2048)]
    refuse(
        code,
        "instruction 5 (load, layer conv1) reads DDR [0x80, 0x90), a race with instruction 4 "
        "(store, layer conv3), which writes [0x80, 0x90): no token orders them.",
    )
    code[4] = replace(code[4], signal=RDMA)
    code[5] = replace(code[5], wait=WDMA)
    check(code)


def test_order_is_transitive_through_other_engines() -> None:
    code = [*sound(), load(Space.WSPM, 0, 32, wait=WDMA)]
    code[4] = replace(code[4], signal=RDMA)
    check(code)  # RCCN read WSPM before its token to WDMA, whose token RDMA waits for


def test_token_sent_later_in_program_order() -> None:
    first = load(Space.FSPM, 64, 32, signal=RCCN)
    refuse(
        [small_matrix(wait=RDMA, accumulate_out=1, accumulator_address=512), first],
        "instruction 0 (matrix, layer conv1) waits for a token of RDMA that is sent only "
        "later in program order.",
    )


def test_deadlock_names_both() -> None:
    one = load(Space.FSPM, 64, 32, wait=WDMA, signal=WDMA)
    other = store(0, 128, 32, wait=RDMA, signal=RDMA, layer=1)
    refuse(
        [one, other],
        "instruction 0 (load, layer conv1) waits for a token of WDMA and is in a deadlock with "
        "instruction 1 (store, layer conv2).",
    )


def test_token_counter_overflow() -> None:
    many = [load(Space.FSPM, 64, 32, signal=RCVT) for _ in range(256)]
    refuse(
        many,
        "instruction 255 (load, layer conv1) may bring the token counter from RDMA to RCVT to "
        "256, beyond 255.",
    )
    # so many fit, however many have been taken for sure
    takes = make(Eltwise, wait=RDMA)
    order([*many[1:], *[takes] * 255], LAYERS)
    back = [many[0], replace(takes, signal=RDMA), replace(many[0], wait=RCVT)]
    order([*back, *many[2:], *[takes] * 255], LAYERS)
    # the same tokens, taken in time
    idle = make(Eltwise, x_address=0, z_address=8, y_address=16, wait=RDMA, signal=RDMA)
    pairs = [item for _ in range(256) for item in (replace(many[0], wait=RCVT), idle)]
    end = replace(many[0], wait=RCVT, signal=0)
    check([many[0], idle, *pairs, end])
    # without the way back RDMA may run ahead
    ahead = [item for _ in range(256) for item in (many[0], replace(idle, signal=0, x_address=64))]
    with pytest.raises(
        MachineError, match=r"token counter from RDMA to RCVT to 256, beyond 255\.$"
    ):
        order(ahead, LAYERS)


def test_a_token_too_many_is_found() -> None:
    """Counters are back at 0 when a picture ends: the next one starts with them."""
    refuse(
        changed(4, signal=RCVT),
        "instruction 4 (store, layer conv3) sends a token to RCVT that no instruction takes: 1 of "
        "WDMA would be left at the end.",
    )
    twice = [*sound(), replace(sound()[2], wait=0, signal=RDMA | RCCN)]
    refuse(
        twice,
        "instruction 5 (load, layer conv1) sends a token to RDMA that no instruction takes: 1 of "
        "RDMA would be left at the end.",
    )


def test_an_output_is_not_what_was_there_before() -> None:
    """A byte of an output whose store is gone was written once, as part of another tensor."""
    t = tensor("t", "s8", (4, 1, 4), 128, ready=1)
    y = tensor("y", "s8", (4, 1, 4), 128, first=3, ready=5)
    read = load(Space.FSPM, 128, 8, local_address=64)
    code = [
        load(Space.FSPM, 64, 32, signal=WDMA),
        store(0, 128, 16, wait=RDMA, signal=RDMA),
        replace(read, wait=WDMA, signal=WDMA),
        store(0, 128, 8, wait=RDMA),
        store(16, 136, 8),
        store(16, 200, 8),
    ]
    check(code, tensors=[t, y], outputs=[y])
    gone = [*code[:4], replace(code[4], ddr_address=208), code[5]]
    with pytest.raises(FormatError, match=r"^output y is not wholly written by instructions 3 to"):
        check(gone, tensors=[t, y], outputs=[y])
    # nor may anyone read there before it is written again, or write there afterwards
    early = replace(read, ddr_address=136, wait=WDMA, signal=WDMA)
    refuse(
        [*code[:2], store(0, 128, 8), early, replace(code[4], wait=RDMA)],
        "instruction 3 (load, layer conv1) reads uninitialised DDR byte 0x88 of its DDR side at "
        "0x88.",
        tensors=[t, replace(y, first=2, ready=4)],
    )
    refuse(
        [*code, store(0, 140, 8, layer=2)],
        "instruction 6 (store, layer conv3) overwrites delivered DDR byte 0x8c of its DDR side at "
        "0x8c.",
        tensors=[t, y], outputs=[y],
    )  # fmt: skip
    check([*code, store(0, 144, 8)], tensors=[t, y], outputs=[y])
    # not even what begins its life there: y is delivered when all has run
    z = tensor("z", "s8", (2, 1, 4), 128, first=6, ready=6)
    refuse(
        [*code, store(0, 128, 8, layer=2)],
        "instruction 6 (store, layer conv3) overwrites delivered DDR byte 0x80 of its DDR side at "
        "0x80.",
        tensors=[t, y, z], outputs=[y],
    )  # fmt: skip


def test_outputs_must_be_written() -> None:
    for shape, first, ready in (
        ((5, 1, 4), 4, 4), ((4, 1, 4), 3, 3), ((4, 1, 4), 0, 3),
    ):  # fmt: skip
        y = tensor("y", "s8", shape, 128, first=first, ready=ready)
        sentence = f"^output y is not wholly written by instructions {first} to {ready}\\.$"
        with pytest.raises(FormatError, match=sentence):
            check(sound(), outputs=[y])
    with pytest.raises(FormatError, match=r"^tensor y ends at DDR 0x1010, beyond 4096 bytes\.$"):
        check(sound(), outputs=[tensor("y", "s8", (4, 1, 4), 4096)])
    late = tensor("y", "s8", (4, 1, 4), 128, ready=6)
    with pytest.raises(
        FormatError, match=r"^tensor y must be ready after one of \d instructions, n"
    ):
        check(sound(), outputs=[late])
    with pytest.raises(FormatError, match=r"^input x lies at DDR 0x20, inside the constants\.$"):
        check(sound(), inputs=[tensor("x", "u8", (8, 1, 4), 32)])


def _reachable(code: Sequence[Instruction]) -> list[set[int]]:
    """Happens-before by brute force: predecessors along queues and k-th tokens."""
    before: list[set[int]] = []
    last: dict[Engine, int] = {}
    sent: dict[tuple[Engine, Engine], list[int]] = {}
    for index, item in enumerate(code):
        direct = {last[item.ENGINE]} if item.ENGINE in last else set()
        for sender in Engine:
            if item.wait >> sender & 1:
                direct.add(sent[sender, item.ENGINE].pop(0))
        before.append(direct.union(*(before[other] for other in direct)))
        last[item.ENGINE] = index
        for receiver in Engine:
            if item.signal >> receiver & 1:
                sent.setdefault((item.ENGINE, receiver), []).append(index)
    return before


IDLE: dict[Engine, Instruction] = {
    item.ENGINE: item
    for item in (
        load(Space.FSPM, 64, 1, 4000),
        store(4001, 4000, 1),
        small_matrix(x_address=2048, y_address=3000),
        make(Pool, x_address=4002, y_address=4003),
    )
}


@st.composite
def token_programs(draw: st.DrawFn) -> list[Instruction]:
    """Random accesses in a small memory on all engines, with random sound tokens."""
    waiting: dict[tuple[Engine, Engine], int] = {}
    code: list[Instruction] = []
    for _ in range(draw(st.integers(2, 14))):
        first, size = draw(st.integers(0, 5)), draw(st.integers(1, 3))
        other = draw(st.integers(0, 5))
        kind = draw(st.integers(0, 3))
        tile = {"x_width": size, "x_column_stride": 1, "y_width": size, "y_column_stride": 1}
        item: Instruction
        if kind == 0:
            item = load(Space.FSPM, 64, size, first)
        elif kind == 1:
            item = store(first, 128 + other, size)
        elif kind == 2:
            item = make(Pool, **tile, x_address=first, y_address=8 + other)
        else:
            item = small_matrix(
                **tile, x_channels=1, y_channels=1, x_address=8 + first, y_address=other
            )
        wait = signal = 0
        for engine in Engine:
            if waiting.get((engine, item.ENGINE), 0) and draw(st.booleans()):
                waiting[engine, item.ENGINE] -= 1
                wait |= 1 << engine
            if draw(st.booleans()):
                waiting[item.ENGINE, engine] = waiting.get((item.ENGINE, engine), 0) + 1
                signal |= 1 << engine
        code.append(replace(item, wait=wait, signal=signal))
    for (sender, receiver), surplus in waiting.items():  # taken last of all, in memory of its own
        for _ in range(surplus):
            code.append(replace(IDLE[receiver], wait=1 << sender))
    return code


@given(token_programs())
@settings(max_examples=150)
def test_races_are_those_of_brute_force(code: list[Instruction]) -> None:
    before = _reachable(code)
    expected = None
    for index, item in enumerate(code):
        clashes = [
            other
            for other in range(index)
            if code[other].ENGINE != item.ENGINE
            and other not in before[index]
            and any(
                a.space == b.space
                and a.first < b.last
                and b.first < a.last
                and (a.write or b.write)
                for a in item.accesses()
                for b in code[other].accesses()
            )
        ]
        if clashes:
            expected = (index, clashes)
            break
    ordered = order(code, LAYERS)
    if expected is None:
        check_races(code, ordered, LAYERS)
        return
    with pytest.raises(MachineError) as caught:
        check_races(code, ordered, LAYERS)
    found = [int(number) for number in re.findall(r"instruction (\d+)", str(caught.value))]
    assert found[0] == expected[0]
    assert found[1] in expected[1]


def test_a_chip_without_the_room_is_refused() -> None:
    small = replace(TINY, fspm_bytes=1024)
    sentence = "touches FSPM [0x400, 0x410) with its output tile, beyond its 1024 bytes."
    refuse(sound(), MATRIX + sentence, chip=small)
