"""Knight's helpers: programs of their own, and what they leave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from conftest import DIGITS
from knightlite.cli.program import run
from knightlite.cli.vocabulary import PROGRAMS
from knightlite.reading import toml_table
from onnx_nets import Net
from refusals import Refusal

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two outputs, the second in another order, quantized and compiled."""
    folder = tmp_path_factory.mktemp("project")
    net = Net()
    net.input("x", (1, 4, 6, 8))
    net.conv("x", "y", (8, 4, 3, 3))
    net.conv("y", "z", (6, 8, 1, 1))
    net.node("Transpose", ["z"], "last", perm=[0, 2, 3, 1])
    model = net.save(folder, "y", "last")
    before = Path.cwd()
    os.chdir(folder)
    try:
        quant = ["quant", "onnx", "-m", str(model), "-i", "2", "--effort", "low", "-s", "quant"]
        assert run(quant) == 0
        assert run(["compile", "--outpath", "npu"]) == 0
        assert run(["sim", "--input", "quant/inputs/x.bin", "--outpath", "npu"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current folder."""
    folder = tmp_path / "copy"
    shutil.copytree(project, folder)
    monkeypatch.chdir(folder)
    return folder


def test_the_wheel_has_them() -> None:
    told = toml_table((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert told.keys() == {"knightlite", "Knight", *PROGRAMS}
    assert set(told.values()) == {"knightlite.cli:main"}


def test_a_program_is_its_command(here: Path) -> None:
    """Called by its name, with the endings that Knight's have."""
    program = here / "npy2bin.py"
    program.write_text("from knightlite.cli import main\nmain()\n")
    np.save("a.npy", np.arange(3, dtype=np.int16))
    words = ["--input", "a.npy", "--output", "a.bin"]
    subprocess.run([sys.executable, str(program), *words], check=True, capture_output=True)
    assert Path("a.bin").read_bytes() == bytes([0, 0, 1, 0, 2, 0])


def test_one_text_for_each_output(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the host transposes is delivered in its order, times its scale what the host made."""
    assert sorted(path.name for path in Path("npu").glob("result-*_p.txt")) == [
        "result-last_p.txt",
        "result-y_p.txt",
    ]
    texts = [str(path) for path in Path("npu").glob("result-*_p.txt")]
    assert run(["show_sim_result", "--sim-data", *texts, "--save-dir", "npu"]) == 0
    capsys.readouterr()
    assert run(["model_info", "-m", "npu/net_quantize_r.cfg", "-ds"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:4]]
    scales = {row[1]: float(row[2]) for row in rows}
    assert scales.keys() == {"y", "last"}
    array = np.load("npu/result-last_p.npy")
    made = np.load("npu/result-host-last.npy")
    assert array.shape == made.shape == (1, 4, 6, 6)
    assert np.array_equal((array * np.float32(scales["last"])).astype(np.float32), made)
    assert np.array_equal(array.transpose(0, 3, 1, 2), np.load("npu/result-z.npy"))
    assert np.array_equal(np.load("npu/result-y_p.npy"), np.load("npu/result-y.npy"))


def test_what_the_host_reshapes_is_read_in_its_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[1, 6, 20] as [1, 6, 20, 1], as post-processing scripts have it; on the chip [1, 6, 4, 5]."""
    net = Net()
    net.input("x", (1, 4, 4, 5))
    net.node(
        "Reshape", [net.conv("x", "y", (6, 4, 1, 1)), net.weight("s", np.array([1, 6, 20]))], "flat"
    )
    net.save(tmp_path, "flat")
    monkeypatch.chdir(tmp_path)
    assert run(["quant", "onnx", "-m", "net.onnx", "-i", "2", "--effort", "low"]) == 0
    assert run(["compile"]) == 0
    assert run(["sim", "--input", "inputs/x.bin"]) == 0
    assert run(["show_sim_result", "--sim-data", "result-flat_p.txt", "--save-dir", "."]) == 0
    array = np.load("result-flat_p.npy")
    assert array.shape == (1, 6, 20, 1)
    assert np.array_equal(array.ravel(), np.load("result-flat.npy").ravel())


@pytest.mark.parametrize("named", [["npu/result-357_p.txt"], ["npu/result-y_p.txt", "npu/no.txt"]])
def test_results_of_another_numbering(here: Path, named: list[str], refused: Refusal) -> None:
    """As where a README was made with another version of torch: what is there is named."""
    refused(["show_sim_result", "--sim-data", *named, "--save-dir", "npu"], 2,
            f"file {named[-1]} does not exist.",
            "npu holds result-last_p.txt, result-y_p.txt: results are named as the network's "
            "outputs are")  # fmt: skip
    assert not Path("npu/result-y_p.npy").exists()


@pytest.mark.parametrize(
    "words", [["-qo", "quant"], ["-qo", "quant", "-r", "1", "-fmt", "nchw"], []]
)
def test_model_check(here: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    assert run(["model_check.py", *words, "-co", "npu"]) == 0
    assert " bytes compared with the golden model, 0 differ\n" in capsys.readouterr().out
    if "-r" not in words:
        assert sorted(Path().rglob("*")) == before


def test_model_check_of_no_network(here: Path, refused: Refusal) -> None:
    refused(["model_check", "-co", "quant"], 2, "quant must hold one *_r.cfg, not none.",
            "compile leaves it; name its folder with -co DIR")  # fmt: skip


def test_model_modifier(here: Path, refused: Refusal) -> None:
    assert run(["model_modifier", "-m", "net.onnx", "--input-names", "y", "--output-names", "z",
                "--submodel-name", "part", "--save-dir", "parts"]) == 0  # fmt: skip
    part = onnx.load("parts/part.onnx").graph
    assert [node.op_type for node in part.node] == ["Conv"]
    assert [item.name for item in (*part.input, *part.output)] == ["y", "z"]
    assert run(["model_modifier", "-m", "net.onnx", "--output-names", "y"]) == 0
    assert [item.name for item in onnx.load("net_sub.onnx").graph.input] == ["x"]
    refused(["model_modifier", "-m", "net.onnx", "--output-names", "lost"], 2,
            "net.onnx has no value called lost.", "did you mean last?")  # fmt: skip
    refused(["model_modifier", "-m", "net.onnx", "--input-names", "z", "--output-names", "y"], 2,
            "the part also needs x, which no input names.",
            "name them with --input-names, or others that are nearer to the outputs")  # fmt: skip
    shutil.copy(DIGITS / "digits.pdmodel", ".")
    refused(["model_modifier", "-m", "digits.pdmodel"], 2,
            "digits.pdmodel must be an .onnx model.",
            "quant -r convert makes one of others")  # fmt: skip
