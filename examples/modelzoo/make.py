"""Lay out five projects in the way of Knight's model zoo, with small networks and made-up data.

    python examples/modelzoo/make.py OUTDIR

``classification`` is the trained network of examples/digits with its pictures. The networks of
``detection`` (coloured squares) and ``ocr`` (lines of digits) are not trained but written down:
averages and matched filters that really find what the pictures show. Those of
``torch_classification`` and ``torch_detection`` are built by functions of their scripts, which need
torch and torchvision; ``src/make_weight.py`` in them makes a checkpoint.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parent / "digits"
Weights = NDArray[np.float32]
OPSET = 14

SIDE = 24  # of a coloured square in pixels
PICTURES, LINES = 20, 12
COLOURS = ((230, 40, 30), (40, 220, 50), (30, 60, 240))
FONT = (  # digits of 3 x 5 dots
    "111101101101111", "010110010010111", "111001111100111", "111001111001111", "101101111001001",
    "111100111001111", "111100111101111", "111001001001001", "111101111101111", "111101111001111",
)  # fmt: skip


class Model:
    """Collects convolutions and writes them as one ONNX file."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def conv(
        self, x: str, y: str, weights: Weights, bias: Weights, relu: bool = False, **options: object
    ) -> str:
        """``y`` = Conv(``x``), with a Relu behind it where ``relu``."""
        names = [f"{y}/weight", f"{y}/bias"]
        for name, values in zip(names, (weights, bias), strict=True):
            self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        before = f"{y}/linear" if relu else y
        self.nodes.append(helper.make_node("Conv", [x, *names], [before], f"{y}/conv", **options))
        if relu:
            self.nodes.append(helper.make_node("Relu", [before], [y], f"{y}/relu"))
        return y

    def save(self, path: Path, x: str, shape: list[int | str], outputs: list[str]) -> None:
        """Write the model; the shapes of ``outputs`` are left to inference."""
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(onnx.shape_inference.infer_shapes(model), str(path))


# ------------------------------------------------------------------ detection


def head(size: float) -> tuple[Weights, Weights]:
    """1x1 weights and bias from mean red, green, blue to (x, y, w, h, object, classes).

    ``size``: of a square in cells. An object is where one colour is far above the others.
    """
    weights = np.zeros((8, 3, 1, 1), np.float32)
    for colour in range(3):
        weights[5 + colour, :, 0, 0] = -8
        weights[5 + colour, colour, 0, 0] = 16
    weights[4] = 12
    bias = np.array([0.5, 0.5, np.log(size), np.log(size), -9, -2, -2, -2], np.float32)
    return weights, bias


def detector(path: Path) -> None:
    """Means of 8x8 pixels, means of 3x3 of these, and a head; the same at half the size."""
    model = Model()
    same = np.eye(3, dtype=np.float32)[:, :, None, None]
    nothing = np.zeros(3, np.float32)
    cells = model.conv(
        "images", "cells", same * np.ones((1, 1, 8, 8)) / 64, nothing, relu=True,
        kernel_shape=[8, 8], strides=[8, 8],
    )  # fmt: skip
    near = model.conv(
        cells, "near", same * np.ones((1, 1, 3, 3)) / 9, nothing, relu=True, kernel_shape=[3, 3],
        pads=[1, 1, 1, 1],
    )  # fmt: skip
    coarse = model.conv(
        near, "coarse", same * np.ones((1, 1, 2, 2)) / 4, nothing, relu=True, kernel_shape=[2, 2],
        strides=[2, 2],
    )  # fmt: skip
    model.conv(near, "head8", *head(SIDE / 8), kernel_shape=[1, 1])
    model.conv(coarse, "head16", *head(SIDE / 16), kernel_shape=[1, 1])
    model.save(path, "images", [1, 3, 96, 96], ["head8", "head16"])


def squares(folder: Path, rng: np.random.Generator) -> None:
    """A data set as coco128 has it: dark pictures with one coloured square each."""
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir(parents=True)
    for number in range(PICTURES):
        width, height = (96, 72) if number % 2 else (72, 96)
        pixels = rng.integers(0, 40, (height, width, 3)).astype(np.uint8)
        left, top = rng.integers(0, width - SIDE), rng.integers(0, height - SIDE)
        kind = int(rng.integers(0, len(COLOURS)))
        pixels[top : top + SIDE, left : left + SIDE] = COLOURS[kind]
        Image.fromarray(pixels).save(folder / "images" / "val" / f"{number:04d}.png")
        box = (left + SIDE / 2) / width, (top + SIDE / 2) / height, SIDE / width, SIDE / height
        text = f"{kind} " + " ".join(f"{value:.6f}" for value in box)
        (folder / "labels" / "val" / f"{number:04d}.txt").write_text(text + "\n")


# ------------------------------------------------------------------ text


def glyph(digit: int) -> Weights:
    """A digit as 32 x 16 pixels of 0 and 1."""
    dots = np.array(list(FONT[digit]), np.float32).reshape(5, 3)
    cell = np.zeros((32, 16), np.float32)
    cell[2:, 4:] = np.kron(dots, np.ones((6, 4), np.float32))
    return cell


def recognizer(path: Path) -> None:
    """Means of 2x4 pixels, then one matched filter per digit, a column of which reads a digit."""
    model = Model()
    means = model.conv(
        "x", "means", np.full((1, 3, 2, 4), 1 / 24, np.float32), np.ones(1, np.float32),
        relu=True, kernel_shape=[2, 4], strides=[2, 4],
    )  # fmt: skip
    small = np.stack([glyph(digit).reshape(16, 2, 4, 4).mean(axis=(1, 3)) for digit in range(10)])
    filters = small - small.mean(axis=(1, 2), keepdims=True)
    filters /= np.sqrt((filters**2).sum(axis=(1, 2), keepdims=True))
    model.conv(
        means, "scores", filters[:, None], np.zeros(10, np.float32), kernel_shape=[16, 4],
        strides=[16, 4],
    )  # fmt: skip
    model.save(path, "x", ["N", 3, 32, "W"], ["scores"])


def lines(folder: Path, rng: np.random.Generator) -> None:
    """Pictures of six digits, a little noisy, and ``label.txt``."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(LINES):
        digits = rng.integers(0, 10, 6)
        clean = np.concatenate([glyph(int(digit)) for digit in digits], axis=1)
        noisy = np.clip(40 + 180 * clean + rng.normal(0, 12, clean.shape), 0, 255)
        Image.fromarray(noisy.astype(np.uint8)).save(folder / f"{number:02d}.png")
        rows.append(f"{number:02d}.png\t{''.join(map(str, digits))}\n")
    (folder / "label.txt").write_text("".join(rows))


# ------------------------------------------------------------------ projects


def folders(target: Path, count: int) -> None:
    """A folder per digit with so many pictures of examples/digits, as ImageFolder reads them."""
    for label in "0123456789":
        (target / label).mkdir(parents=True)
        for path in sorted((DIGITS / "calib" / label).iterdir())[:count]:
            shutil.copy(path, target / label)


def make(out: Path) -> None:
    """Copy the five projects to ``out`` and add networks and data."""
    rng = np.random.default_rng(0)
    for name in ("classification", "detection", "ocr", "torch_classification", "torch_detection"):
        shutil.copytree(HERE / name, out / name, ignore=shutil.ignore_patterns("__pycache__"))
    target = out / "classification"
    (target / "weight").mkdir()
    for name in ("digits.pdmodel", "digits.pdiparams"):
        shutil.copy(DIGITS / name, target / "weight" / name)
    shutil.copy(DIGITS / "labels.txt", target / "data")
    demo = DIGITS / "test" / "3" / "0045.png"
    shutil.copy(demo, target / "data" / "demo.png")
    folders(target / "data" / "calib", 4)
    folders(out / "torch_classification" / "data" / "val", 2)
    shutil.copy(demo, out / "torch_classification" / "data" / "demo.png")
    detector(out / "detection" / "weight" / "detector.onnx")
    squares(out / "detection" / "data" / "squares", rng)
    images = out / "torch_detection" / "data" / "images"
    shutil.copytree(out / "detection" / "data" / "squares" / "images", images)
    shutil.copy(images / "val" / "0003.png", out / "torch_detection" / "data" / "demo.png")
    (out / "torch_detection" / "data" / "coco128.yaml").write_text("val: images/val\nnc: 3\n")
    names = "".join(f"  {place}: {name}\n" for place, name in enumerate(("red", "green", "blue")))
    text = f"path: squares  # relative to this file\nval: images/val\nnames:\n{names}"
    (out / "detection" / "data" / "coco128.yaml").write_text(text)
    recognizer(out / "ocr" / "weight" / "recognizer.onnx")
    lines(out / "ocr" / "data" / "lines", rng)
    shutil.copy(out / "ocr" / "data" / "lines" / "00.png", out / "ocr" / "data" / "demo.png")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/modelzoo/make.py OUTDIR")
    make(Path(sys.argv[1]))
