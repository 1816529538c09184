"""Make one network of Paddle's zoo with seeded weights: ``paddle_zoo.py NETWORK OUTDIR``.

For an interpreter with paddlepaddle 3.3.1 and PaddleClas 2.6.0 (``--no-deps``); one network per
process, since PaddleClas names its parameters by hand. Writes ``model.pdmodel`` and its weights.

Fresh weights make poor networks: without BatchNorm activations die out, with its start statistics
every picture is answered alike. So pictures are sent through once, and as they come by every
convolution and matrix is scaled to an output of spread 1, and every BatchNorm takes the
statistics of what it sees, with a random gain and offset of its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before paddle is imported: Paddle 3 writes .json instead of .pdmodel else.
os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112  # Paddle spells it so

import numpy as np
import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper
from paddle.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import paddle_nets
from zoo_networks import BY_NAME, Zoo

from seeded_pictures import pictures

MEASURED = 8  # pictures
# Of BatchNorms, in units of the spread: about one value in six is below zero then. With half of
# them below, a random network is chaotic: over a hundred layers, a rounding grows to everything.
OFFSET = 1.0
SEED = 0
SMALLEST = 1e-6  # of a spread that is worth scaling
BACKBONES = "paddleclas.ppcls.arch.backbone"


# ------------------------------------------------------------------ where definitions are


def stub(name: str, path: Path | None = None, **members: Any) -> None:
    """A module that is only its members and the files under ``path``."""
    module = types.ModuleType(name)
    module.__path__ = [] if path is None else [str(path)]
    module.__dict__.update(members)
    sys.modules[name] = module


def backbone(file: str) -> types.ModuleType:
    """A PaddleClas backbone file by itself: the package wants OpenCV, faiss and more."""
    found = importlib.util.find_spec("paddleclas")
    if found is None or not found.submodule_search_locations:
        sys.exit("needs paddleclas==2.6.0, installed with --no-deps")
    root = Path(found.submodule_search_locations[0])
    stub("paddleclas", root)
    for name in ("ppcls", "ppcls.arch", "ppcls.arch.backbone"):
        stub(f"paddleclas.{name}", root.joinpath(*name.split(".")))
    for name in ("base", "legendary_models", "model_zoo"):
        stub(f"{BACKBONES}.{name}", root / "ppcls" / "arch" / "backbone" / name)
    quiet = logging.getLogger("paddleclas")
    stub("paddleclas.ppcls.utils", logger=quiet)
    stub("paddleclas.ppcls.utils.save_load", load_dygraph_pretrain=None)
    return importlib.import_module(f"{BACKBONES}.{file}")


def build(network: Zoo) -> nn.Layer:
    """The network with Paddle's start values."""
    if network.file == "vision":
        return getattr(paddle.vision.models, network.made_by)(pretrained=False)
    if network.file == "here":
        return getattr(paddle_nets, network.made_by)()
    return getattr(backbone(network.file), network.made_by)(pretrained=False)


def restore_old_operators() -> None:
    """Paddle 3.3.1 has lost the way to .pdmodel of these two: put it back."""
    multiply, sigmoid = paddle.multiply, functional.sigmoid

    def static_multiply(x: Any, y: Any, name: str | None = None) -> Any:
        return multiply(x, y) if paddle.in_dynamic_mode() else x * y

    def static_sigmoid(x: Any, name: str | None = None) -> Any:
        if paddle.in_dynamic_mode():
            return sigmoid(x)
        helper = LayerHelper("sigmoid")
        output = helper.create_variable_for_type_inference(x.dtype)
        helper.append_op(type="sigmoid", inputs={"X": x}, outputs={"Out": output})
        return output

    paddle.multiply, functional.sigmoid = static_multiply, static_sigmoid


# ------------------------------------------------------------------ weights


def scaled(rng: np.random.Generator) -> Callable[..., paddle.Tensor]:
    """A hook that scales a layer's weights, so that its output has mean 0 or so and spread 1."""

    def hook(layer: nn.Layer, inputs: tuple[paddle.Tensor], output: paddle.Tensor) -> paddle.Tensor:
        if layer.bias is not None:
            layer.bias.set_value(paddle.zeros_like(layer.bias))
            output = layer.forward(*inputs)
        spread = float(output.std())
        if spread > SMALLEST:
            layer.weight.set_value(layer.weight / spread)
        if layer.bias is not None:
            noise = rng.normal(0, 0.2, layer.bias.shape).astype(np.float32)
            layer.bias.set_value(paddle.to_tensor(noise))
        return layer.forward(*inputs)

    return hook


def measured(rng: np.random.Generator) -> Callable[..., None]:
    """A hook before a BatchNorm: the old values count for nothing, the batch's own are kept."""

    def hook(layer: nn.Layer, inputs: tuple[paddle.Tensor]) -> None:
        layer._momentum = 0.0
        if layer.weight is not None:
            count = layer.weight.shape
            gain, offset = rng.uniform(0.6, 1.4, count), rng.normal(OFFSET, 0.3, count)
            layer.weight.set_value(paddle.to_tensor(gain.astype(np.float32)))
            layer.bias.set_value(paddle.to_tensor(offset.astype(np.float32)))

    return hook


def bring_to_life(net: nn.Layer, batch: np.ndarray[Any, Any]) -> None:
    """Send pictures through and set weights and statistics as they pass; once for each layer."""
    rng = np.random.default_rng(SEED)
    net.eval()
    hooks = []
    for layer in net.sublayers():
        if isinstance(layer, nn.Conv2D | nn.Conv2DTranspose | nn.Linear):
            hooks.append(layer.register_forward_post_hook(scaled(rng)))
        elif isinstance(layer, nn.BatchNorm | nn.BatchNorm2D):
            layer.training = True
            hooks.append(layer.register_forward_pre_hook(measured(rng)))
    with paddle.no_grad():
        net(paddle.to_tensor(batch))
    for hook in hooks:
        hook.remove()
    net.eval()


# ------------------------------------------------------------------ files


def make(network: Zoo, folder: Path) -> None:
    restore_old_operators()
    paddle.seed(SEED)
    net = build(network)
    shape = (3, network.size, network.size)
    bring_to_life(net, pictures(MEASURED, shape, seed=0))
    folder.mkdir(parents=True, exist_ok=True)
    spec = paddle.static.InputSpec([None, *shape], "float32", name="x")
    paddle.jit.save(net, str(folder / "model"), input_spec=[spec])
    (folder / "model.pdiparams.info").unlink(missing_ok=True)  # only for further training


if __name__ == "__main__":
    make(BY_NAME[sys.argv[1]], Path(sys.argv[2]))
