"""The networks of ``witness.py``, layer by layer as they were published.

``NETWORKS`` says what each has, and :func:`build` holds them to it: parameters and
multiply-accumulates agree with the published ones to the digits that are published. Detectors end
at the maps of their heads, as the public model zoo that lists the times cuts them; boxes are the
host's.
"""

from __future__ import annotations

from functools import partial

from network_writer import NetworkWriter, Value
from schedule_networks import Network, mobilenet_v2

CLASSES = 80  # of COCO
ANCHORS = 3 * (CLASSES + 5)


def resnet50_v2(w: NetworkWriter) -> None:
    """He et al. 2016 b: BatchNorm and ReLU in front of the convolutions; stride in the 3 x 3."""
    x = w.conv(w.norm(w.input(3, 224, 224), ""), 64, 7, 2)
    x = w.pool(x, "max", 3, 2)
    for index, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for block in range(blocks):
            stride = 2 if index and not block else 1
            front = w.norm(x)
            y = w.conv(w.conv(front, width, 1), width, 3, stride)
            y = w.conv(y, 4 * width, 1, norm=False, activation="")
            if not block:
                x = w.conv(front, 4 * width, 1, stride, norm=False, activation="")
            x = w.add(y, x)
    w.outputs([w.dense(w.global_average(w.norm(x)), 1000)])


# ------------------------------------------------------------------ YOLO


def yolov5s(w: NetworkWriter, activation: str = "silu") -> None:
    """Ultralytics' YOLOv5s, 6.0 and later, 640 pixels; sigmoids end it."""
    conv = partial(w.conv, activation=activation)

    def crossed(x: Value, channels: int, blocks: int, shortcut: bool = True) -> Value:
        y, beside = conv(x, channels // 2, 1), conv(x, channels // 2, 1)
        for _ in range(blocks):
            z = conv(conv(y, channels // 2, 1), channels // 2, 3)
            y = w.add(y, z) if shortcut else z
        return conv(w.concat([y, beside]), channels, 1)

    # a kernel of 6 with stride 2 and a pad of 2 is one of 7 here, whose last row and column are 0
    x = conv(w.input(3, 640, 640), 32, 6, 2)
    x = crossed(conv(x, 64, 3, 2), 64, 1)
    p3 = crossed(conv(x, 128, 3, 2), 128, 2)
    p4 = crossed(conv(p3, 256, 3, 2), 256, 3)
    x = crossed(conv(p4, 512, 3, 2), 512, 1)
    p5 = conv(_pyramid(w, conv(x, 256, 1)), 512, 1)
    n5 = conv(p5, 256, 1)
    n4 = conv(crossed(w.concat([w.upsample(n5), p4]), 256, 1, False), 128, 1)
    n3 = crossed(w.concat([w.upsample(n4), p3]), 128, 1, False)
    m4 = crossed(w.concat([conv(n3, 128, 3, 2), n4]), 256, 1, False)
    m5 = crossed(w.concat([conv(m4, 256, 3, 2), n5]), 512, 1, False)
    w.outputs([w.sigmoid(_scores(w, x, ANCHORS)) for x in (n3, m4, m5)])


def _pyramid(w: NetworkWriter, x: Value) -> Value:
    """Maximum pools of 5, one after the other, beside what they read."""
    found = [x]
    for _ in range(3):
        found.append(w.pool(found[-1], "max", 5, 1))
    return w.concat(found)


def _scores(w: NetworkWriter, x: Value, channels: int) -> Value:
    return w.conv(x, channels, 1, norm=False, bias=True, activation="")


def yolov6n(w: NetworkWriter) -> None:
    """Meituan's YOLOv6-N 3.0 as it is deployed: every RepVGG block is one 3 x 3 convolution."""

    def repeated(x: Value, channels: int, blocks: int) -> Value:
        for _ in range(blocks):
            x = _fused(w, x, channels, 3)
        return x

    def merged(deep: Value, same: Value, shallow: Value, channels: int) -> Value:
        below = _fused(w, _fused(w, shallow, channels, 1), channels, 3, 2)
        return _fused(w, w.concat([w.transposed(deep, channels), _fused(w, same, channels, 1),
                                   below]), channels, 1)  # fmt: skip

    x = _fused(w, w.input(3, 640, 640), 16, 3, 2)
    found = []
    for channels, blocks in ((32, 2), (64, 4), (128, 6), (256, 2)):
        x = repeated(_fused(w, x, channels, 3, 2), channels, blocks)
        found.append(x)
    p2, p3, p4, p5 = found
    y, beside = _fused(w, p5, 128, 1), _fused(w, p5, 128, 1)  # CSPSPPF
    y = _fused(w, _fused(w, y, 128, 3), 128, 1)
    y = _fused(w, _fused(w, _pyramid(w, y), 128, 1), 128, 3)
    p5 = _fused(w, w.concat([beside, y]), 256, 1)
    n5 = _fused(w, p5, 64, 1)
    f4 = repeated(merged(n5, p4, p3, 64), 64, 4)
    n4 = _fused(w, f4, 32, 1)
    f3 = repeated(merged(n4, p3, p2, 32), 32, 4)
    m4 = repeated(w.concat([_fused(w, f3, 32, 3, 2), n4]), 64, 4)
    m5 = repeated(w.concat([_fused(w, m4, 64, 3, 2), n5]), 128, 4)
    ends = []
    for x in (f3, m4, m5):
        x = _fused(w, x, x.channels, 1, activation="silu")
        classes, boxes = (_fused(w, x, x.channels, 3, activation="silu") for _ in range(2))
        ends += [_scores(w, boxes, 4), w.sigmoid(_scores(w, classes, CLASSES))]
    w.outputs(ends)


def _fused(
    w: NetworkWriter,
    x: Value,
    channels: int,
    kernel: int,
    stride: int = 1,
    activation: str = "relu",
) -> Value:
    """A convolution that took its BatchNorm in."""
    return w.conv(x, channels, kernel, stride, norm=False, bias=True, activation=activation)


def yolov7_tiny(w: NetworkWriter) -> None:
    """Wang et al. 2022, YOLOv7-tiny, 640 pixels; sigmoids end it."""
    conv = partial(w.conv, activation="leaky")

    def stacked(x: Value, width: int) -> Value:
        beside, y = conv(x, width, 1), conv(x, width, 1)
        z = conv(y, width, 3)
        return conv(w.concat([conv(z, width, 3), z, y, beside]), 2 * width, 1)

    def halved(x: Value) -> Value:
        return w.pool(x, "max", 2, 2, same=False)

    x = conv(conv(w.input(3, 640, 640), 32, 3, 2), 64, 3, 2)
    x = stacked(x, 32)
    p3 = stacked(halved(x), 64)
    p4 = stacked(halved(p3), 128)
    x = stacked(halved(p4), 256)
    beside, y = conv(x, 256, 1), conv(x, 256, 1)
    y = w.concat([*[w.pool(y, "max", kernel, 1) for kernel in (13, 9, 5)], y])
    n5 = conv(w.concat([conv(y, 256, 1), beside]), 256, 1)
    n4 = stacked(w.concat([conv(p4, 128, 1), w.upsample(conv(n5, 128, 1))]), 64)
    n3 = stacked(w.concat([conv(p3, 64, 1), w.upsample(conv(n4, 64, 1))]), 32)
    m4 = stacked(w.concat([conv(n3, 128, 3, 2), n4]), 64)
    m5 = stacked(w.concat([conv(m4, 256, 3, 2), n5]), 128)
    ends = [conv(x, 2 * x.channels, 3) for x in (n3, m4, m5)]
    w.outputs([w.sigmoid(_scores(w, x, ANCHORS)) for x in ends])


def yolov8n(w: NetworkWriter) -> None:
    """Ultralytics' YOLOv8n, 640 pixels: distances as distributions, classes as sigmoids."""

    def split(x: Value, channels: int, blocks: int, shortcut: bool = True) -> Value:
        x = w.conv(x, channels, 1, activation="silu")
        half = channels // 2
        found = [w.channels(x, 0, half), w.channels(x, half, channels)]
        for _ in range(blocks):
            y = w.conv(found[-1], half, 3, activation="silu")
            y = w.conv(y, half, 3, activation="silu")
            found.append(w.add(found[-1], y) if shortcut else y)
        return w.conv(w.concat(found), channels, 1, activation="silu")

    conv = partial(w.conv, activation="silu")
    x = conv(w.input(3, 640, 640), 16, 3, 2)
    x = split(conv(x, 32, 3, 2), 32, 1)
    p3 = split(conv(x, 64, 3, 2), 64, 2)
    p4 = split(conv(p3, 128, 3, 2), 128, 2)
    x = split(conv(p4, 256, 3, 2), 256, 1)
    p5 = conv(_pyramid(w, conv(x, 128, 1)), 256, 1)
    n4 = split(w.concat([w.upsample(p5), p4]), 128, 1, False)
    n3 = split(w.concat([w.upsample(n4), p3]), 64, 1, False)
    m4 = split(w.concat([conv(n3, 64, 3, 2), n4]), 128, 1, False)
    m5 = split(w.concat([conv(m4, 128, 3, 2), p5]), 256, 1, False)
    ends = []
    for x in (n3, m4, m5):
        boxes, classes = conv(conv(x, 64, 3), 64, 3), conv(conv(x, CLASSES, 3), CLASSES, 3)
        ends += [_scores(w, boxes, 64), w.sigmoid(_scores(w, classes, CLASSES))]
    w.outputs(ends)


def yolox_s(w: NetworkWriter) -> None:
    """Ge et al. 2021, YOLOX-s, 640 pixels: maps of box, object and class scores, not decoded."""
    conv = partial(w.conv, activation="silu")

    def crossed(x: Value, channels: int, blocks: int, shortcut: bool = True) -> Value:
        y, beside = conv(x, channels // 2, 1), conv(x, channels // 2, 1)
        for _ in range(blocks):
            z = conv(conv(y, channels // 2, 1), channels // 2, 3)
            y = w.add(y, z) if shortcut else z
        return conv(w.concat([y, beside]), channels, 1)

    x = w.input(3, 640, 640)
    x = conv(w.concat([w.pixels(x, *at) for at in ((0, 0), (1, 0), (0, 1), (1, 1))]), 32, 3)
    x = crossed(conv(x, 64, 3, 2), 64, 1)
    x2 = crossed(conv(x, 128, 3, 2), 128, 3)
    x1 = crossed(conv(x2, 256, 3, 2), 256, 3)
    x = conv(conv(x1, 512, 3, 2), 256, 1)
    x = conv(w.concat([x, *[w.pool(x, "max", kernel, 1) for kernel in (5, 9, 13)]]), 512, 1)
    x0 = conv(crossed(x, 512, 1, False), 256, 1)
    x1 = conv(crossed(w.concat([w.upsample(x0), x1]), 256, 1, False), 128, 1)
    p3 = crossed(w.concat([w.upsample(x1), x2]), 128, 1, False)
    p4 = crossed(w.concat([conv(p3, 128, 3, 2), x1]), 256, 1, False)
    p5 = crossed(w.concat([conv(p4, 256, 3, 2), x0]), 512, 1, False)
    ends = []
    for x in (p3, p4, p5):
        x = conv(x, 128, 1)
        classes, boxes = (conv(conv(x, 128, 3), 128, 3) for _ in range(2))
        scores = [w.sigmoid(_scores(w, boxes, 1)), w.sigmoid(_scores(w, classes, CLASSES))]
        ends.append(w.concat([_scores(w, boxes, 4), *scores]))
    w.outputs(ends)


# ------------------------------------------------------------------ others


def deeplab_mobilenet_v2(w: NetworkWriter) -> None:
    """Chen et al. 2018 on MobileNetV2 as TensorFlow's model zoo has it: 513 pixels, stride 16."""
    x = w.conv(w.input(3, 513, 513), 32, 3, 2, activation="relu6")
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for factor, channels, blocks, first in (*plan, (6, 160, 3, 1), (6, 320, 1, 1)):
        for block in range(blocks):
            stride, wide = 1 if block else first, factor * x.channels
            y = w.conv(x, wide, 1, activation="relu6") if factor > 1 else x
            dilation = 2 if channels >= 160 and (channels, block) != (160, 0) else 1
            y = w.conv(y, wide, 3, stride, groups=wide, activation="relu6", dilation=dilation)
            y = w.conv(y, channels, 1, activation="")
            x = w.add(y, x) if block else y
    whole = w.resize(w.conv(w.global_average(x), 256, 1), x.height, x.width)
    x = w.conv(w.concat([whole, w.conv(x, 256, 1)]), 256, 1)
    w.outputs([w.resize(_scores(w, x, 21), 513, 513)])


def retinaface_mobile(w: NetworkWriter) -> None:
    """Deng et al. 2020 on a quarter of MobileNet, 320 pixels."""
    conv = partial(w.conv, activation="leaky")
    x = conv(w.input(3, 320, 320), 8, 3, 2)
    found = []
    plan = (
        ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
        ((128, 2), *[(128, 1)] * 5),
        ((256, 2), (256, 1)),
    )
    for stage in plan:
        for channels, stride in stage:
            x = conv(conv(x, x.channels, 3, stride, groups=x.channels), channels, 1)
        found.append(conv(x, 64, 1))
    p3, p4, p5 = found
    p4 = conv(w.add(p4, w.upsample(p5)), 64, 3)
    p3 = conv(w.add(p3, w.upsample(p4)), 64, 3)
    ends = []
    for x in (p3, p4, p5):
        three = w.conv(x, 32, 3, activation="")
        shared = conv(x, 16, 3)
        five = w.conv(shared, 16, 3, activation="")
        seven = w.conv(conv(shared, 16, 3), 16, 3, activation="")
        x = w.relu(w.concat([three, five, seven]))
        ends += [_scores(w, x, 2 * values) for values in (4, 2, 10)]
    w.outputs(ends)


NETWORKS = (
    Network("mobilenet_v2", mobilenet_v2, 300774272, 3504872),
    Network("resnet50_v2", resnet50_v2, 4089184256, 25549486),
    Network("yolov5s_relu", partial(yolov5s, activation="relu"), 8216780800, 7235389),
    Network("yolov5s", yolov5s, 8216780800, 7235389),
    Network("yolov6n", yolov6n, 5658009600, 4646940),
    Network("yolov7_tiny", yolov7_tiny, 6850355200, 6227101),
    Network("yolov8n", yolov8n, 4371456000, 3157184),
    Network("yolox_s", yolox_s, 13342771200, 8968255),
    Network("deeplab_mobilenet_v2", deeplab_mobilenet_v2, 2740709056, 2113557),
    Network("retinaface_mobile", retinaface_mobile, 245286400, 426608),
)
