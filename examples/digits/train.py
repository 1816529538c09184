"""Train the digits DenseNet-BC and write everything this folder ships.

    python examples/digits/train.py [--out DIR] [--epochs N] [--seed N]

Needs the extra `[paddle]` and scikit-learn.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import paddle
from network import build
from numpy.typing import NDArray
from paddle import nn
from paddle.base.proto import framework_pb2
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIDE = 32
TEST_PICTURES = 500
CALIBRATION_PICTURES = 200
# The same two numbers as in calibration/digits.toml.
MEAN = 0.31
STD = 0.35
BATCH = 64
LEARNING_RATE = 0.004
NAME = "digits"

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]


def enlarge(picture: NDArray[np.float64]) -> Pictures:
    """8x8 with levels 0..16 to 32x32 with levels 0..255."""
    grey = Image.fromarray(np.rint(picture * (255 / 16)).astype(np.uint8))
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def save_folder(folder: Path, pictures: Pictures, labels: Labels, numbers: Labels) -> None:
    """Write `folder/<label>/<number>.png`; the number is the index in scikit-learn's data set."""
    for picture, label, number in zip(pictures, labels, numbers, strict=True):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, optimize=True)


def to_input(pictures: Pictures) -> NDArray[np.float32]:
    """Grey bytes [N, H, W] to the network's input [N, 3, H, W]."""
    grey = (pictures.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)
    return np.repeat(grey[:, None], 3, axis=1)


def jitter(picture: Pictures, rng: np.random.Generator) -> Pictures:
    """Turn, scale and shift a little; corners that come into view are black like the background."""
    angle = math.radians(rng.uniform(-12, 12))
    zoom = rng.uniform(0.88, 1.14)
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    centre = SIDE / 2
    x, y = centre + rng.uniform(-3, 3), centre + rng.uniform(-3, 3)
    matrix = (
        cosine, sine, centre - cosine * x - sine * y,
        -sine, cosine, centre + sine * x - cosine * y,
    )  # fmt: skip
    image = Image.fromarray(picture)
    turned = image.transform(
        (SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def train(net: nn.Layer, pictures: Pictures, labels: Labels, epochs: int, seed: int) -> None:
    """Adam with decoupled decay and a cosine schedule; the last epoch is kept, whatever it is.

    No picture outside the training part is looked at, so nothing is tuned on the test pictures.
    """
    rng = np.random.default_rng(seed)
    steps = epochs * math.ceil(len(labels) / BATCH)
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(LEARNING_RATE, T_max=steps)
    rate = paddle.optimizer.lr.LinearWarmup(cosine, steps // 20, 0.0, LEARNING_RATE)
    optimizer = paddle.optimizer.AdamW(rate, parameters=net.parameters(), weight_decay=0.02)
    net.train()
    for epoch in range(epochs):
        began = time.monotonic()
        order = rng.permutation(len(labels))
        total = 0.0
        for first in range(0, len(order), BATCH):
            chosen = order[first : first + BATCH]
            batch = np.stack([jitter(picture, rng) for picture in pictures[chosen]])
            logits = net(paddle.to_tensor(to_input(batch)))
            loss = nn.functional.cross_entropy(
                logits, paddle.to_tensor(labels[chosen]), label_smoothing=0.05
            )
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            rate.step()
            total += float(loss) * len(chosen)
        seconds = time.monotonic() - began
        print(f"epoch {epoch + 1}/{epochs}: loss {total / len(labels):.4f}, {seconds:.1f} s")


def accuracy(net: nn.Layer, pictures: Pictures, labels: Labels) -> float:
    """Share of right answers in percent."""
    net.eval()
    with paddle.no_grad():
        logits = net(paddle.to_tensor(to_input(pictures))).numpy()
    return float((logits.argmax(axis=1) == labels).mean() * 100)


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
    """Write `digits.pdparams`, and `digits.pdmodel` with `digits.pdiparams`."""
    net.eval()  # else BatchNorm is exported in its training form
    paddle.save(net.state_dict(), str(folder / f"{NAME}.pdparams"))
    spec = paddle.static.InputSpec([None, 3, SIDE, SIDE], "float32", name="x")
    with paddle.pir_utils.DygraphOldIrGuard():  # Paddle 3 writes .json instead of .pdmodel else
        paddle.jit.save(net, str(folder / NAME), input_spec=[spec])
    strip_call_stacks(folder / f"{NAME}.pdmodel")
    (folder / f"{NAME}.pdiparams.info").unlink(missing_ok=True)  # only for further training


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the digits DenseNet-BC.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    paddle.seed(arguments.seed)

    data = load_digits()
    pictures = np.stack([enlarge(picture) for picture in data.images])
    labels = data.target.astype(np.int64)
    numbers = np.arange(len(labels), dtype=np.int64)
    # The split is fixed: another --seed must not move test pictures into the training part.
    rest, test = train_test_split(numbers, test_size=TEST_PICTURES, stratify=labels, random_state=0)
    _, calibration = train_test_split(
        rest, test_size=CALIBRATION_PICTURES, stratify=labels[rest], random_state=0
    )
    save_folder(out / "test", pictures[test], labels[test], test)
    save_folder(out / "calib", pictures[calibration], labels[calibration], calibration)
    (out / "labels.txt").write_text("".join(f"{digit}:{digit}\n" for digit in range(10)))

    net = build()
    print(f"{sum(parameter.size for parameter in net.state_dict().values())} parameters")
    train(net, pictures[rest], labels[rest], arguments.epochs, arguments.seed)
    save(net, out)
    print(f"accuracy on {len(test)} test pictures: {accuracy(net, pictures[test], labels[test])} %")


if __name__ == "__main__":
    main()
