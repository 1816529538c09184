"""Seeded small CNNs as float ONNX models, built from nothing.

Convolutions are random (He). A random network answers every picture alike unless its BatchNorms
know their statistics, so these are measured: the model is first written with every BatchNorm
computing the batch's own mean and variance, run once over pictures, and the figures it used become
the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from knightlite.inference import session

Array = NDArray[Any]
OPSET = 14  # the first with HardSwish
EPSILON = 1e-5


class Net:
    """Collects nodes; every method returns the name of the value it made.

    ``statistics``: mean and variance by BatchNorm; None writes the measuring model, in which they
    are computed from the batch and are outputs.
    """

    def __init__(
        self, seed: int, shape: tuple[int, int, int], statistics: Mapping[str, Array] | None
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        self.statistics = statistics
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.measured: list[str] = []
        self.channels = {"x": shape[0]}

    def node(self, op: str, inputs: Sequence[str], channels: int, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.channels)}"
        self.channels[name] = channels
        return self._append(op, inputs, name, **attributes)

    def _append(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, values: Array | np.float32) -> str:
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int = 1,
        stride: int | tuple[int, int] = 1,
        group: int = 1,
        bias: bool = False,
        gain: float = 2.0,
    ) -> str:
        """Padded to keep its size; ``gain``: of the variance, 2 before a ReLU."""
        depth = self.channels[x] // group
        spread = (gain / (depth * kernel * kernel)) ** 0.5
        values = self.rng.normal(0, spread, (channels, depth, kernel, kernel)).astype(np.float32)
        # depthwise kernels that smooth: random ones sharpen, and amplify every rounding
        values = np.abs(values) if group > 1 == depth else values
        inputs = [x, self.weight(values)]
        if bias:
            inputs.append(self.weight(self.rng.normal(0, 0.2, channels).astype(np.float32)))
        strides = (stride, stride) if isinstance(stride, int) else stride
        pads = [kernel // 2] * 4
        return self.node(
            "Conv", inputs, channels, kernel_shape=[kernel] * 2, strides=strides, pads=pads,
            group=group,
        )  # fmt: skip

    def upsample(self, x: str, channels: int, kernel: int, group: int = 1) -> str:
        """A ConvTranspose that doubles the picture."""
        depth = self.channels[x] // group
        spread = (2.0 / (depth * kernel * kernel / 4)) ** 0.5
        size = (self.channels[x], channels // group, kernel, kernel)
        values = self.rng.normal(0, spread, size).astype(np.float32)
        values = np.abs(values) if group > 1 else values
        return self.node(
            "ConvTranspose", [x, self.weight(values)], channels, kernel_shape=[kernel] * 2,
            strides=[2, 2], pads=[kernel // 2 - 1] * 4, group=group,
        )  # fmt: skip

    def norm(self, x: str) -> str:
        """BatchNorm, or what measures its statistics and then does the same."""
        count = self.channels[x]
        name = f"norm{len(self.channels)}"
        gamma = self.rng.uniform(0.6, 1.4, count).astype(np.float32)
        beta = self.rng.normal(0, 0.3, count).astype(np.float32)
        self.channels[name] = count
        mean, variance = f"{name}/mean", f"{name}/variance"
        if self.statistics is not None:
            found = [self.statistics[part].reshape(-1) for part in (mean, variance)]
            inputs = [self.weight(values) for values in (gamma, beta, *found)]
            return self._append("BatchNormalization", [x, *inputs], name, epsilon=EPSILON)
        axes = {"axes": [0, 2, 3], "keepdims": 1}
        shaped = [self.weight(values.reshape(1, -1, 1, 1)) for values in (gamma, beta)]
        self._append("ReduceMean", [x], mean, **axes)
        centred = self._append("Sub", [x, mean], f"{name}/centred")
        square = self._append("Mul", [centred, centred], f"{name}/square")
        self._append("ReduceMean", [square], variance, **axes)
        padded = self._append("Add", [variance, self.weight(np.float32(EPSILON))], f"{name}/padded")
        unit = self._append(
            "Div", [centred, self._append("Sqrt", [padded], f"{name}/deviation")], f"{name}/unit"
        )
        self.measured += [mean, variance]
        scaled = self._append("Mul", [unit, shaped[0]], f"{name}/scaled")
        return self._append("Add", [scaled, shaped[1]], name)

    def relu(self, x: str) -> str:
        return self.node("Relu", [x], self.channels[x])

    def relu6(self, x: str) -> str:
        bounds = [self.weight(np.float32(0)), self.weight(np.float32(6))]
        return self.node("Clip", [x, *bounds], self.channels[x])

    def hard_swish(self, x: str) -> str:
        return self.node("HardSwish", [x], self.channels[x])

    def add(self, a: str, b: str) -> str:
        return self.node("Add", [a, b], self.channels[a])

    def concat(self, *names: str) -> str:
        return self.node("Concat", names, sum(self.channels[name] for name in names), axis=1)

    def pool(self, x: str, kernel: int, stride: int, pad: int = 0, ceil: int = 0) -> str:
        return self.node(
            "MaxPool", [x], self.channels[x], kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[pad] * 4, ceil_mode=ceil,
        )  # fmt: skip

    def average(self, x: str) -> str:
        return self.node("AveragePool", [x], self.channels[x], kernel_shape=[2, 2], strides=[2, 2])

    def excite(self, x: str, squeezed: int) -> str:
        """Squeeze and excite: the picture's mean decides how much of each channel passes."""
        count = self.channels[x]
        mean = self.node("GlobalAveragePool", [x], count)
        inner = self.relu(self.conv(mean, squeezed, bias=True))
        wide = self.conv(inner, count, bias=True, gain=8.0)
        gate = self.node("HardSigmoid", [wide], count, alpha=0.2, beta=0.5)
        return self.node("Mul", [x, gate], count)

    def classifier(self, x: str, classes: int, softmax: bool = False) -> str:
        count = self.channels[x]
        mean = self.node("GlobalAveragePool", [x], count)
        flat = self.node("Flatten", [mean], count, axis=1)
        matrix = self.rng.normal(0, count**-0.5, (count, classes)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, classes).astype(np.float32)
        inputs = [flat, self.weight(matrix), self.weight(bias)]
        scores = self.node("Gemm", inputs, classes)
        return self.node("Softmax", [scores], classes, axis=1) if softmax else scores

    def model(self, output: str) -> onnx.ModelProto:
        names = [output, *self.measured]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        return model


# ------------------------------------------------------------------ the networks


def densenet(net: Net, growth: int, blocks: Sequence[int], stem: int, flat: bool) -> str:
    """BN-ReLU-Conv-Concat. ``flat``: a layer joins all features (torch), else pairs (Paddle)."""
    x = net.relu(net.norm(net.conv("x", stem, 7, 2)))
    x = net.pool(x, 3, 2, 1)
    for index, count in enumerate(blocks):
        features = [x]
        for _ in range(count):
            whole = net.concat(*features) if flat and len(features) > 1 else features[-1]
            inner = net.conv(net.relu(net.norm(whole)), 4 * growth)
            branch = net.conv(net.relu(net.norm(inner)), growth, 3)
            features.append(branch if flat else net.concat(whole, branch))
        x = net.relu(net.norm(net.concat(*features) if flat else features[-1]))
        if index + 1 < len(blocks):
            x = net.average(net.conv(x, net.channels[x] // 2))
    return x


def resnet(net: Net, width: int, blocks: Sequence[int]) -> str:
    """Basic blocks; where a stage halves the picture, a 1x1 convolution is on the short way."""
    x = net.pool(net.relu(net.norm(net.conv("x", width, 7, 2))), 3, 2, 1)
    for stage, count in enumerate(blocks):
        for index in range(count):
            stride = 2 if stage and not index else 1
            y = net.relu(net.norm(net.conv(x, width << stage, 3, stride)))
            y = net.norm(net.conv(y, width << stage, 3))
            if stride == 2:
                x = net.norm(net.conv(x, width << stage, 1, stride))
            x = net.relu(net.add(y, x))
    return x


def squeezenet(net: Net, width: int) -> str:
    """Fire modules without BatchNorm, pools that round their size up."""
    x = net.relu(net.conv("x", 4 * width, 3, 2, bias=True))
    x = net.pool(x, 3, 2, ceil=1)
    for index, factor in enumerate((1, 1, 2, 2, 3, 3)):
        if index in (2, 4):
            x = net.pool(x, 3, 2, ceil=1)
        squeezed = net.relu(net.conv(x, factor * width, bias=True))
        narrow = net.relu(net.conv(squeezed, 4 * factor * width, bias=True))
        wide = net.relu(net.conv(squeezed, 4 * factor * width, 3, bias=True))
        x = net.concat(narrow, wide)
    return net.relu(net.conv(x, 4 * width, bias=True))


def mobilenet_v1(net: Net, width: int) -> str:
    """Depthwise and pointwise convolutions in turn, ReLU6 behind each."""
    x = net.relu6(net.norm(net.conv("x", width, 3, 2)))
    for channels, stride in ((2, 1), (4, 2), (4, 1), (8, 2), (8, 1), (16, 2), (16, 1)):
        x = net.relu6(net.norm(net.conv(x, net.channels[x], 3, stride, net.channels[x])))
        x = net.relu6(net.norm(net.conv(x, channels * width)))
    return x


Stage = tuple[int, int, int, int]  # expansion, channels, repeats, stride of the first


def mobilenet_v2(net: Net, stem: int, stages: Sequence[Stage], last: int) -> str:
    """Inverted residuals: widen, smooth, narrow without an activation, add."""
    x = net.relu6(net.norm(net.conv("x", stem, 3, 2)))
    for expansion, channels, repeats, first in stages:
        for index in range(repeats):
            stride = first if not index else 1
            before, hidden = net.channels[x], expansion * net.channels[x]
            y = x if expansion == 1 else net.relu6(net.norm(net.conv(x, hidden)))
            y = net.relu6(net.norm(net.conv(y, hidden, 3, stride, hidden)))
            y = net.norm(net.conv(y, channels, gain=1.0))
            x = net.add(x, y) if stride == 1 and before == channels else y
    return net.relu6(net.norm(net.conv(x, last)))


def text_direction(net: Net, width: int) -> str:
    """PP-OCR's classifier: MobileNet v3 whose strides keep a line of text wide."""
    x = net.hard_swish(net.norm(net.conv("x", width, 3, 2)))
    for kernel, hidden, channels, excite, swish, stride in (
        (3, 2, 2, True, False, (2, 1)), (3, 6, 3, False, False, (2, 1)),
        (3, 6, 3, False, False, (1, 1)), (5, 8, 4, True, True, (2, 1)),
        (5, 12, 4, True, True, (1, 1)),
    ):  # fmt: skip
        activate = net.hard_swish if swish else net.relu
        y = activate(net.norm(net.conv(x, hidden * width)))
        y = activate(net.norm(net.conv(y, hidden * width, kernel, stride, hidden * width)))
        y = net.excite(y, width) if excite else y
        y = net.norm(net.conv(y, channels * width, gain=1.0))
        x = net.add(x, y) if stride == (1, 1) and net.channels[x] == net.channels[y] else y
    return net.pool(net.hard_swish(net.norm(net.conv(x, 12 * width))), 2, 2)


def pyramid(net: Net, width: int) -> str:
    """A feature pyramid: coarse maps, enlarged both ways, beside and onto finer ones."""

    def block(x: str, channels: int, stride: int = 1) -> str:
        return net.relu(net.norm(net.conv(x, channels, 3, stride)))

    def resized(x: str, **attributes: Any) -> str:
        scales = net.weight(np.asarray([1, 1, 2, 2], np.float32))
        return net.node("Resize", [x, "", scales], net.channels[x], **attributes)

    fine = block(block("x", width, 2), 2 * width, 2)
    middle = block(fine, 3 * width, 2)
    coarse = block(middle, 4 * width, 2)
    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = block(net.concat(middle, resized(coarse, **nearest)), 2 * width)
    return block(net.add(fine, resized(x, mode="linear")), 2 * width)


def resnext(net: Net, width: int, groups: int) -> str:
    """Bottlenecks whose 3x3 convolutions are grouped."""
    x = net.pool(net.relu(net.norm(net.conv("x", width, 3, 2))), 3, 2, 1)
    for stage in range(2):
        hidden = 2 * width << stage
        for index in range(2):
            stride = 2 if stage and not index else 1
            y = net.relu(net.norm(net.conv(x, hidden)))
            y = net.relu(net.norm(net.conv(y, hidden, 3, stride, groups)))
            y = net.norm(net.conv(y, 2 * hidden, gain=1.0))
            if not index:
                x = net.norm(net.conv(x, 2 * hidden, 1, stride))
            x = net.relu(net.add(x, y))
    return x


def unet(net: Net, width: int) -> str:
    """Down, up again by transposed convolutions, joined with what was there on the way down."""
    first = net.relu(net.norm(net.conv("x", width, 3, 2)))
    second = net.relu(net.norm(net.conv(net.pool(first, 2, 2), 2 * width, 3)))
    x = net.relu(net.norm(net.conv(net.pool(second, 2, 2), 4 * width, 3)))
    x = net.concat(net.relu(net.norm(net.upsample(x, 2 * width, 2))), second)
    x = net.relu(net.norm(net.conv(x, 2 * width, 3)))
    x = net.concat(net.relu(net.norm(net.upsample(x, width, 4))), first)
    x = net.relu(net.norm(net.conv(x, width, 3)))
    return net.relu(net.norm(net.upsample(x, width, 4, width)))


@dataclass(frozen=True)
class Network:
    """A way to build a model: ``body`` gives the features that the classifier reads."""

    name: str
    body: Callable[[Net], str]
    shape: tuple[int, int, int] = (3, 64, 64)
    classes: int = 10
    softmax: bool = False

    def model(self, pictures: Array, seed: int = 0) -> onnx.ModelProto:
        """The float model, its BatchNorms as measured on ``pictures`` [N, C, H, W]."""
        first, output = self._build(seed, None)
        statistics: dict[str, Array] = {}
        if first.measured:
            measuring = session(first.model(output), 2)
            found = measuring.run(first.measured, {"x": pictures})
            statistics = dict(zip(first.measured, found, strict=True))
        second, output = self._build(seed, statistics)
        return second.model(output)

    def _build(self, seed: int, statistics: Mapping[str, Array] | None) -> tuple[Net, str]:
        net = Net(seed, self.shape, statistics)
        return net, net.classifier(self.body(net), self.classes, self.softmax)


SMALL = (
    Network("densenet_paddle", lambda net: densenet(net, 8, (3, 3, 2), 16, flat=False)),
    Network("densenet_torch", lambda net: densenet(net, 12, (2, 3), 16, flat=True)),
    Network("resnet18", lambda net: resnet(net, 8, (2, 2, 2, 2))),
    Network("squeezenet", lambda net: squeezenet(net, 8)),
    Network("mobilenet_v1", lambda net: mobilenet_v1(net, 8)),
    Network(
        "mobilenet_v2",
        lambda net: mobilenet_v2(
            net, 16, ((1, 8, 1, 1), (6, 12, 2, 2), (6, 16, 3, 2), (6, 24, 2, 1)), 96
        ),
    ),
    Network("text_direction", lambda net: text_direction(net, 8), (3, 48, 96), 2, softmax=True),
    Network("pyramid", lambda net: pyramid(net, 8)),
    Network("resnext", lambda net: resnext(net, 16, 8)),
    Network("unet", lambda net: unet(net, 8), (3, 48, 64)),
)
