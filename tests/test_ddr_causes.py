"""Why the DDR moves bytes: every byte has one cause."""

from __future__ import annotations

from dataclasses import replace

from assembled import TINY, load, program, store, tensor
from knightlite.isa import Space
from knightlite.profiler import CAUSES, profile

CHIP = replace(TINY, ddr_burst_bytes=64)


def test_causes_by_hand() -> None:
    code = [
        load(Space.WSPM, 0, 64),
        load(Space.MSPM, 64, 16),  # 48 beside it
        load(Space.FSPM, 4096, 128),  # the input
        store(0, 4096, 64),  # in its place
        load(Space.FSPM, 4096, 64),
        load(Space.WSPM, 0, 64),  # again
        load(Space.WSPM, 32, 32),  # another place of the constants
        store(0, 8192, 64),  # where the output will be
        load(Space.FSPM, 8192, 64),
        store(0, 8192, 40),  # the output: 24 beside it
    ]
    x = tensor("x", "u8", (1, 1, 128), 4096)
    y = tensor("y", "u8", (1, 1, 40), 8192, first=9, ready=9)
    made = program(code, bytes(80), [x], [y], [x, y], chip=CHIP)
    found = profile(made).ddr_causes
    assert dict(found) == {
        "constants": 64 + 16 + 32,
        "constants_again": 64,
        "ends": 128 + 40,
        "features": 64 * 4,
        "padding": 48 + 32 + 24,
    }
    assert list(found) == list(CAUSES)
    assert sum(found.values()) == profile(made).burst_bytes
