"""The PyTorch projects of ``examples/modelzoo`` with the real torch and torchvision.

``make test`` runs them with a stub; here the scripts, the exporter and the checkpoints are real, so
this also says whether outputs still have the numbers of torch's default export.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sources import ROOT, TORCH_PYTHON

from zoo_chain import PROJECTS, chain

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize("name", PROJECTS)
def test_torch_projects(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not TORCH_PYTHON.exists():
        pytest.skip(f"needs {TORCH_PYTHON} with torch and torchvision: `make conformance` makes it")
    make = [sys.executable, str(ROOT / "examples" / "modelzoo" / "make.py"), str(tmp_path)]
    subprocess.run(make, check=True)
    monkeypatch.setenv("KNIGHTLITE_TORCH_PYTHON", str(TORCH_PYTHON))
    monkeypatch.chdir(tmp_path / name)
    outputs = chain(tmp_path / name, str(TORCH_PYTHON), capsys)
    assert all(output.isdecimal() for output in outputs), outputs
