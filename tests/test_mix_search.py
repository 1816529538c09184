"""The search for a mix, to the cycle: what is exactly within the budget is, one cycle more is not.

Units with prices that add up and noises that do; each case by hand.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from knightlite.quantize.choices import MixBudget
from knightlite.quantize.mixed.mix_budget import Point, pareto, search

REST = 1.0  # noise that no unit explains


def taken_within(
    noises: Sequence[float],
    prices: Sequence[int],
    limit: int,
    ruled: frozenset[int] = frozenset(),
    enough: float = REST,
) -> tuple[set[int], list[set[int]]]:
    """The best set within the limit, and all that were measured, in order."""

    def cycles(taken: frozenset[int]) -> int:
        return 1000 + sum(prices[index] for index in taken)

    def noise(taken: frozenset[int]) -> float:
        return REST + sum(item for index, item in enumerate(noises) if index not in taken)

    start = Point(ruled, cycles(ruled), noise(ruled))
    points = search(start, noises, enough, limit, cycles, noise)
    within = [point for point in pareto(points, start.noise) if point.cycles <= limit]
    return set(within[-1].taken), [set(point.taken) for point in points]


@pytest.mark.parametrize(
    ("limit", "best"), [(1049, {0, 1}), (1050, {0, 1, 2}), (1029, {0}), (1030, {0, 1})]
)
def test_the_last_cycle_of_a_budget_is_spent(limit: int, best: set[int]) -> None:
    """Three units for 10, 20 and 20 cycles."""
    assert taken_within([8, 8, 4], [10, 20, 20], limit)[0] == best


@pytest.mark.parametrize(("limit", "best"), [(1039, {0}), (1040, {1})])
def test_the_best_single_unit_may_cost_all_there_is(limit: int, best: set[int]) -> None:
    """The first gains most per cycle; the second alone gains more than it, and takes all."""
    assert taken_within([5, 8], [10, 40], limit)[0] == best


@pytest.mark.parametrize(("limit", "best"), [(1029, {1}), (1030, {0, 1})])
def test_what_is_wide_by_rule_keeps_its_budget_to_the_cycle(limit: int, best: set[int]) -> None:
    """The rule takes "2", which saves little; a row from the front takes its place."""
    assert taken_within([8, 9, 0.5], [15, 15, 15], limit, frozenset({2}))[0] == best


def test_with_nothing_left_to_spend_what_is_free_is_still_taken() -> None:
    """The first costs all there is; beside it the second, which shares its tensor, nothing."""

    def cycles(taken: frozenset[int]) -> int:
        return 1010 if 0 in taken else 1000 + 9 * len(taken)

    def noise(taken: frozenset[int]) -> float:
        return REST + sum((8.0, 4.0)[index] for index in range(2) if index not in taken)

    start = Point(frozenset(), 1000, noise(frozenset()))
    for limit, best in ((1010, {0, 1}), (1009, {1})):
        points = search(start, (8.0, 4.0), REST, limit, cycles, noise)
        within = [point for point in pareto(points, start.noise) if point.cycles <= limit]
        assert within[-1].taken == best


def test_a_row_goes_on_where_the_budget_is_spent() -> None:
    """Three quiet units, of which the last two cost nothing: the first takes the last cycle."""
    noises = [998.0, 0.5, 0.3, 0.2]
    assert taken_within(noises, [10, 10, 0, 0], 1020)[0] == {0, 1, 2, 3}
    assert taken_within(noises, [10, 10, 0, 0], 1019)[0] == {0}


def test_the_search_ends_where_noise_is_enough() -> None:
    """Equal to what is enough is enough."""
    noises, prices = [8.0, 4.0, 2.0], [10, 10, 10]
    assert taken_within(noises, prices, 2000, enough=REST + 2)[0] == {0, 1}
    assert taken_within(noises, prices, 2000, enough=REST + 1.9)[0] == {0, 1, 2}
    assert taken_within(noises, prices, 2000, enough=REST + 14) == (set(), [set()])


def test_six_units_beyond_the_budget_end_the_search() -> None:
    """The seventh that is too dear is not looked at, nor quiet ones that would fit behind them."""
    dear = [9.0, 8.9, 8.8, 8.7, 8.6, 8.5, 8.4]
    best, seen = taken_within([100.0, *dear, 0.2], [10, *[50] * 7, 5], 1020)
    assert seen == [set(), {0}, *({0, index} for index in range(1, 7))]
    assert best == {0}
    best, seen = taken_within([100.0, *dear[1:], 0.2], [10, *[50] * 6, 5], 1020)
    assert seen == [set(), {0}, *({0, index} for index in range(1, 7)), {0, 7}]
    assert best == {0, 7}


@pytest.mark.parametrize(("noise", "is_priced"), [(2.0, True), (1.999, False)])
def test_a_unit_of_a_fivehundredth_has_a_price_of_its_own(noise: float, is_priced: bool) -> None:
    """Of 1000 in all; what has less is taken in a row once the others are."""
    priced: list[frozenset[int]] = []

    def cycles(taken: frozenset[int]) -> int:
        priced.append(taken)
        return 1000 + len(taken)

    noises = [1000 - REST - noise, noise]
    start = Point(frozenset(), 1000, 1000.0)
    search(start, noises, REST, 2000, cycles, lambda taken: 1000.0 - sum(noises[i] for i in taken))
    assert (frozenset({1}) in priced) == is_priced
    assert frozenset({0, 1}) in priced


@pytest.mark.parametrize(
    ("budget", "base", "limit"),
    [
        (MixBudget(0), 1000, 1000),
        (MixBudget(5), 1000, 1050),
        (MixBudget(5), 1019, 1069),  # 50.95 cycles: 51 would be too many
        (MixBudget(0.1), 999, 999),
        (MixBudget(7, absolute=True), 1000, 1007),
        (MixBudget(7.9, absolute=True), 1000, 1007),
    ],
)
def test_a_limit_is_never_rounded_up(budget: MixBudget, base: int, limit: int) -> None:
    assert budget.limit(base) == limit
