"""Instructions by kinds: what is computed once per kind is what every instruction says itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from assembled import TINY, load, small_matrix, store
from knightlite.isa import Instruction, Space, Transfer
from knightlite.isa.alike import Alike
from knightlite.isa.fields import layout
from knightlite.sim.shared_banks import fspm_bytes
from random_instructions import Random
from test_clock_laws import instruction


@st.composite
def repeated(draw: st.DrawFn) -> list[Instruction]:
    """Random instructions, each several times, with other addresses, layers and tokens."""
    random = Random(draw(st.integers(0, 2**32 - 1)))
    found = []
    for item in [instruction(random) for _ in range(draw(st.integers(0, 6)))]:
        for _ in range(3):
            other = {
                field.name: field.unit * random.integer(0, 1 << 16)
                for field in layout(type(item))
                if field.spaces
            }
            order = {"layer": random.integer(0, 9), "wait": 0, "signal": random.integer(0, 15)}
            found.append(replace(item, **other, **order))
    random.rng.shuffle(found)
    return found


@settings(max_examples=60)
@given(repeated())
def test_what_a_kind_says_its_instructions_say(code: list[Instruction]) -> None:
    alike = Alike(code)
    assert len(alike.kinds) <= len(code) / 3
    assert alike.each(lambda item: item.cycles(TINY)) == [item.cycles(TINY) for item in code]
    assert alike.each(lambda item: item.macs()) == [item.macs() for item in code]
    assert alike.each(lambda item: fspm_bytes(item, TINY)) == [fspm_bytes(x, TINY) for x in code]
    assert alike.each(lambda item: (type(item), item.ENGINE)) == [(type(x), x.ENGINE) for x in code]
    moved = [item.ddr_bytes(TINY) if isinstance(item, Transfer) else 0 for item in code]
    assert moved == alike.each(lambda x: x.ddr_bytes(TINY) if isinstance(x, Transfer) else 0)


@settings(max_examples=60)
@given(repeated())
def test_extents_are_the_accesses_in_program_order(code: list[Instruction]) -> None:
    found = Alike(code).extents()
    wanted = [(number, *access) for number, item in enumerate(code) for access in item.accesses()]
    assert list(zip(*(column.tolist() for column in found), strict=True)) == wanted
    assert [column.dtype for column in found] == [np.int64] * 4 + [np.bool_]


def test_extents_of_a_stretch_of_the_program() -> None:
    """Of one memory, from the first instruction on, the last left out."""
    code = [load(Space.FSPM, 0, 8), small_matrix(), store(0, 64, 8), load(Space.WSPM, 0, 8)]
    found = Alike(code).extents()
    for space in Space:
        for begin in range(len(code) + 1):
            for end in range(begin, len(code) + 1):
                wanted = [
                    (number, *access)
                    for number in range(begin, end)
                    for access in code[number].accesses()
                    if access.space is space
                ]
                some = found.of(space, begin, end)
                assert list(zip(*(column.tolist() for column in some), strict=True)) == wanted
