"""``eval``: forms of digits over a few pictures; what it counts is counted again here by hand."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import knightlite
from conftest import DIGITS
from knightlite import workspace
from knightlite.api.evaluation import EvaluationResult, ModelScore, evaluate_models
from knightlite.api.evaluation import engine as evaluate_engine
from knightlite.api.evaluation import forms as evaluate_forms
from knightlite.api.evaluation import run as evaluate_run
from knightlite.api.evaluation.at_chance import warn_of_chance
from knightlite.api.evaluation.run import merge_states, names_of
from knightlite.api.evaluation.state import Question, State, read, save
from knightlite.api.models.binary import find_binary
from knightlite.cli.program import run
from knightlite.errors import DataError, FormatError, KnightliteError, ModelError, UsageError
from knightlite.evaluation import Paired, Tally, empty_tally
from knightlite.inference import session
from knightlite.options.evaluate import EvaluateOptions
from knightlite.preprocess import load_recipe, prepare_picture
from knightlite.talk import Talk
from onnx_nets import Net

Array = NDArray[Any]
STEM = "digits_quantize"
FORMS = ("digits.onnx", f"{STEM}.onnx", f"{STEM}_golden.onnx", f"{STEM}_r.cfg")
COUNT = 12


@pytest.fixture
def pictures(here: Path) -> Path:
    """Twelve pictures of three classes, two of them in the wrong folder."""
    folder = here / "val"
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
    for label in (2, 3, 7):
        for path in sorted((DIGITS / "test" / str(label)).iterdir())[:4]:
            shutil.copy(path, folder / str(label) / f"{label}-{path.name}")
    for path in sorted((folder / "3").iterdir())[:2]:
        path.rename(folder / "5" / path.name)
    return folder


def options(pictures: Path, **changes: Any) -> EvaluateOptions:
    return replace(
        EvaluateOptions(data=pictures, models=tuple(map(Path, FORMS)), workers=1), **changes
    )


def two(pictures: Path, **changes: Any) -> EvaluateOptions:
    """The float and the quantized model, where what is counted of more forms is not the point."""
    return options(pictures, **{"models": tuple(map(Path, FORMS[:2])), **changes})


def listen() -> tuple[Talk, list[str], list[int]]:
    said: list[str] = []
    done: list[int] = []
    return Talk(said.append, said.append, lambda _, number, __: done.append(number)), said, done


def test_forms_side_by_side(pictures: Path) -> None:
    found = evaluate_models(options(pictures))
    assert (found.pictures, found.labelled, found.scores, found.shard) == (
        12,
        12,
        "outputs",
        (1, 1),
    )
    assert [row.kind for row in found.models] == ["float", "qdq", "golden", "chip"]
    recipe = load_recipe("digits")
    runners = [session(Path(name).read_bytes()) for name in FORMS[:2]]
    paths = sorted(pictures.glob("*/*.png"))
    fed = [prepare_picture(path, recipe, (3, 32, 32))[None] for path in paths]
    labels = np.array([int(path.parent.name) for path in paths])
    scores = [
        np.stack([np.asarray(runner.run(None, {"x": x})[0]).reshape(-1) for x in fed])
        for runner in runners
    ]
    right = [values.argmax(1) == labels for values in scores]
    assert right[0].sum() == 10
    for place in (0, 1):
        assert found.models[place].top1 == 100 * right[place].sum() / COUNT
    assert found.models[1].lost == (right[0] & ~right[1]).sum()
    noise = np.sum((scores[0].astype(np.float64) - scores[1]) ** 2)
    wanted = 10 * np.log10(np.sum(scores[0].astype(np.float64) ** 2) / noise)
    assert found.models[1].sqnr_db == pytest.approx(wanted, abs=1e-9)
    golden, chip = found.models[2:]
    assert replace(golden, model="", kind="") == replace(chip, model="", kind="")


def test_every_figure_is_a_share_of_its_own_whole() -> None:
    """Right answers of the labelled pictures, agreement of all, bytes of what was compared."""
    tally = Tally(
        20, 8, (6, 4, 5), (8, 7, 6), (0, 3, 2), (0, 1, 1), (20, 15, 1), Fraction(1000),
        (Fraction(0), Fraction(10), None), (0, 400, 50), (0, 4, 0), (), 10,
    )  # fmt: skip
    models = (("a", "float", "1"), ("b", "qdq", "2"), ("c", "chip", "3"))
    question = Question(models, "d", 60, "r", "logits")
    found = evaluate_run.result_of(State(question, (2, 3), "s", 20, tally))
    assert (found.pictures, found.labelled, found.scores, found.shard) == (20, 8, "logits", (2, 3))
    assert found.metric is None
    first, second, third = found.models
    assert first == ModelScore(
        "a", "float", 75.0, 100.0, None, None, None, None, None, None, None, True
    )
    low, high = Paired(8, 3, 1).interval
    assert second == ModelScore(
        "b", "qdq", 50.0, 87.5, 25.0, low, high, 3, 1, 75.0, 20.0, False, 400, 4
    )
    assert (third.top1, third.top5, third.drop, third.agreed_percent) == (62.5, 75.0, 12.5, 5.0)
    assert (third.sqnr_db, third.exact) == (None, False)
    assert (third.compared_bytes, third.differing_bytes) == (50, 0)
    few = evaluate_run.result_of(State(question, (2, 3), "s", 20, replace(tally, classes=5)))
    assert [row.top5 for row in few.models] == [None] * 3
    bare = replace(tally, labelled=0)
    for row in evaluate_run.result_of(State(question, (1, 1), "s", 20, bare)).models:
        assert (row.top1, row.top5, row.drop, row.interval_low, row.lost) == (None,) * 5


def test_a_question_differs_wherever_what_is_asked_does(tmp_path: Path) -> None:
    def source(name: str, kind: str, digest: str) -> Any:
        return SimpleNamespace(path=tmp_path / name, kind=kind, sha256=digest)

    job = SimpleNamespace(
        sources=(source("a.onnx", "float", "1"), source("b.cfg", "chip", "2")), recipe="r",
        input_shapes=(), logits=True, check=False, metric=None,
    )  # fmt: skip
    pictures = [evaluate_engine.Picture(tmp_path / name, at) for at, name in enumerate("pq")]
    options: Any = SimpleNamespace(folder=tmp_path)

    def asked(some: Any = pictures, **changes: Any) -> Question:
        return evaluate_run._question(SimpleNamespace(**{**vars(job), **changes}), options, some)  # type: ignore[arg-type]

    plain = asked()
    assert plain == asked()
    assert plain.difference(plain) == ""
    measure = SimpleNamespace(digest="m")
    for what, changed in (
        ("the models", asked(sources=job.sources[::-1])),
        ("the models", asked(sources=(job.sources[0], source("b.cfg", "chip", "3")))),
        ("the models", asked(sources=(job.sources[0], source("b.cfg", "golden", "2")))),
        ("the pictures", asked(pictures[::-1])),
        ("the pictures", asked(pictures[:1])),
        ("the pictures", asked([pictures[0], replace(pictures[1], label=2)])),
        ("the recipe", asked(recipe="s")),
        ("the recipe", asked(input_shapes=((1, 3, 8, 8),))),
        ("the scores that are compared", asked(logits=False)),
        ("whether bytes are compared", asked(check=True)),
        ("the metric", asked(metric=measure)),
    ):
        assert plain.difference(changed) == what


def test_a_shard_that_is_not_finished_says_how_many_pictures_it_has(tmp_path: Path) -> None:
    """All of them, not those of known class."""
    tally = replace(empty_tally(2), pictures=12, labelled=5)
    models = (("a", "float", "1"), ("b", "qdq", "2"))
    state = State(Question(models, "d", 40, "r", "logits"), (1, 1), "s", 20, tally)
    path = tmp_path / "s.json"
    save(state, path)
    assert read(path) == state
    with pytest.raises(UsageError) as caught:
        merge_states([path])
    assert caught.value.sentence == f"{path} is not finished: 12 of 20 pictures."


def test_a_stamp_tells_of_name_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(b"123")
    os.utime(path, ns=(5, 7))
    picture = evaluate_engine.Picture(path, 1)
    assert evaluate_run._stamp(picture) == ("p.png", 3, 7)


def test_a_models_hash_is_that_of_all_its_files(
    digits_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "sha256_of", lambda path: f"<{path.name}>")
    found = {
        name: evaluate_forms.source_of(digits_chain / name)
        for name in (
            "digits.pdmodel", "digits_quantize.onnx", "digits_quantize_golden.onnx",
            "digits_quantize_r.cfg",
        )
    }  # fmt: skip
    assert {name: (item.kind, item.sha256) for name, item in found.items()} == {
        "digits.pdmodel": ("float", "<digits.pdmodel><digits.pdiparams>"),
        "digits_quantize.onnx": ("qdq", "<digits_quantize.onnx>"),
        "digits_quantize_golden.onnx": (
            "golden",
            "<digits_quantize_golden.onnx><digits_quantize_r.cfg>",
        ),
        "digits_quantize_r.cfg": ("chip", "<digits_quantize_r.cfg><digits_quantize_r.weight>"),
    }


def test_a_measure_is_told_of_the_picture_that_its_model_reads() -> None:
    """Rows before columns, model by model; the first model's names of outputs for all."""
    asked: list[Any] = []

    def value(outputs: dict[str, Array], picture: Any) -> Any:
        asked.append((list(outputs), picture))
        return float(outputs["a"][0])

    shapes = ((3, 4, 9), (3, 8, 5))
    sources = [SimpleNamespace(source=SimpleNamespace(path=Path(f"{at}.onnx"))) for at in (0, 1)]
    bench = evaluate_engine.Bench(
        SimpleNamespace(shapes=shapes),  # type: ignore[arg-type]
        tuple(sources),  # type: ignore[arg-type]
        SimpleNamespace(value=value),  # type: ignore[arg-type]
    )
    outputs = [{"a": np.array([1.0]), "b": np.zeros(2)}, {"c": np.array([2]), "d": np.ones(2)}]
    place = Path("p.png")
    for picture, told in (
        (evaluate_engine.Picture(place, 3, None, 7), (place, 3, None)),
        (evaluate_engine.Picture(place, None, 5, 7), (None, None, 5)),
    ):
        assert bench._measured(outputs, picture) == (7, (1.0, 2.0))
        assert [names for names, _ in asked] == [["a", "b"]] * 2
        for (_, found), (_, height, width) in zip(asked, shapes, strict=True):
            assert (found.path, found.label, found.frame) == told
            assert found.size == (height, width)
        asked.clear()
    with pytest.raises(UsageError, match=r"^1.onnx has 1 outputs, but 0.onnx has 2\.$"):
        bench._measured([outputs[0], {"c": np.zeros(1)}], picture)


def test_the_simulator_gives_the_golden_models_scores(pictures: Path) -> None:
    found = evaluate_models(options(pictures, models=tuple(map(Path, FORMS[2:]))))
    chip = found.models[1]
    assert (chip.exact, chip.sqnr_db, chip.agreed_percent) == (True, None, 100.0)
    assert (chip.lost, chip.won, chip.drop) == (0, 0, 0.0)


def test_every_byte_of_the_chip_is_checked_on_request(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As many as all layers hold; a golden model that is off by one in a table is found out."""
    plain = evaluate_models(options(pictures))
    assert {(row.compared_bytes, row.differing_bytes) for row in plain.models} == {(None, None)}
    found = evaluate_models(options(pictures, check=True))
    whole = evaluate_models(options(pictures, check=True, workers=2))
    assert found == whole
    tensors = find_binary(pictures.parent, None, None).program.meta.tensors
    frame = sum(int(np.prod(item.shape)) * item.dtype.size_bytes for item in tensors)
    chip = found.models[3]
    assert (chip.compared_bytes, chip.differing_bytes) == (COUNT * frame, 0)
    bare = replace(chip, compared_bytes=None, differing_bytes=None)
    assert (*found.models[:3], bare) == plain.models

    state = Path("state.json")
    evaluate_models(options(pictures, state=state))
    talk, said, _ = listen()
    evaluate_models(options(pictures, state=state, check=True), talk)
    assert (
        f"{state} is of another evaluation, which differs in whether bytes are compared" in said[0]
    )

    golden = onnx.load(FORMS[2])
    weights = max(golden.graph.initializer, key=lambda item: int(np.prod(item.dims)))
    values = numpy_helper.to_array(weights)
    weights.CopyFrom(numpy_helper.from_array(values + values.dtype.type(1), weights.name))
    onnx.save(golden, FORMS[2])
    assert run(["eval", FORMS[3], "--data", "val", "--check", "-j", "1"]) == 1
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith(
        f"{COUNT * frame:,} bytes of {FORMS[3]} compared with the golden model, "
    )
    assert 0 < int(told.split()[-2].replace(",", "")) < COUNT * frame
    with pytest.raises(UsageError, match=r"^--check compares a compiled network with its golden"):
        evaluate_models(options(pictures, models=(Path(FORMS[0]),), check=True))


def test_everything_that_quant_and_compile_left_is_taken(pictures: Path) -> None:
    talk, said, _ = listen()
    found = evaluate_models(EvaluateOptions(data=pictures, workers=1), talk)
    assert [row.model for row in found.models] == list(FORMS)
    assert [line.split()[0] for line in said] == list(FORMS)
    assert found == evaluate_models(options(pictures))


def test_the_float_model_is_the_one_that_quant_read(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("knightlite.json").unlink()
    assert run(["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-i", "1"]) == 0
    talk, said, _ = listen()
    found = evaluate_models(EvaluateOptions(data=pictures, workers=1), talk)
    assert [row.model for row in found.models] == list(FORMS[:2])
    assert said[0] == f"digits.onnx is taken: {STEM}.onnx was made from it."
    Path("digits.onnx").rename("kept.onnx")
    talk, said, _ = listen()
    found = evaluate_models(EvaluateOptions(data=pictures, workers=1), talk)
    assert [row.model for row in found.models] == [FORMS[1]]
    assert said[0] == (
        "the float model digits.onnx is not here any more: it is left out. Hint: name it first, "
        "before the others, or run quant again"
    )
    Path("kept.onnx").rename("digits.onnx")
    another_model(pictures)
    with pytest.raises(UsageError) as caught:
        evaluate_models(EvaluateOptions(data=pictures))
    assert caught.value.sentence == (
        f"{STEM}.onnx is out of date: digits.onnx has changed since quant read it."
    )
    Path("knightlite.json").unlink()
    with pytest.raises(UsageError, match=r"^no model is named, and there is no knightlite\.json, "):
        evaluate_models(EvaluateOptions(data=pictures, workers=1))


def test_processes_and_shards_give_the_same_sums(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_models(options(pictures))
    monkeypatch.setattr(evaluate_engine, "CHUNK", 1)  # more chunks than wait at a time
    assert evaluate_models(options(pictures, workers=2)) == whole
    states = [Path(f"part{index}.json") for index in (1, 2, 3)]
    for index, state in enumerate(states, start=1):
        part = evaluate_models(options(pictures, shard=(index, 3), state=state))
        assert part.pictures == 4
    assert merge_states(states) == merge_states(states[::-1]) == whole


def test_a_worker_says_what_is_wrong_with_a_picture(pictures: Path) -> None:
    (pictures / "9" / "broken.png").write_bytes(b"no picture")
    for workers in (1, 2):
        with pytest.raises(DataError, match=r"broken\.png is not a picture in one of the formats"):
            evaluate_models(two(pictures, workers=workers))


# ------------------------------------------------------------------ stopped, and gone on


def stopped(pictures: Path, state: Path) -> None:
    """Stop behind the first five pictures, as Ctrl-C does."""

    def stop(_: str, done: int, __: int | None) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        evaluate_models(two(pictures, state=state), Talk(say=said.append, advance=stop))
    assert json.loads(state.read_text())["tally"]["pictures"] == 5
    assert said[-1] == f"5 of 12 pictures are kept in {state}: the same command goes on from there."


def test_a_stopped_run_goes_on(pictures: Path) -> None:
    whole = evaluate_models(two(pictures))
    state = Path("state.json")
    stopped(pictures, state)
    talk, said, done = listen()
    assert evaluate_models(two(pictures, state=state), talk) == whole
    earlier = (
        "state.json holds {} of 12 pictures of an earlier run: {}. Without the file it begins anew."
    )
    assert said == [earlier.format(5, "this one goes on from there")]
    assert done[0] > 5
    assert done[-1] == 12
    said.clear()
    assert evaluate_models(two(pictures, state=state), talk) == whole
    assert said == [earlier.format(12, "all of them, and none is run again")]
    assert evaluate_models(two(pictures, state=state, keep_state=False)) == whole
    assert not state.exists()


def test_more_pictures_than_there_are(pictures: Path) -> None:
    talk, said, _ = listen()
    assert evaluate_models(two(pictures, count=13), talk).pictures == 12
    assert said == [f"12 pictures of {pictures} (all there are; 13 were asked for)"]


def test_the_state_is_kept_as_often_as_it_should_be(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five pictures are counted at a time; when the next ones are, those before are in the file."""
    monkeypatch.setattr(evaluate_run, "SAVE_EVERY", 5)
    state, seen = Path("state.json"), []

    def look(_: str, done: int, __: int | None) -> None:
        kept = json.loads(state.read_text())["tally"]["pictures"] if state.exists() else None
        seen.append((done, kept))

    one = options(pictures, models=(Path(FORMS[1]),), state=state)
    evaluate_models(one, Talk(advance=look))
    assert seen == [(5, None), (10, 5), (12, 10)]


def changed_picture(pictures: Path) -> EvaluateOptions:
    os.utime(next(iter(sorted(pictures.glob("2/*.png")))), (1, 1))
    return two(pictures)


def one_picture_less(pictures: Path) -> EvaluateOptions:
    next(iter(sorted(pictures.glob("2/*.png")))).unlink()
    return two(pictures)


def another_model(pictures: Path) -> EvaluateOptions:
    model = onnx.load("digits.onnx")
    model.doc_string = "changed"
    onnx.save(model, "digits.onnx")
    return two(pictures)


def another_recipe(pictures: Path) -> EvaluateOptions:
    text = load_recipe("digits").text.replace("mean = [0.31", "mean = [0.32")
    Path("mine.toml").write_text(text)
    return two(pictures, recipe="mine.toml")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (changed_picture, "the files of the pictures"),
        (one_picture_less, "the pictures"),
        (another_model, "the models"),
        (another_recipe, "the recipe"),
        (lambda pictures: two(pictures, shard=(1, 2)), "the shard"),
    ],
)
def test_a_changed_input_starts_again(pictures: Path, change: Any, what: str) -> None:
    state = Path("state.json")
    stopped(pictures, state)
    asked = change(pictures)
    talk, said, done = listen()
    found = evaluate_models(replace(asked, state=state), talk)
    assert f"state.json is of another evaluation, which differs in {what}: " in said[-1]
    warned = [text for text in said if "is not the one" in text]
    assert len(warned) == (change is another_recipe)  # and what the network was quantized with
    assert done[0] <= 5
    assert found == evaluate_models(asked)


def test_another_evaluation_loses_nothing_of_a_stopped_one(pictures: Path) -> None:
    """The state of the first stands beside that of the second, and is taken up again."""
    whole, state = evaluate_models(two(pictures)), Path("state.json")
    stopped(pictures, state)
    before = state.read_text()
    talk, said, done = listen()
    evaluate_models(two(pictures, state=state, count=1), talk)
    (kept,) = Path().glob("state.????????.json")
    assert kept.read_text() == before != state.read_text()
    other = f"{state} is of another evaluation, which differs in the pictures: it is kept as {{}}, "
    hint = " Hint: --state FILE gives each a file of its own"
    assert said == [f"{other.format(kept)}and this one starts from the first picture.{hint}"]
    said.clear()
    done.clear()
    assert evaluate_models(two(pictures, state=state), talk) == whole
    (second,) = set(Path().glob("state.????????.json")) - {kept}
    assert said[0] == f"{other.format(second)}and this one goes on from {kept}.{hint}"
    assert said[1].startswith(f"{kept} holds 5 of 12 pictures of an earlier run: this one goes on")
    assert done[0] > 5


def test_a_damaged_state_starts_again(pictures: Path) -> None:
    state = Path("state.json")
    state.write_text("{")
    talk, said, _ = listen()
    assert evaluate_models(two(pictures, state=state), talk) == evaluate_models(two(pictures))
    assert said[0].startswith("state.json is not a state file of eval: ")
    assert said[0].endswith(
        " The evaluation starts from the first picture. Hint: --state FILE names another file"
    )


# ------------------------------------------------------------------ models of other tools


def with_softmax(path: Path) -> None:
    """digits.onnx with a Softmax behind it."""
    model = onnx.load("digits.onnx")
    name = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Softmax", [name], ["probabilities"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)
    )
    onnx.save(model, str(path))


def test_scores_before_a_softmax_are_compared(pictures: Path) -> None:
    path = Path("probabilities.onnx")
    with_softmax(path)
    with pytest.warns(UserWarning, match="Softmax runs on the host"):
        made = knightlite.quantize(path, data="calib", recipe="digits", iteration=4)
    found = knightlite.evaluate([path, made, knightlite.compile(made)], pictures)
    assert found.scores == "logits"
    bare = knightlite.quantize("digits.onnx", data="calib", recipe="digits", iteration=4)
    plain = knightlite.evaluate(
        ["digits.onnx", bare, knightlite.compile(bare)], pictures, check=True
    )
    assert plain.models[2].differing_bytes == 0
    assert plain.models[2].compared_bytes  # a compiled network in memory has its golden model
    assert plain.scores == "outputs"
    assert found.models[2].sqnr_db == plain.models[2].sqnr_db
    talk, said, _ = listen()
    mixed = evaluate_models(options(pictures, models=(path, Path(FORMS[0])), recipe="digits"), talk)
    assert mixed.scores == "outputs"
    assert said[0].startswith("digits.onnx does not deliver what its Softmax reads, or has none: ")


def test_what_a_softmax_reads_is_looked_for_in_damaged_models() -> None:
    """Nodes in a circle, and one without inputs: whoever runs the model says what is wrong."""
    circle = {"a": ("Softmax", "b"), "b": ("Identity", "a")}
    assert evaluate_forms._traced("a", circle) == ("b", "a")
    assert evaluate_forms._traced("a", {"a": ("Softmax", "")}) == (None, "")


def test_both_files_in_one_are_the_same_chip(pictures: Path) -> None:
    models = (Path(FORMS[3]), Path(f"{STEM}_r.tsmodel"))
    assert evaluate_models(options(pictures, models=models)).models[1].exact


def test_a_qdq_file_with_zero_points_runs_as_it_is_written(pictures: Path) -> None:
    """As other tools write them: u8 with a zero point, here so fine that little is lost."""
    model = onnx.load("digits.onnx")
    scale = numpy_helper.from_array(np.array(8 / 255, np.float32), "scale")
    zero = numpy_helper.from_array(np.array(90, np.uint8), "zero")
    model.graph.initializer.extend([scale, zero])
    for node in model.graph.node:
        node.input[:] = ["x/dq" if name == "x" else name for name in node.input]
    pair = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x/q"]),
        helper.make_node("DequantizeLinear", ["x/q", "scale", "zero"], ["x/dq"]),
    ]
    nodes = [*pair, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, "other.onnx")
    asked = options(pictures, models=(Path(FORMS[0]), Path("other.onnx")), recipe="digits")
    row = evaluate_models(asked).models[1]
    assert row.kind == "qdq"
    assert row.sqnr_db is not None
    assert 20 < row.sqnr_db < 60


def test_a_paddle_model_is_read_as_quant_reads_it(pictures: Path) -> None:
    found = evaluate_models(options(pictures, models=(Path("digits.pdmodel"), Path(FORMS[0])),
                                    recipe="digits"))  # fmt: skip
    assert [row.kind for row in found.models] == ["float", "float"]
    row = found.models[1]
    assert row.lost == row.won == 0
    assert row.exact or (row.sqnr_db or 0) > 120  # quant wrote it with its channels equalized


def test_classes_in_another_order(pictures: Path) -> None:
    for path in sorted(pictures.iterdir()):
        path.rename(pictures / f"n{9 - int(path.name)}")  # n0 holds the nines
    labels = Path("synsets.txt")
    labels.write_text("".join(f"n{9 - place} the digit {place}\n" for place in range(10)))
    found = evaluate_models(two(pictures, labels=labels))
    assert found.models[0].top1 == 100 * 10 / 12
    assert evaluate_models(two(pictures)).models[0].top1 < 20  # type: ignore[operator]
    shutil.rmtree(pictures / "n0")
    assert evaluate_models(two(pictures, labels=labels)).models[0].top1 is not None
    with pytest.raises(UsageError, match=r"lie in 9 folders of classes, but the models give 10 sc"):
        evaluate_models(two(pictures))  # n1 is not score 0
    named = "".join(f"{place}:n{10 - place}\n" for place in range(1, 11))
    labels.write_text(named)  # counted from 1, and the class beyond has no folder
    told = r"n2.* is of class 8 of synsets\.txt, but the models give 10 scores: the file counts cla"
    with pytest.raises(UsageError, match=told):
        evaluate_models(two(pictures, labels=labels))
    labels.write_text("n1\n")
    with pytest.raises(DataError, match=r"^8 of 9 class folders are not in synsets\.txt, such as"):
        evaluate_models(two(pictures, labels=labels))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/X_r.cfg", "a/X.onnx"], ["X_r.cfg", "X.onnx"]),
        (["a/X_r.cfg", "b/X_r.cfg", "c/Y"], ["a/X_r.cfg", "b/X_r.cfg", "Y"]),
        (["1/a/X", "2/a/X", "2/b/X"], ["1/a/X", "2/a/X", "b/X"]),
        (["X", "a/X"], ["X", "a/X"]),
        (["/t/a/X", "a/X"], ["t/a/X", "a/X"]),
        (["a/X", "a/X"], ["X", "X"]),  # one file twice
    ],
)
def test_files_of_one_name_are_told_apart(paths: list[str], names: list[str]) -> None:
    assert names_of([Path(item) for item in paths]) == names


def test_without_classes_models_are_compared_with_each_other(pictures: Path) -> None:
    talk, said, _ = listen()
    found = evaluate_models(options(pictures / "2"), talk)
    assert said == [
        f"{pictures / '2'} has no folders of classes: no top-1, only agreement and SQNR. "
        "One sub-folder per class gives it."
    ]
    assert (found.labelled, found.models[1].top1, found.models[1].lost) == (0, None, None)
    assert found.models[1].agreed_percent == 100.0
    assert found.models[1].sqnr_db is not None


def test_a_sample_is_seeded(pictures: Path) -> None:
    found = [evaluate_models(two(pictures, count=5, seed=seed)) for seed in (0, 0, 1)]
    assert found[0].pictures == 5
    assert found[0] == found[1]
    assert found[0].models[1].sqnr_db != found[2].models[1].sqnr_db


# ------------------------------------------------------------------ frames


def frames(pictures: Path) -> tuple[Array, list[int]]:
    """What the recipe makes of the pictures, in their order, and their classes."""
    recipe, paths = load_recipe("digits"), sorted(pictures.glob("*/*.png"))
    values = np.stack([prepare_picture(path, recipe, (3, 32, 32)) for path in paths])
    return values, [int(path.parent.name) for path in paths]


def test_frames_are_evaluated_as_their_pictures(pictures: Path) -> None:
    """As files, as arrays, in other processes, in halves that add up."""
    values, labels = frames(pictures)
    np.save("x.npy", values)
    np.save("labels.npy", labels)
    wanted = evaluate_models(options(pictures))
    asked = options(Path("x.npy"), labels=Path("labels.npy"))
    assert evaluate_models(asked) == wanted
    assert knightlite.evaluate(FORMS, values, labels=labels, workers=1) == wanted
    assert knightlite.evaluate(FORMS, values.astype(float), labels=np.array(labels)) == wanted
    parts = [Path(f"part{number}.json") for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        evaluate_models(replace(asked, shard=(number, 2), state=part))
    assert merge_states(parts) == wanted
    unlabelled = knightlite.evaluate(FORMS[:2], values, workers=1)
    assert (unlabelled.labelled, unlabelled.models[1].top1) == (0, None)
    assert unlabelled.models[1].sqnr_db == wanted.models[1].sqnr_db
    some = knightlite.evaluate(FORMS[:2], values, labels=labels, count=5, seed=3, workers=1)
    assert (some.pictures, some.labelled) == (5, 5)


@pytest.mark.parametrize(
    ("values", "labels", "sentence"),
    [
        (np.zeros((2, 3, 8, 8)), [0, 1], r"hold frames \[N, 3, 32, 32\], not of shape \("),
        (np.zeros((2, 3, 32, 32)), [0], r"hold 2 whole numbers from 0 up, one for each"),
        (np.zeros((2, 3, 32, 32)), [0, -1], r"hold 2 whole numbers from 0 up, one for"),
        (np.zeros((2, 3, 32, 32)), [0, 10], r"frame 1 of .*data\.npy is of class 10, but"),
        (np.zeros((2, 3, 32, 32)), "l.txt", r"must be a \.npy file of whole numbers, not"),
        (np.float32(1), None, r"must hold frames \[N, C, H, W\], not \(1,\)"),
        (np.zeros((2, 3, 32, 32), np.uint8), [0, 1], r"must hold floats, not uint8"),
        (np.zeros((2, 3, 32, 32), np.int8), None, r"must hold floats, not int8"),
    ],
)  # fmt: skip
def test_unusable_frames(pictures: Path, values: Array, labels: Any, sentence: str) -> None:
    with pytest.raises(KnightliteError, match=sentence):
        knightlite.evaluate(FORMS[:1], values, labels=labels, workers=1)


def test_a_file_that_is_neither_frames_nor_a_folder(pictures: Path) -> None:
    np.savez("frames.npz", np.zeros((1, 3, 32, 32)))
    with pytest.raises(UsageError) as caught:
        evaluate_models(options(Path("frames.npz")))
    assert caught.value.sentence == "picture folder frames.npz is a file, not a folder."
    assert caught.value.hint == (
        "frames [N, C, H, W] as the network reads them are a .npy file, pictures are in a folder"
    )


def test_a_class_that_is_no_score(pictures: Path) -> None:
    with pytest.raises(UsageError) as caught:
        knightlite.evaluate(FORMS[:1], np.zeros((1, 3, 32, 32)), labels=[10], workers=1)
    assert caught.value.hint.endswith("file must lie in 0 to 9")


def test_frames_have_no_recipe(pictures: Path) -> None:
    with pytest.raises(UsageError, match=r"are as the network reads them: recipe, which"):
        knightlite.evaluate(FORMS[:1], np.zeros((1, 3, 32, 32)), recipe="digits")


def test_an_input_of_no_kind(pictures: Path) -> None:
    model = onnx.load("digits.onnx")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    onnx.save(model, "bare.onnx")
    with pytest.raises(
        ModelError, match=r"^input x of bare\.onnx has elements of the unknown kind"
    ):
        evaluate_models(EvaluateOptions(models=(Path("bare.onnx"),), data=pictures, workers=1))


@pytest.mark.parametrize("element", ["FLOAT16", "DOUBLE", "UINT8"])
def test_models_with_inputs_of_other_types(pictures: Path, element: str) -> None:
    """They get what the float32 model gets, in their own type; unread inputs get nothing."""
    values = np.round(frames(pictures)[0] * 50 + 120)
    kind = getattr(TensorProto, element)
    pool = helper.make_node("GlobalAveragePool", ["f"], ["y"])
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), pool]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 1, 1])
    for name, given in (("typed.onnx", kind), ("plain.onnx", TensorProto.FLOAT)):
        inputs = [
            helper.make_tensor_value_info("im_shape", TensorProto.FLOAT, [1, 2]),
            helper.make_tensor_value_info("x", given, [1, 3, 32, 32]),
        ]
        graph = helper.make_graph(nodes, "g", inputs, [made])
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), name)
    found = knightlite.evaluate(["plain.onnx", "typed.onnx"], values, workers=1)
    assert found.models[1].exact


def test_a_file_that_takes_several_frames_at_once(pictures: Path) -> None:
    """It gets one picture in all places, and its first frame counts, in all outputs."""
    values = frames(pictures)[0]
    for count in (1, 3):
        nodes = [
            helper.make_node("GlobalAveragePool", ["x"], ["p"]),
            helper.make_node("Flatten", ["p"], ["y"]),
        ]
        x, y = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [count, 3, *rest])
            for name, rest in (("x", (32, 32)), ("y", ()))
        )
        graph = helper.make_graph(nodes, "g", [x], [y])
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), f"{count}.onnx")
    found = knightlite.evaluate(["1.onnx", "3.onnx"], values, workers=1)
    assert found.models[1].exact


# ------------------------------------------------------------------ refusals


def other_network(pictures: Path) -> EvaluateOptions:
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    shape = [1, 3, 32, 32]
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 1, 1])],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]),
        "pool.onnx",
    )
    return options(pictures, models=(Path(FORMS[0]), Path("pool.onnx")), recipe="digits")


def lonely_golden(pictures: Path) -> EvaluateOptions:
    Path("alone").mkdir()
    shutil.copy(FORMS[2], "alone/g.onnx")
    return options(pictures, models=(Path("alone/g.onnx"),))


@pytest.mark.parametrize(
    ("ask", "kind", "sentence"),
    [
        (other_network, UsageError, r"equally many scores, not 10 of digits\.onnx, 3 of pool\.onn"),
        (lonely_golden, UsageError, r"alone/g\.onnx reads and .* not beside it: no \.cfg file is"),
        (lambda p: options(p, models=(Path("no.onnx"),)), UsageError, r"no\.onnx does not exist"),
        (lambda p: options(p, models=(Path(FORMS[0]),)), UsageError, r"hold no recipe, and none"),
        (lambda p: options(p, shard=(3, 2)), UsageError, r"must be from 1/2 up, not 3/2\."),
        (lambda p: options(p, shard=(0, 4)), UsageError, r"must be from 1/4 up, not 0/4\."),
        (
            lambda p: options(p, shard=(20, 20)),
            UsageError,
            r"shard 20/20 of 12 pictures is empty\.",
        ),
        (lambda p: options(p, workers=0), UsageError, r"workers must be at least 1, not 0\."),
        (lambda p: options(p, count=0), UsageError, r"pictures must be at least 1, not 0\."),
        (lambda p: options(p / "nothing"), UsageError, r"picture folder .*nothing does not exist"),
    ],
)
def test_refusals(pictures: Path, ask: Any, kind: type[KnightliteError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        evaluate_models(ask(pictures))


QUESTION = Question((("a.onnx", "float", "1"),), "2", 12, "3", "logits")


OTHERWISE: dict[str, tuple[Any, str]] = {
    "models": ((), "the models"),
    "data": ("9", "the pictures"),
    "pictures": (13, "the pictures"),
    "recipe": ("9", "the recipe"),
    "scores": ("outputs", "the scores that are compared"),
    "check": (True, "whether bytes are compared"),
    "metric": ("9", "the metric"),
}


@pytest.mark.parametrize("field", [item.name for item in fields(Question)])
def test_questions_differ_in_every_part(field: str) -> None:
    value, words = OTHERWISE[field]
    changed: dict[str, Any] = {field: value}
    other = replace(QUESTION, **changed)
    assert QUESTION.difference(other) == other.difference(QUESTION) == words
    assert other.difference(other) == ""


@pytest.mark.parametrize(
    ("shard", "good"),
    [([1, 1], True), ([2, 2], True), ([0, 2], False), ([3, 2], False), ([0, 0], False)],
)
def test_a_shard_is_one_of_those_that_there_are(here: Path, shard: list[int], good: bool) -> None:
    path = here / "s.json"
    save(State(QUESTION, (1, 2), "stamp", 0, empty_tally(1)), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "shard": shard}))
    if good:
        assert read(path).shard == tuple(shard)
        return
    with pytest.raises(FormatError, match=f"^{path} is damaged: "):
        read(path)


@pytest.mark.parametrize(
    ("count", "workers", "processes"), [(0, 9, 0), (5, 9, 0), (6, 1, 0), (6, 9, 2), (60, 9, 9)]
)
def test_no_more_processes_than_they_have_work(
    monkeypatch: pytest.MonkeyPatch, count: int, workers: int, processes: int
) -> None:
    """Each takes five pictures at a time."""
    job = evaluate_engine.Job((), (), "", None, (), False)
    pictures = [evaluate_engine.Picture(Path(f"{number}.png"), None) for number in range(count)]
    asked: list[int] = []

    def ordered(work: Any, chunks: Any, workers: int, start: Any) -> list[Any]:
        asked.append(workers)
        return list(chunks)

    bench = SimpleNamespace(count=list)
    monkeypatch.setattr(evaluate_engine, "ordered", ordered)
    monkeypatch.setattr(evaluate_engine, "open_bench", lambda job, metric: bench)
    chunks: list[Any] = list(evaluate_engine.tallies(job, pictures, workers))
    assert [picture for chunk in chunks for picture in chunk] == pictures
    assert all(len(chunk) <= 5 for chunk in chunks)
    assert asked == ([processes] if processes else [])


def test_merging_refuses_what_does_not_belong_together(pictures: Path) -> None:
    paths = [Path(f"{name}.json") for name in "abcd"]
    evaluate_models(two(pictures, shard=(1, 2), state=paths[0]))
    evaluate_models(two(pictures, shard=(2, 2), state=paths[1], recipe="digits"))
    evaluate_models(two(pictures, shard=(2, 2), state=paths[2], models=(Path(FORMS[1]),)))
    stopped(pictures, paths[3])
    cases: tuple[tuple[list[int], str], ...] = (
        ([0], r"^of 2 shards, 2/2 is missing\.$"),
        ([0, 0], r"^a\.json and a\.json are both shard 1/2\.$"),
        ([0, 2], r"^c\.json and a\.json differ in the models: they are not shards of one eval"),
        ([3], r"^d\.json is not finished: 5 of 12 pictures\.$"),
        ([], r"^no state file is named to merge\.$"),
    )
    for places, sentence in cases:
        with pytest.raises(UsageError, match=sentence):
            merge_states([paths[place] for place in places])
    assert merge_states(paths[:2]).pictures == 12
    with pytest.raises(FormatError, match=r"^digits\.onnx is not a state file of eval"):
        merge_states([Path("digits.onnx")])


# ------------------------------------------------------------------ the command


def test_the_command_prints_what_the_function_returns(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["eval", "--data", "val", "-j", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted: EvaluationResult = evaluate_models(options(pictures))
    assert [row["sqnr_db"] for row in found["models"]] == [row.sqnr_db for row in wanted.models]
    assert not Path("knightlite-eval.json").exists()
    assert run(["eval", "--data", "val", "-j", "1", "--state", "s.json"]) == 0
    table = capsys.readouterr().out
    assert "Accuracy on 12 pictures" in table
    assert "digits_quantize_r.cfg" in table
    assert run(["eval", "--merge", "s.json"]) == 0
    assert capsys.readouterr().out == table


@pytest.mark.parametrize(("differing", "code"), [((None, 0, 0), 0), ((None, 0, 1), 1)])
def test_the_exit_code_tells_of_one_differing_byte(
    monkeypatch: pytest.MonkeyPatch, differing: tuple[int | None, ...], code: int
) -> None:
    plain = ModelScore("m", "chip", *(None,) * 8, None, exact=True)
    rows = tuple(
        replace(plain, compared_bytes=None if wrong is None else 70, differing_bytes=wrong)
        for wrong in differing
    )
    found = EvaluationResult(1, 0, "outputs", (1, 1), rows)
    monkeypatch.setattr("knightlite.cli.eval.evaluate_models", lambda *_: found)
    assert run(["eval", "--data", "val"]) == code


def test_a_stopped_command_keeps_its_state(
    pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "9" / "broken.png").write_bytes(b"no picture")
    assert run(["eval", "--data", "val", "-j", "1"]) == 1
    assert json.loads(Path("knightlite-eval.json").read_text())["tally"]["pictures"] == 10
    assert run(["eval", *FORMS]) == 2
    assert "eval needs pictures." in capsys.readouterr().err
    assert run(["eval", "--data", "val", "--shard", "half"]) == 2
    assert "a shard must be written as 1/4, not half." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("top1", "classes", "labelled", "told"),
    [
        (12.0, 10, 100, "m.onnx itself is right for 12 of 100 pictures, 12.00 %, and chance"),
        (12.0, 10, 9, None),
        (31.0, 10, 100, None),
    ],
)
def test_a_first_model_at_chance_is_told(
    pictures: Path, top1: float, classes: int, labelled: int, told: str | None
) -> None:
    said: list[str] = []
    warn_of_chance("m.onnx", top1, labelled, classes, options(pictures), Talk(warn=said.append))
    assert [str(told) in sentence for sentence in said] == [True] * (told is not None)
    assert all("Hint: --labels FILE names the class folders" in sentence for sentence in said)


def test_what_is_hinted_at_chance_can_be_typed(here: Path, tmp_path: Path) -> None:
    """A recipe only where pictures go through one, a diagnosis only of what quant left here."""
    (tmp_path / "empty").mkdir()
    for data, directory in (("calib", "."), ("x.npy", "."), ("x.npy", str(tmp_path / "empty"))):
        said: list[str] = []
        asked = EvaluateOptions(data=Path(data), directory=Path(directory))
        warn_of_chance("m.onnx", 10, 100, 10, asked, Talk(warn=said.append))
        assert ("--recipe" in said[0]) == (data == "calib")
        assert ("--labels FILE.npy" in said[0]) == (data != "calib")
        assert ("`knightlite diagnose`" in said[0]) == (directory == ".")


def test_frames_at_chance_are_told_as_pictures_are(tmp_path: Path) -> None:
    """The classes are those of the scores, wherever the labels come from; of shards too."""
    net = Net()
    same = net.weight("w", np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1))
    net.node("Conv", [net.input("x", (1, 4, 1, 1)), same], "c")
    model = net.save(tmp_path, "c")
    np.save(tmp_path / "x.npy", np.tile(np.eye(4, dtype=np.float32), (3, 1)).reshape(12, 4, 1, 1))
    told = " itself is right for {} of 12 pictures, {:.2f} %, and chance of 4 classes is 25.00 %"
    for turned, right in ((0, 12), (1, 0)):
        np.save(tmp_path / "y.npy", (np.arange(12) + turned) % 4)
        asked = options(tmp_path / "x.npy", models=(model,), labels=tmp_path / "y.npy")
        said: list[str] = []
        found = evaluate_models(asked, Talk(warn=said.append))
        parts = [tmp_path / f"part{number}.json" for number in (1, 2)]
        for number, part in enumerate(parts, start=1):
            evaluate_models(replace(asked, shard=(number, 2), state=part))
        again: list[str] = []
        assert merge_states(parts, talk=Talk(warn=again.append)) == found
        assert [item.split(" Hint: ")[0] for item in said] == [
            item.split(" Hint: ")[0] for item in again
        ]
        assert [told.format(0, 0) in sentence for sentence in said] == [True] * (right == 0)


@pytest.mark.parametrize(("classes", "told"), [(5, False), (6, True)])
def test_the_best_five_are_told_where_there_are_more_classes(
    tmp_path: Path, classes: int, told: bool
) -> None:
    net = Net()
    net.conv(net.input("x", (1, 3, 32, 32)), "c", (classes, 3, 32, 32))
    picture = next((DIGITS / "test" / "2").iterdir())
    for label in range(classes):
        (tmp_path / "val" / str(label)).mkdir(parents=True)
        shutil.copy(picture, tmp_path / "val" / str(label))
    asked = options(tmp_path / "val", models=(net.save(tmp_path, "c"),), recipe="digits")
    (row,) = evaluate_models(asked).models
    assert row.top1 == pytest.approx(100 / classes)
    assert (row.top5 is not None) is told


@pytest.mark.parametrize("classes", [2, 10])
def test_no_top_5_of_two_classes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    row = ModelScore("m", "float", 90.0, None if classes == 2 else 99.0, *(None,) * 6, None, True)
    found = EvaluationResult(9, 9, "outputs", (1, 1), (row,))
    monkeypatch.setattr("knightlite.cli.eval.evaluate_models", lambda *_: found)
    assert run(["eval", "--data", "val"]) == 0
    assert ("top-5 %" in capsys.readouterr().out) is (classes == 10)
