"""Projects in the way of Knight's model zoo run unmodified: ``examples/modelzoo``.

Their scripts hold one line, as the vendor's do; the rest of the chain is what its manual says.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import stub_frameworks
import stub_torch
from conftest import DIGITS
from knightlite.cli.program import run
from onnx_nets import Net
from zoo_chain import HERE, PROJECTS, chain, make_input

EXAMPLES = DIGITS.parent / "modelzoo"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The projects with their networks and data."""
    out = tmp_path_factory.mktemp("zoo")
    subprocess.run([sys.executable, str(EXAMPLES / "make.py"), str(out)], check=True)
    return out


@pytest.fixture
def project(zoo: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of them as the current folder."""
    folder = zoo / str(request.param)
    monkeypatch.chdir(folder)
    return folder


def knight(line: str) -> None:
    """Run a line of a script by itself, as a shell would."""
    program, *words = shlex.split(line)
    assert program == "Knight"
    assert run(words, program) == 0


def script(name: str = "run.sh") -> str:
    (line,) = Path("scripts", name).read_text(encoding="utf-8").splitlines()
    return line


def metrics(shown: str) -> dict[str, float]:
    """The metric of each model that ``quant`` printed."""
    lines = [line for line in shown.splitlines() if line.startswith("metric, ")]
    return {line.split()[1]: float(line.split()[-1]) for line in lines}


def run_chain(save_dir: str, stem: str, input_name: str) -> None:
    """What the manual lets follow the script: compile, simulate the last sample, profile."""
    chip = "Knight --chip TX5368AV200"
    pair = f"--weight {stem}_quantize_r.weight --config {stem}_quantize_r.cfg"
    knight(f"{chip} rne-compile --onnx {save_dir}/{stem}_quantize.onnx --outpath .")
    knight(f"{chip} rne-sim --input {save_dir}/inputs/{input_name}.bin {pair} --outpath . --check")
    knight(f"{chip} rne-profiling --config {stem}_quantize_r.cfg --outpath .")  # as in the README
    assert Path("layer_cycles_NPU_0.txt").is_file()


@pytest.mark.parametrize("project", ["classification"], indirect=True)
def test_classification(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knight(script())
    assert metrics(capsys.readouterr().out) == {"float": 100.0, "quantized": 100.0}
    run_chain("tmp/classification", "digits", "x")
    scores = np.load("result-linear_0.tmp_1.npy")
    assert scores.argmax() == 9  # the last picture of the folder

    knight(
        "Knight --chip TX5368AV200 quant onnx -m tmp/classification/digits_quantize.onnx -r infer "
        "-uds src/classification.py -if infer_image -d data/demo.png -i 1 -s tmp/infer"
    )
    assert capsys.readouterr().err.count("\n3: ") == 1
    assert Path("tmp/infer/model_input.bin").stat().st_size == 3 * 32 * 32 * 4


@pytest.mark.parametrize("project", ["detection"], indirect=True)
def test_detection(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knight(script())
    found = metrics(capsys.readouterr().out)
    assert found == {"float": 100.0, "quantized": 100.0}
    run_chain("tmp/detection", "detector", "images")
    capsys.readouterr()

    # the vendor's way from the simulator's integers to boxes: arrays and dequant scales
    assert run(["inspect", "detector_quantize_r.cfg", "--json"]) == 0
    outputs: list[Any] = json.loads(capsys.readouterr().out)["meta"]["outputs"]
    files = [f"result-{item['name']}.npy" for item in outputs]
    scales = [str(item["scale"]) for item in outputs]
    words = ["src/post_process.py", "--numpys", *files, "--scales", *scales]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    kind, *label = Path("data/squares/labels/val/0015.txt").read_text().split()  # -i 16: the last
    boxes = [line.split() for line in done.stdout.splitlines()]
    assert {box[1] for box in boxes} == {kind}
    left, top, right, bottom = (float(value) for value in boxes[0][5:])
    x, y = (float(label[0]) * 96, float(label[1]) * 72 + 12)  # letterboxed: 96 x 72
    assert abs((left + right) / 2 - x) <= 5
    assert abs((top + bottom) / 2 - y) <= 5


@pytest.mark.parametrize("project", ["ocr"], indirect=True)
def test_ocr(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knight(script())
    assert metrics(capsys.readouterr().out) == {"float": 1.0, "quantized": 1.0}
    run_chain("tmp/ocr", "recognizer", "x")
    read = "".join(str(digit) for digit in np.load("result-scores.npy")[0, :, 0].argmax(axis=0))
    rows = Path("tmp/ocr/predictions.txt").read_text().splitlines()
    assert len(rows) == 12
    assert rows[-1] == f"{read}\t{read}"


@pytest.mark.parametrize(
    ("project", "stem", "metric"),
    [
        ("classification", "digits", 100.0),
        ("detection", "detector", 100.0),
        ("ocr", "recognizer", 1.0),
    ],
    indirect=["project"],
)
def test_run_configs(
    project: Path, stem: str, metric: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Generation 3.x: one line builds; every later stage takes the same file."""
    knight(script("run_3x.sh"))
    shown = capsys.readouterr().out
    assert metrics(shown) == {"float": metric, "quantized": metric}
    assert "bytes compared with the golden model, 0 differ" in shown
    config = f"--run-config data/{project.name}_config.json"
    if Path("src/make_image_input_onnx.py").is_file():
        make_input(sys.executable)
    for command in ("run", "profiling", "quant", "compile"):
        knight(f"Knight --chip TX5368AV200 {command} {config}")
    left = {path.name for path in Path("output/npu").iterdir()}
    assert {f"{stem}_quantize_r.tsmodel", "layer_cycles_NPU_0.txt"} <= left
    results = {name for name in left if name.startswith("result-") and name.endswith(".npy")}
    assert len(results) == (2 if project.name == "detection" else 1)


@pytest.mark.parametrize("project", ["classification"], indirect=True)
def test_run_config_of_one_picture(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("output/quant/digits_quantize.onnx").is_file():  # test_run_configs leaves it
        knight(script("run_3x.sh"))
    capsys.readouterr()
    knight("Knight --chip TX5368AV200 quant --run-config data/classification_infer_config.json")
    assert capsys.readouterr().err.count("\n3: ") == 1
    assert Path("output/quant/model_input.bin").stat().st_size == 3 * 32 * 32  # pixels


@pytest.mark.parametrize("project", ["ocr"], indirect=True)
def test_a_section_option_beats_the_run_config(project: Path) -> None:
    knight(
        "Knight build -rc data/ocr_config.json --quant.quant-mode kl --quant.save-dir kl "
        "--compile.onnx kl/recognizer_quantize.onnx --compile.save-dir out"
    )
    report = json.loads(Path("kl/recognizer_quantize_report.json").read_text(encoding="utf-8"))
    assert report["method"] == "kl"
    assert Path("out/recognizer_quantize_r.tsmodel").is_file()


def _torch_modules() -> dict[str, ModuleType]:
    tops = {"torch", "torchvision", "onnxscript"}
    return {name: item for name, item in sys.modules.items() if name.partition(".")[0] in tops}


@pytest.fixture
def torch_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An interpreter with a stub of torch, which is imported here too while the test runs."""
    python = stub_frameworks.interpreter(tmp_path, stub_torch.FILES)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    before = _torch_modules()
    for name in before:
        del sys.modules[name]
    yield python
    for name in _torch_modules():
        del sys.modules[name]
    sys.modules.update(before)


def prepared(folder: Path, project: str) -> Path:
    """What torch would export of the project's network, of the same layers."""
    made = Net(opset=17)
    side = 32 if project == "torch_classification" else 96
    x = made.input("x", (1, 3, side, side))
    halves = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    for name, shape in (("a", (16, 3, 3, 3)), ("b", (32, 16, 3, 3))):
        x = made.node("Relu", [made.conv(x, f"{name}/c", shape, **halves)], name)
    if project == "torch_classification":
        flat = made.node("Flatten", [made.node("GlobalAveragePool", [x], "pool")], "flat")
        made.node("Gemm", [flat, made.random("w", (32, 10)), made.random("v", (10,))], "25")
        return made.save(folder, "25")
    made.conv("a", "38", (8, 16, 1, 1))
    made.conv("b", "39", (8, 32, 1, 1))
    return made.save(folder, "38", "39")


@pytest.mark.parametrize("project", PROJECTS, indirect=True)
def test_torch_projects(
    project: Path, torch_stub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """With a stub of torch, here and in an interpreter, which exports networks of their layers."""
    monkeypatch.setenv("STUB_ONNX", str(prepared(tmp_path, project.name)))
    monkeypatch.setenv("KNIGHTLITE_TORCH_PYTHON", torch_stub)
    names = chain(project, torch_stub, capsys)
    assert names == (["25"] if project.name == "torch_classification" else ["38", "39"])


@pytest.mark.parametrize("project", HERE, indirect=True)
def test_projects_of_this_python(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Paddle network and text: every step of a README, helper programs and scripts included."""
    names = chain(project, sys.executable, capsys)
    assert names == (["linear_0.tmp_1"] if project.name == "classification" else ["scores"])


def other_class(row: str) -> str:
    return f"{(int(row[0]) + 1) % 3}{row[1:]}"


def other_digits(rows: str) -> str:
    """Every digit of every text raised by one; the pictures' names stay."""
    pairs = [line.split("\t") for line in rows.splitlines()]
    return "".join(
        f"{name}\t{''.join(str((int(digit) + 1) % 10) for digit in text)}\n" for name, text in pairs
    )


@pytest.mark.parametrize(
    ("name", "labels", "spoil"),
    [
        ("detection", "data/squares/labels/val/*.txt", other_class),
        ("ocr", "data/lines/label.txt", other_digits),
    ],
)
def test_the_metric_is_of_the_pictures(
    name: str,
    labels: str,
    spoil: Callable[[str], str],
    zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A planted fault: with wrong labels nothing may be right."""
    shutil.copytree(zoo / name, tmp_path / name)
    monkeypatch.chdir(tmp_path / name)
    for path in Path().glob(labels):
        path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    knight(script())
    assert metrics(capsys.readouterr().out) == {"float": 0.0, "quantized": 0.0}


def test_each_script_is_one_line() -> None:
    scripts = sorted(EXAMPLES.glob("*/scripts/*.sh"))
    assert len(scripts) == 8
    for path in scripts:
        (line,) = path.read_text(encoding="utf-8").splitlines()
        assert line.startswith("Knight --chip TX5368AV200 ")


def test_a_script_that_needs_what_is_not_there_says_which_package(
    zoo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vendor's own scripts import torchvision and OpenCV."""
    monkeypatch.chdir(zoo / "ocr")
    text = Path("src/ocr.py").read_text(encoding="utf-8")
    Path("src/vendor.py").write_text(f"import cv2_of_nobody\n{text}", encoding="utf-8")
    words = shlex.split(script().replace("src/ocr.py", "src/vendor.py"))[1:]
    assert run(words, "Knight") == 2
    shown = capsys.readouterr().err
    assert "vendor.py:1: the script imports cv2_of_nobody, which is not installed." in shown
    assert "pip install cv2_of_nobody" in shown


def test_make_says_what_it_needs() -> None:
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "make.py")], capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "usage: python examples/modelzoo/make.py OUTDIR\n"
