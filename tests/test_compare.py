"""``compare`` by hand-worked numbers and over digits; helpers for models, results and arrays."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from knightlite.api.compare import CompareOptions, compare, difference
from knightlite.cli.program import run
from refusals import Refusal, cut

Capture = pytest.CaptureFixture[str]
STEM = "digits_quantize"
OUTPUT = "linear_0.tmp_1.nchw"


def test_difference() -> None:
    """|r-l| is 0, 0.05, 1, 3 and 8 of 1, 1, 4, 4 and 4: 0, 5, 25, 75 and 200 percent."""
    found = difference(np.array([1.0, 1, 4, 4, 4]), np.array([1.0, 1.05, 3, 1, 12]))
    assert found.buckets == (0.2, 0.2, 0.2, 0.2, 0.2)
    assert found.mre == pytest.approx(12.05 / 14, rel=1e-12)
    assert found.rmse == pytest.approx(math.sqrt((0.0025 + 1 + 9 + 64) / 50), rel=1e-12)
    dot, norms = 1 + 1.05 + 12 + 4 + 48, math.sqrt(50) * math.sqrt(1 + 1.1025 + 9 + 1 + 144)
    assert math.isclose(found.cosine, 0.5 + 0.5 * dot / norms)
    assert found.max_difference == 8


def test_difference_of_zeros() -> None:
    zeros, ones = np.zeros(4), np.ones(4)
    same = difference(zeros, zeros)
    assert (same.mre, same.cosine, same.rmse, same.buckets[0]) == (0.0, 1.0, 0.0, 1.0)
    other = difference(zeros, ones)
    assert (other.mre, other.cosine, other.rmse, other.buckets[4]) == (None, 0.5, None, 1.0)


def test_digits(here: Path) -> None:
    rows = compare(CompareOptions())
    assert [(row.found, row.wanted) for row in rows] == [
        ("quantized", "float"), ("chip", "float"), ("chip", "quantized"),
    ]  # fmt: skip
    assert {(row.name, row.op, row.index) for row in rows} == {(OUTPUT, "Conv", 0)}
    for row in rows:
        assert row.difference.mre is not None
        assert 0 < row.difference.mre < 0.03
        assert 0.999 < row.difference.cosine < 1
    assert len(compare(CompareOptions(number=2, sort=True))) == 2
    assert compare(CompareOptions(op_type="Add")) == ()


def test_from_folders_it_is_the_same(here: Path, capsys: Capture) -> None:
    """What quant left is found by its names, and what sim left replaces the machine."""
    here_rows = compare(CompareOptions())
    assert run(["sim", "--input", "inputs/x.bin", "-s", "results"]) == 0
    assert compare(CompareOptions(quant_dir=Path(), sim_dir=Path("results"))) == here_rows
    name = "results/result-linear_0.tmp_1.npy"
    values = np.load(name)
    values[0, 0] += 1000
    np.save(name, values)
    assert compare(CompareOptions(quant_dir=Path(), sim_dir=Path("results"))) != here_rows


def test_columns(here: Path, capsys: Capture) -> None:
    def header(*options: str) -> list[str]:
        capsys.readouterr()
        assert run(["compare", *options]) == 0
        return capsys.readouterr().out.splitlines()[1].split()

    buckets = ["0-1%", "1-10%", "10-50%", "50-100%", "100+%", "OP-TYPE", "OUT-NAME"]
    assert header() == ["compared", "MRE%", "cos%", *buckets]
    assert header("--no-mre", "--no-cos", "--rmse") == ["compared", "RMSE%", *buckets]
    assert header("-si", "--no-cos", "--maxdiff", "-on", OUTPUT) == [
        "idx", "compared", "MRE%", "max", "diff", *buckets,
    ]  # fmt: skip


def test_refusals(here: Path, refused: Refusal) -> None:
    refused(["compare", "-on", "no"], 2, "the network has no output called no.", "one of *")
    refused(["compare", "-sd", "no"], 2, "no holds no result-linear_0.tmp_1.npy.",
            "run sim on one frame, with -s of that folder")  # fmt: skip
    refused(["compare", "-qd", "calib"], 2, "calib must hold one quantized model, not 0.",
            "name the folder in which quant left X_quantize.onnx and inputs/")  # fmt: skip
    refused(["compare", "-sl", "3"], 2,
            "Knight's option -sl is not supported yet: needs the dumps of quant -du.",
            "leave it out; --help of the command lists its options")  # fmt: skip
    cut("inputs/x.bin", 100)
    refused(["compare", "-qd", "."], 1, "inputs/x.bin must hold 3072 numbers, not 25.")


# ------------------------------------------------------------------ helpers


def test_model_info(here: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert run(["inspect", f"{STEM}_r.cfg", "--json"]) == 0
    (output,) = json.loads(capsys.readouterr().out)["meta"]["outputs"]
    for file in (f"{STEM}.onnx", f"{STEM}_r.cfg", f"{STEM}_r.tsmodel"):
        assert run(["model_info", "-m", file, "-ds"]) == 0
        out = capsys.readouterr().out
        assert out.splitlines() == [
            "Outputs",
            "Index  Output name           Dequant scale",
            f"0      {OUTPUT}  {output['scale']:.9g}",
            "",
        ]
        assert run(["model_info", "-m", file, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["outputs"][0]["scale"] == [output["scale"]]
        assert told["inputs"][0]["shape"] == [1, 3, 32, 32]
    assert run(["model_info", "-m", f"{STEM}.onnx", "-ds", "-qi"]) == 0
    assert "\nInputs\nIndex  Input name  Dequant scale\n0      x  " in capsys.readouterr().out


def test_show_sim_result(here: Path, capsys: Capture, refused: Refusal) -> None:
    refused(["show_sim_result"], 2, ". holds no result-*.npy.", "sim leaves them, with -s DIR")
    assert run(["sim", "--input", "inputs/x.bin", "--output", "x"]) == 2  # an option of compile
    assert run(["sim", "--input", "inputs/x.bin"]) == 0
    values = np.load("result-linear_0.tmp_1.npy").ravel()
    capsys.readouterr()
    assert run(["show_sim_result", "--save-dir", "told"]) == 0
    (told,) = json.loads(Path("told/sim_results.json").read_text(encoding="utf-8"))
    assert (told["minimum"], told["maximum"]) == (values.min(), values.max())
    cells = capsys.readouterr().out.splitlines()[2].split()
    wanted = ["0", "linear_0.tmp_1", "1x10x1x1", "int16", str(values.min()), str(values.max())]
    assert cells == wanted
    for layout, file in (("nchw", "_p.txt"), ("nhwc", "_hwc_p.txt")):
        assert run(["show_sim_result", "-i", "0", "-fmt", layout]) == 0
        text = Path(f"result-linear_0.tmp_1{file}").read_text(encoding="ascii")
        assert capsys.readouterr().out == text
    refused(["show_sim_result", "-i", "1"], 2, "there are 1 results in ., not 2.")


def test_npy2bin(here: Path, refused: Refusal) -> None:
    for kind, stored in (("<f8", "<f4"), (">f4", "<f4"), ("<f2", "<f4"), ("<i2", "<i2")):
        array = np.arange(6).astype(kind).reshape(1, 2, 3)
        np.save("a.npy", array.transpose(0, 2, 1))
        assert run(["npy2bin", "--input", "a.npy", "--output", "a.bin"]) == 0
        assert np.fromfile("a.bin", stored).tolist() == [0, 3, 1, 4, 2, 5]
    np.savez("b.npz", array)
    np.save("c.npy", np.array(["x"]))
    for file, code, sentence in (
        ("no.npy", 2, "file no.npy does not exist."),
        ("labels.txt", 1, "labels.txt is not a .npy file of numbers."),
        ("c.npy", 1, "c.npy must hold numbers, not <U1."),
    ):
        refused(["npy2bin", "-i", file, "-o", "b.bin"], code, sentence)
    refused(["npy2bin", "-i", "b.npz", "-o", "b.bin"], 1, "b.npz holds several arrays, not one.",
            "save one with numpy.save")  # fmt: skip
