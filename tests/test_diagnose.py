"""``diagnose`` as a command and from Python: what it finds by itself, prints, writes, refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import knightlite
from browsers import look_at, needs_browser
from conftest import DIGITS
from knightlite import diagnosis
from knightlite.api.diagnosis import diagnose, settings_of
from knightlite.api.models.notes import notes_of
from knightlite.cli.program import run
from knightlite.frontend import load, load_quantized
from knightlite.ir import Graph
from knightlite.options.diagnose import DiagnoseOptions
from knightlite.preprocess import load_recipe
from knightlite.quantize.choices import EFFORTS
from knightlite.quantize.data.workload import PictureFolder, Workload
from knightlite.quantize.groups import features
from knightlite.quantize.pipeline import quantize_graph
from knightlite.talk import Talk
from onnx_nets import Net
from refusals import Refusal

Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"


def plant(name: str, factor: float, target: str) -> None:
    """The quantized digits with another scale of one tensor, beside their float model."""
    model = onnx.load(f"{STEM}.onnx")
    (scale,) = (item for item in model.graph.initializer if item.name == f"{name}/scale")
    values = numpy_helper.to_array(scale) * np.float32(factor)
    scale.CopyFrom(numpy_helper.from_array(values.astype(np.float32), scale.name))
    onnx.save(model, f"{target}_quantize.onnx")
    Path(f"{target}.onnx").write_bytes(Path("digits.onnx").read_bytes())


@pytest.fixture
def shown_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's commands show one diagnosis: what differs is how (``test_the_same_twice``)."""
    made: list[diagnosis.Diagnosis] = []
    first = diagnosis.diagnose

    def found(*arguments: Any, **more: Any) -> diagnosis.Diagnosis:
        made.extend([] if made else [first(*arguments, **more)])
        return made[0]

    monkeypatch.setattr(diagnosis, "diagnose", found)


def test_what_quant_left_is_healthy(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["diagnose", "-sn", "3"]) == 0
    out, err = capsys.readouterr()
    assert "data: 10 pictures of calib with recipe digits\n" in err
    lines = out.splitlines()
    assert lines[1:5] == [
        "metric, float model: 100.0000",
        "metric, quantized model: 100.0000",
        "metric, difference: +0.00 points, 95 % interval -23.10 to +23.10: 0 won, 0 lost of 10 "
        "pictures",
        "no cause found: nothing is wrong that has a name.",
    ]
    table = lines[lines.index("Layers that keep least") :]
    assert len([line for line in table if line]) == 2 + 3
    kept = [float(line.split()[3]) for line in table[2:5]]
    assert kept == sorted(kept)


@pytest.mark.parametrize(
    ("name", "factor", "cause"),
    [("relu_13.tmp_0", 1 / 10, "range clipped"), ("concat_4.tmp_0", 1 / 4, "group scale")],
)
def test_planted_faults_in_a_file(
    here: Path, shown_again: None, capsys: Capture, name: str, factor: float, cause: str
) -> None:
    """The second file cannot be compiled any more; that it cannot is said, and why."""
    plant(name, factor, "bad")
    capsys.readouterr()
    words = ["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "-i", "10"]
    assert run(words) == 0
    out, err = capsys.readouterr()
    assert "the pictures go through the recipe of the quantized model.\n" in err
    (line,) = re.findall(r"^1\. .*", out, re.MULTILINE)
    assert line.startswith(f"1. {cause}: {name}")
    assert re.search(r"^   remedy: quant -qm mse over this data: .* -> .* dB, metric", out, re.M)
    assert run([*words, "--json"]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["cause"], finding["layer"]) == (cause, name)
    assert finding["remedies"][0]["gain_db"] > 5


def test_a_command_makes_what_was_measured(here: Path, capsys: Capture) -> None:
    """Over as many pictures, though ``quant`` had more."""
    plant("relu_13.tmp_0", 1 / 10, "digits")
    words = ["-q", f"{STEM}.onnx", "-i", "5", "--suspects", "1", "--json"]
    assert run(["diagnose", *words]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["remedies"][0]["switch"] == "quant -qm mse over this data"
    assert finding["command"].endswith(" -d calib --recipe digits -i 5 -qm mse")


@pytest.mark.parametrize(("pictures", "known"), [(10, False), (5, True)])
def test_a_part_of_what_it_was_calibrated_on_is_known(
    here: Path, monkeypatch: pytest.MonkeyPatch, pictures: int, known: bool
) -> None:
    class Asked(Exception):
        """Enough is known."""

    def asked(*_: Any, **named: Any) -> None:
        raise Asked(named["known"])

    monkeypatch.setattr(diagnosis, "diagnose", asked)
    for options in (DiagnoseOptions(), DiagnoseOptions(data="calib", recipe="digits")):
        with pytest.raises(Asked, match=str(known)):
            diagnose(replace(options, iteration=pictures))
    with pytest.raises(Asked, match="False"):
        diagnose(DiagnoseOptions(iteration=pictures, data="calib/3", recipe="digits"))


def test_remedies_under_a_measure_have_its_interval(here: Path, capsys: Capture) -> None:
    """Not percent of it: what a picture alone is worth is drawn again, as for the whole network."""
    plant("relu_13.tmp_0", 1 / 10, "bad")
    Path("sure.py").write_text(
        "def sure(outputs, picture):\n"
        "    (scores,) = outputs.values()\n"
        "    return float(scores.max()) / 10\n"
    )
    capsys.readouterr()
    words = ["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "-i", "10"]
    assert run([*words, "--metric", "sure.py:sure"]) == 0
    out = capsys.readouterr().out
    (remedy,) = re.findall("^   remedy: .*", out, re.MULTILINE)
    gain = re.search(
        r"metric (\S+) -> (\S+) \(([+-]\S+), 95 % interval ([+-]\S+) to ([+-]\S+)\)$", remedy
    )
    assert gain is not None, remedy
    before, after, won, low, high = map(float, gain.groups())
    assert won == pytest.approx(after - before, abs=1e-3)
    assert low <= won <= high
    assert low < high
    kept = re.search(r"^outputs: (\S+) dB", out)
    assert kept is not None
    assert re.search(rf"^the outputs keep {kept[1]} dB; the metric ", out, re.MULTILINE)


NOT_NORMALISED = (
    'description = "not normalised"\ncolor = "RGB"\nresize = "exact"\nresize_size = [32, 32]\n'
    'interpolation = "bilinear"\ncrop_size = []\ndivide_by = 1.0\nmean = [0.0, 0.0, 0.0]\n'
    'std = [1.0, 1.0, 1.0]\npad_value = 0.0\nlayout = "nchw"\n'
)


def test_no_command_quantizes_with_another_recipe(here: Path, capsys: Capture) -> None:
    """Without labels it is not known which of the two is the training's."""
    Path("wrong.toml").write_text(NOT_NORMALISED)
    Path("flat").mkdir()
    for place in (here / "calib").glob("[0-3]/*"):
        shutil.copy(place, f"flat/{place.parent.name}-{place.name}")
    capsys.readouterr()
    words = ["diagnose", "-d", "flat", "--recipe", "wrong.toml", "-i", "4", "--suspects", "1"]
    assert run([*words, "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert findings[0]["cause"] == "other data than calibration"
    assert findings[0]["advice"].startswith(
        "these pictures went through another recipe than those of the calibration: leave --recipe"
    )
    assert {item["command"] for item in findings} == {""}


def test_no_command_repeats_a_recipe_that_is_called_wrong(here: Path, capsys: Capture) -> None:
    plant("relu_13.tmp_0", 1 / 10, "bad")
    Path("wrong.toml").write_text(NOT_NORMALISED)
    words = ["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "--json"]
    for recipe in ([], ["--recipe", "wrong.toml"]):
        capsys.readouterr()
        assert run([*words, *recipe]) == 0
        first, *others = json.loads(capsys.readouterr().out)["findings"]
        if not recipe:
            assert first["command"].startswith("knightlite quant -m ")
            assert "called wrong" not in first["advice"]
            continue
        assert first["cause"] == "wrong preprocessing"
        assert (
            "on 10 classes, about chance, and another one may help: wrong labels"
            in first["sentence"]
        )
        assert others
        assert [item["command"] for item in (first, *others)] == [""] * (1 + len(others))
        assert all("is called wrong above: mend that" in item["advice"] for item in others)


def test_the_same_twice(here: Path, capsys: Capture) -> None:
    plant("relu_2.tmp_0", 1 / 10, "bad")
    told = []
    for _ in range(2):
        capsys.readouterr()
        assert run(["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "-i", "5", "--json"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="knightlite[report] is not installed")
def test_page(here: Path, shown_again: None) -> None:
    plant("relu_13.tmp_0", 1 / 10, "bad")
    for name in ("one.html", "two.html"):
        words = ["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "-i", "5", "--html", name]
        assert run(words) == 0
    text = Path("one.html").read_text(encoding="utf-8")
    assert text == Path("two.html").read_text(encoding="utf-8")
    assert text.count("<svg") == 1 + 2 * 4
    assert text.count("; shown as cause 1.") == text.count("dB in the whole network") - 3 == 1
    assert text.count('<tr class="marked"><td class="text">relu_13.tmp_0</td>') == 1
    assert "<b>1. range clipped</b>: <code>relu_13.tmp_0</code>" in text
    assert not re.search(r"""(src|href)=["']http""", text)  # nothing is loaded from elsewhere


@needs_browser
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="knightlite[report] is not installed")
def test_page_in_a_browser(here: Path, shown_again: None) -> None:
    plant("relu_13.tmp_0", 1 / 10, "bad")
    words = ["diagnose", "-q", "bad_quantize.onnx", "-d", "calib", "-i", "2", "--suspects", "1"]
    assert run([*words, "--html", "page.html"]) == 0
    page = Path("page.html").resolve()
    for look in look_at(page)["looks"]:
        assert look["violations"] == []
        assert look["errors"] == []
        assert look["requests"] == [f"file://{page}"]
        assert look["overflow"] <= 0
        assert len(look["figures"]) == 9
        assert max(look["figures"]) <= 0  # no plot is wider than its place


def test_without_matplotlib(here: Path, refused: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("knightlite.diagnosis.page.find_spec", lambda name: None)
    sentence = "plots need matplotlib, which is not installed."
    refused(["diagnose", "--html", "page.html"], 2, sentence, "pip install 'matplotlib>=3.8'")
    assert not Path("page.html").exists()


def test_refusals(here: Path, refused: Refusal) -> None:
    Path("alone").mkdir()
    Path(f"alone/{STEM}.onnx").write_bytes(Path(f"{STEM}.onnx").read_bytes())
    refused(["diagnose", "-q", f"alone/{STEM}.onnx"], 2,
            f"the float model of alone/{STEM}.onnx is not at hand.",
            "name it with -m MODEL")  # fmt: skip
    refused(["diagnose", "-q", f"alone/{STEM}.onnx", "-m", "digits.onnx"], 2,
            "no data is named, and no quant run recorded here says which it used.",
            "name the pictures with -d DIR --recipe NAME, or a script with *")  # fmt: skip
    refused(["diagnose", "-q", "digits.onnx", "-m", "digits.onnx", "-d", "calib"], 2,
            "digits.onnx is a float model, not a quantized one.",
            "quantize it first: *")  # fmt: skip


def test_labels_that_match_no_class(here: Path, capsys: Capture) -> None:
    """Without the network's classes the preprocessing is not judged, which is said."""
    for name in "37":
        shutil.copytree(DIGITS / "test" / name, f"two/{name}")
    arguments = ["diagnose", "-d", "two", "-i", "8"]
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    why = (
        "two has 2 class folders, but the network gives 10 scores; --labels FILE names the classes "
    )
    why += "in their order"
    assert f"Warning: there is no top-1: {why}.\n" in err
    found = json.loads(out)
    assert found["preprocessing"]["unjudged"] == why
    assert found["remarks"][-1] == f"the preprocessing was not judged: {why}."
    assert run([*arguments, "--json", "--labels", str(DIGITS / "labels.txt")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["float_metric"] == 100
    assert found["preprocessing"]["unjudged"] is None


def test_another_network_is_refused(here: Path, refused: Refusal) -> None:
    model = onnx.load("digits.onnx")
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["relu_x.tmp_0" if n == "relu_13.tmp_0" else n for n in names]
    onnx.save(model, "other.onnx")
    refused(["diagnose", "-m", "other.onnx"], 2,
            "the quantized model is not that of the float model: tensor relu_x.tmp_0 differs "
            "(1 are missing, 0 have another shape).",
            "name the float model that was quantized; quant leaves it as X.onnx")  # fmt: skip


def test_from_python(here: Path) -> None:
    made = knightlite.quantize(
        "digits.onnx", data="calib", recipe="digits", iteration=4, effort="low"
    )
    found = knightlite.diagnose(made, data="calib", iteration=4)
    assert isinstance(found, knightlite.Diagnosis)
    assert found.healthy
    assert found.pictures == 4
    by_file = knightlite.diagnose(f"{STEM}.onnx", data="calib", iteration=4)
    assert [layer.name for layer in by_file.layers] == [layer.name for layer in found.layers]
    with pytest.raises(knightlite.KnightliteError, match=r"^a diagnosis needs data\."):
        knightlite.diagnose(made)
    rows = knightlite.compare(".", cfg=f"{STEM}_r.cfg", level=0)
    assert [(row.found, row.wanted) for row in rows] == [("chip", "quantized")]


def test_progress_ends_where_it_says(here: Path) -> None:
    """The last bar of every stage is full, also where faults behind others are tried again."""
    plant("relu_13.tmp_0", 1 / 10, "bad")
    ends: dict[str, tuple[int, int | None]] = {}
    options = DiagnoseOptions(
        quantized=Path("bad_quantize.onnx"), data="calib", recipe="digits", iteration=5
    )
    found = diagnose(options, Talk(advance=lambda s, done, total: ends.update({s: (done, total)})))
    assert len(found.findings) == 1
    stages = {"float model", "every layer", "places tried", "remedies tried"}
    assert set(ends) == stages  # a perfect float metric: no preprocessing could be better
    assert all(done == total for done, total in ends.values()), ends
    assert ends["every layer"] == (5, 5)


@pytest.mark.parametrize(("batch", "pictures"), [(1, 7), (3, 6)])
def test_pictures_where_nobody_says_how_many(
    here: Path, monkeypatch: pytest.MonkeyPatch, batch: int, pictures: int
) -> None:
    class Counted(Exception):
        """Enough is known."""

    fed: list[int] = []

    def forward(inputs: tuple[NDArray[Any], ...]) -> list[NDArray[Any]]:
        fed[-1] += len(inputs[0])
        return [np.zeros((len(inputs[0]), 10))]

    def counted(graph: Graph, fixed: Graph, data: Workload, *_: Any, **__: Any) -> None:
        fed.append(0)
        data.run(forward)
        raise Counted

    monkeypatch.setattr(diagnosis, "diagnose", counted)
    monkeypatch.setattr("knightlite.api.diagnosis.PICTURES", 7)
    for options in (
        DiagnoseOptions(batch_size=batch, data="calib", recipe="digits"),
        DiagnoseOptions(),
    ):
        with pytest.raises(Counted):
            diagnose(options)
    assert fed == [pictures, 7]  # 7 of the 10 that quant took


@pytest.mark.parametrize("effort", ["low", "normal", "high"])
def test_what_it_was_quantized_with_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effort: str
) -> None:
    """What quantizing again would give is the model as it is: the same switches, the same bytes."""
    monkeypatch.chdir(tmp_path)
    net = Net()
    x = net.conv(net.input("x", [1, 3, 32, 32]), "a", (8, 3, 3, 3), strides=[4, 4], bias=True)
    x = net.conv(net.node("Relu", [x], "b"), "c", (16, 8, 3, 3), strides=[2, 2], bias=True)
    x = net.conv(net.node("Relu", [x], "d"), "e", (10, 16, 1, 1), bias=True)
    model = net.save(tmp_path, net.node("GlobalAveragePool", [x], "y"))
    words = ["-d", str(DIGITS / "test"), "--recipe", "digits", "-i", "20", "--equalization", "off"]
    assert run(["quant", "onnx", "-m", str(model), "--effort", effort, *words, "-s", "made"]) == 0
    path = Path("made/net_quantize.onnx")
    fixed = load_quantized(path)
    settings = settings_of(notes_of(path), fixed)
    assert settings.bias_correction == EFFORTS[effort].get("bias_correction", "sequential")
    assert settings.rounding == EFFORTS[effort].get("rounding", "nearest")
    assert settings.range_choice == (effort == "high")
    graph = load(Path("made/net.onnx"), None, None, None)
    data = PictureFolder(DIGITS / "test", load_recipe("digits"), 20, 1, (1, 3, 32, 32))
    again = quantize_graph(graph, data, settings).graph
    assert again.nodes == fixed.nodes
    for name, values in fixed.constants.items():
        np.testing.assert_array_equal(again.constants[name], values, name)
    for name in features(fixed):
        tensor = fixed.tensors[name]
        assert again.tensors[name].dtype == tensor.dtype
        np.testing.assert_array_equal(again.tensors[name].scale, tensor.scale)
