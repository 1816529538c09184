"""Sums over pictures: what they count, that parts add up exactly, and the interval of a drop."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knightlite.errors import FormatError
from knightlite.evaluation import (
    Paired,
    Tally,
    about_chance,
    apart,
    best_classes,
    empty_tally,
    paired,
    tally_of,
)
from knightlite.evaluation.paired import shares
from knightlite.evaluation.tally import tally_from_json

Pictures = list[tuple[list[np.ndarray[Any, Any]], int | None]]
CLASSES, MODELS = 8, 3


@st.composite
def pictures(draw: st.DrawFn) -> Pictures:
    """Scores of three models on a few pictures, with ties, huge and tiny values."""
    value = st.one_of(st.integers(-3, 3).map(float), st.floats(-(2.0**100), 2.0**100, width=32))
    scores = st.lists(value, min_size=CLASSES, max_size=CLASSES)
    label = st.one_of(st.none(), st.integers(0, CLASSES - 1))
    return [
        ([np.array(draw(scores), np.float32) for _ in range(MODELS)], draw(label))
        for _ in range(draw(st.integers(1, 8)))
    ]


def tally(items: Pictures) -> Tally:
    return reduce(add, (tally_of(scores, label) for scores, label in items), empty_tally(MODELS))


@settings(max_examples=30)
@given(pictures())
def test_counts_are_those_of_the_definitions(items: Pictures) -> None:
    found = tally(items)
    labelled = [(scores, label) for scores, label in items if label is not None]
    assert (found.pictures, found.labelled) == (len(items), len(labelled))
    for model in range(MODELS):
        orders = [np.argsort(-scores[model], kind="stable") for scores, _ in labelled]
        first = [int(np.argmax(scores[0])) == label for scores, label in labelled]
        mine = [order[0] == label for order, (_, label) in zip(orders, labelled, strict=True)]
        assert found.top1[model] == sum(mine)
        assert found.top5[model] == sum(
            label in order[:5] for order, (_, label) in zip(orders, labelled, strict=True)
        )
        assert found.lost[model] == sum(a and not b for a, b in zip(first, mine, strict=True))
        assert found.won[model] == sum(b and not a for a, b in zip(first, mine, strict=True))
        assert found.agreed[model] == sum(
            np.argmax(scores[0]) == np.argmax(scores[model]) for scores, _ in items
        )


def test_only_pictures_of_known_class_are_paired() -> None:
    first, other = np.eye(CLASSES)[0], np.eye(CLASSES)[1]
    scores = [first, other, first]
    found = tally([(scores, 0), (scores, 0), (scores, 1), (scores, 2), (scores, None)])
    assert (found.pictures, found.labelled) == (5, 4)
    assert found.paired(1) == Paired(4, 2, 1)
    assert found.paired(2) == Paired(4, 0, 0)
    assert tally([(scores, None)]).paired(1) is None


def test_the_fifth_of_equal_scores_is_among_five() -> None:
    scores = np.zeros(CLASSES)
    found = [tally_of([scores], label) for label in range(CLASSES)]
    assert [item.top5 for item in found] == [(1,)] * 5 + [(0,)] * (CLASSES - 5)
    assert [item.top1 for item in found] == [(1,)] + [(0,)] * (CLASSES - 1)


@settings(max_examples=30)
@given(pictures(), st.integers(1, 4))
def test_shards_add_up_to_the_last_bit_in_any_order(items: Pictures, count: int) -> None:
    shards = [tally(items[index::count]) for index in range(count)]
    assert reduce(add, shards) == reduce(add, reversed(shards)) == tally(items)


def test_a_measure_has_the_pictures_in_their_order_however_they_were_counted() -> None:
    """Shards hold every so-many-th picture; of each model what is its own; kept in JSON."""
    scores = [np.ones(2, np.float32)] * 2
    parts = [
        tally_of(scores, None, (), (number, (f"first {number}", [number, -number])))
        for number in range(7)
    ]
    for order in (range(7), (0, 3, 6, 1, 4, 2, 5), range(6, -1, -1)):
        found = reduce(add, (parts[number] for number in order), empty_tally(2))
        again = tally_from_json(json.loads(json.dumps(found.to_json())), 2, "x")
        for item in (found, again):
            assert item.measured(0) == [f"first {number}" for number in range(7)]
            assert item.measured(1) == [[number, -number] for number in range(7)]


@settings(max_examples=30)
@given(pictures())
def test_a_tally_survives_json(items: Pictures) -> None:
    found = tally(items)
    assert tally_from_json(json.loads(json.dumps(found.to_json())), MODELS, "x") == found


def test_sqnr_is_energy_over_noise() -> None:
    rng = np.random.default_rng(5)
    exact = rng.standard_normal((20, 30)).astype(np.float32)
    other = exact + np.float32(0.01) * rng.standard_normal((20, 30)).astype(np.float32)
    found = reduce(add, (tally_of([a, b, a], None) for a, b in zip(exact, other, strict=True)))
    difference = exact.astype(np.float64) - other
    wanted = 10 * np.log10(np.sum(exact.astype(np.float64) ** 2) / np.sum(difference**2))
    assert found.sqnr_db(1) == pytest.approx(wanted, abs=1e-9)
    assert (found.exact(1), found.exact(2)) == (False, True)
    assert found.sqnr_db(2) is None
    assert found.paired(1) is None


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_scores_that_are_not_finite_have_no_sqnr(value: float) -> None:
    good = np.ones(3, np.float32)
    bad = np.array([1, value, 0], np.float32)
    found = tally_of([good, bad], 0) + tally_of([good, good], 0)
    assert (found.sqnr_db(1), found.exact(1)) == (None, False)
    assert tally_from_json(found.to_json(), 2, "x") == found


def test_a_damaged_tally_is_refused() -> None:
    whole = tally_of([np.ones(3), np.ones(3)], 1).to_json()
    broken = [{}, {**whole, "top1": [1]}, {**whole, "energy": "1/0"}, {**whole, "lost": ["x", 0]}]
    for found in broken:
        with pytest.raises(FormatError, match=r"^s\.json does not hold the sums of 2 models\.$"):
            tally_from_json(found, 2, "s.json")


@pytest.mark.parametrize(
    ("sums", "drop", "low", "high"),
    [
        # p = 11/102, q = 2/102: 9/102 +- 1.959964 sqrt((13/102 - (9/102)^2) / 102)
        (Paired(100, 10, 1), 9.0, 2.1103, 15.5368),
        (Paired(500, 0, 0), 0.0, -0.5522, 0.5522),
        (Paired(1000, 7, 3), 0.4, -0.2779, 1.0763),
    ],
)
def test_interval_worked_out_by_hand(sums: Paired, drop: float, low: float, high: float) -> None:
    assert sums.drop == drop
    assert sums.interval == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("lost", "won", "chance"),
    [
        (0, 0, 1), (0, 1, 1 / 2), (1, 0, 1), (0, 5, 1 / 32),
        (1, 3, 5 / 16),  # (4 + 1) of 16: three heads or four
        (2, 5, 29 / 128),  # 21 + 7 + 1
        (5, 2, 120 / 128),  # all but 1 + 7
    ],
)  # fmt: skip
def test_as_many_won_by_chance(lost: int, won: int, chance: float) -> None:
    assert Paired(100, lost, won).by_chance == chance


@pytest.mark.parametrize(
    ("sums", "tried", "low", "high"),
    [
        # 6 of 6 won: the share is at least 0.025 ^ (1/6) = 0.5407, of 6 points
        (Paired(100, 0, 6), 1, 0.4889, 6.0),
        (Paired(100, 0, 6), 16, -1.9122, 6.0),  # (0.025 / 16) ^ (1/6) = 0.3406
        (Paired(100, 6, 0), 16, -6.0, 1.9122),
        # 8 of 10: Clopper and Pearson's 0.4439 to 0.9748
        (Paired(100, 2, 8), 1, -1.1219, 9.4957),
        (Paired(100, 0, 0), 3, 0.0, 0.0),
    ],
)
def test_the_interval_of_the_best_of_many(
    sums: Paired, tried: int, low: float, high: float
) -> None:
    assert sums.gain_among(tried) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(1, 40))
def test_it_holds_0_where_the_sign_test_sees_nothing(lost: int, won: int, tried: int) -> None:
    found, mirrored = Paired(200, lost, won), Paired(200, won, lost)
    low, high = found.gain_among(tried)
    assert (low > 0) == (found.by_chance <= 0.025 / tried)
    assert (high < 0) == (mirrored.by_chance <= 0.025 / tried)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 200))
def test_an_interval_holds_the_drop_shrunk_and_mirrors(lost: int, won: int, alike: int) -> None:
    n = lost + won + alike
    low, high = Paired(n, lost, won).interval
    assert low < 100 * (lost - won) / (n + 2) < high
    assert Paired(n, won, lost).interval == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("lost", "won", "by_chance"),
    [(0, 0, 1.0), (0, 1, 0.5), (0, 6, 1 / 64), (1, 5, 7 / 64), (3, 0, 1.0), (2, 2, 11 / 16)],
)
def test_how_likely_a_gain_is_by_chance(lost: int, won: int, by_chance: float) -> None:
    assert Paired(100, lost, won).by_chance == by_chance


@pytest.mark.parametrize(
    ("metrics", "wanted", "lost_and_won"),
    [
        ((60.0, 40.0), [0, 1, 2, 3, 4], (2, 1)),  # counted
        ((60.0, 60.0), [0, 1, 2, 3, 4], None),  # the metrics say something else
        ((60.0, 40.0), None, (2, 1)),  # four answers changed: at most three make one less
        ((0.6, 0.4), None, (2, 1)),
        ((0.2, 0.2), None, (2, 2)),
        ((0.2, 1.0), None, (0, 4)),
        ((0.0, 1.0), None, None),  # more than changed
        ((50.0, 50.0), None, None),  # no count of pictures
        ((60.01, 60.0), None, (2, 2)),
    ],
)
def test_what_two_metrics_lose_and_win(
    metrics: tuple[float, float],
    wanted: list[int] | None,
    lost_and_won: tuple[int, int] | None,
) -> None:
    first, second = np.array([0, 1, 9, 3, 9]), np.array([9, 8, 2, 3, 8])
    found = paired(first, second, metrics, None if wanted is None else np.array(wanted))
    assert found == (None if lost_and_won is None else Paired(5, *lost_and_won))


def test_answers_of_other_pictures_are_not_paired() -> None:
    some = np.array([0, 1])
    assert paired(None, some, (0.0, 0.0)) is None
    assert paired(some, np.array([0]), (0.0, 0.0)) is None
    assert paired(some, some, (0.5, 0.5), np.array([0])) == Paired(
        2, 0, 0
    )  # labels of other pictures
    assert best_classes(np.array([[[1.0], [2.0]], [[3.0], [3.0]]]), 2).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        ((0.9, 0.6), (0.9, 0.6)), ((1, 0), (1, 0)), ((90.0, 60.0), (0.9, 0.6)),
        ((0.9, 60.0), (0.009, 0.6)), ((60.0, 0.9), (0.6, 0.009)),  # one of them is above 1
    ],
)  # fmt: skip
def test_both_metrics_have_one_unit(
    metrics: tuple[float, float], found: tuple[float, float]
) -> None:
    assert shares(*metrics) == pytest.approx(found)


def test_two_shares_alone() -> None:
    assert apart(64, 0.5, 0.75) == Paired(64, 8, 24)
    assert Paired(64, 8, 24).gain == (
        "+25.00 points, 95 % interval +7.94 to +40.54: 24 won, 8 lost of 64 pictures"
    )
    assert Paired(1, 0, 0).gain.startswith("+0.00 points")
    assert Paired(1, 0, 0).gain.endswith("0 lost of 1 picture")


@pytest.mark.parametrize(
    ("right", "classes", "chance"),
    [(0.5, 2, True), (0.51, 2, False), (0.3, 10, True), (0.31, 10, False), (0.0, 1, False)],
)
def test_a_share_about_chance(right: float, classes: int, chance: bool) -> None:
    assert about_chance(right, classes) is chance


@pytest.mark.parametrize(
    ("lost", "won", "same", "stays"),
    [(0, 0, True, True), (2, 1, True, True), (20, 1, False, False), (1, 20, False, True)],
)
def test_two_models_that_are_told_apart(lost: int, won: int, same: bool, stays: bool) -> None:
    """The interval of the drop is above 0, or below; what wins for sure stays."""
    found = Paired(40, lost, won)
    assert (found.same, found.stays) == (same, stays)
