"""Classification in the way of Knight's model zoo: one folder per class, top-1."""

import os

import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image

MEAN, STD = 0.31, 0.35
SUFFIXES = (".jpg", ".jpeg", ".png")


class ImageFolder:
    """Pictures of ``root/<class>/*`` in sorted order, with the class's place as label."""

    def __init__(self, root, transform):
        self.classes = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
        self.transform = transform
        self.samples = [
            (os.path.join(root, name, file), label)
            for label, name in enumerate(self.classes)
            for file in sorted(os.listdir(os.path.join(root, name)))
            if file.lower().endswith(SUFFIXES)
        ]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        return self.transform(Image.open(path).convert("RGB")), label


def preprocess(image):
    x = np.asarray(image.resize((32, 32)), np.float32) / 255
    return ((x - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def pixels(image):
    """For a network with mean, std and uint8 in its run-config: it normalizes itself."""
    return np.asarray(image.resize((32, 32)), np.uint8).transpose(2, 0, 1)


def loader(dataset, batch_size):
    for first in range(0, len(dataset), batch_size):
        items = [dataset[i] for i in range(first, min(first + batch_size, len(dataset)))]
        yield np.stack([x for x, _ in items]), np.array([y for _, y in items])


@onnx_infer_func.register("infer_classification")
def infer_classification(executor):
    return top1_of(executor, preprocess)


@onnx_infer_func.register("infer_classification_pixels")
def infer_classification_pixels(executor):
    return top1_of(executor, pixels)


def top1_of(executor, transform):
    dataset = ImageFolder(executor.dataset, transform)
    top1 = total = 0
    for i, (x, y) in enumerate(loader(dataset, executor.batch_size)):
        outs = executor.forward(x)
        top1 += int((outs[0].reshape(len(y), -1).argmax(axis=1) == y).sum())
        total += len(y)
        if i + 1 == executor.iteration:
            break
    print(f"top1: {top1 / total:.4f}")
    return 100 * top1 / total


@onnx_infer_func.register("infer_image")
def infer_image(executor):
    """One picture: its five best classes, and what the simulator is fed with."""
    best_five(executor, preprocess)


@onnx_infer_func.register("infer_image_pixels")
def infer_image_pixels(executor):
    best_five(executor, pixels)


def best_five(executor, transform):
    x = transform(Image.open(executor.dataset).convert("RGB"))[None]
    scores = executor.forward(x)[0].reshape(-1)
    os.makedirs(executor.save_dir, exist_ok=True)
    x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
    with open("data/labels.txt") as file:
        labels = dict(line.strip().split(":", 1) for line in file)  # idx:name
    for place in np.argsort(-scores)[:5]:
        print(f"{labels[str(place)]}: {scores[place]:.4f}")
