"""Infer function for ImageNet classifiers (`-uds densenet.py -if infer_imagenet_benchmark`).

`-d` names a folder with one sub-folder per class; the class index is its place in sorted order.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image

RESIZE = 256
CROP = 224
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def load(path: Path) -> NDArray[np.float32]:
    """Short side to 256, centre crop 224, normalise: float32 [3, 224, 224]."""
    image = Image.open(path).convert("RGB")
    scale = RESIZE / min(image.size)
    width, height = (max(RESIZE, int(side * scale)) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - CROP) / 2), round((height - CROP) / 2)
    crop = resized.crop((left, top, left + CROP, top + CROP))
    pixels = np.asarray(crop, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))


def samples(folder: Path) -> list[tuple[Path, int]]:
    """Every picture with its class index, in sorted order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        (path, index)
        for index, name in enumerate(classes)
        for path in sorted(name.rglob("*"))
        if path.suffix.lower() in SUFFIXES
    ]


def batches(folder: Path, size: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Pictures [N, 3, 224, 224] and class indices [N]; the last batch may be smaller."""
    found = samples(folder)
    if not found:
        raise ValueError(f"{folder} must hold class folders with pictures, but none was found")
    for first in range(0, len(found), size):
        part = found[first : first + size]
        labels = np.array([label for _, label in part], dtype=np.int64)
        yield np.stack([load(path) for path, _ in part]), labels


@onnx_infer_func.register("infer_imagenet_benchmark")
def infer_imagenet_benchmark(executor: Any) -> float:
    """Top-1 accuracy in percent over `executor.iteration` batches of `executor.dataset`."""
    right = 0
    total = 0
    for number, (x, labels) in enumerate(batches(Path(executor.dataset), executor.batch_size), 1):
        logits = executor.forward(x)[0]
        guesses = np.asarray(logits).reshape(len(labels), -1).argmax(axis=1)
        right += int((guesses == labels).sum())
        total += len(labels)
        if number == executor.iteration:
            break
    return 100 * right / total
