"""What plots of a diagnosis draw, which recipe fits better, and a measure's data: by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.diagnosis import fitting, page, probe, remedies, run
from knightlite.diagnosis.findings import Finding, LayerQuality
from knightlite.diagnosis.fitting import Fitting, better_fit
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.measured import UNDER_WAY, MeasuredWorkload
from knightlite.diagnosis.preprocessing import (
    LEAST_POINTS,
    Normalization,
    Preprocessing,
    Trial,
    _as_good,
    _may_be_better,
    _simplest,
)
from knightlite.diagnosis.remedies import Remedy
from knightlite.errors import DataError
from knightlite.evaluation import Paired
from knightlite.ir import Tensor
from knightlite.metrics import Picture
from knightlite.quantize.data import PictureFolder
from knightlite.quantize.statistics.observers import Observer
from test_diagnosis_figures import diagnosis, network

Array = NDArray[Any]


CELL = r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>"


def layer(name: str, alone: float, whole: float) -> LayerQuality:
    return LayerQuality(name, "Conv", "s8", alone, whole, 0.987654, 1.25, 2.25, 3.25, 4.25)


def finding(where: str, cost: float | None = 1.0, **more: Any) -> Finding:
    values: dict[str, Any] = {"remedies": (), "advice": "do it", "facts": {}} | more
    return Finding("cause", where, where, "it is so", cost, **values)


# ------------------------------------------------------------------ plots


@pytest.fixture(autouse=True)
def _needs_plots() -> None:
    pytest.importorskip("matplotlib")


def drawn_on(figure: Any) -> Any:
    """The axes of a plot."""
    (axes,) = figure.axes
    return axes


def test_curves() -> None:
    """Alone and in the whole network, up to 80 dB; a stripe where a finding costs something."""
    layers = (layer("a", 10.0, 5.0), layer("b", 120.0, 90.0), layer("c", 30.0, 79.0))
    found = diagnosis(layers=layers, findings=(finding("c"), finding("b", None), finding("?")))
    axes = drawn_on(page._curves(found))
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    assert drawn[0] == [[0, 10], [1, 80], [2, 30]]
    assert drawn[1] == [[0, 5], [1, 80], [2, 79]]
    assert drawn[2:] == [[[2, 0], [2, 1]]]
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == ["this layer alone quantized", "whole network quantized"]


def test_layers_with_plots() -> None:
    """Those of findings, then those that keep least alone, four in all; only where values are."""
    layers = tuple(
        layer(name, alone, 0.0) for name, alone in zip("abcdef", [9, 3, 5, 1, 7, 8], strict=True)
    )
    known = dict.fromkeys("abcef")
    found = diagnosis(
        layers=layers, findings=(finding("f"), finding("?"), finding("a")), sums=known
    )
    assert page._places(found) == ["f", "a", "b", "c"]


def held(dtype: dtypes.DType, scale: Any) -> Any:
    tensor = Tensor("a", (1, 2, 1, 1), dtype, np.asarray(scale, np.float32))
    return network().with_tensors([tensor])


def test_a_histogram_and_the_range_that_is_kept() -> None:
    """All values are in a bin; lines where the integers end, none at 0."""
    observer = Observer("a", 1)
    observer.add(np.array([-1.0, 0.5, 0.5, 3.0], np.float32).reshape(1, 1, 1, 4))
    for dtype, ends in ((dtypes.S8, [-64.0, 63.5]), (dtypes.U8, [127.5])):
        found = diagnosis(statistics={"a": observer.result()}, quantized=held(dtype, 0.5))
        axes = drawn_on(page._histogram(found, "a"))
        (stairs,) = axes.patches
        heights, edges, _ = stairs.get_data()
        assert heights.sum() == 4
        assert len(heights) <= page.BINS
        assert edges[0] <= -1.0 < edges[1]
        assert edges[-2] <= 3.0 <= edges[-1]
        assert heights[-1] == 1
        assert sorted(line.get_xdata()[0] for line in axes.lines) == ends


@pytest.mark.parametrize(("channels", "step"), [(3, 1), (128, 1), (129, 2), (300, 3)])
def test_ranges_of_channels(channels: int, step: int) -> None:
    """Of more than 128 groups of neighbours; with the end of the integers of each."""
    low, high = -np.arange(1.0, channels + 1), np.arange(channels) * 2.0
    known = SimpleNamespace(minimum=low, maximum=high)
    scales = np.arange(1, channels + 1) / 2
    found = diagnosis(sums={"a": known}, quantized=held(dtypes.S8, scales))
    axes = drawn_on(page._channels(found, "a"))
    bars = [
        (bar.get_x() + bar.get_width() / 2, bar.get_y(), bar.get_height()) for bar in axes.patches
    ]
    starts = range(0, channels, step)
    assert len(bars) == len(starts)
    for (x, bottom, height), first in zip(bars, starts, strict=True):
        last = min(first + step, channels) - 1
        assert x == pytest.approx(first)
        assert (bottom, bottom + height) == (low[last], high[last])
    least, most = (line.get_ydata().tolist() for line in axes.lines)
    assert least == pytest.approx((-128 * scales).tolist())
    assert most == pytest.approx((127 * scales).tolist())


def test_rows_of_all_layers() -> None:
    text = page._layers(diagnosis(layers=(layer("a", 10.04, 5.06),), findings=(finding("a"),)))
    assert re.findall(r"<td[^>]*>(.*?)</td>", text) == [
        "a", "Conv", "s8", "0", "10.0", "5.1", "0.98765", "1.2", "2.2", "3.2", "4.2"
    ]  # fmt: skip
    assert text.count('<tr class="marked">') == 1


def test_a_finding_on_the_page() -> None:
    """Its remedies with the metric where one has any."""
    plain = Remedy("-qm kl", Score(10.04, None), Score(None, None))
    rows = page._finding(2, finding("a", 2.345, remedies=(plain,)))
    assert "<b>2. cause</b>: <code>a</code>, costs 2.3 dB at the outputs<br>it is so.<br>" in rows
    assert re.findall(CELL, rows) == [
        "tried", "dB before", "after", "-qm kl", "10.0", "exact",
    ]  # fmt: skip
    better = Remedy("-b 16", Score(1, 0.25), Score(2, 0.5), pictures=Paired(8, 0, 2))
    rows = page._finding(1, finding("a", None, remedies=(plain, better)))
    assert ", costs" not in rows
    assert re.findall(CELL, rows) == [
        "tried", "dB before", "after", "metric before", "after", "won",
        "-qm kl", "10.0", "exact", "", "", "",
        "-b 16", "1.0", "2.0", "0.25", "0.50", Paired(8, 0, 2).gain,
    ]  # fmt: skip


@pytest.mark.parametrize("findings", [(), (finding("a"),)])
def test_the_whole_page(findings: tuple[Finding, ...]) -> None:
    """Remarks are green where nothing is wrong; plots are of the places, each with its values."""
    observer = Observer("a", 1)
    observer.add(np.ones((1, 1, 1, 4), np.float32))
    found = diagnosis(
        layers=(layer("a", 1.0, 2.0),), findings=findings, statistics={"a": observer.result()},
        sums={"a": SimpleNamespace(minimum=-np.ones(2), maximum=np.ones(2))},
        quantized=held(dtypes.S8, 0.5),
    )  # fmt: skip
    graph: Any = SimpleNamespace(name="<net>")
    made = page.html_page(found, graph, "m.onnx", "the <data>")
    assert "<h1>&lt;net&gt;: what quantization loses, and where</h1>" in made
    assert "<p><code>m.onnx</code>, the &lt;data&gt;.</p>" in made
    kinds = re.findall(r'<div class="(finding[^"]*)">([^<]*)<', made)
    marks = ["finding" if findings else "finding good"] * len(found.remarks)
    assert [kind for kind, text in kinds if text] == marks
    assert made.count('<div class="finding"><b>') == len(findings)
    titles = re.findall(r"<h2>(.*?)</h2>", made)
    assert titles == ["Causes", "What each layer keeps", "a", "All layers"]
    told = re.findall(r'aria-label="([^"]*)"', made)
    assert told[1 + len([item for item in findings if item.remedies]) :][:3] == [
        "SQNR of every layer, alone and in the whole network", "Histogram of the values of a",
        "Ranges of the channels of a",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "wanted"), [("minimum", [-1, -4]), ("maximum", [7, 3]), ("energy", [9, 1])]
)
def test_pictures_are_added_up_or_give_extremes(kind: str, wanted: list[float]) -> None:
    found: dict[str, Array] = {}
    for values in ([[1, 2], [-1, 3]], [[7, -4], [2, 0]]):
        probe._merge(found, f"a/b/{kind}", np.array(values, np.float32))
    assert {key: values.tolist() for key, values in found.items()} == {f"a/b/{kind}": wanted}


@pytest.mark.parametrize("made_up", [True, False])
def test_ranges_are_tried_over_pictures_only(
    made_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``quant`` does it: what is made up tells nothing of outputs."""
    done: list[str] = []

    def step(name: str) -> Any:
        def taken(basis: Any, assignment: Any, *more: Any) -> Any:
            done.append(name)
            return SimpleNamespace(graph=f"{assignment.graph} {name}"), None

        return taken

    monkeypatch.setattr(remedies, "is_made_up", lambda work: made_up)
    monkeypatch.setattr(remedies, "assign", lambda basis: SimpleNamespace(graph="assigned"))
    monkeypatch.setattr(remedies, "choose_ranges", step("ranges"))
    monkeypatch.setattr(remedies, "choose_output_scales", step("outputs"))
    monkeypatch.setattr(
        remedies, "improve", lambda exact, graph, sample, settings, threads: (f"{graph}!", sample)
    )
    case: Any = SimpleNamespace(judge=SimpleNamespace(threads=1), workload=None)
    basis: Any = SimpleNamespace(graph="exact", settings=None)
    seen: Any = SimpleNamespace(sample="sample", striking=None)
    made: Any = remedies._finished(case, basis, seen)
    assert made == ("assigned!" if made_up else "assigned ranges outputs!")
    assert done == ([] if made_up else ["ranges", "outputs"])


# ------------------------------------------------------------------ recipes


def trial(name: str, lost: int = 0, won: int = 2, **more: Any) -> Trial:
    values: dict[str, Any] = {"metric": 0.75, "steps": 1, "answers": np.zeros(4, np.intp)} | more
    return Trial(name, f"keys of {name}", against=Paired(20, lost, won), **values)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, ""),
        (1, "; 1 other does about as well on these pictures: t0"),
        (5, "; 5 others do about as well on these pictures: t0, t1, t2, t3, t4"),
        (7, "; 7 others do about as well on these pictures: t0, t1, t2, t3, t4 and 2 more"),
    ],
)
def test_others_that_do_about_as_well(count: int, told: str) -> None:
    assert _as_good([trial(f"t{at}") for at in range(count)]) == told


def test_the_simplest_of_those_that_are_alike() -> None:
    """The fewest steps, then the best."""
    some = [trial("a", steps=2, metric=0.9), trial("b", metric=0.7), trial("c", metric=0.8)]
    assert _simplest(some) is some[2]
    assert _simplest([]) is None


def test_an_alternative_that_may_be_better_by_more_than_a_trifle() -> None:
    """By the end of its interval; without answers nothing is known."""
    wide, narrow = trial("a", 0, 1), trial("b", 0, 0)
    assert -wide.against.interval[0] >= LEAST_POINTS
    assert _may_be_better(wide)
    many = Trial("c", "", 0.5, Paired(4000, 0, 1), 1, np.zeros(1, np.intp))
    assert -many.against.interval[0] < LEAST_POINTS
    assert not _may_be_better(many)
    assert not _may_be_better(trial("d", 0, 1, answers=None))
    assert narrow.against.drop == 0


USED = Normalization("used", 255.0, (0.5,), (0.5,))
RAW = "pixels 0..255"
UNIT = "pixels 0..1"


def fit(
    monkeypatch: pytest.MonkeyPatch,
    before: float | None,
    kept: dict[str, Score | None],
    trials: Sequence[Trial],
) -> tuple[Fitting | None, list[str], list[tuple[int, int]]]:
    """What fits better; which normalisations were quantized for; what was told of progress."""
    pixels = np.arange(32.0).reshape(32, 1, 1, 1) * 2
    asked: list[str] = []

    def known(case: Any, pictures: Array) -> Score | None:
        assert len(pictures) == 16  # every other one
        value = float(pictures[1, 0, 0, 0])
        name = "used" if value < 0 else RAW if value > 1 else UNIT
        asked.append(name)
        return kept[name]

    monkeypatch.setattr(fitting, "_kept", known)
    seen = SimpleNamespace(sample=(USED.of(pixels),))
    case: Any = SimpleNamespace(before=Score(before, None), seen=seen)
    told: list[tuple[int, int]] = []
    found = better_fit(case, USED, trials, lambda done, total: told.append((done, total)))
    return found, asked, told


def score(db: float, *calls: float | None) -> Score:
    return Score(db, None, calls_db=calls or tuple(db + at / 8 for at in range(16)))


def test_a_recipe_that_fits_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 dB more than what is kept now, or quantized anew; the best that loses no picture."""
    kept: dict[str, Score | None] = {"used": score(12), RAW: score(18), UNIT: score(20)}
    trials = [trial(RAW, 0, 0), trial(UNIT, 1, 1), trial("nobody knows")]
    found, asked, told = fit(monkeypatch, 10.0, kept, trials)
    assert found is not None
    assert (found.trial, found.before_db, found.after_db, found.pictures) == (trials[1], 12, 20, 16)
    assert found.interval == pytest.approx((8, 8))
    assert (asked, told) == (["used", RAW, UNIT], [(1, 2), (2, 2)])
    assert found.sentence == (
        "the recipe does not fit: quantized anew, outputs keep 12.0 dB, and with pixels 0..1 20.0 "
        "dB (95 % interval of what a picture wins +8.0 to +8.0 dB, over 16), where the float "
        f"network reaches 0.75 ({trials[1].against.gain})"
    )


@pytest.mark.parametrize(
    ("before", "own", "raw", "lost", "fits"),
    [
        (10.0, score(12), score(18), 0, True),
        (10.0, score(12), score(17.9), 0, False),
        (13.0, score(12), score(18.9), 0, False),  # beside what is kept now
        (13.0, score(12), score(19), 0, True),
        (10.0, score(12), score(18), 3, False),  # loses pictures in float
        (10.0, score(12), None, 0, False),  # cannot be quantized
        (10.0, None, score(30), 0, False),
        (None, score(12), score(30), 0, False),
        (10.0, score(12), score(18, *(0.0, 36.0) * 8), 0, False),  # not for sure
    ],
)
def test_what_a_recipe_must_win(
    before: float | None, own: Score | None, raw: Score | None, lost: int, fits: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    found, _, _ = fit(monkeypatch, before, {"used": own, RAW: raw}, [trial(RAW, lost)])
    assert (found is not None) == fits


@pytest.mark.parametrize(
    ("more", "asked"),
    [
        ({}, True), ({"sqnr_db": 25.0}, False), ({"sqnr_db": None}, False),
        ({"pictures": 19}, False), ({"implausible": "wrong"}, False), ({"recipe": None}, False),
        ({"normalization": None}, False),
    ],
)  # fmt: skip
def test_when_another_recipe_is_looked_for(
    more: dict[str, Any], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 25 dB, over 20 pictures, where nothing says yet that the preprocessing is wrong."""
    values: dict[str, Any] = {
        "sqnr_db": 24.9, "pictures": 20, "implausible": None, "recipe": "r", "normalization": USED,
    } | more  # fmt: skip
    found = Fitting(trial(UNIT), 10.04, 20.06, (8.0, 9.0), 16)
    monkeypatch.setattr(run, "better_fit", lambda case, used, trials: found)
    case: Any = SimpleNamespace(
        before=Score(values["sqnr_db"], None), seen=SimpleNamespace(pictures=values["pictures"]),
        graph=network(),
    )  # fmt: skip
    trials = tuple(trial(f"t{at}", metric=at / 8) for at in range(7))
    told = Preprocessing(
        "used", 0.5, trials, implausible=values["implausible"],
        normalization=values["normalization"],
    )  # fmt: skip
    made = run._unfit(case, told, values["recipe"])
    assert len(made) == asked
    for item in made:
        assert (item.cause, item.layer, item.cost_db) == ("wrong preprocessing", "x", None)
        assert item.advice == (
            "a recipe with keys of pixels 0..1: 10.0 -> 20.1 dB, if that is what it was trained "
            "with"
        )
        assert item.facts == {"metric": 0.5, "trials": {f"t{at}": at / 8 for at in range(5)}}


# ------------------------------------------------------------------ a measure of the data's own


class Runs:
    """Batches through a workload."""

    description = "runs"

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def run(self, forward: Any) -> None:
        for at, size in enumerate(self.sizes):
            forward((np.full((size, 1, 2, 3), at, np.float32),))


class Kept:
    """A measure that keeps what it is asked."""

    def value(self, outputs: dict[str, Array], picture: Picture) -> Any:
        values = {name: item.tolist() for name, item in outputs.items()}
        return values, picture.frame, picture.size

    def total(self, values: list[Any]) -> float:
        return float(len(values))


def test_every_picture_is_measured_by_its_own_outputs() -> None:
    metric: Any = Kept()
    data = MeasuredWorkload(Runs(2, 1), metric, ("y",))
    total = data.run(lambda inputs: [np.arange(len(inputs[0])).reshape(-1, 1) + 10])
    assert total == 3.0
    assert data.values == [
        ({"y": [[10.0]]}, 0, (2, 3)), ({"y": [[11.0]]}, 1, (2, 3)), ({"y": [[10.0]]}, 2, (2, 3)),
    ]  # fmt: skip
    assert data.description == "runs"


def test_outputs_are_looked_at_while_others_are_made() -> None:
    """At most so many wait: what a runner fills in later is seen as it is then."""
    metric: Any = Kept()
    data = MeasuredWorkload(Runs(*(1,) * (UNDER_WAY + 2)), metric, ("y",))
    waiting: list[Array] = []

    def forward(inputs: tuple[Array, ...]) -> list[Array]:
        waiting.append(np.zeros((1, 1)))
        if len(waiting) > 1:
            waiting[-2][:] = len(waiting) - 1  # the call before is done
        return [waiting[-1]]

    assert data.run(forward) == UNDER_WAY + 2
    told = [values["y"][0][0] for values, _, _ in data.values]
    assert told == [*range(1, UNDER_WAY + 2), 0]


def test_outputs_that_no_picture_is_told_from() -> None:
    metric: Any = Kept()
    data = MeasuredWorkload(Runs(2), metric, ("y",))
    with pytest.raises(DataError, match=r"output y of shape \(3, 1\) does not tell which of 2"):
        data.run(lambda inputs: [np.zeros((3, 1))])
    alone = MeasuredWorkload(Runs(1), metric, ("y",))
    alone.run(lambda inputs: [np.zeros((3, 1))])  # of one picture whatever there is
    assert alone.values[0][0] == {"y": [[0.0], [0.0], [0.0]]}


def test_a_picture_of_a_folder_is_a_file_with_its_class() -> None:
    folder = object.__new__(PictureFolder)
    samples = [
        SimpleNamespace(path=Path("a"), label=None),
        SimpleNamespace(path=Path("b"), label=1),
    ]
    for name, value in (("samples", samples), ("places", [4, 7])):
        object.__setattr__(folder, name, value)
    data = MeasuredWorkload(folder, Kept(), ("y",))  # type: ignore[arg-type]
    inputs = (np.zeros((1, 3, 5, 6)),)
    assert [data._picture(at, inputs) for at in range(2)] == [
        Picture(Path("a"), (5, 6), None), Picture(Path("b"), (5, 6), 7),
    ]  # fmt: skip
