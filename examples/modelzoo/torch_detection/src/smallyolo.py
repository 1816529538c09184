"""A detector as YOLO's users write it: a repository beside, a head cut off, concrete arguments."""

import os

import numpy as np
import torch
from models.network import Detector
from onnx_quantize_tool.common.register import onnx_infer_func, pytorch_model
from PIL import Image

IMAGE_SIZE = (96, 96)
GREY = 114


class Heads(torch.nn.Module):
    """Stands for the decoder: what the convolutions give is decoded by the script."""

    def __init__(self, convolutions):
        super().__init__()
        self.m = convolutions

    def forward(self, x):
        return [conv(level) for conv, level in zip(self.m, x, strict=True)]


@pytorch_model.register("smallyolo")
def smallyolo(weight_path=None):
    model = Detector()
    if weight_path:
        model.load_state_dict(torch.load(weight_path, map_location="cpu")["model"])
    model.detect = Heads(model.detect.m)
    return {
        "model": model,
        "inputs": [torch.randn((1, 3, *IMAGE_SIZE))],
        "concrete_args": {"augment": False, "profile": False, "visualize": False, "val": True},
    }


def letterbox(path):
    """uint8 [1, 3, 96, 96]: the picture in the middle of a grey square."""
    image = Image.open(path).convert("RGB")
    image.thumbnail(IMAGE_SIZE[::-1])
    square = Image.new("RGB", IMAGE_SIZE[::-1], (GREY, GREY, GREY))
    square.paste(image, ((square.width - image.width) // 2, (square.height - image.height) // 2))
    return np.asarray(square, np.uint8).transpose(2, 0, 1)[None].copy()


def strongest(heads):
    """The highest objectness of all cells and levels, 0 to 1."""
    best = [torch.from_numpy(head)[:, 4].max().item() for head in heads]
    return 1 / (1 + np.exp(-max(best)))


def pictures(yaml_path):
    """The pictures of a coco128.yaml."""
    with open(yaml_path) as file:
        found = dict(line.split(": ", 1) for line in file.read().splitlines() if ": " in line)
    folder = os.path.join(os.path.dirname(os.path.abspath(yaml_path)), found["val"])
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


@onnx_infer_func.register("smallyolo_quant")
def smallyolo_quant(executor):
    scores = []
    for i, path in enumerate(pictures(executor.dataset)):
        scores.append(strongest(executor.forward(letterbox(path))))
        if i + 1 == executor.iteration:
            break
    return float(np.mean(scores))


@onnx_infer_func.register("smallyolo_infer")
def smallyolo_infer(executor):
    print("strongest:", strongest(executor.forward(letterbox(executor.dataset))))
