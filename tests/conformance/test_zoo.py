"""Look-alikes of Knight's model zoo, 27 projects: ``zoo_projects.py``.

Each is laid out by the framework that its network is from, then built as its ``run.sh`` says, run
once more with ``--check`` and profiled; scripts and converters are real.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from sources import HERE, PADDLE2_PYTHON, TORCH_PYTHON
from zoo_projects import PADDLE, PROJECTS, Project, line

from knightlite.cli.program import run

pytestmark = pytest.mark.conformance
MAKERS = {
    "make_paddle.py": (PADDLE2_PYTHON, "KNIGHTLITE_SCRIPT_PYTHON"),
    "make_torch.py": (TORCH_PYTHON, "KNIGHTLITE_TORCH_PYTHON"),
}


def knight(text: str) -> None:
    """Run a line as a shell would."""
    program, *words = shlex.split(text)
    assert run(words, program) == 0, text


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_zoo(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    maker = "make_paddle.py" if project in PADDLE else "make_torch.py"
    python, variable = MAKERS[maker]
    if not python.is_file():
        pytest.skip(f"needs {python}: `make conformance` makes it")
    make = [str(python), str(HERE / "zoo" / maker), str(tmp_path), project.name]
    made = subprocess.run(make, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    monkeypatch.chdir(tmp_path / project.name)
    for name in {variable, "KNIGHTLITE_SCRIPT_PYTHON"}:  # YOLOv6's script feeds an ONNX model
        monkeypatch.setenv(name, str(python))
    knight(line(project))
    capsys.readouterr()
    config = f"--run-config data/{project.name}_config.json"
    knight(f"Knight --chip {project.chip} run --check {config}")
    assert "bytes compared with the golden model, 0 differ" in capsys.readouterr().out
    knight(f"Knight --chip {project.chip} profiling {config}")
    assert Path("output/npu/layer_cycles_NPU_0.txt").is_file()
    (report,) = Path("output/quant").glob("*_report.json")
    outputs = json.loads(report.read_text(encoding="utf-8"))["outputs"]
    assert min(item["sqnr_db"] for item in outputs) > project.floor_db, outputs
