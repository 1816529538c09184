"""Networks written once for several tools: shapes, multiply-accumulates and parameters.

A network of ``schedule_networks.py`` is a function that calls a writer. The writer here only
counts; ``network_onnx.py`` also makes an ONNX model of the calls, ``network_tflite.py`` a TFLite
one. Needs nothing but the standard library, since Vela's environment has no knightlite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

Pair = tuple[int, int]


class Value(NamedTuple):
    """A feature map that was made: its name, channels, rows and columns."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Window:
    """Kernel and stride of a convolution or pool; ``same``: padded by half a kernel, else not.

    ``dilation``: from tap to tap, in both axes.
    """

    kernel: Pair
    stride: int
    same: bool
    dilation: int = 1

    @property
    def pads(self) -> Pair:
        """Rows above and below, columns left and right."""
        height, width = self.covered
        # an even kernel covers one more on the left: half of it less one lies outside
        return ((height - 1) // 2, (width - 1) // 2) if self.same else (0, 0)

    @property
    def covered(self) -> Pair:
        """Rows and columns from the first tap to the last."""
        height, width = self.kernel
        return self.dilation * (height - 1) + 1, self.dilation * (width - 1) + 1

    def output(self, x: Value) -> Pair:
        """Rows and columns of what it makes of x."""
        (down, right), (height, width) = self.pads, self.covered
        return (
            (x.height + 2 * down - height) // self.stride + 1,
            (x.width + 2 * right - width) // self.stride + 1,
        )


class NetworkWriter:
    """Counts what it is told to write; a subclass writes it too, in its ``write_`` methods."""

    def __init__(self) -> None:
        self.macs = 0
        self.parameters = 0
        self._made = 0

    # -------------------------------------------------------------- what networks call

    def input(self, channels: int, height: int, width: int) -> Value:
        """The network's input."""
        x = Value("x", channels, height, width)
        self.write_input(x)
        return x

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: int | Pair,
        stride: int = 1,
        *,
        same: bool = True,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
        activation: str = "relu",
        dilation: int = 1,
    ) -> Value:
        """A convolution, a BatchNorm where ``norm``, relu, relu6, leaky, silu or no activation."""
        window = Window(_pair(kernel), stride, same, dilation)
        y = self._value("conv", channels, *window.output(x))
        weights = channels * x.channels // groups * prod(window.kernel)
        self.parameters += weights + 2 * channels * norm + channels * bias
        self.macs += weights * y.height * y.width
        self.write_conv(x, y, window, groups, norm, bias, activation)
        return y

    def norm(self, x: Value, activation: str = "relu") -> Value:
        """A BatchNorm that stands in front of its convolution, and its activation."""
        y = self._value("norm", *x[1:])
        self.parameters += 2 * x.channels
        self.write_norm(x, y, activation)
        return y

    def pool(self, x: Value, kind: str, kernel: int, stride: int, *, same: bool = True) -> Value:
        """A pool of ``kind`` max or average; padding does not count in an average."""
        window = Window(_pair(kernel), stride, same)
        y = self._value("pool", x.channels, *window.output(x))
        self.write_pool(x, y, kind, window)
        return y

    def global_average(self, x: Value) -> Value:
        """The average of each channel."""
        y = self._value("mean", x.channels, 1, 1)
        self.write_pool(x, y, "average", Window((x.height, x.width), 1, False))
        return y

    def add(self, x: Value, other: Value, activation: str = "") -> Value:
        """The sum of two maps, and its activation."""
        assert x[1:] == other[1:]
        y = self._value("add", *x[1:])
        self.write_add(x, other, y, activation)
        return y

    def concat(self, parts: Sequence[Value]) -> Value:
        """The maps behind one another, along channels."""
        first = parts[0]
        assert {part[2:] for part in parts} == {first[2:]}
        channels = sum(part.channels for part in parts)
        y = self._value("concat", channels, first.height, first.width)
        self.write_concat(parts, y)
        return y

    def channels(self, x: Value, first: int, last: int) -> Value:
        """The channels [first, last)."""
        y = self._value("channels", last - first, x.height, x.width)
        self.write_slice(x, y, (first, 0, 0), (last, x.height, x.width), (1, 1, 1))
        return y

    def pixels(self, x: Value, row: int, column: int) -> Value:
        """Every second pixel of both axes, from (row, column) on."""
        y = self._value("pixels", x.channels, x.height // 2, x.width // 2)
        self.write_slice(x, y, (0, row, column), x[1:], (1, 2, 2))
        return y

    def upsample(self, x: Value) -> Value:
        """Twice the rows and columns, the nearest pixel."""
        y = self._value("upsample", x.channels, 2 * x.height, 2 * x.width)
        self.write_upsample(x, y)
        return y

    def resize(self, x: Value, height: int, width: int) -> Value:
        """Other rows and columns, linear between the corners."""
        y = self._value("resize", x.channels, height, width)
        self.write_resize(x, y)
        return y

    def transposed(self, x: Value, channels: int) -> Value:
        """A transposed convolution of 2 x 2 and stride 2, with a bias."""
        y = self._value("transposed", channels, 2 * x.height, 2 * x.width)
        weights = 4 * x.channels * channels
        self.parameters += weights + channels
        self.macs += weights * x.height * x.width
        self.write_transposed(x, y)
        return y

    def relu(self, x: Value) -> Value:
        """max(0, x)."""
        y = self._value("relu", *x[1:])
        self.write_relu(x, y)
        return y

    def sigmoid(self, x: Value) -> Value:
        """1 / (1 + exp(-x))."""
        y = self._value("sigmoid", *x[1:])
        self.write_sigmoid(x, y)
        return y

    def dense(self, x: Value, channels: int, activation: str = "") -> Value:
        """All values of x times a matrix, with a bias."""
        y = self._value("dense", channels, 1, 1)
        weights = channels * prod(x[1:])
        self.parameters += weights + channels
        self.macs += weights
        self.write_dense(x, y, activation)
        return y

    def outputs(self, values: Sequence[Value]) -> None:
        """The network's outputs."""

    # -------------------------------------------------------------- what writers override

    def write_input(self, x: Value) -> None: ...

    def write_conv(
        self,
        x: Value,
        y: Value,
        window: Window,
        groups: int,
        norm: bool,
        bias: bool,
        activation: str,
    ) -> None: ...

    def write_norm(self, x: Value, y: Value, activation: str) -> None: ...

    def write_pool(self, x: Value, y: Value, kind: str, window: Window) -> None: ...

    def write_add(self, x: Value, other: Value, y: Value, activation: str) -> None: ...

    def write_concat(self, parts: Sequence[Value], y: Value) -> None: ...

    def write_slice(
        self,
        x: Value,
        y: Value,
        starts: tuple[int, ...],
        ends: tuple[int, ...],
        steps: tuple[int, ...],
    ) -> None: ...

    def write_upsample(self, x: Value, y: Value) -> None: ...

    def write_resize(self, x: Value, y: Value) -> None: ...

    def write_transposed(self, x: Value, y: Value) -> None: ...

    def write_relu(self, x: Value, y: Value) -> None: ...

    def write_sigmoid(self, x: Value, y: Value) -> None: ...

    def write_dense(self, x: Value, y: Value, activation: str) -> None: ...

    def _value(self, kind: str, channels: int, height: int, width: int) -> Value:
        self._made += 1
        return Value(f"{kind}_{self._made}", channels, height, width)


def _pair(kernel: int | Pair) -> Pair:
    return (kernel, kernel) if isinstance(kernel, int) else kernel
