"""Several pictures in one call of the machine: the bytes of each one alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assembled import (
    TINY,
    copying_program,
    load,
    program,
    record,
    small_matrix,
    store,
    tensor,
    whole_memory_program,
)
from knightlite.container import Program
from knightlite.errors import DataError
from knightlite.isa import Engine, Instruction, Space
from knightlite.sim import Machine, machine
from random_instructions import Random

Bytes = NDArray[np.uint8]


def assert_same_as_alone(found: Program, pictures: Bytes, name: str, after: str) -> int:
    """The saturations of all; ``pictures``: [N, 1, 1, bytes] of the only input."""
    alone = Machine(found)
    wanted, saturations = [], 0
    for picture in pictures:
        wanted.append(alone.run({name: picture[np.newaxis]})[after])
        saturations += alone.saturations
    together = Machine(found)
    for _ in range(2):  # what a call leaves in the memories does not reach the next
        assert np.array_equal(together.run({name: pictures})[after], np.concatenate(wanted))
        assert together.saturations == saturations
    return saturations


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_instructions(seed: int, count: int, most: int) -> None:
    """Any instructions, in blocks of several pictures and of parts of one, in one pass or more."""
    draw = Random(seed)
    kinds = (
        draw.matrix, draw.pool, draw.softmax, draw.resize, draw.pick, lambda: draw.pointwise(0)
    )  # fmt: skip
    items: list[Instruction] = [kinds[draw.integer(0, 5)](), draw.matrix(), draw.pointwise(1)]
    wspm = draw.raw(TINY.wspm_bytes)
    mspm = b"".join(record(draw.integer(-32768, 32767), 16, 100) for _ in range(128))
    pictures = np.frombuffer(draw.raw(count * TINY.fspm_bytes), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "MOST_TOGETHER", most)
        for name in ("engines_matrix.BLOCK_ELEMENTS", "engines_vector.BLOCK_ELEMENTS"):
            patch.setattr(f"knightlite.sim.{name}", 1 << draw.integer(0, 14))
        assert_same_as_alone(
            whole_memory_program(items, wspm, mspm),
            pictures.reshape(count, 1, 1, TINY.fspm_bytes), "fspm", "after",
        )  # fmt: skip


@pytest.mark.parametrize("processors", [1, 2])
def test_threads_share_pictures(processors: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_processors", lambda: processors)
    item = small_matrix(parameter_address=0)
    found = whole_memory_program([item], b"\1" * 32, record(20000, 18, 7) * 4)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 1, 1, TINY.fspm_bytes), np.uint8)
    assert_same_as_alone(found, pictures, "fspm", "after")


def test_weights_that_a_program_computes_are_each_pictures_own() -> None:
    """The input is loaded as weights: pictures go through one by one, each with its own."""
    item = small_matrix(parameter_address=0)
    weights, parameters, source = 32, record(16384, 21, 0) * 4, 64
    features = bytes(range(1, 65))
    data = parameters + features[:32]
    address = len(data)
    code: list[Instruction] = [
        load(Space.MSPM, 0, len(parameters)),
        load(Space.FSPM, len(parameters), 32),
        load(Space.WSPM, address, weights, signal=1 << Engine.RCCN),
        replace(item, wait=1 << Engine.RDMA, signal=1 << Engine.WDMA),
        store(1024, address + source, 16, wait=1 << Engine.RCCN),
    ]
    made = program(
        code, data, [tensor("w", "u8", (1, 1, weights), address)],
        [tensor("y", "u8", (1, 1, 16), address + source)],
    )  # fmt: skip
    pictures = np.random.default_rng(0).integers(0, 128, (3, 1, 1, weights), np.uint8)
    assert_same_as_alone(made, pictures.reshape(3, 1, 1, weights), "w", "y")
    results = Machine(made).run({"w": pictures})["y"]
    assert len({row.tobytes() for row in results}) == 3


def test_what_is_refused() -> None:
    found = Machine(copying_program())
    (entry,) = found.program.meta.inputs
    two = np.zeros((2, *entry.shape[1:]), entry.dtype.numpy)
    with pytest.raises(DataError, match="observed of 1 picture at a time, not of 2"):
        found.run({entry.name: two}, lambda name, values: None)
    with pytest.raises(DataError, match=r"must be .* of shape"):
        found.run({entry.name: two[:0]})
