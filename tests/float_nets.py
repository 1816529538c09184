"""Small float graphs, node by node, for tests of the quantizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, GraphBuilder, HostOp
from knightlite.ops import BY_NAME, View

Array = NDArray[Any]
RELU = (0.0, float("inf"))
PADS = (1, 1, 1, 1)


class FloatNet:
    """Collects nodes; every method returns the name of the tensor it made, its node's name too."""

    def __init__(self, name: str = "net", seed: int = 0) -> None:
        self.builder = GraphBuilder(name)
        self.rng = np.random.default_rng(seed)

    def input(self, name: str, channels: int, height: int, width: int) -> str:
        return self.builder.input(name, (1, channels, height, width))

    def shape(self, name: str) -> tuple[int, ...]:
        return self.builder.tensors[name].shape

    def node(self, op: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> str:
        """Append a node; the output's shape is inferred."""
        self.builder.node(op, inputs, output, attributes)
        self.builder.tensor(output, ())
        graph = self.builder.build((output,))
        shape = BY_NAME[op].infer(View(graph, graph.nodes[-1]))
        return self.builder.tensor(output, shape)

    def conv(
        self,
        x: str,
        output: str,
        channels: int,
        kernel: tuple[int, int] = (1, 1),
        weights: Array | None = None,
        bias: Array | None = None,
        **more: Any,
    ) -> str:
        attributes = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4, "group": 1, **more}
        depth = self.shape(x)[1] // attributes["group"]
        if weights is None:
            size = (channels, depth, *kernel)
            weights = self.rng.normal(0, (depth * kernel[0] * kernel[1]) ** -0.5, size)
        if bias is None:
            bias = self.rng.normal(0, 0.1, channels)
        inputs = (
            x,
            self.builder.constant(f"{output}.weight", weights.astype(np.float32)),
            self.builder.constant(f"{output}.bias", bias.astype(np.float32)),
        )
        return self.node("Conv", inputs, output, **attributes)

    def depthwise(self, x: str, output: str, **more: Any) -> str:
        channels = self.shape(x)[1]
        return self.conv(x, output, channels, (3, 3), pads=PADS, group=channels, **more)

    def affine(self, x: str, output: str, **more: Any) -> str:
        channels = self.shape(x)[1]
        gain = self.builder.constant(f"{output}.gain", self._normal(channels))
        offset = self.builder.constant(f"{output}.offset", self._normal(channels))
        return self.node("Affine", (x, gain, offset), output, **more)

    def pool(self, x: str, output: str) -> str:
        return self.node("MaxPool", (x,), output, kernel=(2, 2), strides=(2, 2), pads=(0,) * 4)

    def average(self, x: str, output: str) -> str:
        whole = self.shape(x)[2:]
        return self.node(
            "AveragePool", (x,), output,
            kernel=whole, strides=(1, 1), pads=(0,) * 4, counted_pads=(0,) * 4,
        )  # fmt: skip

    def hard_swish(self, x: str, output: str) -> str:
        return self.node("Table", (x,), output, function="HardSwish")

    def host(self, op: str, x: str, output: str, **attributes: Any) -> str:
        self.builder.host.append(HostOp(output, op, (x,), (output,), attributes))
        return output

    def build(self, *outputs: str) -> Graph:
        return self.builder.build(outputs)

    def _normal(self, count: int) -> Array:
        return self.rng.normal(0, 1, count).astype(np.float32)


def small_net() -> Graph:
    """Every kind of decision: depthwise scales, a group, a table, a wide output, host ops."""
    net = FloatNet("small")
    net.input("x", 3, 12, 12)
    net.conv("x", "stem", 8, (3, 3), pads=PADS, clamp=RELU)
    net.depthwise("stem", "deep", clamp=RELU)
    net.conv("deep", "left", 6)
    net.conv("deep", "right", 5, clamp=RELU)
    net.node("Concat", ("left", "right"), "joined")
    net.affine("joined", "normal", clamp=RELU)
    net.pool("normal", "pooled")
    net.conv("pooled", "wide", 11)
    net.hard_swish("wide", "swish")
    net.node("Add", ("swish", "pooled"), "sum")
    net.average("sum", "mean")
    net.conv("mean", "logits", 10)
    net.host("Reshape", "logits", "flat", shape=(1, 10))
    net.host("Softmax", "flat", "probabilities", axis=1)
    return net.build("probabilities")


class Pictures:
    """A workload of seeded pictures in batches; the metric is the first output's mean."""

    def __init__(
        self, shape: tuple[int, int, int] = (3, 12, 12), count: int = 6, batch: int = 2
    ) -> None:
        rng = np.random.default_rng(7)
        self.batches = [
            rng.normal(0, 1, (batch, *shape)).astype(np.float32) for _ in range(count // batch)
        ]

    @property
    def description(self) -> str:
        return "seeded pictures"

    def run(self, forward: Any) -> float | None:
        means = [float(forward((batch,))[0].max(axis=-1).mean()) for batch in self.batches]
        return float(np.mean(means)) if means else None
