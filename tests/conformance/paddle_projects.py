"""Save a project's network as this Paddle writes it: ``paddle_projects.py NAME PROJECT``.

For interpreters with paddlepaddle 2.6.2 or 3.3.1. ``digits`` is the trained network of
``examples/digits`` with its own weights; ``recognizer`` has those of ``weights.npz`` in the
project's ``weight`` folder, where ``NAME.pdmodel`` and ``NAME.pdiparams`` go. The names that Paddle
gives the outputs go to stdout, one a line.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before paddle is imported: Paddle 3 writes .json instead of .pdmodel else.
os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112  # Paddle spells it so

import numpy as np
import paddle
from paddle import nn

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
SHAPES = {"digits": [None, 3, 32, 32], "recognizer": [None, 3, 32, None]}


def digits() -> nn.Layer:
    sys.path.insert(0, str(DIGITS))
    from network import build

    net = build()
    net.set_state_dict(paddle.load(str(DIGITS / "digits.pdparams")))
    return net


def recognizer(weights: Path) -> nn.Layer:
    """Two convolutions, whose kernels are as large as their strides, with a ReLU between."""
    arrays = np.load(weights)
    layers = []
    for name in ("means", "scores"):
        kernel = arrays[f"{name}/weight"]
        size = kernel.shape[2:]
        layer = nn.Conv2D(kernel.shape[1], kernel.shape[0], size, stride=size)
        layer.weight.set_value(kernel)
        layer.bias.set_value(arrays[f"{name}/bias"])
        layers.append(layer)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1])


def save(name: str, folder: Path) -> list[str]:
    """Write the program and its weights; the names of its outputs."""
    net = digits() if name == "digits" else recognizer(folder / "weights.npz")
    net.eval()
    spec = paddle.static.InputSpec(SHAPES[name], "float32", name="x")
    paddle.jit.save(net, str(folder / name), input_spec=[spec])
    paddle.enable_static()
    executor = paddle.static.Executor(paddle.CPUPlace())
    _, _, outputs = paddle.static.load_inference_model(str(folder / name), executor)
    return [output.name for output in outputs]


if __name__ == "__main__":
    sys.stdout.write("\n".join(save(sys.argv[1], Path(sys.argv[2]) / "weight")))
