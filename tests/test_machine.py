"""Every instruction of the machine against plain Python integers, over random programs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import (
    RCCN,
    RDMA,
    S8,
    S16,
    TINY,
    U8,
    WDMA,
    copying_program,
    load,
    make,
    program,
    record,
    small_matrix,
    store,
    tensor,
    whole_memory_program,
)
from knightlite.chip_files import find
from knightlite.container import decode_program, encode_program
from knightlite.errors import DataError, FormatError
from knightlite.isa import (
    Instruction,
    Matrix,
    Pool,
    Resize,
    Space,
)
from knightlite.sim import Machine
from naive_machine import NaiveMachine
from random_instructions import Random

seeds = st.integers(0, 2**32 - 1)


def run_whole(items: list[Instruction], fspm: bytes, wspm: bytes, mspm: bytes) -> tuple[bytes, int]:
    machine = Machine(whole_memory_program(items, wspm, mspm))
    image = np.frombuffer(fspm, np.uint8).reshape(1, 1, 1, -1)
    first = machine.run({"fspm": image})["after"].tobytes()
    saturations = machine.saturations
    assert machine.run({"fspm": image})["after"].tobytes() == first  # a second picture, same result
    assert machine.saturations == saturations
    return first, saturations


def assert_equal_to_naive(item: Instruction, draw: Random) -> None:
    fspm = draw.raw(TINY.fspm_bytes)
    wspm = draw.raw(TINY.wspm_bytes)
    mspm = draw.records(TINY.mspm_bytes // 8)
    if isinstance(item, Matrix) and item.wide and draw.integer(0, 1):
        sums = draw.rng.integers(-(2**47), 2**47, 162) >> draw.integer(0, 47)
        fspm = fspm[:2800] + sums.astype("<i8").tobytes()
    naive = NaiveMachine(bytearray(fspm), wspm, mspm)
    naive.execute(item)
    found, _ = run_whole([item], fspm, wspm, mspm)
    assert found == bytes(naive.fspm)  # also: no byte outside the output tile has changed


@given(seeds)
@settings(max_examples=200)
def test_matrix(seed: int) -> None:
    draw = Random(seed)
    assert_equal_to_naive(draw.matrix(), draw)


@given(seeds)
@settings(max_examples=60)
def test_instructions_leave_nothing_behind(seed: int) -> None:
    """Work arrays are shared: what one instruction leaves there must not reach the next."""
    draw = Random(seed)
    items: list[Instruction] = [draw.matrix(), draw.pool(), draw.matrix(), draw.pool()]
    fspm, wspm = draw.raw(TINY.fspm_bytes), draw.raw(TINY.wspm_bytes)
    mspm = b"".join(record(draw.integer(-32768, 32767), 16, 100) for _ in range(128))
    naive = NaiveMachine(bytearray(fspm), wspm, mspm)
    for item in items:
        naive.execute(item)
    assert run_whole(items, fspm, wspm, mspm)[0] == bytes(naive.fspm)


@given(seeds)
@settings(max_examples=60)
def test_blocks_join_without_a_seam(seed: int) -> None:
    draw = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("engines_matrix.BLOCK_ELEMENTS", "engines_matrix.COLUMN_ELEMENTS"):
            patch.setattr(f"knightlite.sim.{name}", draw.integer(1, 40))
        patch.setattr("knightlite.sim.engines_vector.BLOCK_ELEMENTS", draw.integer(1, 40))
        kind = draw.integer(0, 3)
        item = draw.matrix() if kind == 3 else draw.pointwise(kind)
        assert_equal_to_naive(item, draw)


@given(seeds)
@settings(max_examples=60)
def test_pool(seed: int) -> None:
    draw = Random(seed)
    assert_equal_to_naive(draw.pool(), draw)


@given(seeds)
@settings(max_examples=60)
def test_softmax(seed: int) -> None:
    draw = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knightlite.sim.engines_softmax.BLOCK_ELEMENTS", draw.integer(1, 100))
        assert_equal_to_naive(draw.softmax(), draw)


@given(seeds)
@settings(max_examples=60)
def test_pick(seed: int) -> None:
    draw = Random(seed)
    assert_equal_to_naive(draw.pick(), draw)


@given(seeds)
@settings(max_examples=90)
def test_resize(seed: int) -> None:
    draw = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("knightlite.sim.engines_resize.BAND_ELEMENTS", draw.integer(1, 100))
        assert_equal_to_naive(draw.resize(), draw)


@pytest.mark.parametrize("x_type", [U8, S8, S16])
def test_largest_weighted_sum_is_exact(x_type: int) -> None:
    """Units of 2^11 and 2^12, the extreme of the type, the largest odd multiplier."""
    size = 2 if x_type == S16 else 1
    tile = {
        "x_height": 2, "x_width": 2, "x_row_stride": 2 * size, "x_column_stride": size,
        "x_type": x_type, "y_address": 2048, "y_type": S16, "offset_height": 1000,
        "offset_width": 1001, "unit_height": 1 << 11, "unit_width": 1 << 12, "mode": 1,
    }  # fmt: skip
    draw = Random(x_type)
    words = (b"\xff", b"\x7f", b"\x80") if size == 1 else (b"\xff\x7f", b"\0\x80", b"\1\x80")
    for word in words:
        fspm = (word * 4).ljust(TINY.fspm_bytes, b"\1")
        for shift in (23, 31, 38):
            item = make(Resize, **tile, multiplier=draw.integer(16385, 32767) | 1, shift=shift)
            naive = NaiveMachine(bytearray(fspm), b"", b"")
            naive.execute(item)
            assert run_whole([item], fspm, b"", b"")[0] == bytes(naive.fspm)


@given(seeds, st.integers(0, 2))
@settings(max_examples=150)
def test_affine_eltwise_lookup(seed: int, kind: int) -> None:
    draw = Random(seed)
    assert_equal_to_naive(draw.pointwise(kind), draw)


@given(seeds)
@settings(max_examples=50)
def test_transfers_copy_exactly_their_runs(seed: int) -> None:
    draw = Random(seed)
    rows, columns, run = draw.integer(1, 4), draw.integer(1, 4), draw.integer(1, 9)
    sides = []
    for _ in range(4):
        gap = draw.one_of(0, draw.integer(0, 5))
        column = run + gap
        sides.append((columns * column + draw.one_of(0, draw.integer(0, 9)), column))
    size = 512
    names = ("ddr_row_stride", "ddr_column_stride", "local_row_stride", "local_column_stride")
    there = dict(zip(names, (*sides[0], *sides[1]), strict=True))
    back = dict(zip(names, (*sides[2], *sides[1]), strict=True))
    code = [
        load(Space.FSPM, 64, run, 16, **there, rows=rows, columns=columns, signal=WDMA),
        store(16, 1024, run, **back, rows=rows, columns=columns, wait=RDMA),
    ]
    image = np.frombuffer(draw.raw(size), np.uint8)
    expected = bytearray(size)
    for r in range(rows):
        for c in range(columns):
            source = r * sides[0][0] + c * sides[0][1]
            target = r * sides[2][0] + c * sides[2][1]
            expected[target : target + run] = image[source : source + run].tobytes()
    # every run of the result is an output of its own, so that only written bytes are read
    outputs = [
        tensor(f"{r}.{c}", "u8", (run, 1, 1), 1024 + r * sides[2][0] + c * sides[2][1])
        for r in range(rows)
        for c in range(columns)
    ]
    machine = Machine(program(code, bytes(64), [tensor("x", "u8", (1, 1, size), 64)], outputs))
    found = machine.run({"x": image.reshape(1, 1, 1, size)})
    for entry in outputs:
        at = entry.address - 1024
        assert found[entry.name].tobytes() == bytes(expected[at : at + run])


@pytest.mark.parametrize(
    ("x_type", "x_value", "weight", "depth", "weight_type"),
    [
        (U8, 255, 127, 518, 0),  # the last depth that float32 adds exactly
        (U8, 255, 127, 519, 0),
        (U8, 255, -128, 1151, 0),
        (S8, -128, -128, 1025, 0),
        (S8, -128, 127, 1032, 0),
        (U8, 255, 127, 2500, 0),  # more than four float32 parts: float64
        (S16, -32768, -128, 500, 0),
        (S16, 32767, 127, 3, 0),
        (U8, 255, -32768, 2000, 1),
        (S16, -32768, -32768, 2000, 1),
        (S16, 32767, -32768, 2000, 1),
    ],
)
def test_worst_case_sums_are_exact(
    x_type: int, x_value: int, weight: int, depth: int, weight_type: int
) -> None:
    """Odd totals beyond 2^24 are lost by a plain float32 sum; partial sums show all their bits."""
    size = 2 if x_type == S16 else 1
    width = 8 if x_type == S16 or weight_type else 4
    image = (x_value % (1 << 8 * size)).to_bytes(size, "little") * depth
    item = make(
        Matrix, x_channels=depth, x_type=x_type, x_row_stride=8192, x_column_stride=8192,
        y_channels=1, weight_row_bytes=1 + weight_type, accumulate_out=1,
        accumulator_address=8192 - width, weight_type=weight_type,
    )  # fmt: skip
    chip = replace(TINY, fspm_bytes=8192, wspm_bytes=4096)
    weights = np.full(depth, weight, np.int16 if weight_type else np.int8)
    weights[depth // 2] = 1  # an odd total
    machine = Machine(whole_memory_program([item], weights.tobytes(), b"", chip))
    fspm = np.frombuffer(image.ljust(8192, b"\0"), np.uint8)
    found = machine.run({"fspm": fspm.reshape(1, 1, 1, -1)})["after"].tobytes()
    expected = x_value * weight * (depth - 1) + x_value
    assert int.from_bytes(found[-width:], "little", signed=True) == expected
    assert machine.saturations == 0


def test_sums_of_wide_windows_are_exact() -> None:
    """Three columns of 255 times 32767 are odd and beyond 2^24; three more take them away."""
    item = make(
        Pool, x_height=255, x_row_stride=12, x_width=6, x_column_stride=2, x_type=S16, y_type=S16,
        y_address=3072, kernel_height=255, kernel_width=6, mode=1, multiplier=1,
    )  # fmt: skip
    rows = np.tile(np.asarray([32767] * 3 + [-32767] * 3, np.int16), 255)
    found, _ = run_whole([item], rows.tobytes().ljust(TINY.fspm_bytes, b"\0"), b"", b"")
    assert found[3072:3074] == b"\0\0"


def test_saturation_is_counted() -> None:
    item = small_matrix(accumulate_in=1, accumulate_out=1, accumulator_address=2048)
    fspm = bytearray(TINY.fspm_bytes)
    fspm[:32] = b"\x02" * 32  # every product sum is 16
    fspm[2048:2056] = (2**31 - 17).to_bytes(4, "little") + (2**31 - 16).to_bytes(4, "little")
    found, saturations = run_whole([item], bytes(fspm), b"\x01" * 32, b"")
    assert found[2048:2056] == b"\xff\xff\xff\x7f" * 2
    assert saturations == 1  # the first ends exactly at the limit


@pytest.mark.parametrize("elements", [4, 8, 12, 1 << 16])
def test_saturations_of_all_blocks_and_instructions_add_up(
    elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1, 2, 0 and 3 sums of four pixels leave the accumulator, whatever a block holds; twice."""
    monkeypatch.setattr("knightlite.sim.engines_matrix.BLOCK_ELEMENTS", elements)
    item = small_matrix(accumulate_in=1, accumulate_out=1, accumulator_address=2048)
    fspm = bytearray(TINY.fspm_bytes)
    fspm[:32] = b"\x02" * 32  # every product sum is 16
    for pixel, count in enumerate((1, 2, 0, 3)):
        begin = 2048 + 16 * pixel
        fspm[begin : begin + 4 * count] = (2**31 - 1).to_bytes(4, "little") * count
    _, saturations = run_whole([item, item], bytes(fspm), b"\x01" * 32, b"")
    assert saturations == 2 * (1 + 2 + 3)


def test_wide_sums_saturate_at_48_bits() -> None:
    item = small_matrix(
        accumulate_in=1, accumulate_out=1, accumulator_address=2048, weight_type=1,
        weight_row_bytes=8,
    )  # fmt: skip
    fspm = bytearray(TINY.fspm_bytes)
    fspm[:32] = b"\x02" * 32  # every product sum is 16
    for at, value in ((2048, 2**47 - 17), (2056, 2**47 - 16), (2064, -(2**47) - 17)):
        fspm[at : at + 8] = value.to_bytes(8, "little", signed=True)
    found, saturations = run_whole([item], bytes(fspm), b"\x01\x00" * 32, b"")
    sums = [int.from_bytes(found[at : at + 8], "little", signed=True) for at in (2048, 2056, 2064)]
    assert sums == [2**47 - 1, 2**47 - 1, -(2**47)]
    assert saturations == 2  # the first ends exactly at the limit


@pytest.mark.parametrize("beside", [-1, 0, 1])
@pytest.mark.parametrize("q", [40, 44, 47])
def test_wide_requantize_next_to_a_tie(q: int, beside: int) -> None:
    """Products of up to 62 bits, one off a tie: float64 would round them to the tie."""
    m = 20003
    acc = (2 ** (q - 1) + beside) * pow(m, -1, 2**q) % 2**q
    item = small_matrix(
        accumulate_in=1, accumulator_address=2048, weight_type=1, weight_row_bytes=8, y_type=S16,
        y_row_stride=32, y_column_stride=8,
    )  # fmt: skip
    fspm = bytearray(TINY.fspm_bytes)
    fspm[2048:2056] = acc.to_bytes(8, "little")
    found, _ = run_whole([item], bytes(fspm), b"", record(m, q) * 4)
    quotient, rest = divmod(acc * m, 2**q)
    assert rest == 2 ** (q - 1) + beside
    up = beside > 0 or (beside == 0 and quotient % 2 == 1)
    assert int.from_bytes(found[1024:1026], "little", signed=True) == quotient + up


def test_bias_saturates_with_the_accumulator() -> None:
    item = small_matrix(
        accumulate_in=1, accumulator_address=2048, y_type=S16, y_row_stride=32, y_column_stride=8
    )
    fspm = bytearray(TINY.fspm_bytes)
    fspm[2048:2052] = (2**31 - 1).to_bytes(4, "little")
    found, saturations = run_whole([item], bytes(fspm), b"", record(1, 17, 1) + record(1, 0, 5) * 3)
    assert int.from_bytes(found[1024:1026], "little") == 2**14  # (2^31 - 1) / 2^17 rounds to 2^14
    assert saturations == 1


@pytest.mark.parametrize(("bias", "saturated"), [(2**31 - 2, 0), (2**31 - 1, 16), (-(2**31), 0)])
def test_a_bias_that_leaves_the_accumulator_by_one(bias: int, saturated: int) -> None:
    """x is held to 0 or 1 in front, all weights but one are 0: sums of 1, then the bias."""
    item = small_matrix(
        prologue=1, prologue_type=U8, prologue_low=0, prologue_high=1, prologue_address=64,
        y_type=S16, y_row_stride=32, y_column_stride=8,
    )  # fmt: skip
    fspm = bytes([7] * 32).ljust(TINY.fspm_bytes, b"\0")
    mspm = (record(1, 17, bias) * 4).ljust(64, b"\0") + record(1, 0, 0) * 8
    found, saturations = run_whole([item], fspm, b"\x01" * 4, mspm)
    assert saturations == saturated
    total = min(bias + 1, 2**31 - 1)
    assert int.from_bytes(found[1024:1026], "little", signed=True) == round(total / 2**17)


def test_partial_sums_over_two_instructions_equal_one() -> None:
    draw = Random(7)
    fspm, wspm = draw.raw(TINY.fspm_bytes), draw.raw(TINY.wspm_bytes)
    mspm = b"".join(record(20000 + i, 24, 100 * i) for i in range(4))
    whole = small_matrix()
    first = small_matrix(x_channels=5, accumulate_out=1, accumulator_address=2048)
    second = small_matrix(
        x_address=5, x_channels=3, weight_address=32, accumulate_in=1, accumulator_address=2048
    )
    moved = bytearray(wspm)
    moved[32:44] = wspm[20:32]
    one, _ = run_whole([whole], fspm, wspm, mspm)
    two, _ = run_whole([first, second], fspm, bytes(moved), mspm)
    assert one[1024:1040] == two[1024:1040]
    assert len(set(one[1024:1040])) > 4


def test_computed_weights_follow_the_picture() -> None:
    """Weights loaded from DDR that is not constant are decoded anew for every picture."""
    code = [
        load(Space.MSPM, 0, 32),
        load(Space.FSPM, 64, 32),
        load(Space.WSPM, 64, 32, signal=RCCN),
        small_matrix(wait=RDMA, signal=WDMA),
        store(1024, 128, 16, wait=RCCN),
    ]
    net = program(
        code, record(16384, 14) * 4 + bytes(32), [tensor("x", "s8", (32, 1, 1), 64)],
        [tensor("y", "s8", (4, 1, 4), 128)],
    )  # fmt: skip
    machine = Machine(net)
    for value in (1, 2, 3):
        found = machine.run({"x": np.full((1, 32, 1, 1), value, np.int8)})["y"]
        assert np.all(found == 8 * value * value)


def test_observe_sees_every_tensor_once_in_nchw() -> None:
    x = np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 4)
    seen: list[tuple[str, list[int]]] = []
    machine = Machine(copying_program())
    out = machine.run({"x": x}, lambda name, value: seen.append((name, value.ravel().tolist())))
    assert seen == [(name, list(range(24))) for name in ("x", "first", "y")]
    assert np.array_equal(out["y"], x)
    assert out["y"].dtype == np.uint8


def test_tensors_are_observed_before_their_bytes_serve_again() -> None:
    """Every store writes where the tensor before it lay, the first over the input."""
    x = np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 4)
    code = [
        load(Space.FSPM, 64, 24, signal=WDMA),
        store(0, 64, 12, wait=RDMA),
        store(6, 64, 12),
        store(12, 64, 12),
    ]
    tensors = [tensor("x", "u8", (3, 2, 4), 64)]
    tensors += [tensor(name, "u8", (1, 1, 12), 64, ready=at + 1) for at, name in enumerate("abc")]
    seen: list[tuple[str, list[int]]] = []
    machine = Machine(program(code, bytes(64), tensors[:1], tensors[3:], tensors))
    machine.run({"x": x}, lambda name, value: seen.append((name, value.ravel().tolist())))
    stored = x.transpose(0, 2, 3, 1).ravel().tolist()
    assert seen == [
        ("x", x.ravel().tolist()), ("a", stored[:12]), ("b", stored[6:18]), ("c", stored[12:]),
    ]  # fmt: skip


def test_inputs_are_checked() -> None:
    machine = Machine(copying_program())
    with pytest.raises(DataError, match=r"^input x is missing\.$"):
        machine.run({})
    with pytest.raises(
        DataError,
        match=r"^input x must be u8 of shape \(1, 3, 2, 4\), not int8 of shape \(1, 3, 2, 4\)\.$",
    ):
        machine.run({"x": np.zeros((1, 3, 2, 4), np.int8)})


def test_runs_what_the_files_hold() -> None:
    cfg, weight = encode_program(copying_program())
    machine = Machine(decode_program(cfg, weight, "a.cfg", "a.weight"))
    x = np.arange(24, dtype=np.uint8).reshape(1, 3, 2, 4)
    assert np.array_equal(machine.run({"x": x})["y"], x)


def test_another_chip_is_refused() -> None:
    net = copying_program()
    with pytest.raises(FormatError, match="compiled for another description of chip tiny"):
        Machine(net, find("TX5368AV200"))
    values = replace(net.meta.chip_values, fspm_bytes=1)
    with pytest.raises(FormatError, match="facts of chip tiny that do not match their hash"):
        Machine(copying_program(chip_values=values))
    with pytest.raises(FormatError, match="asks for 2097152 bytes of DDR"):
        Machine(copying_program(ddr_bytes=1 << 21))
