"""Lay out the torch projects: ``make_torch.py OUTDIR [NAME ...]``, in an interpreter with torch.

A project is what the zoo's are: ``src`` with the scripts, ``weight`` with a checkpoint,
``data/NAME_config.json`` and pictures. Weights are seeded; BatchNorms take the statistics of the
pictures, as those of trained networks have.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "torch_scripts"), str(HERE.parents[1])]
sys.path.append(str(HERE.parents[2] / "scripts"))  # what stands for Knight's modules

from zoo_projects import PICTURES, TORCH, Project, show, write_config  # noqa: E402


def settle(model: torch.nn.Module, x: torch.Tensor) -> None:
    """BatchNorms' statistics are those of these inputs, their gains and offsets seeded."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a mean over all that it sees
        torch.nn.init.uniform_(norm.weight, 0.7, 1.3)
        torch.nn.init.uniform_(norm.bias, -0.2, 0.8)
        norm.train()
    with torch.no_grad():
        model(x)
    model.eval()


def make(project: Project, folder: Path) -> None:
    module = __import__(project.script)
    torch.manual_seed(project.seed)
    shutil.copytree(HERE / "torch_scripts", folder / "src")
    (folder / "weight").mkdir()
    (folder / "data").mkdir()
    told = getattr(module, project.model)(None) if project.script != "keywords" else module.lstm()
    model = told["model"].eval()
    if project.script == "keywords":
        rng = np.random.default_rng(0)
        words = [
            {"input": rng.normal(0, 1, (25, 40)).astype(np.float32), "label": np.eye(12)[at % 12]}
            for at in range(PICTURES)
        ]
        (folder / "data" / "words.pkl").write_bytes(pickle.dumps(words))
    else:
        side = told["inputs"][0].shape[-1]
        x = show(folder / "data" / str(side) / "val", (3, side, side))
        settle(model, torch.from_numpy(x))
    if project.exported:
        options = {"opset_version": 13, "dynamo": False, "input_names": ["images"]}
        torch.onnx.export(model, tuple(told["inputs"]), folder / project.weight, **options)
    else:
        torch.save(model.state_dict(), folder / project.weight)
    write_config(project, folder)


if __name__ == "__main__":
    for chosen in TORCH:
        if not sys.argv[2:] or chosen.name in sys.argv[2:]:
            make(chosen, Path(sys.argv[1]) / chosen.name)
