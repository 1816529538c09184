"""All that a project of Knight's model zoo does, in the order of its README."""

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
# project -> the network's name in its files, that of its run-configs
PROJECTS = {"torch_classification": "smallnet", "torch_detection": "smallyolo"}
HERE = {"classification": ("digits", "classification"), "ocr": ("recognizer", "ocr")}


def knight(line: str) -> None:
    """Run a line of a script by itself, as a shell would."""
    program, *words = shlex.split(line)
    assert program == "Knight"
    assert run(words, program) == 0


def chain(project: Path, python: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Every step, in the project as the current folder; the names of the network's outputs.

    ``python`` has torch and torchvision, or what stands for them: the scripts run there.
    """
    name, configs = HERE.get(project.name) or (PROJECTS[project.name],) * 2
    if Path("src/make_weight.py").is_file():
        script(python, "src/make_weight.py")
    newest = sorted(Path("scripts").glob("run*.sh"))[-1]  # run_3x.sh, where run.sh is of 2.x
    (line,) = newest.read_text(encoding="utf-8").splitlines()
    knight(line)
    config = f"--run-config data/{configs}_config.json"
    knight(f"{CHIP} quant --run-config data/{configs}_infer_config.json")
    make_input(python)
    capsys.readouterr()
    knight(f"{CHIP} run --check {config}")
    assert "bytes compared with the golden model, 0 differ" in capsys.readouterr().out
    knight(f"{CHIP} profiling {config}")
    assert Path("output/npu/layer_cycles_NPU_0.txt").is_file()

    capsys.readouterr()
    assert run(["inspect", f"output/npu/{name}_quantize_r.cfg", "--json"]) == 0
    outputs = json.loads(capsys.readouterr().out)["meta"]["outputs"]
    texts = sorted(map(str, Path("output/npu").glob("result-*_p.txt")))
    assert run(["show_sim_result", "--sim-data", *texts, "--save-dir", "output/npu"]) == 0
    results = [f"{text.removesuffix('.txt')}.npy" for text in texts]
    words = ["--scales", *(str(item["scale"]) for item in outputs)] if name == "smallyolo" else []
    said = script(python, "src/post_process.py", "--numpys", *results, *words)
    _agrees(said, results, [item["scale"] for item in outputs])
    return [Path(text).name.removeprefix("result-").removesuffix("_p.txt") for text in texts]


def make_input(python: str) -> None:
    """The project's picture as the simulator reads it, where its run-config expects it."""
    words = ("--input", "data/demo.png", "--outpath", "output/npu")
    script(python, "src/make_image_input_onnx.py", *words)


def script(python: str, *words: str) -> str:
    """What a script of the project prints, run outside the tool."""
    done = subprocess.run(
        [python, *words],
        env={"PYTHONPATH": str(scripts_folder())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _agrees(said: str, results: list[str], scales: list[float]) -> None:
    """The last line of post_process.py is what the results say."""
    arrays = [np.load(result) for result in results]
    kind, _, value = said.strip().splitlines()[-1].partition(": ")
    if kind == "best class":
        assert int(value) == arrays[0].reshape(-1).argmax()
    elif kind == "text":
        assert value == "".join(map(str, arrays[0][0, :, 0].argmax(axis=0)))
        assert value == Path("data/lines/label.txt").read_text(encoding="utf-8").split()[1]
    else:
        best = max((a[:, 4] * s).max() for a, s in zip(arrays, scales, strict=True))
        assert float(value) == pytest.approx(1 / (1 + np.exp(-best)), rel=1e-5)
