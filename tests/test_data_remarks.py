"""What is said of the data beside a network: when, with which numbers, and when nothing is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.api.evaluation import at_chance, odd_input
from knightlite.api.evaluation.engine import Bench, Picture
from knightlite.api.evaluation.run import ModelScore, _measured, _run
from knightlite.api.evaluation.state import Question, State, aside
from knightlite.api.exploration import networks
from knightlite.api.exploration.records import Exploration, Network, Point, Size
from knightlite.api.exploration.run import _known
from knightlite.api.inspection import compiled_files, results
from knightlite.api.models.finding import find_last
from knightlite.api.quantization import poor_data
from knightlite.api.quantization.beside_ranges import BesideRanges
from knightlite.api.quantization.calibration_data import _form_of, _reads_folder
from knightlite.api.simulation.fed import Range
from knightlite.errors import UsageError
from knightlite.evaluation import empty_tally, tally_of
from knightlite.ir import GraphBuilder, Tensor
from knightlite.metrics import Difference
from knightlite.options.evaluate import EvaluateOptions
from knightlite.options.explore import ExploreOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.preprocess import load_recipe
from knightlite.quantize.data import PictureFolder
from knightlite.quantize.data.sample import Sameness
from knightlite.talk import Talk
from knightlite.workspace import record

Array = NDArray[Any]


def heard() -> tuple[Talk, list[str]]:
    said: list[str] = []
    return Talk(say=said.append, warn=lambda text: said.append(f"warning: {text}")), said


# ------------------------------------------------------------------ beside the ranges of a model


OUTPUTS: list[Array] = []


def answer(inputs: tuple[Array, ...]) -> list[Array]:
    return OUTPUTS


class Fed:
    """Calls with these inputs."""

    description = "fed"

    def __init__(self, *calls: tuple[Array, ...]) -> None:
        self.calls = calls

    def run(self, forward: Any) -> float:
        for call in self.calls:
            assert forward(call) is OUTPUTS
        return 0.5


def network(*names: str) -> Any:
    builder = GraphBuilder("net")
    for name in names:
        builder.input(name, (1, 1, 4, 4), dtypes.S8, 0.5)
    return builder.build(names)


@pytest.mark.parametrize(
    ("frames", "batch", "looked"),
    [(16, 1, 16), (17, 1, 9), (32, 4, 16), (33, 4, 11), (34, 5, 12), (100, 7, 15)],
)
def test_frames_are_looked_at_evenly_whatever_their_batches(
    frames: int, batch: int, looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 16, every second, third and so on of all of them, from the first."""
    seen: list[float] = []

    class Counted:
        def __init__(self, known: Range) -> None:
            assert (known.low.tolist(), known.high.tolist()) == ([-64.0], [63.5])
            assert (known.recipe, known.data) == ("recipe", "data")

        def add(self, values: Array) -> None:
            assert values.shape == (1, 1, 4, 4)
            seen.append(float(values[0, 0, 0, 0]))

        def remark(self, blank: bool) -> str:
            return f"blank {blank}"

    monkeypatch.setattr("knightlite.api.quantization.beside_ranges.Counted", Counted)
    numbers = np.arange(float(frames)).reshape(-1, 1, 1, 1) * np.ones((1, 1, 4, 4))
    calls = [(numbers[first : first + batch],) for first in range(0, frames, batch)]
    talk, said = heard()
    notes: Any = SimpleNamespace(recipe="recipe", data="data")
    work = BesideRanges(Fed(*calls), network("x"), notes, frames, talk)
    assert work.run(answer) == 0.5
    step = -(-frames // 16)
    assert seen == [*range(0, frames, step)]
    assert len(seen) == looked
    assert said == ["warning: blank True"]
    assert work.description == "fed"


def test_integers_and_unscaled_inputs_are_not_looked_at() -> None:
    """Of two inputs one may be blank; floats far beyond the range are said with its name."""
    talk, said = heard()
    far = np.full((2, 1, 4, 4), 1000.5, np.float32)
    blank = np.zeros((2, 1, 4, 4), np.float32)
    BesideRanges(Fed((far, blank)), network("a", "b"), None, 2, talk).run(answer)
    assert len(said) == 1
    assert "input a" in said[0]
    integers = far.astype(np.int64)
    BesideRanges(Fed((integers,)), network("x"), None, 2, talk).run(answer)
    bare = network("x").with_tensors([Tensor("x", (1, 1, 4, 4), dtypes.F32, None)])
    BesideRanges(Fed((far,)), bare, None, 2, talk).run(answer)
    assert len(said) == 1


# ------------------------------------------------------------------ poor data


def prepared(low: float = 0.0, high: float = 1.0, count: int = 4, alike: bool = False) -> Any:
    seen = SimpleNamespace(
        statistics={"x": SimpleNamespace(minimum=np.array([low]), maximum=np.array([high]))},
        pictures=count, alike=alike,
    )  # fmt: skip
    return SimpleNamespace(seen=seen, exact=SimpleNamespace(inputs=("x",)))


@pytest.mark.parametrize(
    ("found", "asked", "told"),
    [
        (prepared(), {}, ""),
        (prepared(-0.0, 0.0, alike=True), {}, "every value that is fed to input x is 0: nothing "),
        (prepared(count=3, alike=True), {}, "the 3 pictures that were fed are one and the same"),
        (prepared(), {"iterations": (1,)}, ""),
        (prepared(count=1), {"iterations": (1,)},
         "figures over it are no verdict. Hint: -i 100 takes more"),
        (prepared(count=1), {}, ""),  # nobody asked for one
        (prepared(count=1), {"iterations": (1,), "batches": ()}, ""),
    ],
)  # fmt: skip
def test_data_that_say_little(found: Any, asked: dict[str, Any], told: str) -> None:
    talk, said = heard()
    options = QuantizeOptions(model=Path("m"), **asked)
    work: Any = Fed()
    poor_data.warn_of_poor_data(options, work, found, talk)
    assert len(said) == bool(told)
    assert told in "".join(said)


@pytest.mark.parametrize(
    ("there", "hint"),
    [(1, "a hundred are better"), (2, "-i 2 takes more"), (500, "-i 100 takes more")],
)
def test_one_picture_of_a_folder(there: int, hint: str) -> None:
    talk, said = heard()
    folder = object.__new__(PictureFolder)
    object.__setattr__(folder, "folder", SimpleNamespace(samples=range(there)))
    options = QuantizeOptions(model=Path("m"), iterations=(1,))
    poor_data.warn_of_poor_data(options, folder, prepared(count=1), talk)
    assert said[0].endswith(f"no verdict. Hint: {hint}")


def test_pictures_are_one_and_the_same_until_one_differs() -> None:
    """In any place of any batch of any input; one alone is not."""
    ones = np.ones((3, 1, 2, 2), np.float32)
    odd = ones.copy()
    odd[2, 0, 1, 1] = 2
    for batches, holds in (
        ([], False), ([(ones[:1],)], False), ([(ones,)], True), ([(ones[:1],), (ones[:1],)], True),
        ([(odd,)], False), ([(ones,), (odd,), (ones,)], False), ([(ones, odd)], False),
        ([(ones, ones), (ones, ones)], True),
    ):  # fmt: skip
        same = Sameness()
        for batch in batches:
            same.add(batch)
        assert same.holds == holds


PM1 = "; of the recipes that ship, mean and std of imagenet_pm1 come nearest to it"
ALSO = f"{PM1}, and 16 pictures do not tell them from those of ppocr_cls"


@pytest.mark.parametrize(("count", "size", "far", "told"), [
    (15, 2, 0.05, None), (16, 2048, 0.05, None), (16, 2, -1, None), (16, 2, 0, ""),
    (16, 2, 0.05, ALSO), (16, 2, 0.15, f"{ALSO}, cifar10_mean53 or cifar10_usual"),
])  # fmt: skip
def test_pictures_that_are_not_those_of_the_training(
    count: int, size: int, far: float, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 16 on; the recipes that ship and are not told from the training's are named."""
    folder = object.__new__(PictureFolder)
    for name, value in (("recipe", load_recipe("raw")), ("samples", range(count)),
                        ("input_shape", (1, 3, size, size))):  # fmt: skip
        object.__setattr__(folder, name, value)
    pictures = np.full((count, 3, 2, 2), 127.5, np.float32)

    def apart(graph: Any, name: str, values: Array) -> Any:
        if values is pictures:
            return SimpleNamespace(is_far=True, times=2.345, means=6.789, distance=9.0)
        distance = abs(float(values.mean()))  # of grey, which is 0 for pictures of -1..1
        return SimpleNamespace(is_far=distance >= far, distance=distance)

    monkeypatch.setattr(poor_data, "_looked_at", lambda work: pictures)
    monkeypatch.setattr("knightlite.quantize.data_free.knows_training", lambda *_: far >= 0)
    monkeypatch.setattr("knightlite.quantize.data_free.apart_from_training", apart)
    talk, said = heard()
    poor_data.warn_of_other_pictures(network("x"), folder, talk)
    if told is None:
        assert said == []
        return
    (sentence,) = said
    assert "the pictures spread 2.3 times as wide as" in sentence
    assert "their means are 6.8 standard deviations off" in sentence
    assert sentence.endswith("Hint: compare with the preprocessing of the training" + told)
    if far == 0.05:
        monkeypatch.setattr("knightlite.preprocess.list_recipes", lambda: ["imagenet_pm1", "raw"])
        poor_data.warn_of_other_pictures(network("x"), folder, talk)
        assert said[1].endswith(PM1)


# ------------------------------------------------------------------ which data


@pytest.mark.parametrize(
    ("asked", "reads"),
    [
        ({"data": "d"}, True), ({}, False), ({"data": "d", "function": "f"}, False),
        ({"data": "d", "script": Path("s")}, False), ({"data": "d", "batches": ()}, False),
        ({"data": "d", "input_configs": "[]"}, False),
        ({"data": "d", "script": Path("s"), "model": Path("net"), "framework": "pytorch"}, True),
    ],
)  # fmt: skip
def test_whether_a_folder_is_read(asked: dict[str, Any], reads: bool) -> None:
    assert _reads_folder(QuantizeOptions(**{"model": Path("m.onnx"), **asked})) == reads


@pytest.mark.parametrize(
    ("scale", "whole"), [(1.0, True), (0.5, False), ([1.0, 1.0], False), (None, False)]
)
def test_an_input_of_scale_1_takes_integers(scale: Any, whole: bool) -> None:
    value = None if scale is None else np.asarray(scale, np.float32)
    form = _form_of(Tensor("x", (1, 2, 1, 1), dtypes.U8, value))
    assert form.dtype == (dtypes.U8 if whole else None)


def test_pictures_of_an_exploration_are_known_with_their_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another recipe, another number of pictures or other pictures are other data."""
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text(path.name)
    asked: list[int] = []

    def sample(folder: Any, count: int, seed: int) -> Any:
        asked.append(count)
        return None, [SimpleNamespace(path=path) for path in paths[:count]]

    monkeypatch.setattr("knightlite.preprocess.sample_pictures", sample)
    options = ExploreOptions(models=(Path("m"),), data=str(tmp_path), recipe="digits", iteration=1)

    def digest(**more: Any) -> str | None:
        changed = ExploreOptions(**{**{name: getattr(options, name) for name in (
            "models", "data", "recipe", "iteration")}, **more})  # fmt: skip
        return networks.data_digest(changed)

    digests = [digest(), digest(recipe="imagenet"), digest(iteration=2)]
    assert None not in digests
    assert len(set(digests)) == 3
    assert digest() == digests[0]
    assert digest(data=None, recipe=None) is None
    assert asked == [1, 1, 2, 1]


# ------------------------------------------------------------------ eval


@pytest.mark.parametrize(
    ("sqnr_db", "agreed", "told"),
    [
        (3.0, 50.0, ""), (None, 50.0, ""),
        (2.94, 49.6, "warning: b keeps 2.9 dB of the scores of a and 50 % of its best classes: it"),
        (-1.0, None, "warning: b keeps -1.0 dB of the scores of a: it is another network"),
    ],
)  # fmt: skip
def test_models_that_keep_next_to_nothing(
    sqnr_db: float | None, agreed: float | None, told: str
) -> None:
    talk, said = heard()
    at_chance.warn_of_strangers("a", [("b", sqnr_db, agreed)], talk)
    assert len(said) == bool(told)
    assert "".join(said).startswith(told)


def test_a_first_model_at_chance_is_said_with_what_to_try() -> None:
    """Percent; of shards another hint."""
    talk, said = heard()
    at_chance.warn_of_chance("m", 10.0, 40, 10, None, talk)
    assert said[0].startswith("warning: m itself is right for 4 of 40 pictures, 10.00 %, and")
    assert said[0].endswith(f"Hint: {at_chance.SHARDS}")
    at_chance.warn_of_chance("m", 90.0, 40, 10, None, talk)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("source", "tries"),
    [({"data": "d"}, True), ({"script": "s"}, True), ({"data": None}, False), (None, False)],
)
def test_diagnose_tries_preprocessings_on_the_data_of_the_last_quant(
    source: Any, tries: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.onnx").write_text("q")
    more: Any = {"source": source}
    for options in ({"source": None if tries else {"data": "d"}}, more):
        record(".", "quant", "c", options, {"onnx": Path("q.onnx")}, {})
    hint = at_chance._hint(EvaluateOptions(data=Path("val")))
    assert hint.startswith(at_chance.PICTURES)
    assert hint.endswith("; `knightlite diagnose` tries some on the data of quant") == tries
    frames = at_chance._hint(EvaluateOptions(data=Path("val.npy")))
    assert frames.startswith(at_chance.FRAMES)


@pytest.mark.parametrize(("frame", "orders"), [(None, 0), (0, 1)])
def test_pictures_are_held_against_the_last_form_that_was_calibrated(
    frame: int | None, orders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its shape; the order of what comes through a recipe is right."""
    asked: list[Any] = []

    class Bench:
        def __init__(self, job: Any, forms: Any) -> None:
            pass

        def prepared(self, picture: Any, shape: Any) -> Array:
            asked.append((picture.name, shape))
            if picture.name == "p1":
                raise UsageError("it cannot be read.")
            return np.zeros((1, *shape), np.float32)

    monkeypatch.setattr(odd_input, "Bench", Bench)
    monkeypatch.setattr(odd_input, "remark", lambda frames, fed: f"{len(frames)} of {fed.name}")
    monkeypatch.setattr(odd_input, "order_remark", lambda frames, name, layout: f"order of {name}")
    first, last = (Range(name, np.zeros(1), np.ones(1)) for name in "ab")
    forms: Sequence[Any] = [(first, (1, 1, 1)), (last, (2, 2, 2)), (None, (3, 3, 3))]
    pictures: Any = [SimpleNamespace(name=f"p{at}", frame=frame) for at in range(3)]
    job: Any = None
    talk, said = heard()
    found = odd_input.warn_of_odd_input(job, pictures, forms, talk)
    assert found == ("2 of b", "order of b")[: 1 + orders]
    assert said == [f"warning: {item}" for item in found]
    assert asked == [(f"p{at}", (2, 2, 2)) for at in range(3)]
    assert odd_input.warn_of_odd_input(job, pictures, [(None, ())], talk) == ()


def test_a_measure_has_its_interval_beside_that_of_the_first_model() -> None:
    row = ModelScore("m", "k", *(None,) * 8, False, None, None)  # type: ignore[arg-type]
    values: dict[int, list[int]] = {0: [1, 2], 1: [3, 4]}
    tally: Any = SimpleNamespace(measured=values.__getitem__)
    metric: Any = SimpleNamespace(
        total=lambda kept: float(sum(kept)),
        difference=lambda first, second: Difference(sum(first), sum(second), -5.0, -3.0),
    )
    assert _measured(row, tally, 0, None) is row
    first, second = (_measured(row, tally, place, metric) for place in (0, 1))
    assert (first.metric, first.metric_drop, first.metric_low) == (3.0, None, None)
    assert (second.metric, second.metric_drop) == (7, -4)
    assert (second.metric_low, second.metric_high) == (-5.0, -3.0)


def test_a_state_is_kept_aside_by_all_that_it_is_of() -> None:
    question = Question((("m", "k", "h"),), "d", 4, "r", "logits")
    state = State(question, (1, 2), "stamp", 4, empty_tally(1))
    others = [
        State(Question((("m", "k", "h"),), "d", 5, "r", "logits"), (1, 2), "stamp", 4, state.tally),
        State(question, (2, 2), "stamp", 4, state.tally),
        State(question, (1, 2), "other", 4, state.tally),
        State(question, (1, 2), "stamp", 5, state.tally),
    ]
    kept = {aside(item, Path("s") / "eval.json") for item in (state, *others)}
    assert len(kept) == 5
    for path in kept:
        assert (path.parent, path.suffix, len(path.stem)) == (Path("s"), ".json", 13)


# ------------------------------------------------------------------ what was left last


def test_the_last_of_several_stages_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keys = {"quant": "onnx", "compile": "cfg"}
    talk = Talk()
    with pytest.raises(UsageError, match="no file is named"):
        find_last(Path(), keys, talk)
    runs: Any = (
        ("compile", "cfg", "a_r.cfg"), ("quant", "onnx", "b_quantize.onnx"), ("sim", "x", "c"),
    )  # fmt: skip
    for stage, key, name in runs:
        Path(name).write_text(name)
        record(".", stage, "c", {}, {key: Path(name)}, {})
    assert find_last(Path(), keys, talk) == Path("b_quantize.onnx")
    assert find_last(Path(), {"compile": "cfg"}, talk) == Path("a_r.cfg")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a.bin", "inspect reads what compile wrote"),
        ("a.ONNX", "inspect reads what compile wrote; `knightlite model_info -m FILE` shows a "
         "quantized model, check a float one"),
    ],
)  # fmt: skip
def test_what_looks_at_other_files(name: str, told: str) -> None:
    assert compiled_files._for_models(Path(name)) == told


def test_results_are_looked_at_where_sim_left_them_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is said where it is elsewhere; not of other stages, nor where sim left none."""
    monkeypatch.chdir(tmp_path)
    talk, said = heard()
    assert results._last_results(Path(), talk) == Path()
    runs: Any = [("sim", "one/result-a.npy"), ("sim", "result-a.npy"), ("sim", "two/result-a.npy"),
                 ("sim", "three/a.txt"), ("quant", "four/result-a.npy")]  # fmt: skip
    for count, (stage, name) in enumerate(runs, 1):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
        record(".", stage, "c", {}, {name: Path(name)}, {})
        folder = {1: Path("one"), 2: Path()}.get(count, Path("two"))
        assert results._last_results(Path(), talk) == folder
    said_of = [item.split()[0] for item in said]
    assert said_of == ["one", "two", "two", "two"]


def test_points_of_what_could_not_be_read_are_not_known_again() -> None:
    """Without a hash of the model, or of the chip, nothing says that they are the same."""
    hashes = [("1" * 64, "2" * 64), (None, "2" * 64), ("1" * 64, None)]
    for number, (model, chip) in enumerate(hashes):
        before = Exploration(
            schema="knightlite.explore/1", version="1", finished=True,
            models=(Network(file="m", sha256=model),),
            chips=(Size(name="C", facts={}, digest=chip),),
            points=(Point(model=0, chip=0, level=0, bits=8, refused="no", best=True),),
        )  # fmt: skip
        found = list(_known(before).values())
        assert len(found) == (number == 0)
        assert not any(point.best for point, _ in found)


@pytest.mark.parametrize(
    ("counted", "state", "told"),
    [
        (2, "s.json", "2 of 9 pictures are kept in s.json: the same command goes on from there."),
        (0, "s.json", ""), (2, None, ""),
    ],
)  # fmt: skip
def test_what_is_said_of_an_evaluation_that_is_stopped(
    counted: int, state: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    question = Question((("m", "k", "h"),), "d", 9, "r", "logits")
    fresh = State(question, (1, 1), "stamp", 9, empty_tally(1))

    def tallies(*words: Any) -> Iterator[Any]:
        for _ in range(counted):
            yield tally_of([np.array([1.0, 0.0])], 0)
        raise KeyboardInterrupt

    monkeypatch.setattr("knightlite.api.evaluation.run.tallies", tallies)
    talk, said = heard()
    path = None if state is None else Path(state)
    options = EvaluateOptions(data=Path("d"), state=path, workers=1)
    job: Any = None
    with pytest.raises(KeyboardInterrupt):
        _run(job, (), fresh, options, talk, None)
    assert said == ([told] if told else [])
    assert Path("s.json").exists() == (counted > 0 and state is not None)


@pytest.mark.parametrize(
    ("label", "classes", "measured", "known"),
    [
        (3, 4, False, 3), (3, None, True, 3), (4, None, True, None), (1, 5, True, None),
        (None, 4, False, None),
    ],
)  # fmt: skip
def test_classes_that_a_network_has_not_are_none_where_a_measure_counts(
    label: int | None, classes: int | None, measured: bool, known: int | None
) -> None:
    job: Any = SimpleNamespace(classes=classes, metric=None, from_one=0, labels=None)
    bench = Bench(job, (), SimpleNamespace() if measured else None)  # type: ignore[arg-type]
    picture = Picture(Path("p"), label)
    assert bench._label([np.zeros(4), np.zeros(4)], picture) == known


@pytest.mark.parametrize(
    ("label", "classes", "told"),
    [(4, None, "p is of class 4, but the models give 4 scores."),
     (1, 1, "the pictures lie in 1 folder of classes, but the models give 4 scores"),
     (1, 5, "the pictures lie in 5 folders of classes, but the models give 4 scores")],
)  # fmt: skip
def test_classes_that_a_network_has_not_are_refused(
    label: int, classes: int | None, told: str
) -> None:
    job: Any = SimpleNamespace(classes=classes, metric=None, from_one=0, labels=None)
    with pytest.raises(UsageError) as caught:
        Bench(job, ())._label([np.zeros(4)], Picture(Path("p"), label))
    assert caught.value.sentence.startswith(told)
    if classes is None:
        assert caught.value.hint == "the numbers of the --labels file must lie in 0 to 3"
