"""Lay out the Paddle projects, in an interpreter with Paddle 2: ``make_paddle.py OUTDIR [NAME]``.

As ``make_torch.py``; the program and its weights are as Paddle 2 saves them for inference, as those
of the zoo are.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import paddle
from paddle import nn

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "paddle_scripts"), str(HERE.parents[1])]

from zoo_projects import PADDLE, Project, show, write_config  # noqa: E402

from networks import MADE  # noqa: E402


def settle(model: nn.Layer, x: paddle.Tensor) -> None:
    """BatchNorms' statistics are those of these inputs, their gains and offsets seeded."""
    model.eval()
    for norm in model.sublayers():
        if isinstance(norm, nn.BatchNorm2D):
            norm._momentum = 0.0  # what it sees counts alone
            nn.initializer.Uniform(0.7, 1.3)(norm.weight)
            nn.initializer.Uniform(-0.2, 0.8)(norm.bias)
            norm.train()
    with paddle.no_grad():
        model(x)
    model.eval()


def make(project: Project, folder: Path) -> None:
    paddle.seed(project.seed)
    build, shape = MADE[project.name]
    model = build()
    shutil.copytree(HERE / "paddle_scripts", folder / "src")
    settle(model, paddle.to_tensor(show(folder / "data" / "val", shape)))
    spec = paddle.static.InputSpec([1, *shape], "float32", name="x")
    paddle.jit.save(model, str(folder / "weight" / project.name), input_spec=[spec])
    write_config(project, folder)


if __name__ == "__main__":
    for chosen in PADDLE:
        if not sys.argv[2:] or chosen.name in sys.argv[2:]:
            make(chosen, Path(sys.argv[1]) / chosen.name)
