"""The networks of ``schedules.py``, layer by layer as they were published.

``NETWORKS`` says what each must have, and :func:`build` holds them to it: parameters (with gains
and offsets of BatchNorms) as published to the last one, but for YOLOX-nano's 0.91 million;
multiply-accumulates, of which fewer digits are published, and agree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from network_writer import NetworkWriter, Value


def densenet121(w: NetworkWriter) -> None:
    """Huang et al. 2017, as torchvision has it."""
    _densenet(w, 32, 64, (6, 12, 24, 16))


def densenet161(w: NetworkWriter) -> None:
    """Huang et al. 2017, as torchvision has it."""
    _densenet(w, 48, 96, (6, 12, 36, 24))


def _densenet(w: NetworkWriter, growth: int, first: int, blocks: tuple[int, ...]) -> None:
    x = w.pool(w.conv(w.input(3, 224, 224), first, 7, 2), "max", 3, 2)
    for index, layers in enumerate(blocks):
        for _ in range(layers):
            y = w.conv(w.norm(x), 4 * growth, 1)
            y = w.conv(y, growth, 3, norm=False, activation="")
            x = w.concat([x, y])
        if index + 1 < len(blocks):
            x = w.conv(w.norm(x), x.channels // 2, 1, norm=False, activation="")
            x = w.pool(x, "average", 2, 2, same=False)
    _classify(w, w.norm(x))


def resnet50(w: NetworkWriter) -> None:
    """He et al. 2016, with the stride in the 3 x 3, as torchvision has it."""
    x = w.pool(w.conv(w.input(3, 224, 224), 64, 7, 2), "max", 3, 2)
    for index, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            stride = 2 if index and not block else 1
            y = w.conv(w.conv(x, width, 1), width, 3, stride)
            y = w.conv(y, 4 * width, 1, activation="")
            x = w.add(y, x if block else w.conv(x, 4 * width, 1, stride, activation=""), "relu")
    _classify(w, x)


def resnet18(w: NetworkWriter) -> None:
    """He et al. 2016."""
    x = w.pool(w.conv(w.input(3, 224, 224), 64, 7, 2), "max", 3, 2)
    for index, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if index and not block else 1
            y = w.conv(w.conv(x, width, 3, stride), width, 3, activation="")
            x = w.add(y, w.conv(x, width, 1, 2, activation="") if stride == 2 else x, "relu")
    _classify(w, x)


def mobilenet_v1(w: NetworkWriter) -> None:
    """Howard et al. 2017."""
    x = w.conv(w.input(3, 224, 224), 32, 3, 2)
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5)
    for channels, stride in (*plan, (1024, 2), (1024, 1)):
        x = w.conv(w.conv(x, x.channels, 3, stride, groups=x.channels), channels, 1)
    _classify(w, x)


def mobilenet_v2(w: NetworkWriter) -> None:
    """Sandler et al. 2018."""
    x = w.conv(w.input(3, 224, 224), 32, 3, 2, activation="relu6")
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for factor, channels, blocks, first in (*plan, (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(blocks):
            stride, wide = 1 if block else first, factor * x.channels
            y = w.conv(x, wide, 1, activation="relu6") if factor > 1 else x
            y = w.conv(y, wide, 3, stride, groups=wide, activation="relu6")
            y = w.conv(y, channels, 1, activation="")
            x = w.add(y, x) if block else y
    _classify(w, w.conv(x, 1280, 1, activation="relu6"))


def squeezenet1_1(w: NetworkWriter) -> None:
    """Iandola et al. 2016, version 1.1."""
    x = _biased(w, w.input(3, 224, 224), 64, 3, 2, same=False)
    for index, squeeze in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        if index in (0, 2, 4):
            x = w.pool(x, "max", 3, 2, same=False)
        y = _biased(w, x, squeeze, 1)
        x = w.concat([_biased(w, y, 4 * squeeze, kernel) for kernel in (1, 3)])
    w.outputs([w.global_average(_biased(w, x, 1000, 1))])


def vgg13(w: NetworkWriter) -> None:
    """Simonyan and Zisserman 2015, configuration B."""
    x = w.input(3, 224, 224)
    for channels in (64, 128, 256, 512, 512):
        for _ in range(2):
            x = _biased(w, x, channels, 3)
        x = w.pool(x, "max", 2, 2, same=False)
    x = w.dense(w.dense(x, 4096, "relu"), 4096, "relu")
    w.outputs([w.dense(x, 1000)])


def googlenet(w: NetworkWriter) -> None:
    """Szegedy et al. 2015, without normalization and the outputs that only training needs."""
    x = w.pool(_biased(w, w.input(3, 224, 224), 64, 7, 2), "max", 3, 2)
    x = w.pool(_biased(w, _biased(w, x, 64, 1), 192, 3), "max", 3, 2)
    plan = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for index, (one, before3, three, before5, five, pooled) in enumerate(plan):
        if index in (2, 7):
            x = w.pool(x, "max", 3, 2)
        x = w.concat(
            [
                _biased(w, x, one, 1),
                _biased(w, _biased(w, x, before3, 1), three, 3),
                _biased(w, _biased(w, x, before5, 1), five, 5),
                _biased(w, w.pool(x, "max", 3, 1), pooled, 1),
            ]
        )
    _classify(w, x)


def inception_v3(w: NetworkWriter) -> None:
    """Szegedy et al. 2016, 299 pixels, without the output that only training needs."""
    x = w.conv(w.conv(w.input(3, 299, 299), 32, 3, 2, same=False), 32, 3, same=False)
    x = w.pool(w.conv(x, 64, 3), "max", 3, 2, same=False)
    x = w.pool(w.conv(w.conv(x, 80, 1), 192, 3, same=False), "max", 3, 2, same=False)
    for pooled in (32, 64, 64):
        three = w.conv(w.conv(w.conv(x, 64, 1), 96, 3), 96, 3)
        x = w.concat(
            [w.conv(x, 64, 1), w.conv(w.conv(x, 48, 1), 64, 5), three, _pooled(w, x, pooled)]
        )
    three = w.conv(w.conv(w.conv(x, 64, 1), 96, 3), 96, 3, 2, same=False)
    x = w.concat([w.conv(x, 384, 3, 2, same=False), three, w.pool(x, "max", 3, 2, same=False)])
    for width in (128, 160, 160, 192):
        seven = w.conv(w.conv(w.conv(x, width, 1), width, (1, 7)), 192, (7, 1))
        twice = w.conv(w.conv(w.conv(x, width, 1), width, (7, 1)), width, (1, 7))
        twice = w.conv(w.conv(twice, width, (7, 1)), 192, (1, 7))
        x = w.concat([w.conv(x, 192, 1), seven, twice, _pooled(w, x, 192)])
    three = w.conv(w.conv(x, 192, 1), 320, 3, 2, same=False)
    seven = w.conv(w.conv(w.conv(x, 192, 1), 192, (1, 7)), 192, (7, 1))
    seven = w.conv(seven, 192, 3, 2, same=False)
    x = w.concat([three, seven, w.pool(x, "max", 3, 2, same=False)])
    for _ in range(2):
        once, twice = w.conv(x, 384, 1), w.conv(w.conv(x, 448, 1), 384, 3)
        crosses = [w.conv(y, 384, kernel) for y in (once, twice) for kernel in ((1, 3), (3, 1))]
        x = w.concat([w.conv(x, 320, 1), *crosses, _pooled(w, x, 192)])
    _classify(w, x)


def _pooled(w: NetworkWriter, x: Value, channels: int) -> Value:
    return w.conv(w.pool(x, "average", 3, 1), channels, 1)


def dpn68(w: NetworkWriter) -> None:
    """Chen et al. 2017: a residual path of ``wide`` channels beside a dense one."""
    x = w.pool(w.conv(w.input(3, 224, 224), 10, 3, 2), "max", 3, 2)
    plan = ((3, 64, 16), (4, 128, 32), (12, 256, 32), (3, 512, 64))
    residual, dense = x, x  # both are x only until the first block has split it
    for index, (blocks, wide, growth) in enumerate(plan):
        for block in range(blocks):
            whole = w.concat([residual, dense]) if index or block else x
            stride = 2 if index and not block else 1
            if not block:
                split = _normed(w, whole, wide + 2 * growth, 1, stride)
                residual = w.channels(split, 0, wide)
                dense = w.channels(split, wide, split.channels)
            y = _normed(w, _normed(w, whole, 2 * wide, 1), 2 * wide, 3, stride, 32)
            y = _normed(w, y, wide + growth, 1)
            residual = w.add(residual, w.channels(y, 0, wide))
            dense = w.concat([dense, w.channels(y, wide, y.channels)])
    x = w.norm(w.concat([residual, dense]))
    w.outputs([w.conv(w.global_average(x), 1000, 1, norm=False, bias=True, activation="")])


def _normed(
    w: NetworkWriter, x: Value, channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> Value:
    """BatchNorm, ReLU, then the convolution."""
    y = w.norm(x)
    return w.conv(y, channels, kernel, stride, groups=groups, norm=False, activation="")


def yolox_nano(w: NetworkWriter) -> None:
    """Ge et al. 2021, 416 pixels: three maps of box, object and class scores, not decoded."""
    x = w.input(3, 416, 416)
    x = w.concat([w.pixels(x, *start) for start in ((0, 0), (1, 0), (0, 1), (1, 1))])
    x = _silu(w, x, 16, 3)
    found = []
    for channels, blocks in ((32, 1), (64, 3), (128, 3)):
        x = _crossed(w, _separable(w, x, channels, 2), channels, blocks, shortcut=True)
        found.append(x)
    _, x2, x1 = found
    x = _silu(w, _separable(w, x, 256, 2), 128)
    x = _silu(w, w.concat([x, *[w.pool(x, "max", kernel, 1) for kernel in (5, 9, 13)]]), 256)
    x0 = _silu(w, _crossed(w, x, 256), 128)
    x1 = _silu(w, _crossed(w, w.concat([w.upsample(x0), x1]), 128), 64)
    p3 = _crossed(w, w.concat([w.upsample(x1), x2]), 64)
    p4 = _crossed(w, w.concat([_separable(w, p3, 64, 2), x1]), 128)
    p5 = _crossed(w, w.concat([_separable(w, p4, 128, 2), x0]), 256)
    w.outputs([_yolox_head(w, x) for x in (p3, p4, p5)])


def _yolox_head(w: NetworkWriter, x: Value) -> Value:
    def score(x: Value, channels: int) -> Value:
        return w.conv(x, channels, 1, norm=False, bias=True, activation="")

    x = _silu(w, x, 64)
    classes, boxes = (_separable(w, _separable(w, x, 64), 64) for _ in range(2))
    return w.concat([score(boxes, 4), w.sigmoid(score(boxes, 1)), w.sigmoid(score(classes, 80))])


def _silu(w: NetworkWriter, x: Value, channels: int, kernel: int = 1) -> Value:
    return w.conv(x, channels, kernel, activation="silu")


def _separable(w: NetworkWriter, x: Value, channels: int, stride: int = 1) -> Value:
    y = w.conv(x, x.channels, 3, stride, groups=x.channels, activation="silu")
    return _silu(w, y, channels)


def _crossed(
    w: NetworkWriter, x: Value, channels: int, blocks: int = 1, shortcut: bool = False
) -> Value:
    """A cross-stage partial layer: half the channels pass the bottlenecks."""
    y, beside = _silu(w, x, channels // 2), _silu(w, x, channels // 2)
    for _ in range(blocks):
        z = _separable(w, _silu(w, y, channels // 2), channels // 2)
        y = w.add(z, y) if shortcut else z
    return _silu(w, w.concat([y, beside]), channels)


def _biased(
    w: NetworkWriter, x: Value, channels: int, kernel: int, stride: int = 1, same: bool = True
) -> Value:
    """A convolution with a bias, and ReLU."""
    return w.conv(x, channels, kernel, stride, same=same, norm=False, bias=True)


def _classify(w: NetworkWriter, x: Value) -> None:
    w.outputs([w.dense(w.global_average(x), 1000)])


@dataclass(frozen=True)
class Network:
    """``parameters``, ``macs``: of the published network, see the docstring of its function."""

    name: str
    write: Callable[[NetworkWriter], None]
    macs: int
    parameters: int


NETWORKS = (
    Network("densenet121", densenet121, 2_834_161_664, 7_978_856),
    Network("resnet50", resnet50, 4_089_184_256, 25_557_032),
    Network("mobilenet_v2", mobilenet_v2, 300_774_272, 3_504_872),
    Network("squeezenet1_1", squeezenet1_1, 349_151_936, 1_235_496),
    Network("inception_v3", inception_v3, 5_713_216_096, 23_834_568),
    Network("dpn68", dpn68, 2_326_163_456, 12_611_602),
    Network("yolox_nano", yolox_nano, 522_553_408, 912_159),
    Network("densenet161", densenet161, 7_727_907_072, 28_681_000),
    Network("resnet18", resnet18, 1_814_073_344, 11_689_512),
    Network("vgg13", vgg13, 11_308_466_176, 133_047_848),
    Network("googlenet", googlenet, 1_582_671_872, 6_998_552),
    Network("mobilenet_v1", mobilenet_v1, 568_740_352, 4_231_976),
)
BY_NAME = {network.name: network for network in NETWORKS}


def build(network: Network, writer: NetworkWriter) -> None:
    """Write the network; AssertionError where it is not the published one."""
    network.write(writer)
    found, wanted = (writer.macs, writer.parameters), (network.macs, network.parameters)
    assert found == wanted, f"{network.name} has {found} MACs and parameters, not {wanted}"
