"""Addresses by lifetime: valid always, and every order and every turn of the search is needed."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knightlite.allocate import packing
from knightlite.allocate.packing import Life, live_bytes, pack

Lives = list[tuple[int, int, int]]  # bytes, first and last step
SOME = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 7), st.integers(0, 7)), min_size=1,
                max_size=9)  # fmt: skip


def blocks(lives: Lives) -> list[Life]:
    return [Life(size, min(ends), max(ends)) for size, *ends in lives]


def meet(one: Life, other: Life) -> bool:
    return not (one.last < other.first or other.last < one.first)


@given(SOME, st.integers(0, 30), st.integers(0, 3))
def test_no_two_that_live_at_once_share_a_byte(lives: Lives, spare: int, trials: int) -> None:
    """Where there is room for all at once, there always is a place."""
    given = blocks(lives)
    most = max(sum(b.size for b in given if b.first <= at <= b.last) for at in range(8))
    assert live_bytes(given, 8).max() == most
    assert pack(given, most - 1, trials) is None
    found = pack(given, most + spare, trials)
    assert found is not None or spare < sum(b.size for b in given) - most
    for (one, at), (other, beside) in combinations(zip(given, found or (), strict=False), 2):
        if meet(one, other):
            assert at + one.size <= beside or beside + other.size <= at
    for one, at in zip(given, found or (), strict=False):
        assert 0 <= at <= most + spare - one.size


@given(SOME)
def test_groups_are_those_that_meet_by_way_of_others(lives: Lives) -> None:
    given = blocks(lives)
    wanted = [{index} for index in range(len(given))]
    for one, other in combinations(range(len(given)), 2):
        if meet(given[one], given[other]):
            here, there = (next(g for g in wanted if item in g) for item in (one, other))
            if here is not there:
                here |= there
                wanted.remove(there)
    found = [set(group) for group in packing._together(given)]
    assert sorted(map(sorted, found)) == sorted(map(sorted, wanted))


NEEDY = (  # by the only order that places them at once: blocks, bytes, addresses
    ([(4, 0, 2), (5, 2, 3), (5, 3, 3), (1, 3, 3)], 11, [5, 0, 5, 10]),
    ([(3, 0, 3), (1, 2, 4), (3, 2, 3), (5, 2, 2), (3, 3, 3), (3, 3, 3)], 13, [0, 3, 4, 7, 7, 10]),
    ([(5, 0, 0), (3, 0, 4), (4, 0, 1), (2, 1, 4), (5, 2, 4), (3, 2, 2)], 13, [7, 0, 3, 8, 3, 10]),
    ([(5, 0, 1), (2, 0, 3), (1, 3, 3), (1, 3, 4), (5, 4, 4)], 7, [0, 5, 0, 1, 2]),
)


@pytest.mark.parametrize("order", range(len(packing.ORDERS)))
def test_every_order_places_what_no_other_does(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lives, capacity, addresses = NEEDY[order]
    assert pack(blocks(lives), capacity) == addresses
    others = packing.ORDERS[:order] + packing.ORDERS[order + 1 :]
    monkeypatch.setattr(packing, "ORDERS", others)
    assert pack(blocks(lives), capacity) is None


def test_trials_go_on_from_what_is_as_good() -> None:
    """A change that leaves the highest end where it was is the beginning of one that lowers it."""
    lives = blocks([(3, 3, 3), (4, 3, 4), (5, 4, 4), (3, 0, 3), (1, 0, 4)])
    assert pack(lives, 11) is None
    assert pack(lives, 11, 12) == [0, 7, 0, 3, 6]
    assert pack(lives, 11, 12) == pack(lives, 11, 12)  # no dice
