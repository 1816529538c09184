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


def test_the_place_in_ddr_decides_not_the_scratchpad() -> None:
    """Weights may be computed, or an input; features may be constant."""
    code = [
        store(0, 8192, 64),
        load(Space.WSPM, 8192, 64),  # what was stored
        load(Space.MSPM, 8192, 16),  # 48 beside it
        load(Space.WSPM, 4096, 128),  # an input
        load(Space.FSPM, 0, 64),  # a constant
        load(Space.WSPM, 0, 64),  # again, elsewhere
        load(Space.WSPM, 128, 64),  # the first byte behind the constants
    ]
    x = tensor("x", "u8", (1, 1, 128), 4096)
    y = tensor("y", "u8", (1, 1, 64), 1 << 14, first=6, ready=6)
    found = profile(program(code, bytes(128), [x], [y], [x, y], chip=CHIP)).ddr_causes
    assert dict(found) == {
        "constants": 64, "constants_again": 64, "ends": 128, "features": 64 * 3 + 16, "padding": 48,
    }  # fmt: skip


def test_an_end_is_one_from_its_first_byte_to_its_last() -> None:
    """And an input's place is one until something is stored there, of however little."""
    x = tensor("x", "u8", (1, 1, 128), 4096)
    y = tensor("y", "u8", (1, 1, 128), 8192, first=0, ready=6)
    for at, cause in (
        (4095, "features"), (4096, "ends"), (4223, "ends"), (4224, "features"),
        (8191, "features"), (8192, "ends"), (8319, "ends"), (8320, "features"),
    ):  # fmt: skip
        made = program([load(Space.FSPM, at, 1)], b"", [x], [y], [x, y], chip=CHIP)
        assert profile(made).ddr_causes[cause] == 1, at
    for at, size, cause in (
        (4000, 96, "ends"), (4000, 97, "features"), (4223, 1, "features"), (4224, 9, "ends"),
    ):  # fmt: skip
        code = [store(0, at, size), load(Space.FSPM, 4100, 11)]
        found = profile(program(code, b"", [x], [y], [x, y], chip=CHIP)).ddr_causes
        assert found[cause] >= 11, at
        assert found["ends"] == (11 if cause == "ends" else 0), at
