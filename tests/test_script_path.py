"""Scripts that import Knight's package run outside the tool: by a path, or once and for all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knightlite.cli.program import run
from knightlite.datafiles import scripts_folder
from knightlite.reading import toml_table

ROOT = Path(__file__).parent.parent
IMPORTING = (
    "from infer_common import *\nfrom onnx_quantize_tool.utils.constants import NP_TYPE_DICT\n"
)


def in_python(path: str, text: str, *flags: str) -> str:
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *flags, "-c", text],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout


def test_a_script_outside_the_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes the picture's size from the script that registers functions."""
    (tmp_path / "net.py").write_text(
        "from onnx_quantize_tool.common.register import onnx_infer_func, pytorch_model\n"
        "SIZE = 32\n@pytorch_model.register('net')\ndef net(): pass\n"
        "@onnx_infer_func.register\ndef infer(executor): pass\n"
    )
    assert run(["script-path"]) == 0
    folder = capsys.readouterr().out.strip()
    assert folder == str(scripts_folder())
    text = f"{IMPORTING}from net import SIZE\nprint(SIZE, NP_TYPE_DICT[1].__name__)"
    assert in_python(f"{folder}:{tmp_path}", text) == "32 float32\n"


def test_an_interpreter_learns_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that Python reads when it starts; what is installed there comes first."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    python.chmod(0o755)
    assert run(["script-path", "--python", str(python)]) == 0
    (left,) = tmp_path.glob("*.pth")
    assert left.read_text() == f"{scripts_folder()}\n"
    made = tmp_path / "knightlite-scripts.pth"
    assert capsys.readouterr().err == f"{made} lets {python} find it.\n"
    (tmp_path / "infer_common.py").write_text("print('theirs')")
    text = (
        f"import site; site.addsitedir({str(tmp_path)!r})\n"
        "import infer_common, onnx_quantize_tool\n"
        "print(onnx_quantize_tool.__file__)"
    )
    ours = scripts_folder() / "onnx_quantize_tool" / "__init__.py"
    assert in_python("", text, "-S") == f"theirs\n{ours}\n"  # without what is installed here


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (None, "--python: the Python interpreter {} does not exist."),
        ("#!/bin/sh\nexit 1\n", "{} is not a Python interpreter: it gave no answer."),
    ],
)
def test_no_interpreter(
    program: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = tmp_path / "python"
    if program:
        python.write_text(program)
        python.chmod(0o755)
    assert run(["script-path", "--python", str(python)]) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"Error: {sentence.format(python)}"


def test_the_wheel_lets_its_python_find_it() -> None:
    told = toml_table((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    files = told["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert files["scripts.pth"] == "knightlite-scripts.pth"
    assert (ROOT / "scripts.pth").read_text() == f"{files['scripts']}\n"
