"""A network as an ONNX model, with seeded weights whose spread keeps activations alive (He)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from network_writer import NetworkWriter, Value, Window
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8
SEED = 0


class OnnxWriter(NetworkWriter):
    """Writes operators as exporters of PyTorch do; ``model`` is what was written."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(SEED)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the network's input, [1, channels, rows, columns]."""
        (entry,) = self._inputs
        return tuple(dim.dim_value for dim in entry.type.tensor_type.shape.dim)

    def model(self, name: str) -> onnx.ModelProto:
        """The network; every size is static."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def outputs(self, values: Sequence[Value]) -> None:
        self._outputs = [_info(value) for value in values]

    def write_input(self, x: Value) -> None:
        self._inputs = [_info(x)]

    def write_conv(
        self,
        x: Value,
        y: Value,
        window: Window,
        groups: int,
        norm: bool,
        bias: bool,
        activation: str,
    ) -> None:
        shape = (y.channels, x.channels // groups, *window.kernel)
        inputs = [x.name, self._random(f"{y.name}/weights", shape)]
        if bias:
            inputs.append(self._near(f"{y.name}/bias", y.channels, 0))
        down, right = window.pads
        attributes: dict[str, Any] = {
            "kernel_shape": window.kernel,
            "strides": (window.stride, window.stride),
            "pads": (down, right, down, right),
            "dilations": (window.dilation, window.dilation),
            "group": groups,
        }

        def convolve(target: str) -> None:
            self._node("Conv", inputs, target, **attributes)

        def normalize(target: str) -> None:
            plain = f"{y.name}/plain"
            convolve(plain)
            self._normalize(plain, target, y.channels)

        self._activated(normalize if norm else convolve, y.name, activation)

    def write_norm(self, x: Value, y: Value, activation: str) -> None:
        self._activated(
            lambda target: self._normalize(x.name, target, x.channels), y.name, activation
        )

    def write_pool(self, x: Value, y: Value, kind: str, window: Window) -> None:
        if (y.height, y.width) == (1, 1):
            self._node("GlobalAveragePool", [x.name], y.name)
            return
        down, right = window.pads
        self._node(
            "MaxPool" if kind == "max" else "AveragePool",
            [x.name],
            y.name,
            kernel_shape=window.kernel,
            strides=(window.stride, window.stride),
            pads=(down, right, down, right),
        )

    def write_add(self, x: Value, other: Value, y: Value, activation: str) -> None:
        self._activated(
            lambda target: self._node("Add", [x.name, other.name], target), y.name, activation
        )

    def write_concat(self, parts: Sequence[Value], y: Value) -> None:
        self._node("Concat", [part.name for part in parts], y.name, axis=1)

    def write_slice(
        self,
        x: Value,
        y: Value,
        starts: tuple[int, ...],
        ends: tuple[int, ...],
        steps: tuple[int, ...],
    ) -> None:
        bounds = zip(("starts", "ends", "axes", "steps"), (starts, ends, (1, 2, 3), steps),
                     strict=True)  # fmt: skip
        constants = [self._held(f"{y.name}/{name}", np.array(values)) for name, values in bounds]
        self._node("Slice", [x.name, *constants], y.name)

    def write_upsample(self, x: Value, y: Value) -> None:
        scales = self._held(f"{y.name}/scales", np.array((1, 1, 2, 2), np.float32))
        self._node(
            "Resize",
            [x.name, "", scales],
            y.name,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def write_resize(self, x: Value, y: Value) -> None:
        sizes = self._held(f"{y.name}/sizes", np.array((1, *y[1:]), np.int64))
        self._node(
            "Resize",
            [x.name, "", "", sizes],
            y.name,
            mode="linear",
            coordinate_transformation_mode="align_corners",
        )

    def write_transposed(self, x: Value, y: Value) -> None:
        inputs = [
            x.name,
            self._random(f"{y.name}/weights", (x.channels, y.channels, 2, 2)),
            self._near(f"{y.name}/bias", y.channels, 0),
        ]
        self._node("ConvTranspose", inputs, y.name, kernel_shape=(2, 2), strides=(2, 2))

    def write_relu(self, x: Value, y: Value) -> None:
        self._node("Relu", [x.name], y.name)

    def write_sigmoid(self, x: Value, y: Value) -> None:
        self._node("Sigmoid", [x.name], y.name)

    def write_dense(self, x: Value, y: Value, activation: str) -> None:
        size = prod(x[1:])
        flat = f"{y.name}/flat"
        self._node("Flatten", [x.name], flat)
        inputs = [
            flat,
            self._random(f"{y.name}/weights", (y.channels, size)),
            self._near(f"{y.name}/bias", y.channels, 0),
        ]

        def multiply(target: str) -> None:
            self._node("Gemm", inputs, target, transB=1)

        self._activated(multiply, y.name, activation)

    # -------------------------------------------------------------- pieces

    def _activated(self, make: Callable[[str], None], output: str, activation: str) -> None:
        if not activation:
            make(output)
            return
        plain = f"{output}/linear"
        make(plain)
        if activation == "silu":
            self._node("Sigmoid", [plain], f"{output}/sigmoid")
            self._node("Mul", [plain, f"{output}/sigmoid"], output)
        elif activation == "leaky":
            self._node("LeakyRelu", [plain], output, alpha=0.1)
        elif activation == "relu6":
            limits = [
                self._held(f"{output}/{name}", np.array(value, np.float32))
                for name, value in (("low", 0), ("high", 6))
            ]
            self._node("Clip", [plain, *limits], output)
        else:
            assert activation == "relu"
            self._node("Relu", [plain], output)

    def _normalize(self, x: str, y: str, channels: int) -> None:
        gain, offset = self._near(f"{y}/gain", channels, 1), self._near(f"{y}/offset", channels, 0)
        mean = self._held(f"{y}/mean", np.zeros(channels, np.float32))
        variance = self._held(f"{y}/variance", np.ones(channels, np.float32))
        self._node("BatchNormalization", [x, gain, offset, mean, variance], y)

    def _node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, inputs, [output], output, **attributes))

    def _random(self, name: str, shape: tuple[int, ...]) -> str:
        values = self._rng.standard_normal(shape, np.float32)
        return self._held(name, values * np.float32((2 / prod(shape[1:])) ** 0.5))

    def _near(self, name: str, channels: int, center: float) -> str:
        values = center + 0.1 * self._rng.standard_normal(channels, np.float32)
        return self._held(name, values.astype(np.float32))

    def _held(self, name: str, values: Any) -> str:
        self._weights.append(numpy_helper.from_array(values, name))
        return name


def _info(value: Value) -> onnx.ValueInfoProto:
    # what passed a matrix has no rows and columns
    shape = (1, *value[1:]) if not value.name.startswith("dense") else (1, value.channels)
    return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape)
