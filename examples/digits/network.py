"""DenseNet-BC for 32x32 digits. `build()` fits the shipped `digits.pdparams`."""

import paddle
from paddle import nn

GROWTH = 12
BOTTLENECK = 4 * GROWTH
BLOCKS = (4, 4, 4)
STEM = 2 * GROWTH
CLASSES = 10


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2D:
    # Every convolution is followed by a BatchNorm somewhere, so a bias would be lost anyway.
    return nn.Conv2D(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias_attr=False)


class DenseLayer(nn.Layer):
    """BN-ReLU-Conv1x1-BN-ReLU-Conv3x3, concatenated to its own input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.BatchNorm2D(inputs),
            nn.ReLU(),
            convolution(inputs, BOTTLENECK, 1),
            nn.BatchNorm2D(BOTTLENECK),
            nn.ReLU(),
            convolution(BOTTLENECK, GROWTH, 3),
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.concat([x, self.branch(x)], axis=1)


def transition(inputs: int) -> nn.Sequential:
    """Halve the channels (the C of BC) and both sides of the picture."""
    return nn.Sequential(
        nn.BatchNorm2D(inputs),
        nn.ReLU(),
        convolution(inputs, inputs // 2, 1),
        nn.AvgPool2D(2, stride=2),
    )


def build() -> nn.Layer:
    """The untrained network: N x 3 x 32 x 32 in, N x 10 logits out."""
    # The pictures were 8x8 once: the first block loses nothing at 16x16 and is four times faster.
    parts: list[nn.Layer] = [convolution(3, STEM, 3, stride=2)]
    channels = STEM
    for index, layers in enumerate(BLOCKS):
        if index > 0:
            parts.append(transition(channels))
            channels //= 2
        for _ in range(layers):
            parts.append(DenseLayer(channels))
            channels += GROWTH
    parts += [nn.BatchNorm2D(channels), nn.ReLU(), nn.AdaptiveAvgPool2D(1), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(channels, CLASSES))
