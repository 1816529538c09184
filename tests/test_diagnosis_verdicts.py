"""Where diagnosis draws its lines: each from both sides, told without running a diagnosis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest

from float_nets import FloatNet
from knightlite.diagnosis import places
from knightlite.diagnosis.causes import OUTLIER_CHANNEL, SPREAD, Suspect
from knightlite.diagnosis.findings import Diagnosis, is_lossy, metric_told
from knightlite.diagnosis.fitting import won_interval
from knightlite.diagnosis.judge import Score, Still, few_pictures
from knightlite.diagnosis.places import Mended, Place, guilty, middle
from knightlite.diagnosis.preprocessing import (
    Preprocessing,
    Trial,
    _enough_to_bound,
    _only_chance,
    clearly_better,
    examine,
    guess,
)
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.remedies import Remedy
from knightlite.diagnosis.run import _metrics
from knightlite.evaluation import Answers, Paired
from knightlite.ir import Graph
from knightlite.metrics import Difference
from knightlite.quantize.data.workload import Forward


@pytest.mark.parametrize(
    ("sqnr_db", "metric", "exact", "pictures", "lossy"),
    [
        (None, 0.0, 1.0, 1000, False),  # no output differs
        (25.0, None, 0.9, 1000, False),
        (24.9, None, 0.9, 1000, True),
        (24.9, 0.9, None, 1000, True),
        (24.9, 0.9, 0.9, 19, True),  # too few to prove anything
        (24.9, 0.9, 0.9, 20, False),
        (15.0, 0.9, 0.9, 20, False),
        (14.9, 0.9, 0.9, 20, True),
        (60.0, 0.875, 1.0, 20, True),  # two pictures and a half are three
        (60.0, 0.875, 1.0, 24, True),
        (60.0, 0.9375, 1.0, 32, False),  # two
        (60.0, 1 - 8 / 1024, 1.0, 1024, False),  # less than a point
        (60.0, 1 - 16 / 1024, 1.0, 1024, True),
        (60.0, 87.5, 100.0, 24, True),
        (60.0, 93.75, 100.0, 32, False),
        (60.0, 1.0, 0.875, 24, False),  # won
    ],
)
def test_what_is_lossy(
    sqnr_db: float | None, metric: float | None, exact: float | None, pictures: int, lossy: bool
) -> None:
    assert is_lossy(Score(sqnr_db, metric), exact, pictures) is lossy


@pytest.mark.parametrize(
    ("against", "tries", "better"),
    [
        (Paired(120, 0, 6), 1, True),  # 1/64, on either side, against 0.05
        (Paired(121, 0, 6), 1, False),  # a trifle
        (Paired(100, 0, 5), 1, False),  # 1/32
        (Paired(20, 0, 7), 3, True),  # 1/128 against 0.025 / 3
        (Paired(20, 0, 7), 4, False),  # of so many tried one looks so good by chance
        (Paired(100, 0, 6), 16, False),  # a real classifier's, with another network's mean
        (Paired(20, 1, 6), 1, False),  # chance
        (Paired(20, 6, 0), 1, False),
    ],
)
def test_what_is_clearly_better(against: Paired, tries: int, better: bool) -> None:
    assert clearly_better(against, tries) is better


@pytest.mark.parametrize(
    ("low", "high", "channels", "name"),
    [
        (0.0, 255.5, 3, "values 0..255, by their range"),
        (0.0, 255.6, 3, None),
        (0.0, 2.0, 3, None),
        (0.0, 1.001, 3, "values 0..1, by their range"),
        (0.0, 1.002, 3, None),
        (-1.001, 1.001, 1, "values -1..1, by their range"),
        (-1.002, 1.0, 1, None),
        (-1.002, 1.0, 3, "mean and std of ImageNet, by the range"),
        (-3.0, 3.0, 3, "mean and std of ImageNet, by the range"),
        (-3.1, 3.0, 3, None),
        (-2.0, 3.1, 3, None),
    ],
)
def test_what_a_range_tells(low: float, high: float, channels: int, name: str | None) -> None:
    found = guess(low, high, channels)
    assert (found and found.name) == name


# ------------------------------------------------------------------ other preprocessings


@dataclass(frozen=True)
class Slopes:
    """Pictures that fall, then some that rise; the metric is whatever it is said to be."""

    falling: int
    rising: int
    metric: float
    description: str = "slopes"

    def run(self, forward: Forward) -> float | None:
        fall = np.asarray([[0.75, 0.5], [0.5, 0.25]], np.float32)
        for number in range(self.falling + self.rising):
            picture = fall if number < self.falling else fall[::-1, ::-1]
            forward((np.ascontiguousarray(picture[np.newaxis, np.newaxis]),))
        return self.metric


def examined(
    data: Slopes, metric: float | None, pictures: int, classes: int | None
) -> Preprocessing:
    """Of a network that tells falling from rising, however the pictures are normalised."""
    net = FloatNet()
    weights = np.zeros((2, 1, 2, 2))
    weights[0, 0] = (1, 0), (0, -1)
    net.conv(net.input("x", 1, 2, 2), "y", 2, (2, 2), weights=weights, bias=np.zeros(2))
    return examine(net.build("y"), data, metric, pictures, (0.0, 1.0), None, classes, threads=1)


@pytest.mark.parametrize(
    ("metric", "pictures", "unjudged"),
    [
        (None, 20, "the data give no metric"),
        (0.5, 2, "over 2 pictures, 1 of them wrong, no other one could be told to be better"),
        (0.96, 2, None),  # no other one could be clearly better over any number
        (0.5, 20, None),
    ],
)
def test_whether_the_preprocessing_was_judged(
    metric: float | None, pictures: int, unjudged: str | None
) -> None:
    data = Slopes(pictures, 0, 0.5)
    assert examined(data, metric, pictures, None).unjudged == unjudged


def test_values_that_are_no_pixels_are_not_judged() -> None:
    net = FloatNet()
    net.conv(net.input("x", 2, 2, 2), "y", 2, (2, 2))
    found = examine(net.build("y"), Slopes(1, 1, 0.5), 0.5, 20, (0.0, 1.0), None, None, threads=1)
    assert found.unjudged == "an input of 2 channels is no picture"
    net = FloatNet()
    net.conv(net.input("x", 1, 2, 2), "y", 2, (2, 2))
    found = examine(net.build("y"), Slopes(1, 1, 0.5), 0.5, 20, (-9.0, 1e4), None, None, threads=1)
    assert found.unjudged == "its values, -9 to 1e+04, tell no normalisation"


@pytest.mark.parametrize(
    ("metric", "exact", "unjudged", "remarks"),
    [
        (None, None, None, ["no cause found: nothing is wrong that has a name."]),
        (0.9, 0.9, None, ["no cause found: nothing is wrong that has a name."]),
        (91.0, 90.0, None, ["no cause found: nothing is wrong that has a name."]),
        (90.0, 92.5, None, [
            "no cause found, but the metric falls by 2.50 points, 1 of 40 pictures: that may be "
            "chance; about 400 pictures may tell.",
        ]),
        (None, None, "why", [
            "no cause found in the layers.", "the preprocessing was not judged: why.",
        ]),
    ],
)  # fmt: skip
def test_remarks(
    metric: float | None, exact: float | None, unjudged: str | None, remarks: list[str]
) -> None:
    looked_at = Preprocessing("used", exact, unjudged=unjudged)
    found = Diagnosis(
        (), (), Score(40.0, metric), exact, 40, looked_at, {}, {}, cast("Graph", None)
    )
    assert list(found.remarks) == remarks


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (2, "no cause found; the metric stays, as its interval holds 0 (-2.50 points, 95 % "),
        (15, "no cause found, but the metric falls (-35.00 points, 95 % interval "),
    ],
)
def test_a_metric_whose_interval_holds_0_stays(lost: int, told: str) -> None:
    metric = 90 - 100 * (lost - 1) / 40
    looked_at, rare = Preprocessing("used", 90.0), ("rare.",)
    found = Diagnosis(
        (), (), Score(40.0, metric), 90.0, 40, looked_at, {}, {}, cast("Graph", None),
        against=Paired(40, lost, 1), rare=rare,
    )  # fmt: skip
    assert found.remarks[0].startswith(told)
    assert found.remarks[0].endswith(
        f"1 won, {lost} lost of 40 pictures); about 400 pictures may tell."
    )


@pytest.mark.parametrize(
    ("metric", "compared", "told"),
    [
        (None, None, "no metric says what answers that costs"),
        (0.5, None, "the metric does not fall"),
        (0.4, None, "the metric falls: accuracy is lost"),
        (0.4, Paired(100, 15, 5), "the metric falls: accuracy is lost"),
        (0.4, Paired(10, 2, 1), "the metric stays: its interval holds 0"),
        (0.4, Difference(0.5, 0.4, -0.01, 0.2), "the metric stays: its interval holds 0"),
        (0.4, Difference(0.5, 0.4, 0.01, 0.2), "the metric falls: accuracy is lost"),
        (0.4, Difference(0.5, 0.4, None, None), "the metric falls: accuracy is lost"),
    ],
)
def test_what_a_metric_says(
    metric: float | None, compared: Paired | Difference | None, told: str
) -> None:
    assert metric_told(0.5, metric, compared) == told


def test_answers_that_are_nearly_all_the_same_tell_nothing() -> None:
    found = examined(Slopes(8, 2, 1.0), 0.0, 10, None)
    assert found.better == found.trials[0]
    assert found.implausible == (
        "the float network reaches 0.00 with this preprocessing (values 0..1, by their range) and "
        f"1.00 with {found.trials[0].name} (+100.00 points, 95 % interval for all 2 tried +29.04 "
        "to +100.00: 10 won, 0 lost of 10 pictures); 1 other does about as well on these pictures: "
        f"{found.trials[1].name}"
    )
    assert examined(Slopes(9, 2, 1.0), 0.0, 11, None).trials == ()


COLORS = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)  # pure red, green and blue


@dataclass(frozen=True)
class Colors:
    """``count`` pictures of one pixel, red and blue by turns; ``swapped`` of them as BGR."""

    count: int
    swapped: int
    description: str = "colours"

    @property
    def wanted(self) -> Answers:
        return np.arange(self.count) % 2 * 2

    def run(self, forward: Forward) -> float | None:
        right = 0
        for number, label in enumerate(self.wanted.tolist()):
            picture = COLORS[label : label + 1]
            picture = picture[:, ::-1] if number < self.swapped else picture
            right += int(np.argmax(forward((np.ascontiguousarray(picture),))[0]) == label)
        return 100 * right / self.count


class Green(Colors):
    """The same pictures, labelled as what none of them is."""

    @property
    def wanted(self) -> Answers:
        return np.ones(self.count, np.intp)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(
    ("count", "swapped", "verdict"),
    [
        (20, 20, "better"),  # 20 won
        (20, 14, "doubt"),  # as likely by chance as 0.058
        (20, 13, "doubt"),  # 0.13, and the interval allows 5 points
        (4, 4, "doubt"),
        (2, 2, "unjudged"),
        (20, 0, "right"),
    ],
)
def test_red_and_blue_exchanged(count: int, swapped: int, verdict: str, labelled: bool) -> None:
    data = Colors(count, swapped)
    net = FloatNet()
    net.conv(net.input("x", 3, 1, 1), "y", 3, weights=np.eye(3)[..., None, None], bias=np.zeros(3))
    metric = 100 * (1 - swapped / count)
    found = examine(
        net.build("y"), data, metric, count, (0.0, 1.0), None, 3, threads=1,
        wanted=data.wanted if labelled else None,
    )  # fmt: skip
    told = {
        "better": found.better is not None, "doubt": found.doubt is not None,
        "unjudged": found.unjudged is not None,
    }  # fmt: skip
    assert [name for name, there in told.items() if there] == [verdict] * (verdict != "right")
    if found.better is not None:  # every other mean with red and blue exchanged is as good
        assert found.better.name == "values 0..1, by their range, red and blue exchanged"
    if found.doubt is not None:
        assert found.doubt.startswith(f"{count} pictures cannot tell whether another preprocessing")
        low, high = re.findall(
            r"95 % interval(?: for all \d+ tried)? ([+-]\S+) to ([+-]\S+):", found.doubt
        )[0]
        assert float(low) <= 0 < float(high)
        assert found.enough == (150 if swapped == 13 else 100)


@pytest.mark.parametrize(
    ("right", "below", "chance"),
    [(11, False, True), (25, False, False), (25, True, True), (60, True, False)],
)
def test_an_alternative_at_chance_explains_nothing(right: int, below: bool, chance: bool) -> None:
    """Of 100 pictures of 10 classes; 20 were tried."""
    answers = np.zeros(100, np.intp)
    tried = Trial("other", "keys", float(right), Paired(100, 0, right), 1, answers)
    assert _only_chance(tried, 0.0, 10, 20, below) is chance
    assert not _only_chance(replace(tried, answers=None), 0.0, 10, 20, below)


@pytest.mark.parametrize(("count", "labels"), [(8, False), (9, False), (10, True)])
def test_labels_that_no_answer_meets_are_blamed(count: int, labels: bool) -> None:
    """(2/3)^9 is 2.6 % by chance, (2/3)^10 1.7 %."""
    net = FloatNet()
    net.conv(net.input("x", 3, 1, 1), "y", 3, weights=np.eye(3)[..., None, None], bias=np.zeros(3))
    green = np.ones(count, np.intp)
    found = examine(
        net.build("y"), Green(count, 0), 0.0, count, (0.0, 1.0), None, 3, threads=1, wanted=green
    )
    assert found.labels is labels
    told = "the float network reaches 0.00 on 3 classes, less than chance, which is 33.33 %, and no"
    assert (found.implausible or "").startswith(told) is labels


@pytest.mark.parametrize(
    ("pictures", "lost", "won", "enough"),
    [(100, 5, 5, 200), (24, 4, 3, 450), (100, 0, 4, 200), (20, 7, 13, 100)],
)
def test_how_many_pictures_tell(pictures: int, lost: int, won: int, enough: int) -> None:
    """1536.6 times the share of answers that change, twice what there are, or what is clear."""
    assert _enough_to_bound(Paired(pictures, lost, won), 6) == enough


@pytest.mark.parametrize(
    ("gains", "tried", "low", "high"),
    [
        ([8.0] * 16, 3, 8.0, 8.0),
        ([8.0], 1, -np.inf, np.inf),  # one picture has no scatter
        # middle six of ten 7 to 9: mean 8; winsorized 7 7 7 7 8 8 9 9 9 9 scatter by 0.94281,
        # error 0.94281 sqrt(10) / 6 = 0.4969, 1.95996 and 2.39398 of them
        ([-99.0, 7, 7, 7, 8, 8, 9, 9, 9, 99], 1, 7.0261, 8.9739),
        ([-99.0, 7, 7, 7, 8, 8, 9, 9, 9, 99], 3, 6.8104, 9.1896),
        ([-10.0, 10.0] * 8, 3, -9.8900, 9.8900),  # 10.328 sqrt(16) / 10 of error
    ],
)
def test_what_a_picture_wins(gains: list[float], tried: int, low: float, high: float) -> None:
    """An exact picture counts as 120 dB; the widest ends are left out."""
    after: list[float | None] = [20 + gain for gain in gains]
    found = won_interval([20.0] * len(gains), after, tried)
    assert found == pytest.approx((low, high), abs=1e-3)
    assert won_interval([None, None], [None, 120.0], 1) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("metric", "classes", "chance"),
    [
        (0.5, 2, True),
        (0.5625, 2, False),
        (0.3, 10, True),
        (0.31, 10, False),
        (30.0, 10, True),
        (31.0, 10, False),
        (0.0, None, False),
        (0.0, 1, False),
    ],
)
def test_what_is_about_chance(metric: float, classes: int | None, chance: bool) -> None:
    found = examined(Slopes(1, 1, metric), metric, 1000, classes)
    assert found.better is None
    assert (found.implausible is not None) is chance
    if chance:
        start = f"the float network reaches {metric:.2f} on {classes} classes, about chance, and "
        helps = "another one may help: " if found.doubt else "no other preprocessing tried helps: "
        assert str(found.implausible).startswith(start + helps)


# ------------------------------------------------------------------ places


def suspect(layer: str, cause: str = SPREAD, ratio: float = 0.0, certain: bool = False) -> Suspect:
    facts = {"ratio": ratio}
    return Suspect(cause, layer, f"{layer} is wide", (layer,), (), 0.0, facts, certain)


def found(
    monkeypatch: pytest.MonkeyPatch,
    costs: dict[str, float],
    suspects: Sequence[Suspect],
    others: Sequence[Suspect] = (),
    enough: float = 20.0,
) -> tuple[list[Place], list[tuple[int, int]]]:
    """Places found where each tensor left in float wins so many dB upon 16, and ``advance``."""

    def score(_: Any, __: Any, ___: Any, mended: Mended) -> Score:
        return Score(16.0 + sum(costs[name] for name in mended.tensors), None)

    monkeypatch.setattr(places, "mended_score", score)
    nothing = cast(Any, None)
    trial = places.Trial(
        nothing, nothing, nothing, lambda item: item.sqnr_db is not None and item.sqnr_db < enough
    )
    steps: list[tuple[int, int]] = []
    told = guilty(trial, suspects, others, False, lambda *step: steps.append(step))
    return told, steps


def test_what_a_place_must_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"a": 3.0, "b": 2.875, "c": 1.0, "d": 1.0, "e": 0.875, "f": 4.0}
    suspects = [
        suspect("a"),
        suspect("b"),
        suspect("c", OUTLIER_CHANNEL, 20.0),  # so loud that nothing else can be meant
        suspect("d", OUTLIER_CHANNEL, 19.9),
        suspect("e", OUTLIER_CHANNEL, 20.0),
        suspect("f"),
    ]
    told, steps = found(monkeypatch, costs, suspects)
    assert [(place.suspect.layer, place.cost_db) for place in told] == [
        ("f", 4.0),
        ("a", 3.0),
        ("c", 1.0),
    ]
    assert steps == [(number, 6) for number in range(1, 7)]  # now 24 dB: enough


def test_what_is_certain_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = {"a": 9.0, "b": 0.0}
    told, _ = found(monkeypatch, costs, [suspect("a"), suspect("b", certain=True)])
    assert [place.suspect.layer for place in told] == ["b", "a"]
    assert [place.mended for place in told] == [Mended(), Mended(("b",))]


@pytest.mark.parametrize(("rest", "layers"), [(2.875, ["a"]), (3.0, ["a", "b"])])
def test_an_error_passed_on_is_one_find(
    monkeypatch: pytest.MonkeyPatch, rest: float, layers: list[str]
) -> None:
    """Each wins 9 dB or 8 alone: ``b`` beside ``a`` only ``rest``, and must cost by itself."""
    won = {(): 0.0, ("a",): 9.0, ("b",): 8.0, ("a", "b"): 9.0 + rest}

    def score(_: Any, __: Any, ___: Any, mended: Mended) -> Score:
        return Score(won[tuple(sorted(mended.tensors))], None)

    monkeypatch.setattr(places, "mended_score", score)
    nothing = cast(Any, None)
    trial = places.Trial(nothing, nothing, nothing, lambda _: True)
    told = guilty(trial, [suspect("b"), suspect("a")], [], False, lambda *_: None)
    assert [place.suspect.layer for place in told] == layers


@pytest.mark.parametrize(
    ("count", "listed"), [(4, "a, b, c, d"), (5, "a, b, c, d and 1 more"), (2, None)]
)
def test_what_only_costs_together(
    monkeypatch: pytest.MonkeyPatch, count: int, listed: str | None
) -> None:
    names = "abcdef"[:count]
    items = [suspect(name) for name in names]
    told, _ = found(monkeypatch, dict.fromkeys(names, 1.0), items[:1], items[1:], 99.0)
    if listed is None:
        assert told == []
        return
    (place,) = told
    assert place.cost_db == count
    assert place.suspect.sentence == (
        f"in {count} layers together ({listed}); the worst: a is wide"
    )
    assert place.suspect.tensors == tuple(names)
    assert place.suspect.facts == {"ratio": 0.0, "layers": list(names)}


def test_one_alone_is_not_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts only with others is not named without them, whatever it costs."""
    assert found(monkeypatch, {"a": 9.0}, [], [suspect("a")], 99.0) == ([], [])


def test_the_middle_channel() -> None:
    zeros = np.zeros(4)

    def sums(energy: Sequence[float], rounding: Sequence[float]) -> Sums:
        return Sums(
            np.asarray(energy), np.asarray(rounding), zeros, zeros, zeros, zeros, zeros, zeros,
            zeros, zeros,
        )  # fmt: skip

    assert middle(sums([1, 0, 1, 1], [0.1, 5, 0.01, 1e-6])) == pytest.approx(20.0)
    assert middle(sums([0, 0, 0, 0], [0, 0, 0, 0])) == 120.0


# ------------------------------------------------------------------ what a remedy is worth


@pytest.mark.parametrize(
    ("before", "after", "gain", "worth"),
    [
        (10.0, 20.0, 10.0, 10.0),
        (20.0, 35.0, 15.0, 15.0),
        (20.0, 50.0, 30.0, 15.0),  # as good as the float network from 35 dB on
        (40.0, 50.0, 10.0, 0.0),
        (40.0, 38.0, -2.0, -2.0),
        (30.0, 20.0, -10.0, -10.0),
        (30.0, None, 90.0, 5.0),  # exact: 120 dB
        (None, 40.0, -80.0, -80.0),
        (None, None, 0.0, 0.0),
    ],
)
def test_what_a_remedy_is_worth(
    before: float | None, after: float | None, gain: float, worth: float
) -> None:
    made = Remedy("quant -qm kl", Score(before, None), Score(after, None))
    assert (made.gain_db, made.worth_db) == (gain, worth)


@pytest.mark.parametrize(("loud", "kept"), [(1, 10.0), (100, 10.0), (0.5, 9.0)])
def test_few_bits_are_seen_where_the_middle_channel_has_them(loud: float, kept: float) -> None:
    """A loud channel that keeps 40 dB hides nothing; nor does the middle one what all lose.

    Two of three channels keep 10 dB of an energy of 1 each.
    """
    energy = np.array([1.0, 1.0, loud])
    rounding = np.array([0.1, 0.1, loud * 1e-4 if loud >= 1 else 0.1147])
    more = dict.fromkeys(Sums.__dataclass_fields__, np.ones(3))
    made = Sums(**{**more, "energy": energy, "rounding": rounding})
    assert places._own(made) == pytest.approx(kept, abs=0.01)


@pytest.mark.parametrize(
    ("count", "most", "taken"),
    [(1, 4, [0]), (4, 4, [0, 1, 2, 3]), (5, 4, [0, 2, 4]), (9, 4, [0, 3, 6]), (8, 4, [0, 2, 4, 6])],
)
def test_few_pictures_are_no_more_than_asked_for_and_spread(
    count: int, most: int, taken: list[int]
) -> None:
    net = FloatNet()
    graph = net.build(net.conv(net.input("x", 1, 1, 1), "y", 1))
    numbers = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    workload = few_pictures(graph, (numbers,), most, 1).workload
    assert isinstance(workload, Still)
    assert workload.pictures[0].ravel().tolist() == taken


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.3214, 0.3281, "0.3214 -> 0.3281 (+2.08 %, no interval, as it is no top-1)"),
        (-2.0, -1.0, "-2 -> -1 (+50.00 %, no interval, as it is no top-1)"),
        (0.0, 0.004, "0 -> 0.004 (no interval, as it is no top-1)"),
    ],
)
def test_a_metric_of_a_script_is_told_in_percent_of_itself(
    before: float, after: float, words: str
) -> None:
    """Two digits behind the point would hide it."""
    assert _metrics(before, after) == words
    assert _metrics(90.0, 92.5, Paired(40, 1, 2).gain).startswith("90 -> 92.5 (+2.50 points")
