"""Loads ahead of the compute they feed, slots in turn, layer beside layer: by hand, to the cycle.

Correct bytes say nothing about these: a program that waits for everything gives them as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conformance_checks import Built, artificial, build
from knightlite.isa import Instruction, Load, Matrix, Space, Store
from knightlite.schedule import Tiling, choose
from knightlite.schedule.steps import Scratchpads, Slots
from knightlite.sim import simulate_time
from quantized_nets import QuantizedNet
from random_layers import TX5368

CHIP = replace(
    TX5368, matrix_output_lanes=32, fspm_bytes=4096, wspm_bytes=4096, wspm_align_bytes=64,
    mspm_bytes=4096, mspm_align_bytes=64,
)  # fmt: skip


def place(item: Instruction) -> str:
    """Which memory a transfer fills or a compute reads, and where."""
    if isinstance(item, Load):
        return f"{Space(item.space).name} {item.local_address}"
    if isinstance(item, Matrix):
        return f"matrix {item.x_address} {item.weight_address} to {item.y_address}"
    assert isinstance(item, Store)
    return f"store {item.local_address}"


def listed(built: Built) -> tuple[list[str], int]:
    code = built.machine.instructions
    return [place(item) for item in code], simulate_time(code, built.machine.chip).total_cycles


def one_layer(
    tiling: Tiling, outs: int, width: int, monkeypatch: pytest.MonkeyPatch, **facts: Any
) -> Built:
    """A 1x1 convolution of 32 channels on 8 rows, cut as told."""
    monkeypatch.setattr(choose, "candidates", lambda _: iter([tiling]))
    net = QuantizedNet()
    return build(
        net.build(net.conv(net.input("x", 32, 8, width), "y", outs)),
        artificial(replace(CHIP, **facts)),
    )


def test_the_next_rows_are_loaded_while_the_last_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two input tiles at 0 and 256, two output tiles at 512 and 768, four tiles of two rows."""
    found, cycles = listed(one_layer(Tiling(2, 32, 32, False, 2), 32, 4, monkeypatch))
    assert found == [
        "WSPM 0", "MSPM 0", "FSPM 0",
        "FSPM 256", "matrix 0 0 to 512", "store 512",
        "FSPM 0", "matrix 256 0 to 768", "store 768",
        "FSPM 256", "matrix 0 0 to 512", "store 512",
        "matrix 256 0 to 768", "store 768",
    ]  # fmt: skip
    assert cycles == 920


def test_one_buffer_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    found, cycles = listed(one_layer(Tiling(4, 32, 32, False, 1), 32, 4, monkeypatch))
    assert found == [
        "WSPM 0", "MSPM 0", "FSPM 0", "matrix 0 0 to 512",
        "FSPM 0", "store 512", "matrix 0 0 to 512", "store 512",
    ]  # fmt: skip
    assert cycles == 849


@pytest.mark.parametrize(
    ("wspm_bytes", "addresses", "cycles"),
    [
        (5119, [0, 1024, 2048, 3072, 0], 2382),
        (3072, [0, 1024, 2048, 0, 1024], 2382),
        (2048, [0, 1024, 0, 1024, 0], 2382),
        (2047, [0, 0, 0, 0, 0], 2878),
    ],
)
def test_weights_take_the_slots_there_are_in_turn(
    wspm_bytes: int, addresses: list[int], cycles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five weight tiles of 1024 bytes; where there is one slot, a load waits for the compute."""
    built = one_layer(
        Tiling(8, 32, 32, False, 2), 160, 4, monkeypatch, wspm_bytes=wspm_bytes,
        matrix_output_lanes=4,
    )  # fmt: skip
    code = built.machine.instructions
    loads = [
        item.local_address for item in code if isinstance(item, Load) and item.space == Space.WSPM
    ]
    reads = [item.weight_address for item in code if isinstance(item, Matrix)]
    assert loads == reads == addresses
    found, total = listed(built)
    ahead = found.index(f"WSPM {addresses[1]}", 1) < found.index("matrix 0 0 to 1024")
    assert ahead == (wspm_bytes >= 2048)
    assert total == cycles


def test_constants_go_ahead_of_their_layer() -> None:
    """At level 0 the second layer loads behind the first one's store.

    Above it loads its constants beside the first one's product, whose result stays on chip.
    """

    def two(level: int = 1, **facts: Any) -> tuple[list[str], int]:
        net = QuantizedNet()
        a = net.conv(net.input("x", 16, 4, 4), "a", 16)
        family = artificial(replace(CHIP, **facts))
        return listed(build(net.build(net.conv(a, "b", 16)), family, level))

    assert two(level=0) == (
        [
            "WSPM 0", "MSPM 0", "FSPM 0", "matrix 0 0 to 256", "store 256",
            "WSPM 256", "MSPM 128", "FSPM 512", "matrix 512 256 to 768", "store 768",
        ],
        1066,
    )  # fmt: skip
    assert two() == (
        [
            "FSPM 0", "MSPM 0", "WSPM 0", "matrix 0 0 to 256",
            "MSPM 128", "WSPM 256", "matrix 256 256 to 0", "store 0",
        ],
        756,
    )  # fmt: skip
    # a byte too small for two layers at once: the second begins at 0, behind the first
    assert two(wspm_bytes=511, mspm_bytes=255)[0][4:6] == ["MSPM 0", "WSPM 0"]


def test_layers_take_turns_to_the_last_byte() -> None:
    pads = Scratchpads()
    sizes = (40, 60, 100, 1, 99, 0, 100)
    assert [pads.take("wspm", size, 100) for size in sizes] == [0, 40, 0, 0, 1, 100, 0]
    assert pads == Scratchpads(0, 100, 0)


def test_slots_are_filled_and_then_refilled_in_turn() -> None:
    slots = Slots(base=100, size=10, count=3)
    taken: list[Any] = [(key, *slots.take(((ord(key), 0), (0, 0)))) for key in "abcadbeab"]
    assert taken == [
        ("a", 100, False), ("b", 110, False), ("c", 120, False), ("a", 100, True),
        ("d", 100, False), ("b", 110, True), ("e", 110, False), ("a", 120, False),
        ("b", 100, False),
    ]  # fmt: skip
