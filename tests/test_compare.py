"""``compare`` by hand-worked numbers and over digits; helpers for models, results and arrays."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.api.comparison import Comparison, compare
from knightlite.api.comparison.differences import Difference, Tally
from knightlite.api.comparison.layer_values import exact_values, quantized_values
from knightlite.api.comparison.run import KEPT, LEFT_OUT
from knightlite.cli import compare as table
from knightlite.cli.program import run
from knightlite.errors import UsageError
from knightlite.frontend import load_quantized
from knightlite.options.compare import LEVELS, CompareOptions
from knightlite.preprocess import load_recipe, prepare_picture, sample_pictures
from knightlite.version import __version__
from refusals import Refusal, cut

Array = NDArray[Any]
Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"
OUTPUT = "linear_0.tmp_1.nchw"


def difference(wanted: Array, found: Array) -> Difference:
    """Compare two arrays of one shape."""
    tally = Tally()
    tally.add(wanted, found)
    return tally.result()


def test_difference() -> None:
    """|r-l| is 0, 0.05, 1, 3 and 8 of 1, 1, 4, 4 and 4: 0, 5, 25, 75 and 200 percent."""
    found = difference(np.array([1.0, 1, 4, 4, 4]), np.array([1.0, 1.05, 3, 1, 12]))
    assert found.buckets == (0.2, 0.2, 0.2, 0.2, 0.2)
    assert found.mre == pytest.approx(12.05 / 14, rel=1e-12)
    assert found.rmse == pytest.approx(math.sqrt((0.0025 + 1 + 9 + 64) / 50), rel=1e-12)
    dot, norms = 1 + 1.05 + 12 + 4 + 48, math.sqrt(50) * math.sqrt(1 + 1.1025 + 9 + 1 + 144)
    assert math.isclose(found.cosine, 0.5 + 0.5 * dot / norms)
    assert found.max_difference == 8
    assert found.bias == pytest.approx((0.05 - 1 - 3 + 8) / 5, rel=1e-12)
    # relative to 4: 0, 0.0125, 0.25, 0.75 and 2
    assert [i for i, share in enumerate(found.histogram) if share] == [0, 6, 11, 12]
    assert found.histogram[12] == 0.4


def test_batch_by_batch_is_all_at_once() -> None:
    rng = np.random.default_rng(1)
    wanted = rng.normal(0, 1, (6, 5))
    wanted[:, 0] = 10  # the largest of each batch, to which the histogram is relative
    found = wanted + rng.normal(0, 0.1, (6, 5))
    tally = Tally()
    for one, other in zip(wanted, found, strict=True):
        tally.add(one, other)
    got, want = tally.result(), difference(wanted, found)
    assert (got.buckets, got.histogram) == (want.buckets, want.histogram)
    assert got.max_difference == want.max_difference
    for name in ("mre", "cosine", "rmse", "bias"):
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_shares_are_those_of_a_search(seed: int) -> None:
    """Values on the edges of buckets and bins, equal ones, wanted zeros, tiny differences."""
    rng = np.random.default_rng(seed)
    wanted = rng.integers(-8, 9, 200) * (seed != 0)
    steps = rng.choice([0, 0, 0.01, 0.1, 0.5, 1, 2, 1e-300], 200) * rng.choice([-1, 1], 200)
    found = wanted + steps * np.where(seed % 2, np.abs(wanted), 2.0 ** -rng.integers(0, 14, 200))
    error, largest = np.abs(found - wanted), np.abs(wanted).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(error == 0, 0, 100 * error / np.abs(wanted))
        share = np.where(error == 0, 0, error / largest)
    buckets = np.searchsorted([1, 10, 50, 100], relative, side="left")
    bins = np.where(error == 0, 0, 1 + np.searchsorted(2.0 ** np.arange(-11, 0), share, "right"))
    got = difference(wanted, found)
    assert got.buckets == tuple(np.bincount(buckets, minlength=5) / 200)
    assert got.histogram == tuple(np.bincount(bins, minlength=13) / 200)


def test_difference_of_zeros() -> None:
    zeros, ones = np.zeros(4), np.ones(4)
    same = difference(zeros, zeros)
    assert (same.mre, same.cosine, same.rmse, same.buckets[0]) == (0.0, 1.0, 0.0, 1.0)
    other = difference(zeros, ones)
    assert (other.mre, other.cosine, other.rmse, other.buckets[4]) == (None, 0.5, None, 1.0)


def of(row: Comparison) -> Difference:
    assert row.difference is not None
    return row.difference


def test_outputs(here: Path) -> None:
    rows = compare(CompareOptions(level=2))
    assert [(row.found, row.wanted) for row in rows] == [
        ("quantized", "float"), ("golden", "float"), ("chip", "float"),
        ("golden", "quantized"), ("chip", "quantized"), ("chip", "golden"),
    ]  # fmt: skip
    assert {(row.name, row.op, row.index) for row in rows} == {(OUTPUT, "Conv", 0)}
    for row in rows[:3]:
        assert 0 < (of(row).mre or 0) < 0.03
        assert 0.999 < of(row).cosine < 1
    assert of(rows[5]).max_difference == 0  # golden and chip: the same bytes
    for level, pairs in ((0, [("chip", "quantized")]), (1, [(b, a) for a, b in NEIGHBOURS])):
        assert [(row.found, row.wanted) for row in compare(CompareOptions(level=level))] == pairs


NEIGHBOURS = [("float", "quantized"), ("quantized", "golden"), ("golden", "chip")]


def test_every_layer(here: Path) -> None:
    graph = load_quantized(Path(f"{STEM}.onnx"))
    rows = compare(CompareOptions(level=6))
    layers = [node.output for node in graph.nodes]
    assert [row.name for row in rows] == [name for name in layers for _ in range(6)]
    assert [row.index for row in rows] == [
        number for number in range(len(layers)) for _ in "123456"
    ]
    kept = {row.name for row in rows if row.difference is None}
    assert 0 < len(kept) < len(layers) / 2
    for row in rows:
        if row.difference is None:
            assert (row.remark, "chip" in (row.found, row.wanted)) == (KEPT, True)
        elif (row.found, row.wanted) == ("chip", "golden"):
            assert row.difference.max_difference == 0  # byte for byte
        elif (row.found, row.wanted) == ("golden", "quantized"):
            # a unit in the last place where a tie rounds the other way, and what follows from it
            assert (row.difference.mre or 0) < 0.05
    told = compare(CompareOptions(level=3))
    assert {(row.found, row.wanted) for row in told} == {("chip", "quantized")}
    assert [row.name for row in told] == [name for name in layers if name not in kept]
    assert len(compare(CompareOptions(level=4))) == 3 * len(layers) - len(kept)
    assert len(compare(CompareOptions(level=5))) == 6 * len(layers) - 3 * len(kept)


def test_which_rows(here: Path) -> None:
    layers = [row.name for row in compare(CompareOptions(level=4)) if row.found == "quantized"]
    some = compare(CompareOptions(level=4, indices=(3, 4)))
    assert list(dict.fromkeys(row.name for row in some)) == layers[3:5]
    assert {row.index for row in some} == {3, 4}
    pools = compare(CompareOptions(op_type="AveragePool"))
    assert {row.name for row in pools} == {name for name in layers if name.startswith("pool2d")}
    assert {row.name for row in compare(CompareOptions(names=("concat_4.tmp_0",)))} == {
        "concat_4.tmp_0"
    }
    # a name of the network's outputs stands for what the chip delivers
    assert {row.name for row in compare(CompareOptions(names=("linear_0.tmp_1",)))} == {OUTPUT}
    first = compare(CompareOptions(sort=True, number=5))
    assert [-(of(row).mre or 0) for row in first] == sorted(-(of(row).mre or 0) for row in first)
    assert of(first[0]).mre == max(of(row).mre or 0 for row in compare(CompareOptions()))
    assert len(first) == 5
    with pytest.raises(UsageError, match="no operator called conv") as caught:
        compare(CompareOptions(op_type="conv"))
    assert caught.value.hint == "did you mean Conv?"


def test_without_golden_and_float(here: Path, capsys: Capture) -> None:
    Path(f"{STEM}_golden.onnx").unlink()
    Path("digits.onnx").rename("other.onnx")
    assert run(["compare", "-qd", ".", "-sl", "2"]) == 0
    out, err = capsys.readouterr()
    assert "The float model is not at hand: quantized and chip are compared.\n" in err
    assert f"The golden model is left out: the golden model of {STEM}_r.cfg is not" in err
    assert [line.split()[:3] for line in out.splitlines()[2:3]] == [["chip", "with", "quantized"]]


def test_from_folders_it_is_the_same(here: Path, capsys: Capture) -> None:
    """What quant left is found by its names, and what sim left replaces the machine."""
    here_rows = compare(CompareOptions())
    assert run(["sim", "--input", "inputs/x.bin", "--debug", "all", "-s", "results"]) == 0
    Path("none").mkdir()
    folders = CompareOptions(quant_dir=Path(), sim_dirs=(Path("none"), Path("results")))
    assert compare(folders) == here_rows
    for name in ("result-linear_0.tmp_1.npy", "result-debug-concat_4.tmp_0.npy"):
        before = np.load(f"results/{name}")
        values = before.copy()
        values[0, 0] = ~values[0, 0]
        np.save(f"results/{name}", values)
        changed = compare(folders)
        found = {a.name for a, b in zip(changed, here_rows, strict=True) if a != b}
        assert found == {OUTPUT if "linear" in name else "concat_4.tmp_0"}
        np.save(f"results/{name}", before)
    for path in Path("results").glob("result-debug-*"):
        path.unlink()
    outputs = compare(folders)
    assert {row.name for row in outputs if row.found == "chip"} == {OUTPUT}


def test_what_was_compiled_from_something_else_is_not_compared(
    here: Path, capsys: Capture, refused: Refusal
) -> None:
    """Quantized again, not compiled again: said. Compiled, its own quantized model is taken."""
    before = compare(CompareOptions())
    other = "by-chance/digits_quantize.onnx"
    chance = ["-i", "2", "--equalization", "off", "-s", "by-chance"]
    assert run(["quant", "-m", "digits.pdmodel", *chance]) == 0
    sentence = f"{STEM}_r.cfg is out of date: quant has left {other} since."
    hint = f"run `knightlite compile --onnx {other}`, or name *"
    for words in (["compare"], ["sim", "--input", "x.bin"], ["profile"]):
        refused(words, 2, sentence, hint)
    refused(["eval", "--data", "calib"], 2, sentence.replace("_r.cfg", "_golden.onnx"), hint)
    listed = ["eval", other, f"{STEM}_r.cfg", "--data", "calib", "--count", "2"]
    assert run([*listed, "--recipe", "digits"]) == 0
    assert (
        f"Warning: {STEM}_r.cfg was not compiled from {other}. Hint: `knightlite compile --onnx "
        f"{other}` does it, or name the files that belong together\n"
    ) in capsys.readouterr().err
    named = ["compare", "-qd", "by-chance", "--config", f"{STEM}_r.cfg"]
    refused([*named, "--weight", f"{STEM}_r.weight"], 2,
            f"{STEM}_r.cfg was not compiled from {other}.",
            f"`knightlite compile --onnx {other}` does it; or name *")  # fmt: skip
    assert compare(CompareOptions(cfg=Path(f"{STEM}_r.cfg"), weight=Path(f"{STEM}_r.weight"))) == (
        before
    )
    assert run(["compile", "--onnx", f"{STEM}.onnx"]) == 0
    capsys.readouterr()
    assert compare(CompareOptions()) == before
    assert run(["compare"]) == 0
    assert f"{STEM}.onnx is taken: what came of it is here." in capsys.readouterr().err
    assert run(["compile", "--onnx", other]) == 0
    assert {row.name for row in compare(CompareOptions())} == {row.name for row in before}
    assert compare(CompareOptions()) != before


def test_results_of_another_program_are_not_compared(here: Path, refused: Refusal) -> None:
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results"]) == 0
    assert run(["compare", "-sd", "results"]) == 0
    assert run(["compile", "--chip", "TX5112CV201"]) == 0
    refused(["compare", "-sd", "results"], 2,
            f"the results in results are not of {STEM}_r.cfg as it is now.",
            f"`knightlite sim --config {STEM}_r.cfg --input inputs/x.bin "
            "-s results` makes them anew")  # fmt: skip
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results"]) == 0
    assert run(["compare", "-sd", "results"]) == 0


def test_results_of_another_input_are_said(here: Path, capsys: Capture) -> None:
    """The command that the warning names makes it go."""
    picture = np.fromfile("inputs/x.bin", np.float32)
    (picture[::-1] + 0.25).tofile("other.bin")
    assert run(["sim", "--input", "other.bin", "-s", "results"]) == 0
    capsys.readouterr()
    assert run(["compare", "-sd", "results"]) == 0
    said = capsys.readouterr().err
    assert f"results: {OUTPUT} is not what the golden model makes of the sample" in said
    command = re.findall(r"`knightlite (.*?)`", said.replace("\n", " "))[-1]
    assert run(shlex.split(command)) == 0
    capsys.readouterr()
    assert run(["compare", "-sd", "results"]) == 0
    assert "the golden model makes" not in capsys.readouterr().err


def test_layers_that_sim_left_out(here: Path, capsys: Capture) -> None:
    """Written to memory, but not asked for with --debug all: not called unwritten."""
    layers = {row.name for row in compare(CompareOptions(level=3))}
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results"]) == 0
    rows = compare(CompareOptions(sim_dirs=(Path("results"),), level=6))
    lacking = [row for row in rows if "chip" in (row.found, row.wanted) and row.remark]
    remarks = {
        remark: {r.name for r in lacking if r.remark == remark} for remark in (KEPT, LEFT_OUT)
    }
    assert remarks[LEFT_OUT] == layers - {OUTPUT}
    assert remarks[KEPT].isdisjoint(layers)
    capsys.readouterr()
    assert run(["compare", "-sd", "results", "-sl", "3"]) == 0
    said = capsys.readouterr().err
    assert f"{len(layers) - 1} layers are not compared with chip: {LEFT_OUT} (-sl 6" in said
    assert f"{len(remarks[KEPT])} layers are not compared with chip: {KEPT} (-sl 6" in said
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results", "--debug", "all"]) == 0
    left = compare(CompareOptions(sim_dirs=(Path("results"),), level=3))
    assert {row.name for row in left} == layers


def test_dumps_of_quant(here: Path) -> None:
    """Two pictures, dumped as one batch and one picture: the chip computes each of them."""
    graph = load_quantized(Path(f"{STEM}.onnx"))
    feed = np.fromfile("inputs/x.bin", "<f4").reshape(1, 3, 32, 32)
    exact = exact_values(Path("digits.onnx"), ["x", "concat_4.tmp_0", OUTPUT])
    fixed = quantized_values(graph, ["x", "concat_4.tmp_0", OUTPUT])
    batches = [np.concatenate([feed, feed / 2]), feed / 4]
    for number, batch in enumerate(batches):
        for kind, source in (("float", exact), ("quant", fixed)):
            parts = [source({"x": item[None]}) for item in batch]
            for place, name in enumerate(("x", "concat_4.tmp_0", OUTPUT), 1):
                folder = Path("dump") / kind / f"{place:04d}:{name}"
                folder.mkdir(parents=True, exist_ok=True)
                values = np.concatenate([part[name] for part in parts])
                np.save(folder / f"batch_{number}.npy", values)
    rows = compare(CompareOptions(quant_dir=Path()))
    compared = {row.name for row in rows if row.found == "quantized"}
    assert compared == {"concat_4.tmp_0", OUTPUT}
    (row,) = [row for row in rows if (row.name, row.found) == (OUTPUT, "quantized")]
    pictures = [item[None] for batch in batches for item in batch]
    wanted = [exact({"x": item})[OUTPUT] for item in pictures]
    found = [fixed({"x": item})[OUTPUT] for item in pictures]
    assert of(row).rmse == pytest.approx(difference(np.stack(wanted), np.stack(found)).rmse)
    (row,) = [row for row in rows if (row.name, row.found) == (OUTPUT, "golden")]
    assert 0 <= (of(row).mre or 0) < 0.03


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="knightlite[report] is not installed")
def test_plots(here: Path, capsys: Capture, refused: Refusal) -> None:
    refused(["compare", "--show-plot"], 2, "plots are files.", "name their folder with *")
    for folder in ("one", "two"):
        assert run(["compare", "-on", "concat_4.tmp_0", "--show-plot", "-s", folder]) == 0
    names = sorted(path.name for path in Path("one/plots").iterdir())
    assert names == [
        f"0023_concat_4.tmp_0_{b}_{a}.svg" for a, b in sorted(NEIGHBOURS, key=lambda p: p[1])
    ]
    for name in names:
        text = Path("one/plots", name).read_text(encoding="utf-8")
        assert text.startswith("<svg")
        assert text == Path("two/plots", name).read_text(encoding="utf-8")


def test_columns(here: Path, capsys: Capture) -> None:
    def header(*options: str) -> list[str]:
        capsys.readouterr()
        assert run(["compare", *options]) == 0
        return capsys.readouterr().out.splitlines()[1].split()

    assert len(LEVELS) == 7
    buckets = ["0-1%", "1-10%", "10-50%", "50-100%", "100+%", "OP-TYPE", "OUT-NAME"]
    assert header() == ["compared", "MRE%", "cos%", *buckets]
    assert header("--no-mre", "--no-cos", "--rmse") == ["compared", "RMSE%", *buckets]
    assert header("-si", "--no-cos", "--maxdiff", "-on", OUTPUT) == [
        "idx", "compared", "MRE%", "max", "diff", *buckets,
    ]  # fmt: skip
    assert header("-sh", "--bias", "--no-mre", "--no-cos") == [
        "compared", "bias", "0", "2^-11..1", *buckets,
    ]  # fmt: skip


def test_refusals(here: Path, refused: Refusal) -> None:
    refused(["compare", "-on", "no"], 2, "the network has no output called no.", "one of *")
    refused(
        ["compare", "-sd", "no"],
        2,
        "folder no does not exist.",
        "the folders there are calib, inputs; name the one in which sim left results",
    )
    Path("no").mkdir()
    refused(["compare", "-sd", "no"], 2, "no holds no result-linear_0.tmp_1.npy.",
            "run sim on one frame, with -s of that folder")  # fmt: skip
    Path("no").rmdir()
    hint = "name the folder in which quant left X_quantize.onnx and inputs/"
    refused(["compare", "-qd", "nowhere"], 2, "folder nowhere does not exist.",
            f"the folders there are calib, inputs; {hint}")  # fmt: skip
    refused(["compare", "-qd", "digits.onnx"], 2, "folder digits.onnx is a file, not a folder.",
            f"{hint}, here .")  # fmt: skip
    refused(["compare", "-qd", "calib"], 2, "calib must hold one quantized model, not 0.",
            "name the folder in which quant left X_quantize.onnx and inputs/, here .")  # fmt: skip
    for words in ("-sl 7", "--index-range 3:1", "--index-range a"):
        assert run(["compare", *words.split()]) == 2
    cut("inputs/x.bin", 100)
    refused(["compare", "-qd", "."], 1, "inputs/x.bin must hold 3072 numbers, not 25.")


# ------------------------------------------------------------------ helpers


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["-sl", "0"], "Outputs"),
        (["-sl", "1", "-on", OUTPUT], "Outputs"),
        (["-sl", "3", "--index-range", "0:0"], "Layers"),  # one tensor, and none that is delivered
    ],
)
def test_the_title_says_what_the_rows_are_of(
    here: Path, capsys: Capture, words: list[str], title: str
) -> None:
    capsys.readouterr()
    assert run(["compare", *words]) == 0
    assert capsys.readouterr().out.splitlines()[0] == title


def test_model_info(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["inspect", f"{STEM}_r.cfg", "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    (output,) = seen["meta"]["outputs"]
    assert seen["outputs"] == [{"name": "linear_0.tmp_1", "tensor": output["name"]}]
    assert run(["inspect", f"{STEM}_r.cfg"]) == 0
    (line,) = re.findall("^output .*", capsys.readouterr().out, re.MULTILINE)
    assert line.startswith("output linear_0.tmp_1: s16 1x10x1x1 scale ")
    assert line.endswith(f", of tensor {output['name']}")
    for file in (f"{STEM}.onnx", f"{STEM}_r.cfg", f"{STEM}_r.tsmodel"):
        assert run(["model_info", "-m", file, "-ds"]) == 0
        out = capsys.readouterr().out
        assert out.splitlines() == [
            "Outputs",
            "Index  Output name      Dequant scale",
            f"0      linear_0.tmp_1  {output['scale']:.9g}",
            "",
        ]
        assert run(["model_info", "-m", file, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["outputs"][0]["scale"] == [output["scale"]]
        assert told["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert run(["model_info", "-m", f"{STEM}.onnx", "-ds", "-qi"]) == 0
    assert "\nInputs\nIndex  Input name  Dequant scale\n0      x  " in capsys.readouterr().out


def test_model_info_tells_how_a_model_was_quantized(here: Path, capsys: Capture) -> None:
    """As it was asked for, the data by their hash; alike for the same run."""
    line = ["quant", "-m", "digits.onnx", "-d", "calib", "--recipe", "digits", "-i", "2"]
    found = []
    for folder, words in (
        ("a", []),
        ("b", []),
        ("c", ["--seed", "1"]),
        ("d", ["--effort", "low", "--rounding", "adaptive"]),
    ):
        assert run([*line, "-s", folder, *words]) == 0
        capsys.readouterr()
        assert run(["model_info", "-m", f"{folder}/{STEM}.onnx", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["quantization"])
    first, again, other, low = found
    assert Path(f"a/{STEM}.onnx").read_bytes() == Path(f"b/{STEM}.onnx").read_bytes()
    assert first == again
    asked = ("effort", "rounding", "bias_correction", "bit_width", "method", "version")
    assert [first[name] for name in asked] == [
        "normal", "nearest", "fast (sequential not tried)", 8, "mse", __version__,
    ]  # fmt: skip
    assert [low[name] for name in asked[:3]] == ["low", "nearest (adaptive not tried)", "fast"]
    assert low["data_sha256"] == first["data_sha256"] != other["data_sha256"]
    pictures = np.stack(_fed(2))
    assert first["data_sha256"] == _sha256_of_calls(pictures)
    assert run(["model_info", "-m", f"a/{STEM}.onnx"]) == 0
    shown = capsys.readouterr().out
    assert f"data_sha256      {first['data_sha256']}" in shown
    assert "recipe           examples/digits: handwritten digits, 32x32" in shown


def _fed(count: int) -> list[Array]:
    """What quant fed: the seeded sample through the recipe, float32 [3, 32, 32] each."""
    recipe = load_recipe("digits")
    _, samples = sample_pictures(Path("calib"), count, 0)
    return [prepare_picture(item.path, recipe, (1, 3, 32, 32)) for item in samples]


def _sha256_of_calls(pictures: Array) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(b"(1, 3, 32, 32)" + picture.astype("<f4").tobytes())
    return digest.hexdigest()


def test_a_small_share_is_drawn_all_the_same() -> None:
    """A blank is nothing at all; the others go by their share of the largest."""
    assert table._sparks((0.0, 1e-9, 0.01, 0.5, 1.0)) == " ..=@"
    assert table._sparks((0.25, 0.0, 0.125)) == "@ ="
    assert table._sparks((0.0, 0.0)) == "  "


def test_show_sim_result(here: Path, capsys: Capture, refused: Refusal) -> None:
    refused(
        ["show_sim_result"],
        2,
        ". holds no result-*.npy.",
        "`knightlite sim --input FILE` leaves them here, with -s DIR there",
    )
    assert run(["sim", "--input", "inputs/x.bin", "--output", "x"]) == 2  # an option of compile
    assert run(["sim", "--input", "inputs/x.bin"]) == 0
    values = np.load("result-linear_0.tmp_1.npy").ravel()
    capsys.readouterr()
    assert run(["show_sim_result", "--save-dir", "told"]) == 0
    (told,) = json.loads(Path("told/sim_results.json").read_text(encoding="utf-8"))
    assert (told["minimum"], told["maximum"]) == (values.min(), values.max())
    cells = capsys.readouterr().out.splitlines()[2].split()
    name, ends = "linear_0.tmp_1", [str(values.min()), str(values.max())]
    assert cells == ["0", name, name, "1x10x1x1", "int16", *ends]
    for layout, file in (("nchw", "_p.txt"), ("nhwc", "_hwc.txt")):
        assert run(["show_sim_result", "-i", "0", "-fmt", layout]) == 0
        text = Path(f"result-linear_0.tmp_1{file}").read_text(encoding="ascii")
        assert capsys.readouterr().out == text
    refused(
        ["show_sim_result", "-i", "1"],
        2,
        "there is no result 1 in .: they are numbered from 0 to 0.",
        "without -i they are listed",
    )
    assert run(["sim", "--input", "inputs/x.bin", "-s", "there"]) == 0
    capsys.readouterr()
    assert run(["show_sim_result", "-i", "0"]) == 0
    assert "there is looked at: sim left its results there last." in capsys.readouterr().err
    _convert_text_forms(values, refused)


def _convert_text_forms(values: Array, refused: Refusal) -> None:
    """As scripts call it: a glob of the network's outputs becomes arrays beside them."""
    (text,) = Path().glob("result-*_p.txt")
    assert run(["show_sim_result", "--sim-data", str(text), "--save-dir", "arrays"]) == 0
    array = np.load("arrays/result-linear_0.tmp_1_p.npy")
    assert (array.shape, array.dtype) == ((1, 10, 1, 1), np.int32)
    assert np.array_equal(array.ravel(), values)
    both = [str(text), "result-linear_0.tmp_1_hwc.txt"]
    assert run(["show_sim_result", "--sim-data", *both, "--save-dir", "arrays"]) == 0
    assert np.array_equal(np.load("arrays/result-linear_0.tmp_1_hwc.npy"), array)
    Path("bad.txt").write_text("SHAPE:(N:1, C:2, H:1, W:1)\nC[0]:\n1,\n")
    refused(["show_sim_result", "-sd", "bad.txt"], 1,
            "bad.txt is no result of sim: it has 1 numbers, and its shape 2.")  # fmt: skip
    refused(["show_sim_result", "-sd", "bad.txt", "nowhere"], 2,
            "nowhere must be a file as bad.txt is.")  # fmt: skip


@pytest.mark.parametrize(
    ("values", "facts", "text"),
    [
        (np.array([[0.25, 0.5]], "f4"), ["float32", 0.25, 0.5], "SHAPE:(1, 2)\n0.25,0.5,\n"),
        (np.array([3]), ["int64", 3, 3], "SHAPE:(1)\n3,\n"),
        (np.array(False), ["bool", 0, 0], "SHAPE:()\nFalse,\n"),
        (np.array([-np.inf, 1], "f4"), ["float32", None, 1.0], "SHAPE:(2)\n-inf,1.0,\n"),
        (np.zeros((0, 3), np.int64), ["int64", None, None], "SHAPE:(0, 3)\n"),
    ],
)
def test_show_what_the_host_left(
    tmp_path: Path, capsys: Capture, values: Array, facts: list[Any], text: str
) -> None:
    np.save(tmp_path / "result-host-y.npy", values)
    np.save(tmp_path / "result-z.npy", np.ones((1, 2, 1, 1), np.int8))
    where = ["show_sim_result", "-sd", str(tmp_path)]
    assert run([*where, "--json"]) == 0
    host, chip = json.loads(capsys.readouterr().out)["rows"]
    assert (host["name"], host["shape"]) == ("host-y", list(values.shape))
    assert [host[key] for key in ("type", "minimum", "maximum")] == facts
    assert chip["name"] == "z"
    assert run([*where, "-i", "0"]) == 0
    assert capsys.readouterr().out == text


def test_npy2bin(here: Path, refused: Refusal) -> None:
    kinds = ("<f8", "<f4"), (">f4", "<f4"), ("<f2", "<f4"), ("<i2", "<i2"), ("<i4", "<i4")
    for kind, stored in (*kinds, ("<i8", "<f4")):
        array = np.arange(6).astype(kind).reshape(1, 2, 3)
        np.save("a.npy", array.transpose(0, 2, 1))
        assert run(["npy2bin", "--input", "a.npy", "--output", "a.bin"]) == 0
        assert np.fromfile("a.bin", stored).tolist() == [0, 3, 1, 4, 2, 5]
    np.savez("b.npz", array)
    np.save("c.npy", np.array(["x"]))
    for file, code, sentence, hint in (
        ("no.npy", 2, "file no.npy does not exist.", "the files there are a.npy, c.npy"),
        ("labels.txt", 1, "labels.txt is not a .npy file of numbers.", ""),
        ("c.npy", 1, "c.npy is not a .npy file of numbers.", ""),
    ):
        refused(["npy2bin", "-i", file, "-o", "b.bin"], code, sentence, hint)
    refused(["npy2bin", "-i", "b.npz", "-o", "b.bin"], 1, "b.npz holds several arrays, not one.",
            "save one with numpy.save")  # fmt: skip
