"""Two small float networks, and their pictures, whose figures are the same on every computer.

Weights and what is fed are whole multiples of small binary fractions, few enough that no sum of a
convolution is ever rounded: neither the processor nor ONNX Runtime can change a value before
quantization. Height, width, channels, frames and outputs are all different numbers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onnx_nets import Net

HEIGHT, WIDTH = 10, 8
PICTURES = {  # seeds by class; the network takes all but the last cat for what they are
    "cat": (102, 106, 113, 116, 118, 107),
    "dog": (101, 104, 105, 109, 110),
    "owl": (100, 103, 108, 112, 114, 119),
}
RECIPE = """\
description = "Whole pixels around zero, in 64ths"
color = "BGR"
resize = "exact"
resize_size = []
interpolation = "nearest"
crop_size = []
divide_by = 1.0
mean = [128.0, 120.0, 112.0]
std = [64.0, 64.0, 64.0]
pad_value = 0.0
layout = "nchw"
"""


def whole(seed: int, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """Integers of [low, high] that no version of numpy draws otherwise."""
    raw = np.random.PCG64(seed).random_raw(int(np.prod(shape))).reshape(shape)
    return (raw % np.uint64(high - low + 1)).astype(np.int64) + low


class Gauge(Net):
    """Convolutions of eighths, kept small enough that no sum is rounded."""

    def layer(
        self,
        x: str,
        y: str,
        shape: tuple[int, ...],
        step: float = 2.0**-3,
        eighths: tuple[int, ...] | None = None,
        **more: object,
    ) -> str:
        """``eighths``: the bias; else it is drawn, as the weights are."""
        place = len(self.weights)
        kernel = whole(place, shape, -7, 7).astype(np.float32) * np.float32(step)
        drawn = whole(place + 1, shape[:1], -9, 9) if eighths is None else np.array(eighths)
        bias = drawn.astype(np.float32) / np.float32(8)
        names = [self.weight(f"{y}_w", kernel), self.weight(f"{y}_b", bias)]
        return self.node("Conv", [x, *names], y, kernel_shape=list(shape[2:]), **more)


def classifier(folder: Path) -> None:
    """``net.onnx``: classes behind a Softmax of the host, and a map; pictures, recipe, frames."""
    net = Gauge(13)
    net.input("x", ("N", 3, HEIGHT, WIDTH))
    net.layer("x", "stem_c", (6, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 1])
    net.node("Relu", ["stem_c"], "stem")
    net.layer("stem", "deep", (6, 1, 3, 3), 2.0**-4, pads=[1, 1, 1, 1], group=6)
    net.layer("deep", "narrow", (4, 6, 1, 1), 2.0**-4)
    net.layer("stem", "side", (4, 6, 1, 1), 2.0**-4)
    net.node("Add", ["narrow", "side"], "sum")
    net.node("HardSigmoid", ["narrow"], "gate", alpha=0.25, beta=0.5)
    net.node("Concat", ["sum", "gate"], "map", axis=1)
    net.node("MaxPool", ["sum"], "pooled", kernel_shape=[2, 2], strides=[1, 2])
    net.node("GlobalAveragePool", ["pooled"], "mean")
    net.layer("mean", "logits", (3, 4, 1, 1), eighths=(2, 6, -1))
    net.node("Flatten", ["logits"], "flat", axis=1)
    net.node("Softmax", ["flat"], "scores", axis=1)
    net.save(folder, "scores", "map")
    for label, seeds in PICTURES.items():
        (folder / "pics" / label).mkdir(parents=True)
        for index, seed in enumerate(seeds):
            pixels = whole(seed, (HEIGHT, WIDTH, 3), 0, 255) // 2 + whole(seed, (1, 1, 3), 0, 127)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"pics/{label}/{index}.png")
    (folder / "gauge.toml").write_text(RECIPE, encoding="utf-8")
    (folder / "labels.txt").write_text("\n".join(PICTURES) + "\n", encoding="utf-8")
    frames = whole(7, (5, 3, HEIGHT, WIDTH), -128, 127).astype(np.float32) / 64
    np.save(folder / "frames.npy", frames)


def two_inputs(folder: Path) -> None:
    """``net.onnx``, of a picture and of numbers, the config of ``quant`` and what both are fed."""
    net = Gauge(13)
    net.input("a", (1, 3, 6, 5))
    net.input("b", (1, 4, 6, 5))
    net.layer("a", "left", (4, 3, 3, 3), pads=[1, 1, 1, 1])
    net.node("Add", ["left", "b"], "sum")
    net.layer("sum", "wide", (5, 4, 1, 1), 2.0**-4)
    net.node("Relu", ["wide"], "wide_r")
    net.layer("wide_r", "end", (2, 5, 3, 3), 2.0**-4)
    net.save(folder, "end", "sum")
    for name in ("a", "b"):
        (folder / name).mkdir()
    for index in range(3):
        pixels = whole(200 + index, (6, 5, 3), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"a/{index}.png")
        numbers = whole(300 + index, (4, 6, 5), -255, 255).astype(np.float32) / 8
        np.save(folder / f"b/{index}.npy", numbers)
    inputs = [
        {"input_name": "a", "quant_data_format": "Image", "data_dir": "a", "color_space": "BGR",
         "mean": "96 128 112", "std": "32", "quantize_input_dtype": "uint8"},
        {"input_name": "b", "quant_data_format": "Numpy", "data_dir": "b"},
    ]  # fmt: skip
    section = {"model": "net.onnx", "iteration": 3, "input-configs": inputs}
    (folder / "c.json").write_text(json.dumps({"quant": section}), encoding="utf-8")
