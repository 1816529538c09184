"""Six quantized networks that are the same to the bit everywhere: what golden figures stand on.

No float network runs: weights are raw bits of a generator, scales short binary fractions, and the
functions of tables are polynomials. So neither the processor, nor ONNX Runtime, nor the version of
numpy can change a byte. They are as large as needed for every kind of tile: rows, output channels
and input channels are cut on all chips of the golden file, weights loaded once and again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import S8, S16, U8, DType
from knightlite.ir import Graph
from knightlite.ops import resize
from quantized_nets import PADS, RELU, QuantizedNet

Array = NDArray[Any]
STEP = 2.0**-5  # of every 8-bit tensor
FINE = 2.0**-13  # of every 16-bit tensor: the same range
RELU6 = (0.0, 6.0)


class IntegerNet(QuantizedNet):
    """Quantized layers behind one another. ``wide``: features and weights have 16 bits."""

    def __init__(self, name: str, wide: bool = False) -> None:
        super().__init__(name)
        self.wide = wide
        self.signed, self.positive, self.step = (S16, S16, FINE) if wide else (S8, U8, STEP)
        self.bits = np.random.PCG64(len(name))

    def draw(self, low: int, high: int, shape: tuple[int, ...]) -> Array:
        """Integers of [low, high]."""
        raw = self.bits.random_raw(int(np.prod(shape))).reshape(shape)
        return (raw % np.uint64(high - low + 1)).astype(np.int64) + low

    def picture(self, channels: int, height: int, width: int) -> str:
        return self.builder.input("x", (1, channels, height, width), S8, STEP)

    def layer(
        self,
        x: str,
        channels: int,
        kernel: int = 1,
        stride: int | tuple[int, int] = 1,
        group: int = 1,
        clamp: tuple[float, float] | None = None,
        op: str = "Conv",
        **more: Any,
    ) -> str:
        """A convolution that keeps its size; rectified where ``clamp`` says so."""
        output, size = f"{op}{len(self.builder.nodes)}", (kernel, kernel)
        most = 32767 if self.wide else 127
        depth = self.channels(x) // group
        half = (depth * kernel * kernel).bit_length() // 2
        scale = self.draw(48, 80, (channels,)) * 2.0 ** -((21 if self.wide else 13) + half)
        weight_type = np.int16 if self.wide else np.int8
        weights = self.draw(-most, most, (channels, depth, *size)).astype(weight_type)
        bias = self.draw(-5000, 5000, (channels,)).astype(np.int32)
        x_scale = self.builder.tensors[x].scale
        assert x_scale is not None
        names = (
            self.builder.constant(f"{output}.weight", weights, scale),
            self.builder.constant(f"{output}.bias", bias, scale * x_scale),
        )
        values: dict[str, Any] = {
            "strides": (stride, stride) if isinstance(stride, int) else stride,
            "dilations": (1, 1), "pads": (kernel // 2,) * 4, "group": group,
            **({} if clamp is None else {"clamp": clamp}), **more,
        }  # fmt: skip
        dtype = self.signed if clamp is None else self.positive
        return self.node(op, (x, *names), output, dtype, self.step, **values)

    def upsample(self, x: str, channels: int, kernel: int, group: int = 1) -> str:
        """A ConvTranspose that doubles the picture."""
        more = {"pads": (kernel // 2 - 1,) * 4, "output_padding": (0, 0)}
        return self.layer(x, channels, kernel, 2, group, RELU, "ConvTranspose", **more)

    def norm(self, x: str) -> str:
        """A BatchNorm with ReLU that no convolution in front of it can take."""
        output, count = f"norm{len(self.builder.nodes)}", self.channels(x)
        names = (
            self.builder.constant(f"{output}.gain", self.part(-96, 96, count)),
            self.builder.constant(f"{output}.offset", self.part(-32, 96, count)),
        )
        values = {"clamp": RELU}
        return self.node("Affine", (x, *names), output, self.positive, self.step, **values)

    def part(self, low: int, high: int, count: int) -> Array:
        return (self.draw(low, high, (count,)) / 64).astype(np.float32)

    def join(self, *names: str) -> str:
        return self.concat(f"join{len(self.builder.nodes)}", *names)

    def sum(self, a: str, b: str, clamp: tuple[float, float] | None = None) -> str:
        more = {} if clamp is None else {"clamp": clamp}
        dtype = self.signed if clamp is None else self.positive
        return self.node("Add", (a, b), f"sum{len(self.builder.nodes)}", dtype, self.step, **more)

    def pool(self, x: str, kernel: int, stride: int, pad: int = 0, bottom: int = 0) -> str:
        """``bottom``: padding of the last row and column, where the size is rounded up."""
        more = {"kernel": (kernel, kernel), "strides": (stride, stride)}
        pads = (pad, pad, pad + bottom, pad + bottom)
        return self.max_pool(x, f"pool{len(self.builder.nodes)}", pads=pads, **more)

    def mean(self, x: str, kernel: tuple[int, int] | None = None) -> str:
        """Of 2 x 2 pixels and the like, or of the whole picture."""
        tensor = self.builder.tensors[x]
        size = kernel or tensor.shape[2:]
        values = {"kernel": size, "strides": size, "pads": PADS, "counted_pads": PADS}
        name = f"mean{len(self.builder.nodes)}"
        return self.node("AveragePool", (x,), name, tensor.dtype, self.step, **values)

    def function(self, x: str, name: str, dtype: DType = S8, **more: float) -> str:
        values = {"function": name, **more}
        return self.node("Table", (x,), f"{name}{len(self.builder.nodes)}", dtype, STEP, **values)

    def excite(self, x: str, squeezed: int) -> str:
        """A gate for each channel, from the mean of all pixels."""
        inner = self.layer(self.mean(x), squeezed, clamp=RELU)
        wide = self.layer(inner, self.channels(x))
        gate = self.function(wide, "HardSigmoid", U8, alpha=0.25, beta=0.5)
        return self.node("Mul", (x, gate), f"gated{len(self.builder.nodes)}", S8, STEP)

    def end(self, x: str, classes: int = 10) -> Graph:
        """Scores of classes."""
        return self.build(self.layer(self.mean(x), classes))


# ------------------------------------------------------------------ the networks


def densenet() -> Graph:
    """BN-ReLU-Conv-Concat: features beside features, a norm of what is joined."""
    net = IntegerNet("densenet")
    x = net.pool(net.layer(net.picture(3, 96, 96), 32, 7, 2), 3, 2, 1)
    for index, count in enumerate((3, 4, 3)):
        for _ in range(count):
            inner = net.layer(net.norm(x), 64, clamp=RELU)
            x = net.join(x, net.layer(inner, 16, 3))
        x = net.norm(x)
        if index < 2:
            x = net.mean(net.layer(x, net.channels(x) // 2), (2, 2))
    return net.end(x)


def resnet() -> Graph:
    """Basic blocks with their sums; weights of the last stage that fit no WSPM."""
    net = IntegerNet("resnet")
    x = net.pool(net.layer(net.picture(3, 128, 128), 32, 7, 2, clamp=RELU), 3, 2, 1)
    for stage in range(4):
        width, stride = 32 << stage, 2 if stage else 1
        y = net.layer(net.layer(x, width, 3, stride, clamp=RELU), width, 3)
        x = net.layer(x, width, 1, stride) if stage else x
        x = net.sum(y, x, RELU)
        x = net.sum(net.layer(net.layer(x, width, 3, clamp=RELU), width, 3), x, RELU)
    return net.end(x)


def squeezenet() -> Graph:
    """Fire modules: joined without a copy; pools that round their size up."""
    net = IntegerNet("squeezenet")
    x = net.layer(net.picture(3, 111, 111), 64, 3, 2, clamp=RELU, pads=PADS)
    x = net.pool(x, 3, 2, bottom=1)
    for index, factor in enumerate((1, 1, 2, 2, 3, 3)):
        if index in (2, 4):
            x = net.pool(x, 3, 2, bottom=1)
        squeezed = net.layer(x, 16 * factor, clamp=RELU)
        narrow = net.layer(squeezed, 64 * factor, clamp=RELU)
        x = net.join(narrow, net.layer(squeezed, 64 * factor, 3, clamp=RELU))
    return net.build(net.mean(net.layer(x, 100, clamp=RELU)))


def mobilenet_v2() -> Graph:
    """Inverted residuals with 16-bit features and weights."""
    net = IntegerNet("mobilenet_v2", wide=True)
    x = net.layer(net.picture(3, 96, 96), 16, 3, 2, clamp=RELU6)
    for expansion, channels, repeats, first in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 2, 2), (6, 96, 1, 1),
    ):  # fmt: skip
        for index in range(repeats):
            stride = first if not index else 1
            before, hidden = net.channels(x), expansion * net.channels(x)
            y = x if expansion == 1 else net.layer(x, hidden, clamp=RELU6)
            y = net.layer(y, hidden, 3, stride, hidden, clamp=RELU6)
            y = net.layer(y, channels)
            x = net.sum(x, y) if stride == 1 and before == channels else y
    return net.end(net.layer(x, 320, clamp=RELU6))


def text_direction() -> Graph:
    """A MobileNet v3 for lines of text: HardSwish, gates, strides of rows only."""
    net = IntegerNet("text_direction")
    x = net.function(net.layer(net.picture(3, 48, 192), 16, 3, 2), "HardSwish")
    for kernel, hidden, channels, excite, swish, stride in (
        (3, 16, 16, True, False, (2, 1)), (3, 72, 24, False, False, (2, 1)),
        (3, 88, 24, False, False, (1, 1)), (5, 96, 40, True, True, (2, 1)),
        (5, 240, 40, True, True, (1, 1)),
    ):  # fmt: skip
        clamp = None if swish else RELU
        y = net.layer(x, hidden, clamp=clamp)
        y = net.function(y, "HardSwish") if swish else y
        y = net.layer(y, hidden, kernel, stride, hidden, clamp)
        y = net.function(y, "HardSwish") if swish else y
        y = net.layer(net.excite(y, 16) if excite else y, channels)
        x = net.sum(x, y) if stride == (1, 1) and net.channels(x) == channels else y
    return net.end(net.pool(net.function(net.layer(x, 240), "HardSwish"), 2, 2), 2)


def unet() -> Graph:
    """Down, up again by transposed convolutions and a resize, joined with the way down."""
    net = IntegerNet("unet")
    first = net.layer(net.layer(net.picture(3, 96, 128), 16, 3, clamp=RELU), 16, 3, clamp=RELU)
    second = net.layer(net.pool(first, 2, 2), 32, 3, clamp=RELU)
    third = net.layer(net.pool(second, 2, 2), 64, 3, clamp=RELU)
    x = net.layer(net.layer(net.pool(third, 2, 2), 128, 3, clamp=RELU), 128, 3, clamp=RELU)
    x = net.layer(net.join(net.upsample(x, 64, 2), third), 64, 3, clamp=RELU)
    x = net.layer(net.join(net.upsample(x, 32, 4), second), 32, 3, clamp=RELU)
    size = {"size": (96, 128), "scales": (2.0, 2.0), "coordinates": "half_pixel"}
    x = net.node(resize.LINEAR, (x,), "larger", U8, STEP, **size)
    x = net.layer(net.join(x, first), 16, 3, clamp=RELU)
    return net.build(net.layer(x, 4))


NETWORKS: tuple[Callable[[], Graph], ...] = (
    densenet,
    resnet,
    squeezenet,
    mobilenet_v2,
    text_direction,
    unet,
)
