"""The infer functions that the scripts of a project share, as the zoo's scripts hold them."""

import os

import numpy as np
import torch
from onnx_quantize_tool.common.register import onnx_infer_func
from PIL import Image
from torchvision import datasets, transforms

FILL = 114  # grey of the borders that detectors' pictures get


def pixels(picture):
    """What the transforms give, back in the integers that the quantized network takes."""
    return (picture.numpy() * 255).astype(np.uint8)


def side(executor):
    """Of the square pictures; the run-config's data folder is named after it."""
    return int(os.path.basename(os.path.dirname(os.path.abspath(executor.dataset))))


@onnx_infer_func.register("infer_imagenet_benchmark")
def infer_imagenet_benchmark(executor):
    size = side(executor)
    prepare = transforms.Compose(
        [transforms.Resize(size * 8 // 7), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(executor.dataset, prepare),
        batch_size=executor.batch_size,
        shuffle=False,
        num_workers=0,
        pin_memory=executor.gpu >= 0,
    )
    right = seen = 0
    for i, (pictures, labels) in enumerate(loader):
        x = pixels(pictures)
        scores = torch.from_numpy(executor.forward(x)[0])
        right += (scores.argmax(1) == labels).sum().item()
        seen += len(labels)
        if i == 0:
            x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
        if i + 1 == executor.iteration:
            break
    print(f" * Prec@1 {100 * right / seen:.3f}")
    return 100 * right / seen


def letterbox(picture, size):
    """Scaled to fit a square, the rest grey: u8 [1, 3, size, size]."""
    ratio = size / max(picture.size)
    small = picture.resize([max(round(length * ratio), 1) for length in picture.size])
    canvas = Image.new("RGB", (size, size), (FILL, FILL, FILL))
    canvas.paste(small, ((size - small.size[0]) // 2, (size - small.size[1]) // 2))
    return np.ascontiguousarray(np.asarray(canvas).transpose(2, 0, 1)[None])


def found(outputs):
    """Share of the cells whose best score is above their mean, a stand-in for boxes that match."""
    scores = np.concatenate([np.asarray(output).reshape(len(output), -1) for output in outputs], 1)
    return 100 * float((scores > scores.mean()).mean())


@onnx_infer_func.register("infer_detector")
def infer_detector(executor):
    size = side(executor)
    folder = os.path.join(executor.dataset, sorted(os.listdir(executor.dataset))[0])
    shares = []
    for i, name in enumerate(sorted(os.listdir(folder))):
        x = letterbox(Image.open(os.path.join(folder, name)).convert("RGB"), size)
        shares.append(found(executor.forward(x)))
        if i == 0:
            x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
        if i + 1 == executor.iteration:
            break
    return float(np.mean(shares))
