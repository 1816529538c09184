"""Graph -> ONNX: the float model that calibration runs, and ``X_quantize.onnx`` in QDQ form.

QDQ form (opset 21, zero points 0, dynamic batch "N"): a feature tensor t is written as its
float value ``t`` -> QuantizeLinear(``t/scale``, ``t/zero``) -> ``t/q`` -> DequantizeLinear ->
``t/dq``; consumers read ``t/dq``. Where t itself is a network output, that name belongs to the
dequantized value, and the float value before it is called ``t/float``. Weights and biases are
integer initializers -> DequantizeLinear along the output channels -> ``<name>/dq``. A merged
activation stands between ``t/linear`` and ``t``. Host operations come last, on float values.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View, float_form, host
from knightlite.ops.general import GENERAL_METADATA, LAYER_TYPE, LAYER_TYPES_METADATA
from knightlite.ops.onnx_io import OnnxWriter
from knightlite.ops.onnx_parts import ModelParts
from knightlite.ops.wide_table import LUT_METADATA, lut_lengths

if TYPE_CHECKING:
    import onnx

BATCH = host.BATCH
Shape = tuple[int | str, ...]


def write_float(
    graph: Graph, extra_outputs: Sequence[str] = (), *, checked: bool = True
) -> onnx.ModelProto:
    """The float model; ``extra_outputs`` are feature tensors delivered beside the outputs.

    ``checked``: by ONNX's checker, which a model for a session does not need.
    """
    return float_parts(graph, extra_outputs, checked=checked).whole()


def float_parts(
    graph: Graph, extra_outputs: Sequence[str] = (), *, checked: bool = True
) -> ModelParts:
    """As :func:`write_float`, large weights beside it as the arrays they are."""
    writer = _start(graph)
    for name in graph.inputs:
        writer.input(name, _batched(graph.tensors[name].shape), dtypes.F32)
    for node in graph.nodes:
        _write_node(graph, node, writer, node.inputs, node.output)
    _write_host(graph, writer, {})
    for name in dict.fromkeys(extra_outputs):
        if name not in graph.outputs:
            writer.output(name, _batched(graph.tensors[name].shape), dtypes.F32)
    return writer.parts(checked=checked)


def write_qdq(
    graph: Graph,
    metadata: Mapping[str, str],
    extra_outputs: Sequence[str] = (),
    integer_inputs: Collection[str] = (),
    *,
    checked: bool = True,
) -> onnx.ModelProto:
    """The quantized graph as QDQ ONNX with ``metadata`` as its metadata properties.

    ``extra_outputs`` are feature tensors whose dequantized values are delivered after the
    network's outputs, for comparisons. ``integer_inputs`` are declared in their integer type and
    dequantized; all others are float32 and quantized first. ``checked`` as for :func:`write_float`.
    """
    return qdq_parts(graph, metadata, extra_outputs, integer_inputs, checked=checked).whole()


def qdq_parts(
    graph: Graph,
    metadata: Mapping[str, str],
    extra_outputs: Sequence[str] = (),
    integer_inputs: Collection[str] = (),
    *,
    checked: bool = True,
) -> ModelParts:
    """As :func:`write_qdq`, large weights beside it as the arrays they are."""
    writer = _start(graph)
    axes = _channel_axes(graph)
    values: dict[str, str] = {}  # tensor -> the float value that consumers read
    for name in graph.inputs:
        tensor = graph.tensors[name]
        if name in integer_inputs:
            writer.input(name, _batched(tensor.shape), tensor.dtype)
            values[name] = _dequantized(writer, tensor, name)
        else:
            writer.input(name, _batched(tensor.shape), dtypes.F32)
            values[name] = _write_pair(graph, writer, name, name)
    general: list[str] = []
    numbers: dict[str, int] = {}  # of user-defined layers
    for node in graph.nodes:
        for name in node.inputs:
            if name not in values:
                axis = axes.get(name, 0)
                values[name] = _dequantized_constant(graph.tensors[name], writer, axis)
        inputs = tuple(values[name] for name in node.inputs)
        name = node.output
        source = writer.fresh(f"{name}/float") if name in graph.outputs else name
        _write_node(graph, node, writer, inputs, source)
        values[name] = _write_pair(graph, writer, name, source)
        general += [source] if node.host else []
        if LAYER_TYPE in node.attributes:
            numbers[source] = int(str(node.attributes[LAYER_TYPE]))
    _write_host(graph, writer, values)
    for name in dict.fromkeys(extra_outputs):
        if name not in graph.outputs:
            writer.output(values[name], _batched(graph.tensors[name].shape), dtypes.F32)
    lengths = lut_lengths(graph)
    if lengths:
        metadata = {**metadata, LUT_METADATA: json.dumps(lengths, sort_keys=True)}
    if general:
        metadata = {**metadata, GENERAL_METADATA: json.dumps(general)}
    if numbers:
        metadata = {**metadata, LAYER_TYPES_METADATA: json.dumps(numbers, sort_keys=True)}
    return writer.parts(metadata, checked)


def write_node_model(
    graph: Graph, node: Node, bias: bool, weights: Sequence[NDArray[Any]] = ()
) -> onnx.ModelProto:
    """One node of a float ``graph`` as a model of its own, features in and the result out.

    Where it multiplies by weights, these are inputs too, then the bias where ``bias``, and a merged
    activation is left out: so the model serves any weights. It holds those that are given.
    """
    writer = OnnxWriter(graph.name)

    def second(name: str, place: int, shape: Sequence[int]) -> None:
        if weights:
            writer.constant(name, weights[place])
        else:
            writer.input(name, shape, dtypes.F32)

    kernel = BY_NAME[node.op].kernel
    features = tuple(name for name in node.inputs if name not in graph.constants)
    for name in dict.fromkeys(features):
        writer.input(name, _batched(graph.tensors[name].shape), dtypes.F32)
    inputs = node.inputs
    if kernel is not None:
        view = View(graph, node)
        shape = view.constant(1).shape
        second("weights", 0, shape)
        axis = kernel.onnx_axis(view.integer("group"))
        turned = writer.temporary(
            "Transpose", ["weights"], "weights/turned", perm=_swapped(len(shape), axis)
        )
        inputs = (features[0], turned)
        if bias:
            second("bias", 1, shape[:1])
            inputs = (*inputs, "bias")
        node = replace(node, attributes={**node.attributes, "clamp": (-float("inf"), float("inf"))})
    elif not BY_NAME[node.op].shapes_constants:
        for name in node.inputs:
            if name in graph.constants:
                writer.constant(name, graph.constants[name])
    _write_node(graph, node, writer, inputs, node.output)
    writer.output(node.output, _batched(graph.tensors[node.output].shape), dtypes.F32)
    return writer.model()


def _swapped(rank: int, axis: int) -> list[int]:
    """The order of axes with axis 0 and ``axis`` exchanged."""
    order = list(range(rank))
    order[0], order[axis] = axis, 0
    return order


def batchable(graph: Graph) -> bool:
    """True where the written models accept any batch size N and keep pictures apart."""
    operations = (op for node in graph.nodes for op in node.host)
    return all(map(host.keeps_batch, (*graph.host, *operations)))


def deliver(model: onnx.ModelProto, names: Iterable[str]) -> None:
    """Let a model deliver inner values too, behind its outputs; those it delivers stay as is."""
    import onnx

    have = {item.name for item in model.graph.output}
    for name in names:
        if name not in have:
            model.graph.output.append(onnx.ValueInfoProto(name=name))


def _start(graph: Graph) -> OnnxWriter:
    """A writer holding the constants, with every feature tensor's name reserved."""
    writer = OnnxWriter(graph.name)
    shaped = {
        name for node in graph.nodes if BY_NAME[node.op].shapes_constants for name in node.inputs
    }
    axes = _channel_axes(graph)
    for name, values in graph.constants.items():
        if name not in shaped:
            writer.constant(name, np.swapaxes(values, 0, axes[name]) if name in axes else values)
    for name in graph.tensors:
        if name not in graph.constants:
            writer.fresh(name)
    return writer


def _channel_axes(graph: Graph) -> dict[str, int]:
    """Weights and the axis of their output channels in an ONNX file."""
    found = {}
    for node in graph.nodes:
        kernel = BY_NAME[node.op].kernel
        if kernel is not None:
            found[node.inputs[1]] = kernel.onnx_axis(View(graph, node).integer("group"))
    return found


def _batched(shape: Sequence[int]) -> Shape:
    return (BATCH, *shape[1:])


def _write_node(
    graph: Graph, node: Node, writer: OnnxWriter, inputs: tuple[str, ...], output: str
) -> None:
    """The float form of one node with its gain and its merged activation."""
    float_form.write_node(BY_NAME[node.op], View(graph, node), writer, inputs, output)


def _write_pair(graph: Graph, writer: OnnxWriter, name: str, source: str) -> str:
    """QuantizeLinear and DequantizeLinear of feature ``name``; returns what consumers read."""
    tensor = graph.tensors[name]
    assert tensor.scale is not None, f"tensor {name} is not quantized"
    scale = writer.constant(f"{name}/scale", tensor.scale)
    zero = writer.constant(f"{name}/zero", np.zeros(tensor.scale.shape, tensor.dtype.numpy))
    axis = {"axis": 1} if tensor.per_channel else {}
    quantized = writer.temporary("QuantizeLinear", [source, scale, zero], f"{name}/q", **axis)
    is_output = name in graph.outputs and name not in graph.inputs
    target = name if is_output else writer.fresh(f"{name}/dq")
    return writer.dequantized(quantized, scale, zero, target, **axis)


def _dequantized(writer: OnnxWriter, tensor: Tensor, integers: str) -> str:
    """DequantizeLinear of an input in integers."""
    assert tensor.scale is not None, f"tensor {tensor.name} is not quantized"
    scale = writer.constant(f"{tensor.name}/scale", tensor.scale)
    zero = writer.constant(f"{tensor.name}/zero", np.zeros(tensor.scale.shape, tensor.dtype.numpy))
    return writer.dequantized(integers, scale, zero, writer.fresh(f"{tensor.name}/dq"))


def _dequantized_constant(tensor: Tensor, writer: OnnxWriter, axis: int) -> str:
    """The float value of a constant: itself, or its DequantizeLinear along an axis."""
    if tensor.scale is None:
        return tensor.name
    scale = writer.constant(f"{tensor.name}/scale", tensor.scale)
    zero = writer.constant(f"{tensor.name}/zero", np.zeros(tensor.scale.shape, tensor.dtype.numpy))
    return writer.temporary(
        "DequantizeLinear", [tensor.name, scale, zero], f"{tensor.name}/dq", axis=axis
    )


def _write_host(graph: Graph, writer: OnnxWriter, values: Mapping[str, str]) -> None:
    """The host operations on float values, then the outputs under their own names."""
    host.append(graph, writer, values)
    for name, (shape, element) in host.outputs(graph).items():
        writer.output(name, shape, element)
