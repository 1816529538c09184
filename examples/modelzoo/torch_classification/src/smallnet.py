"""Classification as torchvision's users write it: a model function, ImageFolder and DataLoader."""

import os

import numpy as np
import torch
from onnx_quantize_tool.common.register import onnx_infer_func, pytorch_model
from PIL import Image
from torch import nn
from torchvision import datasets, transforms

CLASSES = 10
PREPARE = transforms.Compose(
    [transforms.Resize(36), transforms.CenterCrop(32), transforms.ToTensor()]
)


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(32, CLASSES)

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


@pytorch_model.register("smallnet")
def smallnet(weight_path):
    model = SmallNet()
    if weight_path:
        model.load_state_dict(torch.load(weight_path, map_location="cpu"), strict=True)
    return {"model": model, "inputs": [torch.randn((1, 3, 32, 32))]}


def pixels(picture):
    """What the transforms give, back in the integers that the quantized network takes."""
    return (picture.numpy() * 255).astype(np.uint8)


@onnx_infer_func.register("infer_benchmark")
def infer_benchmark(executor):
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(executor.dataset, PREPARE),
        batch_size=executor.batch_size,
        shuffle=False,
        num_workers=0,
        pin_memory=executor.gpu >= 0,
    )
    right = seen = 0
    for i, (pictures, labels) in enumerate(loader):
        scores = executor.forward(pixels(pictures))[0]
        right += (torch.from_numpy(scores).argmax(1) == labels).sum().item()
        seen += len(labels)
        if i + 1 == executor.iteration:
            break
    print(f"top1 {100 * right / seen:.2f} of {seen} pictures")
    return 100 * right / seen


@onnx_infer_func.register("infer_image")
def infer_image(executor):
    picture = PREPARE(Image.open(executor.dataset).convert("RGB"))
    x = pixels(picture)[None]
    x.tofile(os.path.join(executor.save_dir, "model_input.bin"))
    scores = torch.from_numpy(executor.forward(x)[0])
    print("best class:", scores.argmax(1).item())
