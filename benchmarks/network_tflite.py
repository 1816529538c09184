"""A network as an int8 TFLite model, for Vela: the shapes of the ONNX one, made-up weights.

    python network_tflite.py NAME FILE

Runs in Vela's own environment, which has flatbuffers and TFLite's schema, but no knightlite. Where
PyTorch pads a strided window on all sides, TFLite's SAME pads fewer rows above: the shapes, and so
the time, are equal. A BatchNorm in front of its convolution is a Mul and an Add with the
activation, the spelling that Vela compiles to the fewest cycles. Weights are Laplacian, as trained
ones are: how far Vela can compress them depends on that.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from network_writer import NetworkWriter, Value, Window
from schedule_networks import BY_NAME, build

SEED = 0
SCALE, WEIGHT_SCALE = 0.05, 0.002  # any: neither shapes nor time depend on them
SPREAD = 18  # of weights, in their 127 steps
FUSED = {
    "": tfl.ActivationFunctionType.NONE,
    "relu": tfl.ActivationFunctionType.RELU,
    "relu6": tfl.ActivationFunctionType.RELU6,
    "silu": tfl.ActivationFunctionType.NONE,
}
OPERATORS, OPTIONS = tfl.BuiltinOperator, tfl.BuiltinOptions


class TfliteWriter(NetworkWriter):
    """Writes builtin operators; ``data`` is the file."""

    def __init__(self) -> None:
        super().__init__()
        self._rng = np.random.default_rng(SEED)
        self._model = tfl.ModelT()
        self._model.version = 3
        self._model.buffers = [tfl.BufferT()]  # the first stands for "no data"
        self._model.operatorCodes = []
        self._graph = tfl.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]
        self._codes: dict[int, int] = {}
        self._tensors: dict[str, int] = {}

    def data(self) -> bytes:
        """The model's bytes."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def outputs(self, values: Sequence[Value]) -> None:
        self._graph.outputs = [self._tensors[value.name] for value in values]

    def write_input(self, x: Value) -> None:
        self._graph.inputs = [self._feature(x)]

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
        depthwise = groups == x.channels > 1
        height, width = window.kernel
        if depthwise:
            options, code = tfl.DepthwiseConv2DOptionsT(), OPERATORS.DEPTHWISE_CONV_2D
            options.depthMultiplier = 1
            kind, shape = OPTIONS.DepthwiseConv2DOptions, (1, height, width, y.channels)
        else:
            options, code = tfl.Conv2DOptionsT(), OPERATORS.CONV_2D
            kind, shape = OPTIONS.Conv2DOptions, (y.channels, height, width, x.channels // groups)
        options.dilationHFactor = options.dilationWFactor = 1
        self._slide(options, window)
        options.fusedActivationFunction = FUSED[activation]
        target = y._replace(name=f"{y.name}/linear") if activation == "silu" else y
        inputs = [self._tensors[x.name], *self._kernel(y, shape, 3 if depthwise else 0)]
        self._operator(code, inputs, self._feature(target), options, kind, 3)
        if activation == "silu":
            gate = y._replace(name=f"{y.name}/sigmoid")
            self.write_sigmoid(target, gate)
            self._pair(OPERATORS.MUL, target, self._tensors[gate.name], y, "")

    def write_norm(self, x: Value, y: Value, activation: str) -> None:
        middle = y._replace(name=f"{y.name}/scaled")
        values = [self._weights(f"{y.name}/{name}", (x.channels,)) for name in ("gain", "offset")]
        self._pair(OPERATORS.MUL, x, values[0], middle, "")
        self._pair(OPERATORS.ADD, middle, values[1], y, activation)

    def write_pool(self, x: Value, y: Value, kind: str, window: Window) -> None:
        options = tfl.Pool2DOptionsT()
        self._slide(options, window)
        options.filterHeight, options.filterWidth = window.kernel
        options.fusedActivationFunction = FUSED[""]
        code = OPERATORS.MAX_POOL_2D if kind == "max" else OPERATORS.AVERAGE_POOL_2D
        inputs = [self._tensors[x.name]]
        self._operator(code, inputs, self._feature(y), options, OPTIONS.Pool2DOptions, 2)

    def write_add(self, x: Value, other: Value, y: Value, activation: str) -> None:
        self._pair(OPERATORS.ADD, x, self._tensors[other.name], y, activation)

    def write_concat(self, parts: Sequence[Value], y: Value) -> None:
        options = tfl.ConcatenationOptionsT()
        options.axis, options.fusedActivationFunction = 3, FUSED[""]
        inputs = [self._tensors[part.name] for part in parts]
        kind = OPTIONS.ConcatenationOptions
        self._operator(OPERATORS.CONCATENATION, inputs, self._feature(y), options, kind, 2)

    def write_slice(
        self,
        x: Value,
        y: Value,
        starts: tuple[int, ...],
        ends: tuple[int, ...],
        steps: tuple[int, ...],
    ) -> None:
        bounds = (
            (0, starts),
            (1, ends),
            (1, steps),
        )  # batch, the rest
        inputs = [
            self._constant(f"{y.name}/{index}", np.array((batch, *values[1:], values[0]), np.int32))
            for index, (batch, values) in enumerate(bounds)
        ]
        options, kind = tfl.StridedSliceOptionsT(), OPTIONS.StridedSliceOptions
        inputs = [self._tensors[x.name], *inputs]
        self._operator(OPERATORS.STRIDED_SLICE, inputs, self._feature(y), options, kind, 2)

    def write_upsample(self, x: Value, y: Value) -> None:
        size = self._constant(f"{y.name}/size", np.array((y.height, y.width), np.int32))
        options = tfl.ResizeNearestNeighborOptionsT()
        kind, code = OPTIONS.ResizeNearestNeighborOptions, OPERATORS.RESIZE_NEAREST_NEIGHBOR
        self._operator(code, [self._tensors[x.name], size], self._feature(y), options, kind, 2)

    def write_sigmoid(self, x: Value, y: Value) -> None:
        self._operator(OPERATORS.LOGISTIC, [self._tensors[x.name]], self._feature(y))

    def write_dense(self, x: Value, y: Value, activation: str) -> None:
        size = prod(x[1:])
        shape = self._constant(f"{y.name}/shape", np.array((1, size), np.int32))
        flat = self._tensor(f"{y.name}/flat", (1, size))
        reshape = tfl.ReshapeOptionsT()
        reshape.newShape = [1, size]
        inputs, kind = [self._tensors[x.name], shape], OPTIONS.ReshapeOptions
        self._operator(OPERATORS.RESHAPE, inputs, flat, reshape, kind)
        options, kind = tfl.FullyConnectedOptionsT(), OPTIONS.FullyConnectedOptions
        options.fusedActivationFunction = FUSED[activation]
        output = self._tensor(y.name, (1, y.channels))
        inputs = [flat, *self._kernel(y, (y.channels, size), 0)]
        self._operator(OPERATORS.FULLY_CONNECTED, inputs, output, options, kind, 4)

    # -------------------------------------------------------------- pieces

    def _kernel(self, y: Value, shape: tuple[int, ...], axis: int) -> list[int]:
        """Weights with a scale per output channel along ``axis``, and biases of zero."""
        scales = [WEIGHT_SCALE] * y.channels
        weights = self._weights(f"{y.name}/weights", shape, scales, axis)
        bias_scales = [SCALE * scale for scale in scales]
        bias = np.zeros(y.channels, np.int32)
        return [weights, self._constant(f"{y.name}/bias", bias, bias_scales)]

    def _pair(self, code: int, x: Value, other: int, y: Value, activation: str) -> None:
        add = code == OPERATORS.ADD
        options = tfl.AddOptionsT() if add else tfl.MulOptionsT()
        options.fusedActivationFunction = FUSED[activation]
        kind = OPTIONS.AddOptions if add else OPTIONS.MulOptions
        self._operator(code, [self._tensors[x.name], other], self._feature(y), options, kind, 2)

    def _slide(self, options: Any, window: Window) -> None:
        options.padding = tfl.Padding.SAME if window.same else tfl.Padding.VALID
        options.strideH = options.strideW = window.stride

    def _feature(self, value: Value) -> int:
        return self._tensor(value.name, (1, value.height, value.width, value.channels))

    def _weights(
        self, name: str, shape: tuple[int, ...], scales: Sequence[float] = (SCALE,), axis: int = 0
    ) -> int:
        values = np.clip(np.round(self._rng.laplace(0, SPREAD, shape)), -127, 127)
        return self._constant(name, values.astype(np.int8), scales, axis)

    def _constant(
        self, name: str, values: Any, scales: Sequence[float] = (SCALE,), axis: int = 0
    ) -> int:
        held = tfl.BufferT()
        held.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(held)
        types = {np.dtype(np.int8): tfl.TensorType.INT8, np.dtype(np.int32): tfl.TensorType.INT32}
        index = self._tensor(name, values.shape, scales, axis, types[values.dtype])
        self._graph.tensors[index].buffer = len(self._model.buffers) - 1
        return index

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        scales: Sequence[float] = (SCALE,),
        axis: int = 0,
        element: int = tfl.TensorType.INT8,
    ) -> int:
        tensor = tfl.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), shape, element, 0
        quantized = tfl.QuantizationParametersT()
        quantized.scale, quantized.zeroPoint = list(scales), [0] * len(scales)
        quantized.quantizedDimension = axis
        tensor.quantization = quantized
        self._graph.tensors.append(tensor)
        self._tensors[name] = len(self._graph.tensors) - 1
        return self._tensors[name]

    def _operator(
        self,
        code: int,
        inputs: Sequence[int],
        output: int,
        options: Any = None,
        kind: int = OPTIONS.NONE,
        version: int = 1,
    ) -> None:
        if code not in self._codes:
            entry = tfl.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = version
            self._codes[code] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(entry)
        operator = tfl.OperatorT()
        operator.opcodeIndex, operator.inputs = self._codes[code], list(inputs)
        operator.outputs = [output]
        operator.builtinOptions, operator.builtinOptionsType = options, kind
        self._graph.operators.append(operator)


def main() -> None:
    name, target = sys.argv[1:]
    writer = TfliteWriter()
    build(BY_NAME[name], writer)
    Path(target).write_bytes(writer.data())


if __name__ == "__main__":
    main()
