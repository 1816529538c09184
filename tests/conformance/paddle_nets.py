"""Networks that neither ``paddle.vision`` nor PaddleClas 2.6.0 has, from their publications."""

from __future__ import annotations

from itertools import pairwise

import paddle
from paddle import nn
from paddle.nn import functional

Tensor = paddle.Tensor


class Unit(nn.Sequential):
    """Convolution that keeps the size (divided by ``stride``), BatchNorm, activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Layer] | None = nn.ReLU,
    ) -> None:
        convolution = nn.Conv2D(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias_attr=False
        )
        layers = [convolution, nn.BatchNorm2D(outputs)]
        super().__init__(*layers, *([] if activation is None else [activation()]))


# ------------------------------------------------------------------ EfficientNet-Lite0


class InvertedResidual(nn.Layer):
    """Widen, depthwise, narrow; without squeeze-and-excite, as the Lite variants have it."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        widen = [Unit(inputs, hidden, activation=nn.ReLU6)] if expansion > 1 else []
        self.body = nn.Sequential(
            *widen,
            Unit(hidden, hidden, kernel, stride, hidden, nn.ReLU6),
            Unit(hidden, outputs, activation=None),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


# expansion, channels, repeats, stride of the first, kernel (EfficientNet, table 1)
EFFICIENTNET_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip


def efficientnet_lite0() -> nn.Layer:
    layers = [Unit(3, 32, 3, 2, activation=nn.ReLU6)]
    channels = 32
    for expansion, outputs, repeats, first, kernel in EFFICIENTNET_STAGES:
        for index in range(repeats):
            stride = 1 if index else first
            layers.append(InvertedResidual(channels, outputs, expansion, kernel, stride))
            channels = outputs
    layers.append(Unit(channels, 1280, activation=nn.ReLU6))
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)
    )


# ------------------------------------------------------------------ U-Net


def double(inputs: int, outputs: int) -> nn.Layer:
    return nn.Sequential(Unit(inputs, outputs, 3), Unit(outputs, outputs, 3))


class UNet(nn.Layer):
    """Encoder and decoder of ``levels`` steps; a step up is a 2x2 transposed convolution."""

    def __init__(self, width: int = 32, levels: int = 4, classes: int = 2) -> None:
        super().__init__()
        sizes = [width << level for level in range(levels + 1)]
        pairs = list(pairwise(sizes))
        self.stem = double(3, width)
        self.pool = nn.MaxPool2D(2, 2)
        self.down = nn.LayerList([double(small, large) for small, large in pairs])
        self.widen = nn.LayerList(
            [nn.Conv2DTranspose(large, small, 2, 2) for small, large in reversed(pairs)]
        )
        self.up = nn.LayerList([double(large, small) for small, large in reversed(pairs)])
        self.head = nn.Conv2D(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        kept = []
        for layer in self.down:
            kept.append(x)
            x = layer(self.pool(x))
        for index in range(len(self.up)):
            x = paddle.concat([kept.pop(), self.widen[index](x)], axis=1)
            x = self.up[index](x)
        return self.head(x)


# ------------------------------------------------------------------ YOLOX-nano


def silu(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Unit:
    return Unit(inputs, outputs, kernel, stride, groups, nn.Silu)


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Layer:
    return nn.Sequential(silu(inputs, inputs, 3, stride, inputs), silu(inputs, outputs))


class Bottleneck(nn.Layer):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(silu(channels, channels), separable(channels, channels))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class CrossStage(nn.Layer):
    """Half of the channels through ``count`` bottlenecks, half past them."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, shortcut: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        self.through, self.past = silu(inputs, half), silu(inputs, half)
        self.body = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(count)))
        self.join = silu(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(paddle.concat([self.body(self.through(x)), self.past(x)], axis=1))


class Focus(nn.Layer):
    """Four pictures of half the size, one per corner of each 2x2, then a convolution."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = silu(12, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        corners = [x[:, :, top::2, left::2] for left in (0, 1) for top in (0, 1)]
        return self.body(paddle.concat(corners, axis=1))


class Pyramid(nn.Layer):
    """Spatial pyramid: the input beside three of its max pools."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = silu(channels, channels // 2)
        self.pools = nn.LayerList([nn.MaxPool2D(size, 1, size // 2) for size in (5, 9, 13)])
        self.join = silu(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        return self.join(paddle.concat([x, *(pool(x) for pool in self.pools)], axis=1))


class Head(nn.Layer):
    """Decoupled: classes on one way, box and objectness on the other."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.stem = silu(inputs, width)
        self.class_way = nn.Sequential(separable(width, width), separable(width, width))
        self.box_way = nn.Sequential(separable(width, width), separable(width, width))
        self.classes = nn.Conv2D(width, classes, 1)
        self.box, self.object = nn.Conv2D(width, 4, 1), nn.Conv2D(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        boxes = self.box_way(x)
        scores = functional.sigmoid(self.classes(self.class_way(x)))
        found = [self.box(boxes), functional.sigmoid(self.object(boxes)), scores]
        return paddle.flatten(paddle.concat(found, axis=1), 2)


class YoloxNano(nn.Layer):
    """CSPDarknet of width 1/4 with separable convolutions, two-way pyramid, three heads."""

    def __init__(self, classes: int = 80) -> None:
        super().__init__()
        self.stem = nn.Sequential(Focus(16), separable(16, 32, 2), CrossStage(32, 32, 1, True))
        self.dark3 = nn.Sequential(separable(32, 64, 2), CrossStage(64, 64, 3, True))
        self.dark4 = nn.Sequential(separable(64, 128, 2), CrossStage(128, 128, 3, True))
        self.dark5 = nn.Sequential(separable(128, 256, 2), Pyramid(256), CrossStage(256, 256))
        self.twice = nn.Upsample(scale_factor=2, mode="nearest")
        self.lateral5, self.lateral4 = silu(256, 128), silu(128, 64)
        self.up4, self.up3 = CrossStage(256, 128), CrossStage(128, 64)
        self.halve3, self.halve4 = separable(64, 64, 2), separable(128, 128, 2)
        self.down4, self.down5 = CrossStage(128, 128), CrossStage(256, 256)
        self.heads = nn.LayerList([Head(inputs, 64, classes) for inputs in (64, 128, 256)])

    def forward(self, x: Tensor) -> Tensor:
        c3 = self.dark3(self.stem(x))
        c4 = self.dark4(c3)
        p5 = self.lateral5(self.dark5(c4))
        p4 = self.lateral4(self.up4(paddle.concat([self.twice(p5), c4], axis=1)))
        n3 = self.up3(paddle.concat([self.twice(p4), c3], axis=1))
        n4 = self.down4(paddle.concat([self.halve3(n3), p4], axis=1))
        n5 = self.down5(paddle.concat([self.halve4(n4), p5], axis=1))
        found = [self.heads[0](n3), self.heads[1](n4), self.heads[2](n5)]
        return paddle.transpose(paddle.concat(found, axis=2), [0, 2, 1])
