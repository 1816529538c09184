"""What lies in a memory where it is fullest, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from assembled import TINY, load, small_matrix
from knightlite.allocate import Buffer
from knightlite.isa import Instruction, Space
from knightlite.schedule import peaks
from knightlite.schedule.blocks import Block, Key
from knightlite.schedule.peaks import Holder

HELD = "held for loads ahead or stores behind"


def names(count: int) -> tuple[Any, ...]:
    return tuple(SimpleNamespace(node=SimpleNamespace(name=f"l{at}")) for at in range(count))


def constants(code: Sequence[Instruction]) -> peaks.Peak:
    plan: Any = SimpleNamespace(layers=names(3))
    return peaks._constants(plan, code, Space.WSPM, 2048)


# a weight tile of 32 bytes is read by each product
FIRST, SECOND = load(Space.WSPM, 0, 100), load(Space.WSPM, 100, 60, local_address=112, layer=1)
READS = small_matrix(), small_matrix(layer=1, weight_address=112)


def test_constants_lie_from_their_load_to_their_last_reader() -> None:
    found = constants([FIRST, SECOND, *READS])
    assert (found.memory, found.capacity, found.taken, found.live) == ("WSPM", 2048, 172, 160)
    assert found.where == "l1"  # whose load fills it
    assert found.holders == (Holder("l0", "constants", 100), Holder("l1", "constants", 60))
    assert found.reason == "tiles go round so that loads can go ahead"  # 12 bytes between


def test_constants_of_later_layers_are_ahead() -> None:
    found = constants([SECOND, FIRST, *READS])
    assert (found.where, found.live) == ("l0", 160)
    assert found.holders == (Holder("l0", "constants", 100), Holder("l1", "ahead", 60))


def test_who_is_read_before_the_next_comes_is_gone() -> None:
    """The first of equally full moments counts, and tiles of one layer are one holder."""
    found = constants([FIRST, READS[0], SECOND, READS[1], FIRST])
    assert (found.where, found.live) == ("l0", 100)
    both = constants([FIRST, load(Space.WSPM, 0, 8, local_address=104), SECOND, *READS])
    assert both.holders == (Holder("l0", "constants", 100), Holder("l1", "constants", 60))
    read = small_matrix(weight_address=96)  # bytes of both tiles
    both = constants([FIRST, load(Space.WSPM, 0, 8, local_address=104), SECOND, read, *READS])
    assert both.holders == (Holder("l0", "constants", 108), Holder("l1", "constants", 60))


def test_what_a_load_meets_is_over() -> None:
    """Of one byte: the tile that lay there, but none that it touches only."""
    over = load(Space.WSPM, 0, 50, local_address=99, layer=2)
    behind = load(Space.WSPM, 0, 50, local_address=100, layer=2)
    for item, live in ((over, 100), (behind, 150)):
        assert constants([FIRST, item, READS[0]]).live == live
    assert constants([]) == peaks.Peak("WSPM", 2048, 0, 0, "", ())


@pytest.mark.parametrize(
    ("taken", "reason"), [(677, ""), (678, "lives leave gaps between addresses")]
)
def test_ddr(taken: int, reason: str) -> None:
    """64 bytes of constants, 600 of features at layer 1; more than 2 % above has a reason."""
    blocks = tuple(
        Buffer(name, size, 0, 0, first, last)
        for name, size, first, last in (
            ("x", 100, -1, 0), ("b", 300, 0, 1), ("a", 300, 1, 2), ("y", 50, 2, 3),
        )
    )  # fmt: skip
    plan: Any = SimpleNamespace(
        constants=bytes(64), buffers=blocks, ddr_bytes=taken, layers=names(3),
        addresses={block.name: 0 for block in blocks}, regions=(),
    )  # fmt: skip
    found = peaks._ddr(plan, TINY)
    assert (found.memory, found.capacity, found.taken) == ("DDR", TINY.ddr_bytes, taken)
    assert (found.live, found.where, found.reason) == (664, "l1", reason)
    assert found.holders == (
        Holder("a", "features", 300),
        Holder("b", "features", 300),
        Holder("constants", "weights, parameters, tables", 64),
    )
    plan.regions, plan.addresses["b"] = (SimpleNamespace(address=500),), 500
    outside = Holder("b", "outside the network's memory", 300)
    assert outside in peaks._ddr(plan, TINY).holders
    plan.addresses["b"] = 499
    assert peaks._ddr(plan, TINY).holders == found.holders


@pytest.mark.parametrize(
    ("first", "last", "where"),
    [(-1, 0, "the host"), (0, 1, "l0"), (2, 3, "l2"), (3, 3, "the host")],
)
def test_ddr_where_the_host_works(first: int, last: int, where: str) -> None:
    block = Buffer("x", 8, 0, 0, first, last)
    plan: Any = SimpleNamespace(
        constants=b"",
        buffers=(block,),
        ddr_bytes=8,
        layers=names(3),
        addresses={"x": 0},
        regions=(),
    )
    assert peaks._ddr(plan, TINY).where == where


def laid(*blocks: tuple[Block, int], live: Sequence[int]) -> Any:
    """An order of so many steps, one of each layer, with blocks at addresses."""
    found = SimpleNamespace(
        live=list(live),
        blocks=[block for block, _ in blocks],
        addresses={id(block): at for block, at in blocks},
        steps=[SimpleNamespace(layer=at) for at in range(len(live))],
        peak=max(at + block.size for block, at in blocks),
    )
    return SimpleNamespace(laid=found, network=SimpleNamespace(layers=names(len(live))))


def block(kind: str, name: str, size: int, first: int, last: int, held: tuple[int, int]) -> Block:
    return Block(Key(kind, name), (2, 5), (0, 1), size, first=first, last=last, held=held)


def test_fspm_at_the_first_of_its_fullest_steps() -> None:
    """Also told: what is held then and in nobody's place; not what was, or will be."""
    a, b = block("whole", "a", 30, 0, 2, (0, 2)), block("band", "b", 20, 1, 2, (1, 2))
    ends, begins = block("band", "e", 9, 0, 0, (0, 1)), block("band", "f", 7, 2, 2, (1, 2))
    gone, late = block("band", "g", 8, 0, 0, (0, 0)), block("band", "h", 6, 2, 2, (2, 2))
    under = block("band", "u", 5, 0, 0, (0, 1))
    order = laid(
        (a, 0), (b, 30), (ends, 50), (begins, 59), (gone, 50), (late, 66), (under, 29),
        live=[30, 50, 50],
    )  # fmt: skip
    found = peaks._by_steps(order, TINY)
    assert (found.memory, found.capacity, found.taken) == ("FSPM", TINY.fspm_bytes, 72)
    assert (found.live, found.where) == (50, "l1")
    assert found.holders == (
        Holder("a", "whole", 30),
        Holder("b", "segment, rows 2..4", 20),
        Holder("e", HELD, 9),
        Holder("f", HELD, 7),
    )
    # a, b, e, f and u at step 1; a, b, f and h at step 2
    assert found.reason.startswith("with loads ahead and stores behind up to 71 bytes are held, ")


def test_what_has_replaced_a_block_is_named_in_its_place() -> None:
    root = block("whole", "a", 30, 0, 4, (0, 4))
    first, last = block("whole", "b", 30, 2, 4, (2, 2)), block("whole", "c", 30, 3, 4, (3, 3))
    for item in (first, last):
        item.inside = root
    for at, name in ((0, "a"), (1, "a"), (2, "b"), (3, "c"), (4, "c")):
        live = [30 + (step == at) for step in range(5)]
        found = peaks._by_steps(laid((root, 0), (last, 0), (first, 0), live=live), TINY)
        assert (found.where, found.holders) == (f"l{at}", (Holder(name, "whole", 30),))


def test_fspm_that_is_tight_has_no_reason() -> None:
    a = block("sums", "0", 100, 0, 0, (0, 0))
    for at, reason in ((2, False), (3, True)):
        found = peaks._by_steps(laid((a, at), live=[100]), TINY)
        assert (found.taken, bool(found.reason)) == (100 + at, reason)
        assert found.holders == (Holder("l0", "partial sums", 100),)
