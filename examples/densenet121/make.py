"""Make a seeded ImageNet-sized model with pictures and simulator input: no download, no accuracy.

    python examples/densenet121/make.py OUTDIR [--network densenet121] [--seed 0]

Needs the extra `[paddle]`. The convolutions keep their random start values. With BatchNorm's start
values such a network answers every picture alike, so its statistics are measured on synthetic
pictures; and the last layer is fitted to tell the ten kinds of picture apart, so that top-1 in the
class folders is far from zero and shows what quantising costs. It says nothing about new pictures.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import paddle
from make_image_input_onnx import prepare, write_input
from numpy.typing import NDArray
from paddle import nn
from paddle.base.proto import framework_pb2
from pictures import KINDS, picture
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
NETWORKS = ("densenet121", "resnet18", "mobilenet_v2")
HIDDEN_BATCHES = 4
PICTURES_PER_KIND = 2
# Logits: of the right kind, and the spread of the 990 classes that never are right.
FITTED_LOGIT = 8.0
SPREAD = 0.5
# Penalty relative to the mean power of the features; small enough to fit every picture.
RIDGE = 0.02

Batch = NDArray[np.float32]
Features = NDArray[np.float64]


def hidden_batch(rng: np.random.Generator) -> Batch:
    """New pictures of each kind in the order of kinds, [20, 3, 224, 224]."""
    kinds = np.repeat(np.arange(len(KINDS)), PICTURES_PER_KIND)
    return np.stack([prepare(picture(int(kind), rng)) for kind in kinds])


def shown_batches(folder: Path) -> list[Batch]:
    """The pictures of `save_pictures`, once as the simulator and once as calibration sees them."""
    images = [Image.open(path) for path in sorted(folder.rglob("*.jpg"))]
    squares = [ImageOps.fit(image, (256, 256), Image.Resampling.BILINEAR) for image in images]
    return [np.stack([prepare(image) for image in view]) for view in (images, squares)]


def measure_statistics(net: nn.Layer, batches: list[Batch]) -> None:
    """Set each BatchNorm's running mean and variance to the average over all batches."""
    norms = [layer for layer in net.sublayers() if hasattr(layer, "_momentum")]
    net.train()
    with paddle.no_grad():
        for done, batch in enumerate(batches):
            for norm in norms:
                # Share of the old value: this way the running value is the plain average.
                norm._momentum = done / (done + 1)
            net(paddle.to_tensor(batch))
    for norm in norms:
        norm._momentum = 0.9
    net.eval()


def calm_depthwise(net: nn.Layer) -> None:
    """Make depthwise kernels positive, so that they smooth.

    Random ones sharpen: over MobileNet's many layers a rounding of the input changed the answer.
    """
    for layer in net.sublayers():
        if isinstance(layer, nn.Conv2D) and layer._groups > 1:
            layer.weight.set_value(layer.weight.abs())


def classifier(net: nn.Layer) -> nn.Linear:
    """The last fully connected layer."""
    return [layer for layer in net.sublayers() if isinstance(layer, nn.Linear)][-1]


def features(net: nn.Layer, batches: list[Batch]) -> Features:
    """What reaches the last layer, [pictures, channels]."""
    seen: list[Features] = []

    def keep(_: nn.Layer, inputs: tuple[paddle.Tensor]) -> tuple[paddle.Tensor]:
        seen.append(inputs[0].numpy().astype(np.float64))
        return inputs

    hook = classifier(net).register_forward_pre_hook(keep)
    logits(net, batches)
    hook.remove()
    return np.concatenate(seen)


def fit_classifier(net: nn.Layer, batches: list[Batch]) -> None:
    """Ridge regression for the kinds of picture; all other classes keep centred random rows."""
    last = classifier(net)
    inputs = features(net, batches)
    centre = inputs.mean(axis=0)
    inputs = inputs - centre
    kinds = np.tile(np.repeat(np.arange(len(KINDS)), PICTURES_PER_KIND), len(batches))
    wanted = FITTED_LOGIT * np.eye(len(KINDS))[kinds]

    weight = last.weight.numpy().astype(np.float64)
    weight *= SPREAD / (inputs @ weight).std()
    gram = inputs @ inputs.T
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    weight[:, : len(KINDS)] = inputs.T @ np.linalg.solve(gram, wanted - wanted.mean(axis=0))
    bias = -(centre @ weight)
    bias[: len(KINDS)] += wanted.mean(axis=0)
    last.weight.set_value(weight.astype(np.float32))
    last.bias.set_value(bias.astype(np.float32))


def logits(net: nn.Layer, batches: list[Batch]) -> Batch:
    """The network's answers, [pictures, classes]."""
    with paddle.no_grad():
        return np.concatenate([net(paddle.to_tensor(batch)).numpy() for batch in batches])


def strip_call_stacks(path: Path) -> None:
    """Drop the Python call stacks from a `.pdmodel`: they hold the paths of this machine."""
    program = framework_pb2.ProgramDesc()
    program.ParseFromString(path.read_bytes())
    for block in program.blocks:
        for operator in block.ops:
            kept = [attribute for attribute in operator.attrs if attribute.name != "op_callstack"]
            del operator.attrs[:]
            operator.attrs.extend(kept)
    path.write_bytes(program.SerializeToString(deterministic=True))


def save(net: nn.Layer, folder: Path) -> None:
    """Write `model.pdmodel`, `model.pdiparams` and the same two as `D`."""
    spec = paddle.static.InputSpec([None, 3, 224, 224], "float32", name="x")
    with paddle.pir_utils.DygraphOldIrGuard():  # Paddle 3 writes .json instead of .pdmodel else
        paddle.jit.save(net, str(folder / "model"), input_spec=[spec])
    (folder / "model.pdiparams.info").unlink(missing_ok=True)  # only for further training
    strip_call_stacks(folder / "model.pdmodel")
    for suffix in (".pdmodel", ".pdiparams"):
        shutil.copyfile(folder / f"model{suffix}", folder / f"D{suffix}")


def save_pictures(folder: Path, rng: np.random.Generator) -> None:
    """Write `folder/n000/00.jpg` and so on, one class folder per kind."""
    for kind in range(len(KINDS)):
        for number in range(PICTURES_PER_KIND):
            path = folder / f"n{kind:03d}" / f"{number:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(kind, rng).save(path, quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a seeded model, pictures and input.")
    parser.add_argument("outdir", type=Path)
    parser.add_argument("--network", choices=NETWORKS, default="densenet121")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out: Path = arguments.outdir
    out.mkdir(parents=True, exist_ok=True)

    rng = np.random.default_rng(arguments.seed)
    save_pictures(out / "DIR", rng)
    write_input(out / "DIR", out)
    for name in ("densenet.py", "make_image_input_onnx.py"):
        shutil.copyfile(HERE / name, out / name)

    paddle.seed(arguments.seed)
    net = getattr(paddle.vision.models, arguments.network)(pretrained=False)
    batches = [*shown_batches(out / "DIR"), *(hidden_batch(rng) for _ in range(HIDDEN_BATCHES))]
    calm_depthwise(net)
    measure_statistics(net, batches)
    fit_classifier(net, batches)
    save(net, out)

    answers = logits(net, [np.fromfile(out / "model_input.bin", "<f4").reshape(-1, 3, 224, 224)])
    spread = float(answers.std(axis=0).mean())
    print(f"{out}: {arguments.network}, logits vary by {spread:.3f} between the ten pictures")


if __name__ == "__main__":
    main()
