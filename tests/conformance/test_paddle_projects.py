"""``classification`` and ``ocr`` of ``examples/modelzoo`` with real Paddle.

The networks are saved by Paddle itself, and the scripts, infer functions included, run in its
interpreter. ``make test`` runs both projects too, with networks that somebody saved before and in
the interpreter that runs the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sources import HERE, PADDLE2_PYTHON, PADDLE_PYTHON, ROOT

from zoo_chain import HERE as NAMES
from zoo_chain import chain

pytestmark = pytest.mark.conformance

PADDLES = {"paddle2": PADDLE2_PYTHON, "paddle3": PADDLE_PYTHON}


def of_paddle(project: Path) -> None:
    """Of an ONNX network its weights, for Paddle to save, and Paddle's files in the run-config."""
    name, configs = NAMES[project.name]
    model = project / "weight" / f"{name}.onnx"
    initializers = onnx.load(model).graph.initializer
    arrays: Any = {item.name: numpy_helper.to_array(item) for item in initializers}
    np.savez(project / "weight" / "weights.npz", **arrays)
    model.unlink()
    config = project / "data" / f"{configs}_config.json"
    told = json.loads(config.read_text(encoding="utf-8"))
    files = {"model": f"weight/{name}.pdmodel", "weight": f"weight/{name}.pdiparams"}
    told["quant"] |= {**files, "framework": "paddle"}
    config.write_text(json.dumps(told), encoding="utf-8")


@pytest.mark.parametrize("paddle", PADDLES)
@pytest.mark.parametrize("project", NAMES)
def test_paddle_projects(
    project: str, paddle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Every step of a README; outputs and result files have the names that Paddle gave."""
    python = PADDLES[paddle]
    if not python.is_file():
        pytest.skip(f"needs {python} with Paddle: `make conformance` makes it")
    make = [sys.executable, str(ROOT / "examples" / "modelzoo" / "make.py"), str(tmp_path)]
    subprocess.run(make, check=True)
    folder = tmp_path / project
    if project == "ocr":
        of_paddle(folder)
    save = [str(python), str(HERE / "paddle_projects.py"), NAMES[project][0], str(folder)]
    saved = subprocess.run(save, capture_output=True, text=True, check=False)
    assert saved.returncode == 0, saved.stderr
    monkeypatch.setenv("KNIGHTLITE_SCRIPT_PYTHON", str(python))
    monkeypatch.chdir(folder)
    names = [name.replace("/", "_") for name in saved.stdout.split()]  # as files are named
    assert chain(folder, str(python), capsys) == names
