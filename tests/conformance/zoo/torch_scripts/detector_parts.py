"""What the detectors of the zoo are put together from."""

import torch
from torch import nn


def conv(inputs, outputs, kernel=1, stride=1, groups=1, act=nn.SiLU):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if act is None else [act()]))


class Residual(nn.Module):
    def __init__(self, width, first=1, shortcut=True, act=nn.SiLU):
        super().__init__()
        self.body = nn.Sequential(
            conv(width, width, first, act=act), conv(width, width, 3, act=act)
        )
        self.shortcut = shortcut

    def forward(self, x):
        return x + self.body(x) if self.shortcut else self.body(x)


class C3(nn.Module):
    """Two halves, one of them through residual units (YOLOv5, YOLOX)."""

    def __init__(self, inputs, outputs, depth=1, shortcut=True, act=nn.SiLU):
        super().__init__()
        half = outputs // 2
        self.one, self.other = conv(inputs, half, act=act), conv(inputs, half, act=act)
        self.units = nn.Sequential(*(Residual(half, 1, shortcut, act) for _ in range(depth)))
        self.join = conv(2 * half, outputs, act=act)

    def forward(self, x):
        return self.join(torch.cat((self.units(self.one(x)), self.other(x)), 1))


class C2f(nn.Module):
    """All stages of the residual units side by side (YOLOv8)."""

    def __init__(self, inputs, outputs, depth=1, shortcut=True):
        super().__init__()
        half = outputs // 2
        self.split = conv(inputs, outputs)
        self.units = nn.ModuleList(Residual(half, 3, shortcut) for _ in range(depth))
        self.join = conv((2 + depth) * half, outputs)

    def forward(self, x):
        parts = list(self.split(x).chunk(2, 1))
        for unit in self.units:
            parts.append(unit(parts[-1]))
        return self.join(torch.cat(parts, 1))


class Elan(nn.Module):
    """Four taps of a chain of convolutions (YOLOv7)."""

    def __init__(self, inputs, width, outputs, depth=2, act=nn.SiLU):
        super().__init__()
        self.one, self.other = conv(inputs, width, act=act), conv(inputs, width, act=act)
        self.chain = nn.ModuleList(
            nn.Sequential(*(conv(width, width, 3, act=act) for _ in range(depth))) for _ in range(2)
        )
        self.join = conv(4 * width, outputs, act=act)

    def forward(self, x):
        parts = [self.one(x), self.other(x)]
        for part in self.chain:
            parts.append(part(parts[-1]))
        return self.join(torch.cat(parts[::-1], 1))


class Sppf(nn.Module):
    """Three pools of 5 x 5 in a row instead of 5, 9 and 13 side by side."""

    def __init__(self, inputs, outputs, act=nn.SiLU):
        super().__init__()
        self.narrow = conv(inputs, inputs // 2, act=act)
        self.join = conv(2 * inputs, outputs, act=act)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        parts = [self.narrow(x)]
        for _ in range(3):
            parts.append(self.pool(parts[-1]))
        return self.join(torch.cat(parts, 1))


class Spp(nn.Module):
    def __init__(self, inputs, outputs, act=nn.SiLU):
        super().__init__()
        self.narrow = conv(inputs, inputs // 2, act=act)
        self.pools = nn.ModuleList(nn.MaxPool2d(size, 1, size // 2) for size in (5, 9, 13))
        self.join = conv(2 * inputs, outputs, act=act)

    def forward(self, x):
        x = self.narrow(x)
        return self.join(torch.cat([x, *(pool(x) for pool in self.pools)], 1))


class Focus(nn.Module):
    """Every second pixel of every second row, four such pictures as channels."""

    def __init__(self, outputs):
        super().__init__()
        self.conv = conv(12, outputs, 3)

    def forward(self, x):
        parts = (x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2])
        return self.conv(torch.cat(parts, 1))


class Neck(nn.Module):
    """Top-down, then bottom-up, over three sizes; ``block(inputs, outputs)`` makes the joints."""

    def __init__(self, widths, block, act=nn.SiLU):
        super().__init__()
        small, middle, large = widths
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral = nn.ModuleList([conv(large, middle, act=act), conv(middle, small, act=act)])
        self.down = nn.ModuleList(
            [conv(small, small, 3, 2, act=act), conv(middle, middle, 3, 2, act=act)]
        )
        self.joints = nn.ModuleList(
            [
                block(2 * middle, middle),
                block(2 * small, small),
                block(2 * small, middle),
                block(2 * middle, large),
            ]
        )

    def forward(self, sizes):
        small, middle, large = sizes
        first = self.lateral[0](large)
        middle = self.joints[0](torch.cat((self.up(first), middle), 1))
        second = self.lateral[1](middle)
        small = self.joints[1](torch.cat((self.up(second), small), 1))
        middle = self.joints[2](torch.cat((self.down[0](small), second), 1))
        large = self.joints[3](torch.cat((self.down[1](middle), first), 1))
        return small, middle, large


def cells(side, strides):
    """Centres [cells, 2] in cells, and the stride of each [cells, 1]."""
    centres, sizes = [], []
    for stride in strides:
        places = torch.arange(side // stride) + 0.5
        y, x = torch.meshgrid(places, places, indexing="ij")
        centres.append(torch.stack((x, y), -1).view(-1, 2))
        sizes.append(torch.full((len(centres[-1]), 1), float(stride)))
    return torch.cat(centres), torch.cat(sizes)


class Distances(nn.Module):
    """Box heads of distributions over distances (DFL): expectation, corners, centre and size."""

    def __init__(self, side, strides=(8, 16, 32), bins=16):
        super().__init__()
        centres, sizes = cells(side, strides)
        self.bins = bins
        self.register_buffer("centres", centres.t().unsqueeze(0))
        self.register_buffer("sizes", sizes.t())
        self.expect = nn.Conv2d(bins, 1, 1, bias=False)
        self.expect.weight.data[:] = torch.arange(bins, dtype=torch.float).view(1, bins, 1, 1)

    def forward(self, boxes):
        count, _, places = boxes.shape
        shares = boxes.view(count, 4, self.bins, places).transpose(2, 1).softmax(1)
        near, far = self.expect(shares).view(count, 4, places).chunk(2, 1)
        first, last = self.centres - near, self.centres + far
        return torch.cat(((first + last) / 2, last - first), 1) * self.sizes
