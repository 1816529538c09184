"""All that a PyTorch project of Knight's model zoo does, in the order of its README."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from knightlite.cli.program import run
from knightlite.datafiles import scripts_folder

CHIP = "Knight --chip TX5368AV200"
PROJECTS = {"torch_classification": "smallnet", "torch_detection": "smallyolo"}


def knight(line: str) -> None:
    """Run a line of a script by itself, as a shell would."""
    program, *words = shlex.split(line)
    assert program == "Knight"
    assert run(words, program) == 0


def chain(project: Path, python: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Every step, in the project as the current folder; the names of the network's outputs.

    ``python`` has torch and torchvision, or what stands for them: the scripts run there.
    """
    name = PROJECTS[project.name]
    environment = {"PYTHONPATH": str(scripts_folder())}

    def script(*words: str) -> str:
        done = subprocess.run(
            [python, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    script("src/make_weight.py")
    (line,) = Path("scripts/run.sh").read_text(encoding="utf-8").splitlines()
    knight(line)
    config = f"--run-config data/{name}_config.json"
    knight(f"{CHIP} quant --run-config data/{name}_infer_config.json")
    script("src/make_image_input_onnx.py", "--input", "data/demo.png", "--outpath", "output/npu")
    capsys.readouterr()
    knight(f"{CHIP} run --check {config}")
    assert "bytes compared with the golden model, 0 differ" in capsys.readouterr().out
    knight(f"{CHIP} profiling {config}")
    assert Path("output/npu/layer_cycles_NPU_0.txt").is_file()

    capsys.readouterr()
    assert run(["inspect", f"output/npu/{name}_quantize_r.cfg", "--json"]) == 0
    outputs = json.loads(capsys.readouterr().out)["meta"]["outputs"]
    results = sorted(str(path.with_suffix("")) for path in Path("output/npu").glob("result-*.npy"))
    names = [Path(item).name.removeprefix("result-") for item in results]
    scales = ["--scales", *(str(item["scale"]) for item in outputs)]
    words = scales if name == "smallyolo" else []
    said = script("src/post_process.py", "--numpys", *(f"{item}.npy" for item in results), *words)
    _agrees(said, results, [item["scale"] for item in outputs])
    return names


def _agrees(said: str, results: list[str], scales: list[float]) -> None:
    """The last line of post_process.py is what the results say."""
    arrays = [np.load(f"{result}.npy") for result in results]
    kind, _, value = said.strip().splitlines()[-1].partition(": ")
    if kind == "best class":
        assert int(value) == arrays[0].reshape(-1).argmax()
    else:
        best = max((a[:, 4] * s).max() for a, s in zip(arrays, scales, strict=True))
        assert float(value) == pytest.approx(1 / (1 + np.exp(-best)), rel=1e-5)
