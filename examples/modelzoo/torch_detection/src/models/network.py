"""The network, as the repository that a project of the zoo asks for would have it."""

import torch
from torch import nn

CLASSES, LEVELS = 3, (16, 32)


def block(channels, wider):
    return nn.Sequential(
        nn.Conv2d(channels, wider, 3, stride=2, padding=1), nn.BatchNorm2d(wider), nn.SiLU()
    )


class Detect(nn.Module):
    """Convolutions per level, and in training form their decoder."""

    def __init__(self):
        super().__init__()
        self.m = nn.ModuleList([nn.Conv2d(channels, 5 + CLASSES, 1) for channels in LEVELS])

    def forward(self, x):
        return torch.cat([conv(level).flatten(2) for conv, level in zip(self.m, x, strict=True)], 2)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(block(3, 8), block(8, 16))
        self.down = block(16, 32)
        self.detect = Detect()

    def forward(self, x, augment=False, profile=False):
        if augment or profile:
            raise NotImplementedError
        fine = self.stem(x)
        return self.detect([fine, self.down(fine)])
