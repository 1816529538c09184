"""Nodes that the chip computes: operands in canonical form, handed to ``OpDef.from_onnx``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import ops
from knightlite.errors import UnsupportedError
from knightlite.frontend import padding, planes
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ir import Graph, Node
from knightlite.ir.large import all_finite
from knightlite.ops.onnx_io import OnnxNode

Array = NDArray[Any]

MATRICES = ("Gemm", "MatMul")
SLIDING = ("Conv", "MaxPool", "AveragePool")
# they need height and width as they are
WHOLE = (*SLIDING, "ConvTranspose", "GlobalAveragePool", "Resize", "Upsample")
PLANES = ("Add", "Max", "Min", "Mul", "Sub")  # they take a constant of any shape as features
CHAINS = {"Sum": "Add", "Mean": "Add", "Max": "Max", "Min": "Min"}  # of any number of operands


def compute(state: Importer, node: SourceNode) -> None:
    """Conv, pools, BatchNormalization, element-wise operators and tables."""
    features = state.features(node)
    if node.op_type == "Concat" and len(node.inputs) == 1:
        state.values[node.outputs[0]] = state.value(features[0])
        return
    attributes = padding.taken_over(state, node)
    _check_features(state, node, features)
    shapes: dict[str, Shape] = {node.outputs[0]: _output_shape(state, node, features)}
    constants: dict[str, Array] = {}
    names: list[str] = []
    for name in node.inputs:
        if name in state.model.constants:
            values = _constant(state, node, name, features[0])
            plane = _plane(state, node, values, shapes[node.outputs[0]])
            if plane is not None:
                shapes[plane] = state.builder.tensors[plane].shape
                names.append(plane)
                continue
            constants[name] = values
            shapes[name] = values.shape
            names.append(name)
        elif name:
            tensor = state.value(name).tensor
            shapes[tensor] = state.shape(name)
            names.append(tensor)
        else:
            names.append("")
    resolved = OnnxNode(
        node.name,
        node.op_type,
        state.model.opset,
        tuple(names),
        node.outputs[0],
        attributes,
        constants,
        shapes,
    )
    _append(state, node, resolved)


def negate(state: Importer, node: SourceNode) -> None:
    """Neg is a Mul by -1, which folds into a convolution."""
    name = f"-1/{node.name}"
    constants = {**state.model.constants, name: np.asarray(-1, np.float32)}
    state.model = replace(state.model, constants=constants)
    compute(state, replace(node, op_type="Mul", inputs=(node.inputs[0], name)))


def chain(state: Importer, node: SourceNode) -> None:
    """A Sum, Mean, Max or Min of n operands is a chain of n - 1 of two; features come first."""
    constants, output = state.model.constants, node.outputs[0]
    left, *others = sorted(node.inputs, key=lambda name: name in constants)
    if not others:
        state.values[output] = state.value(left)
        return
    is_mean = node.op_type == "Mean"
    for index, right in enumerate(others, start=2):
        last = index == len(node.inputs) and not is_mean
        target = output if last else f"{output}.{CHAINS[node.op_type].lower()}{index}"
        sizes = [constants[item].shape if item in constants else state.seen(item)
                 for item in (left, right)]  # fmt: skip
        shapes = {**state.model.shapes, target: np.broadcast_shapes(*sizes)}
        state.model = replace(state.model, shapes=shapes)
        pair = replace(node, op_type=CHAINS[node.op_type], inputs=(left, right), outputs=(target,))
        compute(state, pair)
        left = target
    if is_mean:
        name = f"{output}.share"
        share = np.asarray(1 / len(node.inputs), np.float32)
        state.model = replace(state.model, constants={**state.model.constants, name: share})
        compute(state, replace(node, op_type="Mul", inputs=(left, name)))


# ------------------------------------------------------------------ operands


def _check_features(state: Importer, node: SourceNode, features: Sequence[str]) -> None:
    """Refuse a view that the operator would read differently from what the file means."""
    kind, first = node.op_type, features[0]
    seen, canonical = state.seen(first), state.shape(first)
    reader = f"{kind} {node.name} must read"
    if kind in MATRICES:
        if len(seen) != 2 or seen[0] != 1:
            raise UnsupportedError(f"{reader} features [1, K], not {seen}.")
    elif kind in WHOLE:
        if seen != state.padded_shape(first):
            raise UnsupportedError(
                f"{reader} [N, C, H, W] features, not {seen} made from {canonical}."
            )
    elif kind == "BatchNormalization":
        if sum(map(bool, node.outputs)) > 1:  # how opsets below 14 say it
            raise UnsupportedError(
                f"BatchNormalization {node.name} must be in inference form with one output, not in "
                f"training form with {len(node.outputs)}.",
                "export the model after calling its eval()",
            )
        if not state.by_channel(first):
            raise UnsupportedError(
                f"{reader} features by channel, not {seen} made from {canonical}."
            )
    elif not ops.BY_ONNX_TYPE[kind].reads_axes and len({len(state.seen(x)) for x in features}) > 1:
        ranks = " and ".join(str(state.seen(name)) for name in features)
        raise UnsupportedError(f"{reader} features with equally many axes, not {ranks}.")
    elif ops.BY_ONNX_TYPE[kind].reads_axes or len(features) > 1:
        reshaped = [name for name in features if not state.plain(name)]
        shapes = {(state.seen(name), state.shape(name)) for name in features}
        if reshaped and (ops.BY_ONNX_TYPE[kind].reads_axes or len(shapes) > 1):
            made = f"{state.seen(reshaped[0])} made from {state.shape(reshaped[0])}"
            raise UnsupportedError(f"{reader} [N, C, H, W] features, not reshaped ones ({made}).")


def _output_shape(state: Importer, node: SourceNode, features: Sequence[str]) -> Shape:
    """Canonical shape of the output, from the file's shape or from the operands."""
    seen = state.seen(node.outputs[0])
    if node.op_type in (*MATRICES, *WHOLE) or ops.BY_ONNX_TYPE[node.op_type].reads_axes:
        return seen if len(seen) == 4 else (*seen[:2], 1, 1)
    shapes = [state.shape(name) for name in features]
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


def _constant(state: Importer, node: SourceNode, name: str, feature: str) -> Array:
    """A constant operand as float32 (or its integers), in canonical alignment."""
    values = state.model.constants[name]
    if np.issubdtype(values.dtype, np.floating):
        if node.op_type != "Clip" and not all_finite(values):
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise UnsupportedError(
                f"weight {name} must be finite, but {bad} of its {values.size} values are "
                "NaN or infinite.",
                "train or export the model again",
            )
        values = values.astype(np.float32, copy=False)
    if not ops.BY_ONNX_TYPE[node.op_type].broadcasts or values.size == 1:
        return values
    seen = state.seen(feature)
    if values.ndim > len(seen):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must not broadcast {seen} to {values.shape}."
        )
    padded = values.reshape((1,) * (len(seen) - values.ndim) + values.shape)
    if len(seen) == 4 and seen == state.shape(feature):
        return padded
    if not state.by_channel(feature) or any(size != 1 for size in padded.shape[2:]):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have a constant per channel, not of shape "
            f"{values.shape} on features {seen} made from {state.shape(feature)}."
        )
    return padded.reshape(*padded.shape[:2], 1, 1)


def _plane(state: Importer, node: SourceNode, values: Array, shape: Shape) -> str | None:
    """A tensor of a constant that no instruction takes as such; None for any other constant."""
    fits = values.ndim == 4 and all(
        size in (1, full) for size, full in zip(values.shape, shape, strict=False)
    )
    spread = fits and (max(values.shape[2:]) > 1 or node.op_type in ("Max", "Min"))
    if node.op_type not in PLANES or values.size == 1 or not spread:
        return None
    return planes.feature(state, node, values)


# ------------------------------------------------------------------ the operator


def _append(state: Importer, node: SourceNode, resolved: OnnxNode) -> None:
    """Let the operator append its nodes, then describe and check what it made."""
    state.declare(resolved.output, resolved.output_shape)
    known = len(state.builder.nodes)
    from_onnx = ops.BY_ONNX_TYPE[resolved.op_type].from_onnx
    assert from_onnx is not None
    from_onnx(resolved, state.builder)
    for made in state.builder.nodes[known:]:
        for index, name in enumerate(made.inputs):
            if name in state.builder.constants:
                origin = node.inputs[index] if index < len(node.inputs) else ""
                _describe_constant(state, node, name, origin)
        check_made(state, made)
    state.values[node.outputs[0]] = Value(resolved.output)


def _describe_constant(state: Importer, node: SourceNode, name: str, origin: str) -> None:
    """Check a constant the operator made of ``origin``, and keep the quantization of that."""
    values: Mapping[str, Array] = state.builder.constants
    if not all_finite(values[name]):
        raise UnsupportedError(
            f"{node.op_type} {node.name} has parameters that give infinite values.",
            "a variance must be positive and no weight may overflow float32",
        )
    quantized = state.model.quantized.get(origin)
    if quantized is not None and origin in state.model.constants:
        scale = np.broadcast_to(quantized.scale, values[name].shape[:1])
        state.builder.tensor(name, values[name].shape, quantized.dtype, scale)


def check_made(state: Importer, made: Node) -> None:
    """The operator's own rules that need no scales, and its output shape against the file's."""
    builder = state.builder
    graph = Graph(builder.name, (), (), (made,), builder.tensors, builder.constants)
    definition, view = ops.BY_NAME[made.op], ops.View(graph, made)
    broken = list(definition.broken(view, structural=True))
    if broken:
        raise UnsupportedError(f"{made.op}: " + "; ".join(broken) + ".")
    shape = definition.infer(view)
    if min(shape) < 1:
        raise UnsupportedError(
            f"{made.op}: its output is empty, of shape {shape}.",
            "a larger input has something there: -is SHAPE, where the input is dynamic",
        )
    if shape != view.output.shape:
        raise UnsupportedError(
            f"{made.op}: by its definition its output has shape {shape}, but ONNX's shape "
            f"inference gives {view.output.shape}.",
            "where ONNX Runtime runs the model, the inference is wrong: another version of the "
            "package onnx may be right",
        )
