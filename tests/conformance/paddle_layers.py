"""Save every form of ``layer_forms`` as Paddle has it: ``paddle_layers.py OUTDIR [json]``.

For an interpreter with paddlepaddle 2.6.2 or 3.3.1. Per form ``NAME.pdmodel``, with ``json`` Paddle
3's ``NAME.json``, its weights and ``NAME.npz``: the inputs ``x0``, ... and Paddle's own outputs
``y0``, ..., picture by picture; ``forms.json`` holds {name: null, or why Paddle itself does not run
or save it}.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

# Before paddle is imported: Paddle 3 writes .json instead of .pdmodel else.
os.environ["FLAGS_enable_pir_api"] = str(int("json" in sys.argv))  # noqa: SIM112  # Paddle's word

import numpy as np
import paddle
from layer_forms import FORMS, Form
from paddle import nn
from paddle.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PICTURES = 4
SPREAD = 0.3  # of the weights that a form makes itself


class Built(nn.Layer):
    """A form as a layer: what its expression gives, a function's weights among its own."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        rng = np.random.default_rng(list(form.name.encode()))
        self.known: dict[tuple[int, ...], Any] = {}

        def weight(*shape: int) -> Any:
            if shape not in self.known:
                values = (SPREAD * rng.standard_normal(shape)).astype(np.float32)
                made = self.create_parameter(
                    shape, default_initializer=nn.initializer.Assign(values)
                )
                self.add_parameter(f"weight_{len(self.known)}", made)
                self.known[shape] = made
            return self.known[shape]

        names = {
            "nn": nn, "F": functional, "paddle": paddle, "weight": weight,
            "spectral": nn.utils.spectral_norm,
        }  # fmt: skip
        self.inner = eval(form.build, names)
        for index, layer in enumerate(getattr(self.inner, "__defaults__", None) or ()):
            self.add_sublayer(f"layer_{index}", layer)
        randomize(self, rng)

    def forward(self, x: Any) -> Any:
        return self.inner(x)


class OfTwo(Built):
    """The same with two inputs: what is traced must name them."""

    def forward(self, x: Any, z: Any) -> Any:
        return self.inner(x, z)


def randomize(layer: nn.Layer, rng: np.random.Generator) -> None:
    """Statistics and factors of norms, which are 0 and 1 at the start."""
    for part in layer.sublayers():
        if hasattr(part, "_mean") and hasattr(part, "_variance"):
            size = part._mean.shape
            part._mean.set_value(rng.normal(0, 0.2, size).astype(np.float32))
            part._variance.set_value(rng.uniform(0.5, 1.5, size).astype(np.float32))
        norm = "Norm" in type(part).__name__
        for name, values in part.named_parameters(include_sublayers=False):
            if not name.startswith("_") and (norm or name == "bias"):
                spread = rng.uniform(-0.4, 0.4, values.shape).astype(np.float32)
                values.set_value(spread + np.float32(norm and name in ("weight", "scale")))


def save(form: Form, folder: Path) -> None:
    paddle.seed(0)
    layer = (Built, OfTwo)[len(form.shapes) - 1](form)
    layer.eval()
    rng = np.random.default_rng([1, *form.name.encode()])
    inputs: list[Any] = [
        rng.integers(0, form.whole, (PICTURES, *shape))
        if form.whole
        else rng.uniform(form.low, form.high, (PICTURES, *shape)).astype(np.float32)
        for shape in form.shapes
    ]
    pictures = []
    with paddle.no_grad():
        for index in range(PICTURES):
            made = layer(*(paddle.to_tensor(item[index : index + 1]) for item in inputs))
            pictures.append([item.numpy() for item in paddle.utils.flatten(made)])
    specifications = [
        paddle.static.InputSpec([1, *shape], str(inputs[index].dtype), f"x{index}")
        for index, shape in enumerate(form.shapes)
    ]
    paddle.jit.save(layer, str(folder / form.name), input_spec=specifications)
    outputs = {f"y{k}": np.stack(part) for k, part in enumerate(zip(*pictures, strict=True))}
    np.savez(folder / f"{form.name}.npz", **{f"x{k}": x for k, x in enumerate(inputs)}, **outputs)


def main(folder: Path) -> None:
    told: dict[str, str | None] = {}
    for form in FORMS:
        for _ in range(2):  # now and then Paddle 3 trips over an object that is gone
            try:
                save(form, folder)
                told[form.name] = None
                break
            except Exception as error:  # whatever Paddle says of a form of its own
                told[form.name] = " ".join(str(error).split())[:300]
    (folder / "forms.json").write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
