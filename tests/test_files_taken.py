"""Which files ``eval`` and ``diagnose`` take where none are named, and which go together.

Files of text stand for models where only their hashes are looked at.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from knightlite import dtypes
from knightlite.api import diagnosis
from knightlite.api.evaluation import forms
from knightlite.api.evaluation import run as evaluation
from knightlite.api.evaluation.engine import Job
from knightlite.api.evaluation.forms import Form, Source
from knightlite.api.inspection import model_info
from knightlite.api.models import partners
from knightlite.api.models.quant_folder import float_beside, quantized_in
from knightlite.api.models.stage_files import COMPILE_FILES, QUANT_FILES, sibling
from knightlite.errors import UsageError
from knightlite.frontend.model_kind import PAIR_NOTE
from knightlite.ir import GraphBuilder
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.options.evaluate import EvaluateOptions
from knightlite.quantize.data import PictureFolder
from knightlite.talk import Talk
from knightlite.workspace import hashed, open_workspace, record


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(path: str, text: str) -> Path:
    Path(path).parent.mkdir(exist_ok=True, parents=True)
    Path(path).write_text(text)
    return Path(path)


def quantized(folder: str, more: str = "", **source: Any) -> Path:
    """A run of quant; ``more``: another file that it left."""
    model = written(f"{folder}/n_quantize.onnx", folder)
    files = {"onnx": model, "float_onnx": written(f"{folder}/n.onnx", f"float {folder}")}
    if more:
        files[more] = written(f"{folder}/{more}", more)
    record(".", "quant", "c", {"model": "n.pdmodel", "source": source}, files, {})
    return model


def compiled(model: Path, folder: str) -> None:
    files = {
        key: written(f"{folder}/{COMPILE_FILES[key].format('n')}", f"{key} of {folder}")
        for key in ("cfg", "weight", "golden")
    }
    record(".", "compile", "c", {"onnx": str(model)}, files, hashed(".", {"onnx": model}))


def taken(**options: Any) -> tuple[list[str], list[str]]:
    said: list[str] = []
    talk = Talk(say=said.append, warn=lambda text: said.append(f"warning: {text}"))
    found = evaluation._paths(EvaluateOptions(data=Path(), **options), talk)
    return [path.as_posix() for path in found], said


def test_what_was_compiled_is_evaluated_beside_what_it_came_from() -> None:
    """Not beside what was quantized last."""
    one = quantized("one")
    quantized("two")
    assert taken()[0] == ["two/n.onnx", "two/n_quantize.onnx"]
    compiled(one, "out")
    paths, said = taken()
    assert paths == [
        "one/n.onnx", "one/n_quantize.onnx", "out/n_golden.onnx", "out/n_r.cfg"
    ]  # fmt: skip
    assert said == [
        "one/n.onnx is taken: n_quantize.onnx was made from it.",
        "one/n_quantize.onnx is taken: what came of it is here.",
        "out/n_golden.onnx is taken: compile left it here last.",
        "out/n_r.cfg is taken: compile left it here last.",
    ]
    assert taken(models=(Path("n_golden.onnx"), Path("two/n.onnx"))) == (
        ["out/n_golden.onnx", "two/n.onnx"],
        ["n_golden.onnx is not here; out/n_golden.onnx is taken, which compile left."],
    )


@pytest.mark.parametrize(
    ("change", "told"), [("changed", "has changed since quant read it"), (None, "is not here")]
)
def test_a_float_model_that_is_another_is_left_out(change: str | None, told: str) -> None:
    quantized("one")
    if change is None:
        Path("one/n.onnx").unlink()
    else:
        Path("one/n.onnx").write_text(change)
    paths, said = taken()
    assert paths == ["one/n_quantize.onnx"]
    assert said[0].startswith(f"warning: the float model one/n.onnx {told}")


def test_without_a_run_of_quant() -> None:
    with pytest.raises(UsageError, match=r"no model is named, and there is no knightlite\.json"):
        taken()


def source(path: str, kind: str = "float", sha256: str = "", made_from: str = "") -> Source:
    return Source(Path(path), kind, sha256, made_from)


def test_compiled_from_none_of_those_beside() -> None:
    warned: list[str] = []
    some = [source("a.onnx", "qdq", "1"), source("b.onnx", "qdq", "2")]
    chips = [source("x.cfg", "chip", "8", "2"), source("y.cfg", "chip", "9", "3")]
    talk = Talk(warn=warned.append)
    evaluation._warn_of_other_networks([*some, *chips], talk)
    evaluation._warn_of_other_networks([source("a.onnx", "float", "1"), *chips], talk)
    assert warned == [
        "y.cfg was not compiled from a.onnx, b.onnx. Hint: `knightlite compile --onnx a.onnx` does "
        "it, or name the files that belong together"
    ]


# ------------------------------------------------------------------ what only opened models tell


def form(path: str, shape: tuple[int, ...] = (3, 4, 5), recipe: str | None = None,
         softmax: bool = True) -> Form:  # fmt: skip
    return Form(source(path), shape, recipe, softmax, lambda picture: pytest.fail("not run"))


def job(*forms: Form, **options: Any) -> tuple[Job, list[str]]:
    warned: list[str] = []
    probe = Job((), (), "", None, (), False)
    asked = EvaluateOptions(data=Path("pics"), **options)
    return evaluation._job(probe, forms, asked, Talk(warn=warned.append)), warned


def test_an_open_size_is_that_of_the_first_that_tells_one() -> None:
    made, warned = job(
        form("a", (3, 0, 0)), form("b", (3, 6, 7)), form("c", (3, 8, 8)), recipe="raw"
    )
    assert made.shapes == ((3, 6, 7), (3, 6, 7), (3, 8, 8))
    assert (made.logits, warned) == (True, [])
    with pytest.raises(UsageError, match="the size of the pictures that a reads is open"):
        job(form("a", (3, 0, 5)), recipe="raw")


@pytest.mark.parametrize(
    ("softmax", "logits", "name"),
    [((True, True), True, ""), ((False, False), False, ""), ((True, False), False, "b.onnx")],
)
def test_logits_are_compared_where_all_deliver_them(
    softmax: tuple[bool, ...], logits: bool, name: str
) -> None:
    forms = [form(f"{n}.onnx", softmax=has) for n, has in zip("ab", softmax, strict=True)]
    made, warned = job(*forms, recipe="raw")
    assert made.logits == logits
    assert [text.split()[0] for text in warned] == [name] * bool(name)


def test_the_recipe_is_that_of_the_models() -> None:
    """As named, or the only one that they hold; another one than theirs is said."""
    assert job(form("a"), form("b", recipe="r"), form("c", recipe="r"))[0].recipe == "r"
    with pytest.raises(UsageError, match="the models hold no recipe, and none is named"):
        job(form("a"))
    with pytest.raises(UsageError, match="the models hold 2 different recipes, and none is"):
        job(form("a", recipe="r"), form("b", recipe="s"), form("c", recipe="s"))
    made, warned = job(form("a"), form("b.onnx", recipe="r"), recipe="raw")
    assert made.recipe not in ("", "r")
    assert warned == [
        "the recipe is not the one that b.onnx was quantized with. Hint: without --recipe that one "
        "is taken"
    ]
    assert job(form("a"), form("b", recipe=made.recipe), recipe="raw")[1] == []


@pytest.mark.parametrize(("asked", "found", "said"), [(None, 3, 0), (3, 3, 0), (4, 3, 1)])
def test_fewer_pictures_than_asked_for(asked: int | None, found: int, said: int) -> None:
    told: list[str] = []
    options = EvaluateOptions(data=Path("pics"), count=asked)
    evaluation._say_fewer(options, found, "frames", Talk(told.append))
    assert told == [f"3 frames of pics (all there are; {asked} were asked for)"] * said


def test_frames_in_their_order_or_a_frozen_sample() -> None:
    np.save("f.npy", np.zeros((6, 3, 2, 2), np.float32))
    np.save("l.npy", np.arange(6) * 2)
    options = EvaluateOptions(data=Path("f.npy"), labels=Path("l.npy"))
    found = evaluation._frames(options, None)
    assert [(item.frame, item.label, item.number) for item in found] == [
        (place, 2 * place, place) for place in range(6)
    ]
    some = evaluation._frames(replace(options, count=4, seed=3), None)
    wanted = np.random.RandomState(3).permutation(6)[:4].tolist()
    assert [(item.frame, item.label, item.number) for item in some] == [
        (place, 2 * place, number) for number, place in enumerate(wanted)
    ]


# ------------------------------------------------------------------ diagnose


def named(**options: Any) -> tuple[DiagnoseOptions, Any]:
    return diagnosis._named(DiagnoseOptions(**options), Talk())


def test_the_data_of_the_run_that_left_the_model() -> None:
    """Of two that left it, the last one; what is named goes before what is recorded."""
    quantized("one", data="old", batch_size=2, iteration=9, recipe="r", seed=1)
    model = quantized("one", "scales", data="new", batch_size=3, iteration=8, recipe="s", seed=5,
                      labels="l.txt")  # fmt: skip
    quantized("two", data="other")
    for asked in ({"quantized": model}, {"quantized": Path("one/../one/n_quantize.onnx")}):
        found, run = named(**asked)
        assert (found.data, found.recipe, found.batch_size) == ("new", "s", 3)
        assert (found.iteration, found.seed, found.labels) == (8, 5, Path("l.txt"))
        assert found.model == Path("one/n.onnx")
        assert run.options["source"]["data"] == "new"
    found, _ = named(
        quantized=model, recipe="t", iteration=2, labels=Path("m.txt"), model=Path("mine.onnx")
    )
    assert (found.recipe, found.iteration, found.labels) == ("t", 2, Path("m.txt"))
    assert (found.model, found.data) == (Path("mine.onnx"), "new")
    assert named(quantized=model, data="mine")[0].recipe is None
    assert named()[0].data == "other"


@pytest.mark.parametrize(
    ("source", "calls"),
    [({"iteration": 7}, 7), ({"iteration": 300}, 100), ({"iteration": 300, "batch_size": 8}, 12),
     ({"iteration": 9, "batch_size": 200}, 1), ({}, 1)],
)  # fmt: skip
def test_a_hundred_pictures_at_most(source: dict[str, int], calls: int) -> None:
    assert diagnosis._at_most(source) == calls


def test_where_the_float_model_is() -> None:
    """As quant wrote it, else the ONNX that it read, else beside the quantized model."""
    model = written("q/n_quantize.onnx", "q")
    source = written("src/n.onnx", "float")
    other = written("src/n.pdmodel", "paddle")
    float_net("q/n.onnx")

    def of(model_read: Path, wrote: bool) -> Path:
        files = {"onnx": model} | ({"float_onnx": source} if wrote else {})
        run = record(".", "quant", "c", {"model": str(model_read)}, files, {})
        return diagnosis._float_model(open_workspace(), run, model)

    assert of(other, True) == source
    assert of(source, False) == source
    assert of(other, False) == Path("q/n.onnx")
    assert of(Path("src/gone.onnx"), False) == Path("q/n.onnx")
    Path("q/n.onnx").unlink()
    with pytest.raises(UsageError, match=r"the float model of q/n_quantize.onnx is not at hand"):
        of(other, False)


def test_calls_that_quant_made_over_the_same_data() -> None:
    """None where one thing is another: what is fed, how, or what came of it."""
    model = quantized("one", data="pics", iteration=7, batch_size=2, seed=3)
    (run,) = open_workspace().records
    options = DiagnoseOptions(quantized=model, data="pics", batch_size=2, seed=3)
    assert diagnosis._calls_of(options, run) == 7
    for other in ({"data": "others"}, {"batch_size": 1}, {"seed": 4}):
        assert diagnosis._calls_of(replace(options, **other), run) == 0
    assert diagnosis._calls_of(options, None) == 0
    model.write_text("another")
    assert diagnosis._calls_of(options, run) == 0


def test_the_command_of_a_remedy_asks_for_what_was_diagnosed() -> None:
    """Over the data of the diagnosis, with the other words of the run; no words for arrays."""
    options = DiagnoseOptions(
        data="pics", recipe="raw", iteration=4, batch_size=2, seed=3, model=Path("n.onnx")
    )
    run = record(
        ".", "quant", "TX5112CV201",
        {"model": "n.pdmodel", "source": {"data": "pics", "iteration": 9},
         "more": ["-bs", "8", "-qm", "kl", "--seed", "9", "-gt"]},
        {}, {},
    )  # fmt: skip
    words = " ".join(diagnosis._again(options, run))
    assert words == (
        "knightlite quant -m n.pdmodel --chip TX5112CV201 -d pics --recipe raw -bs 2 -i 4 --seed 3 "
        "-qm kl -gt"
    )
    assert " -d mine " in " ".join(diagnosis._again(replace(options, data="mine"), run))
    assert " ".join(diagnosis._again(options, None)).startswith(
        "knightlite quant -m n.onnx -d pics"
    )
    assert diagnosis._again(replace(options, function=print), run) == ()
    assert diagnosis._again(replace(options, model=None), run) == ()


@pytest.mark.parametrize(
    ("pictures", "there", "told"),
    [
        (5, 5, "about 5 pictures may tell, with -i 3"),
        (4, 5, "about 4 pictures may tell, with -i 2"),
        (6, 5, "about 6 pictures may tell; pics has 5: name more with -d DIR -i 3"),
    ],
)
def test_where_more_pictures_come_from(pictures: int, there: int, told: str) -> None:
    """In forward calls of two pictures."""
    folder = PictureFolder.__new__(PictureFolder)
    object.__setattr__(folder, "folder", SimpleNamespace(samples=range(there)))
    options = DiagnoseOptions(data="pics", batch_size=2)
    assert diagnosis._more_pictures(folder, options)(pictures) == told
    script: Any = object()
    assert diagnosis._more_pictures(script, options)(99) == "about 99 pictures may tell, with -i 50"


def test_a_model_of_another_framework_is_read_in_the_shapes_that_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        "knightlite.frontend.load", lambda path, input_shapes: seen.append((path, input_shapes))
    )
    monkeypatch.setattr("knightlite.onnx_models.write_float", lambda graph: "model")
    for shapes in ([[1, 3, 4, 5]], []):
        made: Any = forms._onnx_model(Path("n.pdmodel"), shapes)
        assert made == "model"
    assert seen == [(Path("n.pdmodel"), [(1, 3, 4, 5)]), (Path("n.pdmodel"), None)]


def test_capitals_of_a_suffix_are_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quantized model is known by ``.ONNX`` too."""
    net = GraphBuilder("n")
    net.input("x", (1, 2, 1, 1), dtypes.U8, 0.5)
    net.node("Table", ("x",), "y", {})
    net.tensor("y", (1, 2, 1, 1), dtypes.S8, np.asarray([0.25, 0.5], np.float32))
    monkeypatch.setattr("knightlite.frontend.load_quantized", lambda path: net.build(("y",)))
    written("N.ONNX", "")
    ((one,), (other,)) = model_info(Path("N.ONNX"))
    assert (one.index, one.name, one.shape, one.type, one.scale) == (
        0, "x", (1, 2, 1, 1), "u8", (0.5,)
    )  # fmt: skip
    assert (other.name, other.type, other.scale) == ("y", "s8", (0.25, 0.5))
    with pytest.raises(UsageError, match=r"n\.PDMODEL is a float model, not a quantized one"):
        model_info(Path("n.PDMODEL"))


# ------------------------------------------------------------------ which of a folder go together


def float_net(path: str, notes: dict[str, str] | None = None, nodes: str = "Relu") -> Path:
    """A network of one node, with such metadata."""
    graph = helper.make_graph(
        [helper.make_node(nodes, ["x"], ["y"])], "n",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, notes or {})
    Path(path).parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return Path(path)


PAIR = "0123456789abcdef"


def test_a_golden_model_is_known_by_its_hash() -> None:
    """Not by its name, nor by a hash that it holds as something else; of equals the usual name."""
    cfg = Path("n_r.cfg")
    float_net("a.onnx", {"of another": PAIR})
    Path("b.onnx").write_text(f"no model, with {PAIR}")
    Path("c.onnx").touch()
    Path("d.onnx").mkdir()
    with pytest.raises(UsageError) as error:
        partners.golden_beside(cfg, PAIR)
    assert error.value.sentence == (
        "the golden model of n_r.cfg is not beside it: none of the .onnx files there carries its "
        "hash (a.onnx, b.onnx, c.onnx, d.onnx)."
    )
    float_net("z.onnx", {PAIR_NOTE: PAIR})
    assert partners.golden_beside(cfg, PAIR) == Path("z.onnx")
    float_net("y.onnx", {PAIR_NOTE: PAIR})
    assert partners.golden_beside(cfg, PAIR) == Path("y.onnx")
    # the usual name says nothing, nor does what it holds beside its own hash
    float_net("n_golden.onnx", {PAIR_NOTE: "another", "of": PAIR})
    assert partners.golden_beside(cfg, PAIR) == Path("y.onnx")
    assert partners.golden_beside(cfg, "neither") == Path("n_golden.onnx")  # its reader tells why
    float_net("n_golden.onnx", {PAIR_NOTE: PAIR})
    assert partners.golden_beside(cfg, PAIR) == Path("n_golden.onnx")


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "no .cfg file is there"),
        (8, "hash (0.cfg, 1.cfg, 2.cfg, 3.cfg, 4.cfg, 5.cfg, 6.cfg, 7.cfg)"),
        (9, "6.cfg, 7.cfg, ...)"),
    ],
)
def test_eight_files_are_listed(count: int, told: str) -> None:
    for number in range(count):
        written(f"{number}.cfg", "")
    with pytest.raises(UsageError) as error:
        partners.cfg_beside(Path("n.onnx"), PAIR)
    assert error.value.sentence.endswith(f"{told}.")


def test_names_of_files_of_one_network() -> None:
    cfg, golden = COMPILE_FILES["cfg"], COMPILE_FILES["golden"]
    assert sibling(Path("a/b_r.cfg"), cfg, golden) == Path("a/b_golden.onnx")
    assert sibling(Path("a/b_golden.onnx"), golden, cfg) == Path("a/b_r.cfg")
    assert sibling(Path("a/b.cfg"), cfg, golden) is None
    assert sibling(Path("a/b_quantize.onnx"), QUANT_FILES["onnx"], "{}_float.onnx") == Path(
        "a/b_float.onnx"
    )


def test_the_float_model_beside_a_quantized_one() -> None:
    """X_float.onnx before X.onnx; where the quantized one has another name, the only one."""
    model = Path("q/n_quantize.onnx")
    Path("q").mkdir()
    assert float_beside(model) is None
    float_net("q/other.onnx")
    assert float_beside(model) is None
    assert float_beside(Path("q/mine.onnx")) == Path("q/other.onnx")
    float_net("q/n.onnx")
    assert float_beside(model) == Path("q/n.onnx")
    assert float_beside(Path("q/mine.onnx")) is None
    float_net("q/n_float.onnx")
    assert float_beside(model) == Path("q/n_float.onnx")


def test_the_only_quantized_model_of_a_folder() -> None:
    Path("q").mkdir()
    with pytest.raises(UsageError, match=r"q must hold one quantized model, not 0\."):
        quantized_in(Path("q"))
    with pytest.raises(UsageError, match=r"none does not exist"):
        quantized_in(Path("none"))
    written("file", "")
    with pytest.raises(UsageError) as error:
        quantized_in(Path("file"))
    assert error.value.hint.endswith("inputs/, here .")


@pytest.mark.parametrize("noted", [True, False])
def test_functions_are_fed_all_inputs_that_the_model_declared(
    noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The float model that quant left has only those that are read."""
    builder = GraphBuilder("n")
    graph = builder.build((builder.input("x", (1, 1, 1, 1)),))
    notes = SimpleNamespace(declared_inputs=("mask", "x")) if noted else None
    seen: list[tuple[str, ...]] = []

    class Seen(Exception):
        pass

    def workload(options: Any, graph: Any, notes: Any, talk: Talk) -> Any:
        seen.append(graph.declared_inputs)
        raise Seen

    monkeypatch.setattr("knightlite.frontend.load", lambda *words: graph)
    monkeypatch.setattr("knightlite.frontend.load_quantized", lambda *words, **more: graph)
    monkeypatch.setattr(diagnosis, "notes_of", lambda path: notes)
    monkeypatch.setattr(diagnosis, "_named", lambda options, talk: (options, None))
    monkeypatch.setattr(diagnosis, "_workload", workload)
    with pytest.raises(Seen):
        diagnosis.diagnose(DiagnoseOptions(model=Path("n.onnx"), quantized=Path("q.onnx")))
    assert seen == [("mask", "x") if noted else graph.declared_inputs]
    assert graph.declared_inputs != ("mask", "x")
