"""The runtime in C without scratchpads: tiles are read and written where they lie in DDR.

Programs whose order allows that run so, all others with scratchpads; either way the bytes are the
simulator's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assembled import TINY, U8, load, make, program, record, store, tensor
from compilers import needs_compiler
from conformance_checks import MAIN, build, random_inputs
from integer_nets import NETWORKS, IntegerNet
from knightlite.container import Program
from knightlite.ir import Graph
from knightlite.isa import (
    Affine,
    Eltwise,
    Instruction,
    Load,
    Matrix,
    Pool,
    PoolMode,
    Space,
    Store,
    disassemble,
)
from knightlite.native import NativeMachine
from knightlite.native.library import KERNELS, load_library
from knightlite.sim import Machine
from test_runtime import with_tensors
from test_runtime_kernels import LEAST_WORK

pytestmark = needs_compiler

CHIP = replace(TINY, fspm_bytes=1 << 15, wspm_bytes=1 << 12)
SEEDS = 80
PARTIAL = 1 << 14  # bytes of partial sums that are kept
MEMORY = 1024  # bytes of DDR that tiles are taken from and put into
PARAMETERS, REQUANTIZE, OTHERS, WEIGHTS, CONSTANTS = 0, 32, 64, 96, 160
TILE = (2, 2, 4)  # rows, columns, bytes
SLOTS = range(0, 40 * 64, 64)


class Mixed:
    """Load, compute, store: several of them at a time, in slots and places that may be shared."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.is_tangled = seed % 2 == 0
        self.free = list(SLOTS)

    def pick(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def place(self) -> dict[str, int]:
        """A tile in DDR: dense, or some channels of wider pixels."""
        if self.pick(0, 1):
            return {"ddr_address": CONSTANTS + 4 * self.pick(0, 248), "ddr_row_stride": 8,
                    "ddr_column_stride": 4}  # fmt: skip
        return {"ddr_address": CONSTANTS + 16 * self.pick(0, 56) + 4 * self.pick(0, 3),
                "ddr_row_stride": 32, "ddr_column_stride": 16}  # fmt: skip

    def slot(self) -> int:
        """A place in FSPM of its own, or any."""
        if self.is_tangled and self.pick(0, 7) == 0:
            return SLOTS[self.pick(0, len(SLOTS) - 1)]
        return self.free.pop(self.pick(0, len(self.free) - 1))

    def tile(self, slot: int) -> dict[str, int]:
        return {"local_address": slot, "local_row_stride": 8, "local_column_stride": 4,
                "rows": 2, "columns": 2, "run_bytes": 4}  # fmt: skip

    def loaded(self, slot: int, **place: int) -> Instruction:
        return make(Load, space=Space.FSPM, **(place or self.place()), **self.tile(slot))

    def task(self) -> list[Instruction]:
        """What one result takes, in its order."""
        kind, x, y, z = self.pick(0, 5), self.slot(), self.slot(), self.slot()
        fields = fields_of(x, y)
        here = self.place()
        put = make(Store, **(here if kind == 5 else self.place()), **self.tile(y))
        if kind == 0:
            moved = make(Store, **self.place(), **self.tile(x))
            return [self.loaded(x), moved]
        if kind == 1:
            return [self.loaded(x), make(Pool, **fields, mode=PoolMode.MAX), put]
        if kind == 2:
            more = {"z_address": z, "z_row_stride": 8, "z_column_stride": 4, "z_type": U8}
            two = make(Eltwise, **fields, **more, multiplier=3, z_multiplier=-2, shift=1)
            return [self.loaded(x), self.loaded(z), two, put]
        if kind == 3:
            return [*self.cuts(fields, z), put]
        return [self.loaded(x, **(here if kind == 5 else {})), make(Affine, **fields), put]

    def cuts(self, fields: dict[str, int], z: int) -> list[Instruction]:
        """A convolution whose input channels come in two parts."""
        sums = {"accumulator_address": 4096 + 64 * self.pick(0, 1 if self.is_tangled else 200)}
        wide = {**fields, **sums, "weight_row_bytes": 4, "parameter_address": REQUANTIZE}
        first = make(Matrix, **wide, accumulate_out=1, prologue=self.pick(0, 1))
        last = make(Matrix, **{**wide, "x_address": z}, accumulate_in=1, weight_address=16)
        parameters = load(Space.MSPM, OTHERS, 32)
        again = [parameters] if self.pick(0, 1) else []
        return [self.loaded(fields["x_address"]), first, self.loaded(z), *again, last]

    def items(self) -> list[Instruction]:
        tasks = [self.task() for _ in range(self.pick(2, 6))]
        found: list[Instruction] = []
        while tasks:
            task = tasks[self.pick(0, min(2, len(tasks) - 1))]
            found.append(task.pop(0))
            tasks = [item for item in tasks if item]
        return found


def fields_of(x: int, y: int) -> dict[str, int]:
    shape = dict(zip(("height", "width", "channels"), TILE, strict=True))
    return {
        **{f"{side}_{name}": size for side in "xy" for name, size in shape.items()},
        "x_address": x, "x_row_stride": 8, "x_column_stride": 4, "x_type": U8,
        "y_address": y, "y_row_stride": 8, "y_column_stride": 4, "y_type": U8,
    }  # fmt: skip


def in_order(items: list[Instruction]) -> list[Instruction]:
    """Each waits for the one before, where that is of another engine."""
    engines = [item.ENGINE for item in items]
    found = []
    for at, item in enumerate(items):
        wait = 1 << engines[at - 1] if at and engines[at - 1] != engines[at] else 0
        signal = 1 << engines[at + 1] if engines[at + 1 : at + 2] not in ([], [engines[at]]) else 0
        found.append(replace(item, wait=wait, signal=signal))
    return found


def assemble_program(items: list[Instruction], rng: np.random.Generator) -> Program:
    """All of FSPM is written before, all of the memory is an output behind."""
    data = bytearray(rng.integers(0, 256, CONSTANTS).astype(np.uint8).tobytes())
    for at in range(0, WEIGHTS, 8):
        q = 14 if REQUANTIZE <= at < OTHERS else 7
        data[at : at + 8] = record(int(rng.integers(-300, 300)), q, int(rng.integers(0, 9000)))
    end = CONSTANTS + MEMORY
    room = CHIP.fspm_bytes - MEMORY
    before = [load(Space.FSPM, CONSTANTS, 64, local_address=slot) for slot in SLOTS]
    before += [load(Space.MSPM, PARAMETERS, 96), load(Space.WSPM, WEIGHTS, 64)]
    behind = [load(Space.FSPM, CONSTANTS, MEMORY, local_address=room), store(room, end, MEMORY)]
    code = in_order([*before, *items, *behind])
    memory = tensor("memory", "u8", (1, 1, MEMORY), CONSTANTS)
    after = tensor("after", "u8", (1, 1, MEMORY), end, ready=len(code) - 1)
    return with_tensors(program(code, bytes(data), [memory], [after], chip=CHIP))


def is_mapped(machine: NativeMachine) -> bool:
    """Whether there is no FSPM."""
    machine.check()
    return not machine.has_fspm


def test_any_order_of_transfers() -> None:
    """Tiles that DDR no longer holds when they are read, or holds too early, are noticed."""
    mapped = 0
    for seed in range(SEEDS):
        draw = Mixed(seed)
        made = assemble_program(draw.items(), draw.rng)
        inputs = {"memory": draw.rng.integers(0, 256, (1, 1, 1, MEMORY)).astype(np.uint8)}
        wanted = Machine(made).run(inputs)["after"]
        native = NativeMachine(made, kernels="scalar")
        for _ in range(2):
            assert native.run(inputs)["after"].tobytes() == wanted.tobytes(), f"seed {seed}"
        mapped += is_mapped(native)
    assert SEEDS // 5 < mapped < SEEDS - SEEDS // 5


def rewritten() -> Iterator[tuple[str, list[Instruction], bool]]:
    """What, the instructions, whether the tiles may lie in DDR."""
    draw = Mixed(1)
    x, y, z = (64 * number for number in (1, 2, 3))
    places = [{"ddr_address": CONSTANTS + 32 * number, "ddr_row_stride": 8,
               "ddr_column_stride": 4} for number in range(4)]  # fmt: skip
    bring, result = draw.loaded(x, **places[0]), make(Affine, **fields_of(x, y))
    put = make(Store, **places[1], **draw.tile(y))
    over = [draw.loaded(z, **places[2]), make(Store, **places[0], **draw.tile(z))]
    yield "one after the other", [bring, result, put], True
    yield "what was loaded is written over", [bring, *over, result, put], False
    yield "what is not stored yet is loaded", [
        bring, result, draw.loaded(z, **places[1]), put,
        make(Store, **places[3], **draw.tile(z)),
    ], False  # fmt: skip
    yield "in place", [bring, result, replace(put, **places[0])], True
    half = make(Affine, **{**fields_of(x, y), "x_height": 1, "y_height": 1})
    yield "half of a tile that is stored", [bring, half, put], False
    yield "never stored", [bring, result], False
    wide = {**fields_of(x, y), "accumulator_address": 4096, "weight_row_bytes": 4,
            "parameter_address": REQUANTIZE}  # fmt: skip
    first = [bring, make(Matrix, **wide, accumulate_out=1, prologue=1)]
    last = make(Matrix, **{**wide, "x_address": z}, accumulate_in=1, weight_address=16)
    cut = [draw.loaded(z, **places[2]), last, put]
    yield "cut over its input channels", [*first, *cut], True
    parameters = load(Space.MSPM, OTHERS, 32)
    yield "parameters of the first cut are gone", [*first, parameters, *cut], False
    yield "partial sums are written over", [*first, draw.loaded(4096), *cut], False
    yield "what the first cut reads is written over", [
        *first, draw.loaded(640, **places[2]), make(Store, **places[0], **draw.tile(640)), *cut
    ], False  # fmt: skip


@pytest.mark.parametrize(("items", "wanted"), [
    pytest.param(items, mapped, id=what) for what, items, mapped in rewritten()
])  # fmt: skip
def test_order(items: list[Instruction], wanted: bool) -> None:
    made = assemble_program(items, np.random.default_rng(5))
    inputs = {"memory": np.arange(MEMORY).astype(np.uint8).reshape(1, 1, 1, -1)}
    native = NativeMachine(made, kernels="scalar")
    assert native.run(inputs)["after"].tobytes() == Machine(made).run(inputs)["after"].tobytes()
    assert is_mapped(native) is wanted


def wide_depthwise() -> Graph:
    """Of so many channels that three rows of them are more than vector kernels may have."""
    net = IntegerNet("wide_depthwise")
    x = net.layer(net.picture(32, 40, 20), 320)
    x = net.layer(x, 320, kernel=3, group=320)
    return net.end(net.layer(x, 32))


@pytest.mark.parametrize("level", [0, 1])
def test_vector_kernels_have_a_share_of_the_memory(level: int) -> None:
    """An eighteenth of DDR, with FSPM where it is needed, or 36 KB."""
    program = build(wide_depthwise(), MAIN, level).program
    room = program.meta.ddr_bytes - program.meta.constants_bytes
    if level:
        room += max(
            access.last
            for item in disassemble(program.code)
            for access in item.accesses()
            if access.space is Space.FSPM
        )
    scalar, *vectors = (
        NativeMachine(program, checked=False, kernels=kernels)
        for kernels in KERNELS[: load_library().knl_best_kernels() + 1]
    )
    assert is_mapped(scalar) is (level == 0)
    for native in vectors:
        work = native.arena_bytes - scalar.arena_bytes
        assert 0 < work <= max(room / 18, LEAST_WORK) + 64


@pytest.mark.parametrize("network", NETWORKS[:2])
def test_network(network: Any) -> None:
    """At level 0 the arena is that of the plan's DDR, and little more."""
    graph = network()
    for level in (0, 1):
        built = build(graph, MAIN, level)
        native = NativeMachine(built.program, checked=False, kernels="scalar")
        assert is_mapped(native) is (level == 0)
        meta = built.program.meta
        room = meta.ddr_bytes - meta.constants_bytes + meta.chip_values.mspm_bytes
        room += meta.chip_values.fspm_bytes if level else PARTIAL
        assert native.arena_bytes < room + 4096  # no WSPM: weights are read in the file
        rng = np.random.default_rng(0)
        frames = [random_inputs(graph, rng) for _ in range(2)]
        for number in (0, 1, 0):
            wanted = built.machine.run(frames[number])
            found = native.run(frames[number])
            assert all(found[name].tobytes() == wanted[name].tobytes() for name in wanted)
