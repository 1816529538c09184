"""The move instruction: against plain Python, its checks and its cost."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import TINY, make, whole_memory_program
from conformance_checks import build
from knightlite.errors import MachineError
from knightlite.isa import Move
from knightlite.lower.moves import move
from knightlite.schedule.plan import plan_instructions
from knightlite.sim import Machine
from naive_machine import NaiveMachine
from quantized_nets import QuantizedNet


def machine(item: Move) -> Machine:
    return Machine(whole_memory_program([item], b"", b""))


@st.composite
def moves(draw: st.DrawFn) -> Move:
    """x in the lower half of FSPM with any strides, y above with loops nested in any order."""
    run = draw(st.integers(1, 5))
    counts = [draw(st.integers(1, 4)) for _ in range(4)]
    reach, y_strides = run, [0, 0, 0, 0]
    for loop in draw(st.permutations(range(4))):
        y_strides[loop] = reach + draw(st.integers(0, 2))
        reach += (counts[loop] - 1) * y_strides[loop]
    fields = {"run_bytes": run, "x_address": draw(st.integers(0, 200)), "y_address": 2048}
    for loop, (count, stride) in enumerate(zip(counts, y_strides, strict=True)):
        fields |= {f"count{loop}": count, f"y_stride{loop}": stride}
        fields[f"x_stride{loop}"] = draw(st.integers(0, 140))
    return make(Move, **fields)


@given(moves())
@settings(max_examples=100)
def test_against_plain_python(item: Move) -> None:
    before = np.random.default_rng(0).integers(0, 256, TINY.fspm_bytes).astype(np.uint8)
    naive = NaiveMachine(bytearray(before.tobytes()), b"", b"")
    naive.execute(item)
    after = machine(item).run({"fspm": before.reshape(1, 1, 1, -1)})["after"]
    assert after.tobytes() == bytes(naive.fspm)
    assert [operand.last for operand in item.operands()] == [
        access.last for access in item.accesses()
    ]


TRANSPOSE = {"count2": 3, "x_stride2": 4, "y_stride2": 1, "count3": 4, "x_stride3": 1,
             "y_stride3": 3, "y_address": 64}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"y_address": 4090}, "touches FSPM [0xffa, 0x1006) with its destination, beyond its 4096 "
         "bytes."),
        ({"count1": 3, "x_stride1": 2045, "y_stride1": 64}, "touches FSPM [0x0, 0x1006) with its "
         "source, beyond its 4096 bytes."),
        ({"y_stride2": 2}, "writes a byte of its destination at FSPM 0x40 twice."),
        ({"y_address": 8}, "overwrites its source at FSPM 0x0 with its destination at FSPM 0x8."),
    ],
)  # fmt: skip
def test_checks(fields: dict[str, int], sentence: str) -> None:
    item = make(Move, **{**TRANSPOSE, **fields})
    with pytest.raises(MachineError, match=re.escape(f"(move, layer conv1) {sentence}")):
        machine(item).check()


def test_bytes_between_the_runs_may_be_written() -> None:
    """Source and destination may be interleaved: what counts are bytes, not extents."""
    item = make(Move, count3=8, x_stride3=2, y_stride3=2, y_address=1)
    before = np.arange(TINY.fspm_bytes, dtype=np.int64).astype(np.uint8)
    after = machine(item).run({"fspm": before.reshape(1, 1, 1, -1)})["after"].reshape(-1)
    assert after[:16].tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 12, 12, 14, 14]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"run_bytes": 64}, 2),
        ({"count3": 64, "x_stride3": 1, "y_stride3": 2}, 2 + 4 - 1),  # half a channel shuffle
        ({"count3": 64, "x_stride3": 1, "y_stride3": 64}, 64),  # a transposition: byte by byte
        ({"count3": 4, "x_stride3": 24, "y_stride3": 48, "run_bytes": 24}, 4),
        ({"count0": 3, "count1": 5, "count2": 7, "run_bytes": 1}, 105),
    ],
)
def test_cycles(fields: dict[str, int], words: int) -> None:
    assert TINY.fspm_bank_bytes_per_cycle == 32
    assert make(Move, **fields).cycles(TINY) == TINY.vector_setup_cycles + words


Loops = list[tuple[int, int, int]]


@pytest.mark.parametrize(
    ("loops", "run", "moved"),
    [  # (turns, stride in x, stride in y), the outermost first; then run and loops of the Move
        ([], 8, (8, [])),
        ([(1, 5, 7), (3, 100, 200)], 8, (8, [(3, 100, 200)])),
        ([(3, 100, 200), (4, 8, 8)], 8, (32, [(3, 100, 200)])),  # runs that touch on both sides
        ([(3, 100, 200), (4, 8, 9)], 8, (8, [(3, 100, 200), (4, 8, 9)])),
        ([(3, 100, 200), (4, 9, 8)], 8, (8, [(3, 100, 200), (4, 9, 8)])),
        ([(3, 32, 32), (4, 8, 8)], 8, (96, [])),
        ([(3, 32, 64), (4, 8, 8)], 8, (32, [(3, 32, 64)])),
        ([(2, 32, 64), (4, 8, 16)], 8, (8, [(8, 8, 16)])),  # one loop goes on as the other ends
        ([(2, 32, 60), (4, 8, 16)], 8, (8, [(2, 32, 60), (4, 8, 16)])),
        ([(2, 30, 64), (4, 8, 16)], 8, (8, [(2, 30, 64), (4, 8, 16)])),
        ([(5, 64, 128), (2, 32, 64), (4, 8, 16)], 8, (8, [(40, 8, 16)])),
        ([(5, 99, 128), (2, 32, 64), (1, 3, 3), (4, 8, 16)], 8, (8, [(5, 99, 128), (8, 8, 16)])),
        ([(2, 8, 8), (4, 3, 3)], 2, (2, [(2, 8, 8), (4, 3, 3)])),  # gaps: 8 is no multiple
    ],
)
def test_loops_without_gaps_are_one(loops: Loops, run: int, moved: tuple[int, Loops]) -> None:
    item = move(3, 2048, loops, run)
    assert (item.x_address, item.y_address) == (3, 2048)
    assert (item.run_bytes, [loop for loop in item.loops if loop[0] > 1]) == moved
    assert item.loops[: 4 - len(moved[1])] == ((1, 0, 0),) * (4 - len(moved[1]))


@pytest.mark.parametrize("groups", [2, 3, 4, 6])
def test_the_longer_loop_of_a_channel_shuffle_is_innermost(groups: int) -> None:
    """Along it the words of x and y are shared: 12 channels in either order take equally long."""
    net = QuantizedNet()
    x = net.input("x", 12, 3, 5)
    graph = net.build(net.moved("ChannelShuffle", (x,), "y", groups=groups))
    plan = build(graph, "TX5368AV200").compiled.plan
    items = [item for layer in plan_instructions(plan) for item in layer if isinstance(item, Move)]
    assert {item.count3 for item in items} == {max(groups, 12 // groups)}
