"""Small quantized graphs, node by node, for tests of the compiler: seeded, alive, one scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from knightlite import dtypes
from knightlite.dtypes import DType
from knightlite.ir import Graph, GraphBuilder
from knightlite.ops import BY_NAME, View

SCALE = 0.05
RELU = (0.0, float("inf"))
PADS = (0, 0, 0, 0)


class QuantizedNet:
    """Collects nodes; every method returns the name of the tensor it made, its node's name too."""

    def __init__(self, name: str = "net", seed: int = 0) -> None:
        self.builder = GraphBuilder(name)
        self.rng = np.random.default_rng(seed)

    def input(
        self, name: str, channels: int, height: int, width: int, dtype: DType = dtypes.S8
    ) -> str:
        return self.builder.input(name, (1, channels, height, width), dtype, SCALE)

    def channels(self, name: str) -> int:
        return self.builder.tensors[name].shape[1]

    def node(
        self, op: str, inputs: tuple[str, ...], output: str, dtype: DType, scale: Any, **more: Any
    ) -> str:
        """Append a node; the output's shape is inferred."""
        self.builder.node(op, inputs, output, more)
        self.builder.tensor(output, (), dtype, scale)
        graph = self.builder.build((output,))
        shape = BY_NAME[op].infer(View(graph, graph.nodes[-1]))
        return self.builder.tensor(output, shape, dtype, scale)

    def conv(self, x: str, output: str, channels: int, *args: Any, **more: Any) -> str:
        """A convolution whose outputs fill their type."""
        return self.weighted("Conv", x, output, channels, *args, **{"pads": PADS, **more})

    def transposed(self, x: str, output: str, channels: int, *args: Any, **more: Any) -> str:
        """A ConvTranspose whose outputs fill their type."""
        values = {"pads": PADS, "output_padding": (0, 0), **more}
        return self.weighted("ConvTranspose", x, output, channels, *args, **values)

    def weighted(
        self,
        op: str,
        x: str,
        output: str,
        channels: int,
        kernel: tuple[int, int] = (1, 1),
        dtype: DType = dtypes.S8,
        scale: Any = SCALE,
        weight_type: type[np.signedinteger[Any]] = np.int8,
        **more: Any,
    ) -> str:
        """An operator with weights whose outputs fill their type."""
        group = more.setdefault("group", 1)
        depth = self.channels(x) // group
        most = int(np.iinfo(weight_type).max)
        weights = self.rng.integers(-most, most + 1, (channels, depth, *kernel)).astype(weight_type)
        x_scale = self.builder.tensors[x].scale
        assert x_scale is not None
        fan_in = depth * kernel[0] * kernel[1]
        w_scale = np.full(channels, 0.4 * np.mean(scale) / np.mean(x_scale) / fan_in**0.5 / 73)
        w_scale *= self.rng.uniform(0.7, 1.4, channels)
        wider = most // 127 * (257 if self.builder.tensors[x].dtype == dtypes.S16 else 1)
        w_scale *= (257 if wider > 1 and dtype == dtypes.S16 else 1) / wider
        bias = self.rng.integers(-5000 * wider, 5000 * wider, channels).astype(np.int32)
        names = (
            self.builder.constant(f"{output}.weight", weights, w_scale),
            self.builder.constant(f"{output}.bias", bias, w_scale * x_scale),
        )
        values = {"strides": (1, 1), "dilations": (1, 1), **more}
        return self.node(op, (x, *names), output, dtype, scale, **values)

    def affine(
        self,
        x: str,
        output: str,
        dtype: DType = dtypes.U8,
        scale: Any = SCALE,
        **more: Any,
    ) -> str:
        """A BatchNorm; rectified unless a clamp is given."""
        count = self.channels(x)
        names = (
            self.builder.constant(f"{output}.gain", self.rng.normal(0, 1, count).astype("f4")),
            self.builder.constant(f"{output}.offset", self.rng.normal(1, 1, count).astype("f4")),
        )
        return self.node("Affine", (x, *names), output, dtype, scale, **{"clamp": RELU, **more})

    def add(
        self,
        a: str,
        b: str,
        output: str,
        dtype: DType = dtypes.S8,
        scale: float = 1.7 * SCALE,
        **more: Any,
    ) -> str:
        return self.node("Add", (a, b), output, dtype, scale, **more)

    def concat(self, output: str, *names: str, axis: int = 1) -> str:
        more = {} if axis == 1 else {"axis": axis}
        return self.moved("Concat", names, output, **more)

    def cut(
        self,
        x: str,
        output: str,
        starts: tuple[int, int, int] = (0, 0, 0),
        ends: tuple[int, int, int] | None = None,
        steps: tuple[int, int, int] = (1, 1, 1),
    ) -> str:
        """A Slice of channels, rows and columns; to the end where no ends are given."""
        _, *sizes = self.builder.tensors[x].shape
        return self.moved("Slice", (x,), output, starts=starts, ends=ends or tuple(sizes),
                          steps=steps)  # fmt: skip

    def moved(self, op: str, names: tuple[str, ...], output: str, **more: Any) -> str:
        """An operator that only moves values: its output has the first input's type and scale."""
        first = self.builder.tensors[names[0]]
        return self.node(op, names, output, first.dtype, first.scale, **more)

    def max_pool(self, x: str, output: str, **more: Any) -> str:
        tensor = self.builder.tensors[x]
        values = {"kernel": (2, 2), "strides": (1, 1), "pads": PADS, **more}
        return self.node("MaxPool", (x,), output, tensor.dtype, tensor.scale, **values)

    def average_pool(self, x: str, output: str, scale: float = SCALE, **more: Any) -> str:
        values = {
            "kernel": (2, 2), "strides": (1, 1), "pads": PADS, "counted_pads": PADS, **more,
        }  # fmt: skip
        return self.node(
            "AveragePool", (x,), output, self.builder.tensors[x].dtype, scale, **values
        )

    def table(self, x: str, output: str) -> str:
        return self.node("Table", (x,), output, dtypes.S8, SCALE, function="HardSwish")

    def prelu(self, x: str, output: str, dtype: DType = dtypes.S8, scale: float = SCALE) -> str:
        """Slopes per channel, one of them 0."""
        slopes = self.rng.uniform(-0.3, 0.5, self.channels(x)).astype("f4")
        slopes[0] = 0
        name = self.builder.constant(f"{output}.slope", slopes)
        return self.node("PRelu", (x, name), output, dtype, scale)

    def build(self, *outputs: str) -> Graph:
        return self.builder.build(outputs)
