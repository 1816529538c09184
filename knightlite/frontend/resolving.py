"""Shapes, constants and known branches of a graph, in turn until nothing more is learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite import limits
from knightlite.errors import Finding
from knightlite.frontend import (
    branches,
    constant_folding,
    loops,
    onnx_bounds,
    pool_windows,
    scans,
)
from knightlite.frontend.constant_runs import SMALL_ELEMENTS, Budget
from knightlite.frontend.source import Shape, SourceNode

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
UNINFERRED = ("GroupNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
"""Their outputs have the shape of their first input, but ONNX's inference does not say so."""
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


@dataclass(slots=True)
class Resolving:
    """One model while it is resolved: ``constants`` grow, ``folded`` counts removed nodes by type.

    ``keep_quantizers``: no QuantizeLinear or DequantizeLinear is computed. ``uncomputed``: as in
    SourceModel.
    """

    model: onnx.ModelProto
    constants: dict[str, Array]
    opset: int
    keep_quantizers: bool
    budget: Budget = field(default_factory=Budget)
    folded: Counter[str] = field(default_factory=Counter)
    uncomputed: dict[str, Finding] = field(default_factory=dict)
    unrolled: int = 0  # nodes of graphs in which turns of Loops took their places


def describe(model: onnx.ModelProto, constants: Mapping[str, Array]) -> None:
    """Tell inference about the constants: small ones by value, large ones as inputs.

    The model without its weights is cheap to check and to infer, whatever its size.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    listed = {item.name for item in (*graph.input, *graph.initializer)}
    for name, values in constants.items():
        if name in listed and values.size > SMALL_ELEMENTS:
            continue
        if values.size <= SMALL_ELEMENTS:
            graph.initializer.append(numpy_helper.from_array(values, name))
        else:
            element = helper.np_dtype_to_tensor_dtype(values.dtype)
            graph.input.append(helper.make_tensor_value_info(name, element, values.shape))
    model.ir_version = max(model.ir_version, 4)  # the first where initializers need not be inputs


def infer_and_fold(
    state: Resolving, read: Callable[[], list[SourceNode]]
) -> tuple[list[SourceNode], dict[str, Shape], dict[str, int]]:
    """The nodes that are left, and shapes and types; ``read`` gives the nodes of the model."""
    nodes = read()
    while True:
        shapes, types = _inferred(state.model)
        looping = scans.as_loops(state.model.graph.node, {**shapes, **_shapes_of(state.constants)})
        if looping is not None:
            branches.replace_nodes(state.model.graph, looping)
            nodes = read()
            continue
        nodes, values = _fold(state, nodes, shapes, types)
        chosen = branches.known(nodes, state.constants)
        known = {**shapes, **values}
        unknown = any(name not in known for node in nodes for name in node.outputs if name)
        small = {name: item for name, item in values.items() if item.size <= SMALL_ELEMENTS}
        turns = loops.known(nodes, state.constants, limits.MODEL_NODES - state.unrolled)
        if not chosen and not turns and not (small and unknown):
            return nodes, shapes, types
        kept = [item for item in state.model.graph.node if not {*item.output} & values.keys()]
        kept = loops.inlined(branches.inlined(kept, chosen), turns, state.opset)
        branches.replace_nodes(state.model.graph, kept)
        state.folded.update({"If": len(chosen)} if chosen else {})
        state.folded.update({"Loop": len(turns)} if turns else {})
        state.unrolled += len(kept) if turns else 0
        if chosen or turns:
            nodes = read()
        else:
            describe(state.model, values)


def _shapes_of(constants: Mapping[str, Array]) -> dict[str, Shape]:
    return {name: values.shape for name, values in constants.items()}


def _inferred(model: onnx.ModelProto) -> tuple[dict[str, Shape], dict[str, int]]:
    """Shapes and types by ONNX's inference, which counts too many windows of some pools."""
    from onnx import shape_inference

    while True:
        # values are found out by folding, which has a budget; data_prop has none
        shapes, types = _shapes(shape_inference.infer_shapes(model))
        wrong = pool_windows.miscounted(model.graph, shapes)
        if wrong:
            model = pool_windows.counted(model, wrong)
        elif not _told(model, shapes, types):
            return shapes, types


def _told(model: onnx.ModelProto, shapes: Mapping[str, Shape], types: Mapping[str, int]) -> bool:
    """Tell inference about outputs of UNINFERRED; True where there is news."""
    from onnx import helper

    found = [
        helper.make_tensor_value_info(node.output[0], types[node.input[0]], shapes[node.input[0]])
        for node in model.graph.node
        if node.op_type in UNINFERRED
        and node.output[0] not in shapes
        and node.input[0] in shapes
        and node.input[0] in types
    ]
    told = {item.name for item in found}
    kept = [item for item in model.graph.value_info if item.name not in told]
    if found:
        del model.graph.value_info[:]
        model.graph.value_info.extend([*kept, *found])
    return bool(found)


def _shapes(model: onnx.ModelProto) -> tuple[dict[str, Shape], dict[str, int]]:
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    graph = model.graph
    for item in (*graph.input, *graph.output, *graph.value_info):
        tensor = item.type.tensor_type
        if tensor.elem_type:
            types[item.name] = tensor.elem_type
        sizes = [dim.dim_value for dim in tensor.shape.dim if dim.HasField("dim_value")]
        if (
            tensor.HasField("shape")
            and len(sizes) == len(tensor.shape.dim)
            and min(sizes, default=0) >= 0
        ):
            shapes[item.name] = tuple(sizes)
            onnx_bounds.require_elements(shapes[item.name], f"tensor {item.name}")
    return shapes, types


def _fold(
    state: Resolving,
    nodes: Sequence[SourceNode],
    shapes: Mapping[str, Shape],
    types: Mapping[str, int],
) -> tuple[list[SourceNode], dict[str, Array]]:
    """Evaluate what is constant: the remaining nodes, and the new constants by name."""
    kept: list[SourceNode] = []
    values: dict[str, Array] = {}
    for node in nodes:
        made = _values(state, node, shapes, types)
        if made is None:
            kept.append(node)
            continue
        names = [name for name in node.outputs if name]
        new = dict(zip(names, made, strict=True))
        state.constants.update(new)
        values.update(new)
        state.folded[node.op_type] += 1
    return kept, values


def _values(
    state: Resolving, node: SourceNode, shapes: Mapping[str, Shape], types: Mapping[str, int]
) -> tuple[Array, ...] | None:
    """What the node makes, where it is constant and was computed."""
    if node.op_type in ("Shape", "Size") and not node.domain and node.inputs:
        source = state.constants.get(node.inputs[0])
        shape = shapes.get(node.inputs[0]) if source is None else source.shape
        return None if shape is None else (constant_folding.evaluate_shape(node, shape),)
    if node.op_type == "CastLike" and not node.domain:
        return constant_folding.cast_like(node, state.constants, types)
    if node.op_type == "Constant" or node.name in state.uncomputed:
        return None  # texts
    if node.op_type == "If" or (state.keep_quantizers and node.op_type in QUANTIZERS):
        return None
    if any(name and name not in state.constants for name in node.inputs):
        return None
    operands = [state.constants[name] if name else None for name in node.inputs]
    found = constant_folding.values_of(node, operands, state.opset, state.budget)
    if isinstance(found, Finding):
        state.uncomputed[node.name] = found
        return None
    return found


def without_identities(
    nodes: Sequence[SourceNode], outputs: tuple[str, ...], folded: Counter[str]
) -> list[SourceNode]:
    """Let readers of an Identity read its source.

    One that names a graph output stays, and one that a graph in an attribute reads.
    """
    sources: dict[str, str] = {}
    kept: list[SourceNode] = []
    named = {*outputs, *(name for node in nodes for name in node.captured)}
    for node in nodes:
        inputs = tuple(sources.get(name, name) for name in node.inputs)
        node = SourceNode(
            node.name, node.op_type, node.domain, inputs, node.outputs, node.attributes
        )
        if node.op_type == "Identity" and not node.domain and node.outputs[0] not in named:
            sources[node.outputs[0]] = inputs[0]
            folded["Identity"] += 1
        else:
            kept.append(node)
    return kept


def needed(nodes: Sequence[SourceNode], outputs: Sequence[str]) -> list[SourceNode]:
    """The nodes that some output depends on, in order."""
    wanted = set(outputs)
    kept: list[SourceNode] = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update((*node.inputs, *node.captured))
            kept.append(node)
    return kept[::-1]
