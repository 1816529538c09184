"""``import knightlite``: the functions and the session that Python programs use."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

import knightlite
from conftest import DIGITS
from knightlite import KnightliteError, QuantizedModel, Session
from onnx_nets import Net

Array = NDArray[Any]
MODEL = DIGITS / "digits.pdmodel"
STEM = "digits_quantize"
OUTPUT = "linear_0.tmp_1"


@pytest.fixture(scope="module")
def pictures() -> Array:
    """Six seeded inputs of the digits network."""
    return np.random.default_rng(5).normal(0, 1, (6, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="module")
def quantized(pictures: Array) -> QuantizedModel:
    return knightlite.quantize(MODEL, data=pictures, batch_size=4)


@pytest.fixture(scope="module")
def session(quantized: QuantizedModel) -> Session:
    return Session(knightlite.compile(quantized))


def sentence(caught: pytest.ExceptionInfo[KnightliteError]) -> str:
    return caught.value.sentence


# ------------------------------------------------------------------ the package itself


def test_importing_is_light() -> None:
    code = "import sys, knightlite; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "onnx", "onnxruntime", "PIL", "click", "rich"} & set(done.stdout.split()) == (
        set()
    )


def test_the_functions_stay_when_the_packages_of_their_names_are_loaded() -> None:
    from knightlite.quantize import pipeline

    assert callable(pipeline.quantize_graph)
    assert inspect.isfunction(knightlite.quantize)
    assert inspect.isfunction(knightlite.profile)
    assert inspect.isfunction(knightlite.compile)


def test_everything_public_is_there_documented_and_typed() -> None:
    for name in knightlite.__all__:
        item = getattr(knightlite, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(item), name
        functions = [item] if inspect.isfunction(item) else []
        if item is Session:
            functions = [member for _, member in inspect.getmembers(item, inspect.isfunction)]
        for function in functions:
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty
            given = [p for p in signature.parameters.values() if p.name != "self"]
            assert all(p.annotation is not p.empty for p in given), function
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = knightlite.nothing


# ------------------------------------------------------------------ the same as the commands


def test_the_files_are_those_of_the_commands(here: Path, tmp_path: Path) -> None:
    out = tmp_path / "python"
    made = knightlite.quantize(
        "digits.pdmodel", data="calib", recipe="digits", iteration=10, save_dir=out
    )
    compiled = knightlite.compile(made, save_dir=out)
    knightlite.profile(compiled, save_dir=out)
    from knightlite.cli.program import run

    assert run(["profile"]) == 0
    produced = {path.relative_to(out) for path in out.rglob("*") if path.is_file()}
    assert len(produced) == 4 + 7 + 3
    told = Path(f"{STEM}_r.profile.json")
    for name in produced - {told}:
        assert (out / name).read_bytes() == (here / name).read_bytes(), name
    mine, theirs = (json.loads((folder / told).read_text()) for folder in (out, here))
    assert theirs.pop("advice")["chosen"]
    assert mine == theirs | {"advice": None}  # nothing is compiled again for a program
    assert made.onnx == (here / f"{STEM}.onnx").read_bytes()
    assert compiled.cfg == (here / f"{STEM}_r.cfg").read_bytes()


def test_nothing_is_written_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Array
) -> None:
    monkeypatch.chdir(tmp_path)
    compiled = knightlite.compile(knightlite.quantize(MODEL, data=pictures[:1]), chip="TX5105C")
    Session(compiled).run(None, {"x": pictures[:1]})
    assert knightlite.profile(compiled).chip_name == "TX5105C"
    assert list(tmp_path.iterdir()) == []


def test_the_float_model_is_never_overwritten(
    here: Path, pictures: Array, quantized: QuantizedModel
) -> None:
    before = Path("digits.onnx").read_bytes()
    made = knightlite.quantize("digits.onnx", data=pictures[:1], save_dir=".")
    assert "float_onnx" not in made.save(here)
    assert Path("digits.onnx").read_bytes() == before
    assert "float_onnx" in quantized.save(here / "elsewhere")


@pytest.mark.parametrize("changed", ["equalized", "lifted", "altered", ""])
def test_a_changed_float_model_lies_beside_its_source(
    quantized: QuantizedModel, tmp_path: Path, changed: str
) -> None:
    """What was changed before quantizing is kept for comparisons, under a name of its own."""
    source = tmp_path / f"{quantized.name}.onnx"
    source.write_bytes(b"the user's")
    report = {**quantized.report, "equalized": [], "lifted": []}
    report |= {changed: ["c"]} if changed in report else {}
    made = dataclasses.replace(
        quantized, source=source, report=report, altered=changed == "altered"
    ).save(tmp_path)
    beside = tmp_path / f"{quantized.name}_float.onnx"
    assert made.get("float_onnx") == (beside if changed else None)
    assert beside.exists() == bool(changed)
    assert source.read_bytes() == b"the user's"


def test_a_chip_is_noted_and_taken(pictures: Array) -> None:
    made = knightlite.quantize(MODEL, data=pictures[:1], chip="TX5112CV201")
    assert knightlite.compile(made).figures["chip"] == "TX5112CV201"
    with pytest.raises(KnightliteError, match="was compiled for chip TX5112CV201, not for TX5105C"):
        Session(knightlite.compile(made), chip="TX5105C")


# ------------------------------------------------------------------ quantize


def test_arrays_iterables_and_functions_are_the_same_data(
    pictures: Array, quantized: QuantizedModel
) -> None:
    def batches() -> Iterator[Array]:
        yield pictures[:4]
        yield pictures[4:]

    def infer(executor: Any) -> float:
        assert (executor.dataset, executor.iteration, executor.input_nodes) == ("some", 2, ["x"])
        for batch in batches():
            executor.forward(batch)
        return 50.0

    by_function = knightlite.quantize(MODEL, infer=infer, data="some", iteration=2)
    assert (by_function.float_metric, by_function.loss_percent) == (50.0, 0.0)
    others = [
        knightlite.quantize(MODEL, data=batches()),
        knightlite.quantize(MODEL, data=[[pictures[:4]], [pictures[4:]]]),
        knightlite.quantize(MODEL, data={"x": pictures}, batch_size=4),
        by_function,
    ]
    scales = [made.report["tensors"] for made in (quantized, *others)]
    assert all(item == scales[0] for item in scales)
    assert [made.pictures for made in others] == [6, 6, 6, 6]
    assert knightlite.quantize(MODEL, data=pictures, iteration=2).pictures == 2


def test_an_error_of_the_callers_function_is_the_callers(pictures: Array) -> None:
    def infer(executor: Any) -> None:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        knightlite.quantize(MODEL, infer=infer)
    with pytest.raises(KnightliteError) as caught:
        knightlite.quantize(MODEL, infer=lambda executor: None)
    assert sentence(caught) == "infer function <lambda> never called executor.forward."


def test_calibration_without_data_warns_at_the_callers_line() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made = knightlite.quantize(MODEL, effort="low")
    assert [item.filename for item in seen] == [__file__]
    assert "calibrated without pictures, on made-up ones" in str(seen[0].message)
    assert made.warnings == (str(seen[0].message),)
    assert made.report["workload"] == "data-free, from 27 BatchNorm statistics"
    assert made.report["pictures"] == 32


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((2, 3, 8, 8), np.float32), "input x must have shape (N, 3, 32, 32), not (1, 3,"),
        ([], "the data holds no batch."),
        (np.array(1.0), "the data must be an array of pictures [N, ...], not a"),
        ({"y": np.zeros((1, 3, 32, 32), "f")}, "a batch must have the inputs x, not y."),
        ([(np.zeros((1, 3, 32, 32)),) * 2], "a batch must have 1 arrays (x), not 2."),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "the arrays of the inputs must hold equally many"),
        (7, "data must be a folder, an array or an iterable of arrays, not int."),
    ],
)
def test_unusable_data(data: Any, said: str) -> None:
    with pytest.raises(KnightliteError) as caught:
        knightlite.quantize(MODEL, data=data)
    assert sentence(caught).startswith(said)


def test_arrays_exclude_recipe_and_script(pictures: Array) -> None:
    with pytest.raises(KnightliteError, match="neither a user script nor a recipe"):
        knightlite.quantize(MODEL, data=pictures, recipe="digits")
    with pytest.raises(KnightliteError, match=r"the batch size must be at least 1, not 0\."):
        knightlite.quantize(MODEL, data=pictures, batch_size=0)


# ------------------------------------------------------------------ session


def test_the_session_is_the_golden_model(
    quantized: QuantizedModel, session: Session, pictures: Array
) -> None:
    golden = onnxruntime.InferenceSession(knightlite.compile(quantized).contents["golden"])
    (entry,) = session.get_inputs()
    (out,) = session.get_integer_outputs()
    assert (entry.name, entry.shape, entry.integer_type) == ("x", (1, 3, 32, 32), "int8")
    assert (out.name, out.shape, out.type) == (OUTPUT, (1, 10, 1, 1), "tensor(int16)")
    stored = np.clip(np.rint(pictures / np.asarray(entry.scale, np.float32)), -128, 127).astype(
        np.int8
    )
    wanted = np.concatenate([golden.run(None, {"x": frame[None]})[0] for frame in stored])
    by_float, by_integers = (session.run_integers({"x": feed}) for feed in (pictures, stored))
    assert by_float[OUTPUT].dtype == wanted.dtype == np.int16
    assert np.array_equal(by_float[OUTPUT], wanted)
    assert np.array_equal(by_integers[OUTPUT], wanted)
    assert len(np.unique(wanted)) > 20

    (scores,) = session.run(None, {"x": pictures})
    assert scores.dtype == np.float32
    assert np.array_equal(scores, wanted.reshape(6, 10) * np.asarray(out.scale, np.float32))
    (described,) = session.get_outputs()
    assert (described.name, described.shape, described.type) == (OUTPUT, (1, 10), "tensor(float)")
    assert (described.integer_type, described.scale) == ("int16", out.scale)


def test_outputs_of_host_operators(tmp_path: Path) -> None:
    net = Net()
    net.input("x", (1, 3, 8, 8))
    net.conv("x", "c", (4, 3, 3, 3))
    net.node("GlobalAveragePool", ["c"], "g")
    net.node("Flatten", ["g"], "f", axis=1)
    net.node("Softmax", ["f"], "y", axis=1)
    data = np.random.default_rng(1).normal(0, 1, (3, 3, 8, 8)).astype(np.float32)
    path = net.save(tmp_path, "y")
    with pytest.warns(UserWarning, match="y: Softmax runs on the host, after the NPU"):
        quantized = knightlite.quantize(path, data=data)
    session = Session(knightlite.compile(quantized))
    (described,) = session.get_outputs()
    assert (described.name, described.shape, described.scale) == ("y", (1, 4), None)
    (found,) = session.run(["y"], {"x": data})
    assert found.shape == (3, 4)
    assert np.allclose(found.sum(axis=1), 1)
    assert list(session.run_integers({"x": data})) == ["g"]
    exact = onnxruntime.InferenceSession(str(path))
    wanted = np.concatenate([exact.run(None, {"x": frame[None]})[0] for frame in data])
    assert np.abs(found - wanted).max() < 0.05 < wanted.std()


def ended(net: Net, source: str, kind: str) -> tuple[str, ...]:
    """Ends the network in operators that only ONNX Runtime has; the network's outputs."""
    if kind == "Hardmax":
        return (net.node("Hardmax", [source], "y", axis=1),)
    if kind == "Greater":  # booleans
        half = net.weight("half", np.float32(0.1))
        return (net.node("Greater", [source, half], "y"),)
    count = net.weight("count", np.asarray([2], np.int64))
    net.nodes.append(onnx.helper.make_node("TopK", [source, count], ["y", "where"], name="top"))
    return ("y", "where")


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("Hardmax", ["tensor(float)"]),
        ("TopK", ["tensor(float)", "tensor(int64)"]),
        ("Greater", ["tensor(bool)"]),
    ],
)
def test_outputs_that_only_onnx_runtime_makes(tmp_path: Path, kind: str, types: list[str]) -> None:
    net = Net()
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 8, 8), bias=True)
    net.node("Flatten", ["c"], "f", axis=1)
    names = ended(net, "f", kind)
    data = np.random.default_rng(1).normal(0, 1, (3, 3, 8, 8)).astype(np.float32)
    path = net.save(tmp_path, *names)
    with pytest.warns(UserWarning, match=f"y: {kind} runs on the host by ONNX Runtime"):
        quantized = knightlite.quantize(path, data=data, general_process=True)
    session = Session(knightlite.compile(quantized))
    assert [item.name for item in session.get_outputs()] == list(names)
    assert [item.type for item in session.get_outputs()] == types
    found = session.run(None, {"x": data})
    assert [item.shape[1:] for item in session.get_outputs()] == [a.shape[1:] for a in found]
    (stored,) = session.get_integer_outputs()
    features = session.run_integers({"x": data})[stored.name] * np.asarray(stored.scale, np.float32)
    tail = onnx.utils.Extractor(onnx.load(path)).extract_model(["f"], list(names))
    runner = onnxruntime.InferenceSession(tail.SerializeToString())
    for frame, scores in enumerate(features.reshape(3, 1, 4)):
        for have, want in zip(found, runner.run(list(names), {"f": scores}), strict=True):
            assert have.dtype == want.dtype
            np.testing.assert_allclose(have[frame], want[0], rtol=1e-6)


@pytest.mark.parametrize(("axis", "shape"), [(0, "(4,)"), (None, "()")])
def test_frames_without_an_axis_are_not_joined(
    tmp_path: Path, axis: int | None, shape: str
) -> None:
    net = Net(18)
    net.conv(net.input("x", (1, 3, 8, 8)), "c", (4, 3, 8, 8))
    net.node("Flatten", ["c"], "f", axis=1)
    axes = [] if axis is None else [net.weight("axes", np.asarray([axis], np.int64))]
    net.node("ReduceMax", ["f", *axes], "y", keepdims=0)
    data = np.random.default_rng(1).normal(0, 1, (2, 3, 8, 8)).astype(np.float32)
    with pytest.warns(UserWarning, match="y: ReduceMax runs on the host"):
        quantized = knightlite.quantize(net.save(tmp_path, "y"), data=data, general_process=True)
    session = Session(knightlite.compile(quantized))
    (one,) = session.run(None, {"x": data[:1]})
    assert str(one.shape) == shape
    with pytest.raises(KnightliteError) as caught:
        session.run(None, {"x": data})
    assert sentence(caught) == (
        "output y must have one shape (1, ...) in every frame for several to be joined, "
        f"not {shape}."
    )


def test_files_and_bytes(here: Path) -> None:
    cfg, weight = Path(f"{STEM}_r.cfg"), Path(f"{STEM}_r.weight")
    picture = min((here / "calib" / "7").iterdir())
    found = []
    both = cfg.with_suffix(".tsmodel")
    for arguments in (
        (cfg,),
        (str(cfg), weight),
        (cfg.read_bytes(), weight.read_bytes()),
        (both,),
        (both.read_bytes(),),
    ):
        session = Session(*arguments)
        found.append(session.run(None, {"x": session.prepare(picture)})[0])
    assert found[0].argmax() == 7
    assert all(np.array_equal(item, found[0]) for item in found)
    assert np.array_equal(session.prepare(picture, recipe="digits"), session.prepare(picture))
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert np.array_equal(session.prepare(pixels), session.prepare(picture))
    for wrong in (pixels.astype(np.float32), pixels.transpose(2, 0, 1), pixels[:0]):
        with pytest.raises(
            knightlite.KnightliteError, match=r"^pixels must be uint8 \[H, W, 3\] or"
        ):
            session.prepare(wrong)
    profiles = [knightlite.profile(cfg), knightlite.profile(cfg.read_bytes(), weight.read_bytes())]
    assert profiles[0].cycles == profiles[1].cycles == sum(row.cycles for row in profiles[0].layers)


def test_files_that_cannot_be_used(here: Path) -> None:
    cfg = Path(f"{STEM}_r.cfg")
    with pytest.raises(KnightliteError) as caught:
        Session(cfg.read_bytes())
    assert sentence(caught) == "the bytes of a .cfg need those of its .weight."
    with pytest.raises(KnightliteError) as caught:
        Session("nothing.cfg", f"{STEM}_r.weight")
    assert sentence(caught) == "file nothing.cfg does not exist."
    with pytest.raises(KnightliteError, match=r"^network\.cfg is truncated: 8 bytes\.$"):
        Session(b"KLITECFG", cfg.with_suffix(".weight"))
    with pytest.raises(KnightliteError, match=r"is a \.tsmodel, which holds both files"):
        Session(cfg.with_suffix(".tsmodel"), cfg.with_suffix(".weight"))
    with pytest.raises(KnightliteError, match="brings its own weights"):
        Session(knightlite.compile(f"{STEM}.onnx"), f"{STEM}_r.weight")
    with pytest.raises(KnightliteError, match="is a float model, not a quantized one"):
        knightlite.compile("digits.onnx")


X = np.zeros((1, 3, 32, 32), np.float32)


@pytest.mark.parametrize(
    ("names", "feed", "said"),
    [
        (["z"], {"x": X}, "the network has no output z."),
        (None, {"y": X}, "the feed must have the inputs x, not y."),
        (None, {}, "the feed must have the inputs x, not none."),
        (None, X, "the feed must map names of inputs to arrays, not be of type ndarray."),
        (None, {"x": X.astype(int)}, "input x must be floats or int8, not int64."),
        (None, {"x": X[0, :2]}, "input x must have shape (N, 3, 32, 32), not (2, 32, 32)."),
        (None, {"x": X[:0]}, "input x must have shape (N, 3, 32, 32), not (0, 3, 32, 32)."),
        (None, {"x": X[..., 0]}, "input x must have shape (N, 3, 32, 32), not (1, 3, 32)."),
        (None, {"x": np.full_like(X, np.nan)}, "input x must hold numbers, not NaN."),
    ],
)
def test_unusable_feeds(session: Session, names: Any, feed: Any, said: str) -> None:
    with pytest.raises(KnightliteError) as caught:
        session.run(names, feed)
    assert sentence(caught) == said


def test_results_are_frozen(quantized: QuantizedModel, session: Session) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        quantized.chip = "other"  # type: ignore[misc]  # the point
    with pytest.raises(dataclasses.FrozenInstanceError):
        session.get_inputs()[0].name = "other"  # type: ignore[misc]  # the point
