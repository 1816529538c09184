"""What runs after the chip: trailing operators that it cannot do, or not well.

A trailing node that the chip refuses becomes a host operation where ``tail`` allows it, and then so
does everything behind it. Softmax, LogSoftmax and ArgMax at the end do, as they are better there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute as chip
from knightlite.frontend import constant_runs, modern
from knightlite.frontend.host_values import add, append, as_seen, source_of
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.frontend.tail import VIEWS, weighted_sum
from knightlite.ir import Attribute, HostOp
from knightlite.ops import host as kinds

Array = NDArray[Any]

HOST = ("Softmax", "LogSoftmax", "ArgMax")
FOR_INFERENCE = "export the model for inference, after calling its eval()"
OWN_FORM = ("Cast", "Clip", *VIEWS)  # a HostOp says them in another way than ONNX does


def compute(state: Importer, node: SourceNode, *, anything: bool = False) -> None:
    """Append ``node`` in the shapes that the file gives its inputs; UnsupportedError says why not.

    Of several outputs, those that nothing reads are written too. ``anything``: what the host has no
    form of its own for is left to ONNX Runtime, also where that is much work.
    """
    features = state.features(node)
    if not features or not all(map(state.values.get, features)):
        raise UnsupportedError(f"{node.op_type} {node.name} must read features that are known.")
    handler, shapes = HANDLERS.get(node.op_type), state.model.shapes
    # what selects (NonMaxSuppression, NonZero) has results whose shapes the values decide
    known = all(name in shapes for name in (*features, *filter(None, node.outputs)))
    if handler is not None and (known or not state.tail.general):
        try:
            handler(state, node)
        except UnsupportedError:
            if node.op_type in OWN_FORM or not (anything or state.tail.general):
                raise
            _general(state, node)
    elif state.tail.general:
        _general(state, node)
    else:
        raise UnsupportedError(f"{node.kind} is not supported yet.")
    for name in node.outputs:
        if name:
            state.values[name] = Value(name, on_host=True)


def softmax(state: Importer, node: SourceNode) -> None:
    """At the end of the network on the host, elsewhere on the chip: there it is quantized."""
    better = node.name in state.tail.better and node.outputs[0] not in state.model.quantized
    if better or state.value(node.inputs[0]).on_host:
        compute(state, node)
        return
    axis = int(node.attributes.get("axis", 1 if state.model.opset < 13 else -1))
    attributes = {"axis": axis % len(state.seen(node.inputs[0]))}
    chip.compute(state, replace(node, attributes=attributes))


# ------------------------------------------------------------------ the operators


def _argmax(state: Importer, node: SourceNode) -> None:
    source, output = source_of(state, node), node.outputs[0]
    axis = int(node.attributes.get("axis", 0)) % len(state.seen(node.inputs[0]))
    if node.attributes.get("select_last_index", 0):
        raise UnsupportedError(f"ArgMax {node.name} must have select_last_index 0.")
    attributes = {"axis": axis, "keepdims": int(node.attributes.get("keepdims", 1))}
    append(state, "ArgMax", source, output, attributes, state.seen(output))


def _softmax(state: Importer, node: SourceNode) -> None:
    """Softmax or its logarithm."""
    source, output, shape = source_of(state, node), node.outputs[0], state.seen(node.inputs[0])
    if state.model.opset < 13:
        axis = int(node.attributes.get("axis", 1)) % len(shape)
        _old_softmax(state, node.op_type, source, output, axis)
    else:
        axis = int(node.attributes.get("axis", -1)) % len(shape)
        append(state, node.op_type, source, output, {"axis": axis}, shape)


def _old_softmax(state: Importer, kind: str, source: str, output: str, axis: int) -> None:
    """Before opset 13 Softmax ran over all axes from ``axis`` on, taken together."""
    shape = state.seen(output)
    rest = shape[axis:]
    long = [index for index, size in enumerate(rest) if size != 1]
    if len(long) <= 1:
        where = axis + (long[0] if long else 0)
        append(state, kind, source, output, {"axis": where}, shape)
        return
    flat = (*shape[:axis], int(np.prod(rest)))
    before, after = (state.builder.fresh(f"{output}.{part}") for part in ("flat", "softmax"))
    append(state, "Reshape", source, before, {"shape": flat}, flat)
    append(state, kind, before, after, {"axis": axis}, flat)
    append(state, "Reshape", after, output, {"shape": shape}, shape)


def _cast(state: Importer, node: SourceNode) -> None:
    """A cast to a number type that numpy has, by numpy's name."""
    from onnx import helper

    source, output, number = source_of(state, node), node.outputs[0], int(node.attributes["to"])
    kind = TensorProto.DataType.Name(number).lower()
    name = str(helper.tensor_dtype_to_np_dtype(number))
    if name not in kinds.CASTS:
        raise UnsupportedError(f"Cast of features to {kind} is not supported yet.")
    append(state, "Cast", source, output, {"to": name}, state.seen(output))


def _require_number_type(state: Importer, node: SourceNode, name: str) -> None:
    """UnsupportedError for what numpy has no number type for: float8, 4 bits, 2 bits."""
    from onnx import helper

    number = state.model.types.get(name, TensorProto.FLOAT)
    if number == TensorProto.BFLOAT16:  # is computed in float32
        return
    if str(helper.tensor_dtype_to_np_dtype(number)) not in kinds.CASTS:
        kind = TensorProto.DataType.Name(number).lower()
        raise UnsupportedError(
            f"{node.op_type} {node.name} makes {kind}, which the host has no numbers of."
        )


def _clip(state: Importer, node: SourceNode) -> None:
    """Bounds as attributes (before opset 11) or constants; infinite ones are left out."""
    bounds: dict[str, float] = {}
    for index, name in enumerate(kinds.CLIP, start=1):
        bound: Any = node.attributes.get(name)
        if index < len(node.inputs) and node.inputs[index]:
            bound = state.model.constants.get(node.inputs[index])
            if bound is None:
                raise UnsupportedError(f"Clip {node.name} must have a constant {name}.")
        if bound is not None:
            bounds[name] = float(np.asarray(bound, np.float32).reshape(()))
    if any(map(math.isnan, bounds.values())):
        raise UnsupportedError(f"Clip {node.name} must have bounds that are numbers, not NaN.")
    bounds = {
        name: bound
        for name, bound in bounds.items()
        if bound != {"min": -math.inf, "max": math.inf}[name]
    }
    if any(map(math.isinf, bounds.values())):
        raise UnsupportedError(f"Clip {node.name} must leave something between its bounds.")
    append(
        state, "Clip", source_of(state, node), node.outputs[0], bounds, state.seen(node.inputs[0])
    )


def _reduce(state: Importer, node: SourceNode) -> None:
    """Axes as an attribute or a constant; without any, all of them."""
    axes: Any = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        axes = state.model.constants.get(node.inputs[1])
        if axes is None:
            raise UnsupportedError(f"{node.op_type} {node.name} must have constant axes.")
    rank, output = len(state.seen(node.inputs[0])), node.outputs[0]
    chosen = [] if axes is None else [int(axis) % rank for axis in np.ravel(axes)]
    if not chosen and node.attributes.get("noop_with_empty_axes", 0):
        raise UnsupportedError(f"{node.op_type} {node.name} must reduce an axis.")
    attributes = {
        "axes": tuple(chosen or range(rank)),
        "keepdims": int(node.attributes.get("keepdims", 1)),
    }
    append(state, node.op_type, source_of(state, node), output, attributes, state.seen(output))


def _weighted_sum(state: Importer, node: SourceNode) -> None:
    """A Mul and a ReduceSum, and an Add of the bias."""
    made, output = weighted_sum(node, state.model), node.outputs[0]
    if made is None:
        raise UnsupportedError(f"{node.kind} does not run on the host.")
    shape, weighted = state.seen(output), state.builder.fresh(f"{output}.weighted")
    _of_constant(state, "Mul", source_of(state, node), weighted, made.weights,
                 state.seen(node.inputs[0]))  # fmt: skip
    summed = output if made.bias is None else state.builder.fresh(f"{output}.sum")
    attributes = {"axes": (made.axis,), "keepdims": int(made.keepdims)}
    append(state, "ReduceSum", weighted, summed, attributes, shape)
    if made.bias is not None:
        bias = made.bias.reshape((1,) * len(shape))
        _of_constant(state, "Add", summed, output, bias, shape)


def _of_constant(
    state: Importer, op: str, source: str, output: str, values: Array, shape: Shape
) -> None:
    """A host operation of ``source`` and an array."""
    if not np.all(np.isfinite(values)):
        raise UnsupportedError(f"the constant of {output} must be finite.")
    name = f"{output}/1"
    constants = {name: values.astype(np.float32)}
    add(state, HostOp(output, op, (source, name), (output,), {}, constants), (shape,))


def require_all_elements(node: SourceNode, source: Shape, target: Shape) -> None:
    """UnsupportedError for a view that would drop or invent elements."""
    if int(np.prod(source)) != int(np.prod(target)):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must keep all elements, not turn {source} into {target}.",
            "export the model again",
        )


def _view(state: Importer, node: SourceNode) -> None:
    target = state.seen(node.outputs[0])
    require_all_elements(node, state.seen(node.inputs[0]), target)
    source = source_of(state, node)
    append(state, "Reshape", source, node.outputs[0], {"shape": target}, target)


def _transpose(state: Importer, node: SourceNode) -> None:
    rank = len(state.seen(node.inputs[0]))
    perm = tuple(int(axis) for axis in node.attributes.get("perm", range(rank)[::-1]))
    output = node.outputs[0]
    append(state, "Transpose", source_of(state, node), output, {"perm": perm}, state.seen(output))


def _slice(state: Importer, node: SourceNode) -> None:
    """Constant starts, ends, axes and steps, as attributes (opset 9) or inputs."""
    found: dict[str, tuple[int, ...]] = {}
    for index, name in enumerate(kinds.SLICE, start=1):
        if name in node.attributes:
            found[name] = tuple(int(item) for item in node.attributes[name])
        elif index < len(node.inputs) and node.inputs[index]:
            values = state.model.constants.get(node.inputs[index])
            if values is None:
                raise UnsupportedError(f"Slice {node.name} must have constant {name}.")
            found[name] = tuple(int(item) for item in values.reshape(-1))
    found.setdefault("axes", tuple(range(len(found["starts"]))))
    found.setdefault("steps", (1,) * len(found["starts"]))
    rank, output = len(state.seen(node.inputs[0])), node.outputs[0]
    found["axes"] = tuple(axis % rank for axis in found["axes"])
    append(state, "Slice", source_of(state, node), output, found, state.seen(output))


def _split(state: Importer, node: SourceNode) -> None:
    """One Slice for every part."""
    source, shape = source_of(state, node), state.seen(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(shape)
    start = 0
    for output in node.outputs:
        end = start + state.seen(output)[axis]
        part = {"starts": (start,), "ends": (end,), "axes": (axis,), "steps": (1,)}
        append(state, "Slice", source, output, part, state.seen(output))
        start = end


def _same(state: Importer, node: SourceNode) -> None:
    """Concat and the element-wise operators: the same node, its constants beside it."""
    attributes: dict[str, Attribute] = {}
    if node.op_type == "Concat":
        attributes["axis"] = int(node.attributes.get("axis", 1)) % len(state.seen(node.outputs[0]))
    elif len(node.inputs) > 2:
        raise UnsupportedError(f"{node.op_type} {node.name} must have two operands on the host.")
    elif node.attributes:
        given = ", ".join(sorted(node.attributes))
        raise UnsupportedError(f"{node.op_type} {node.name} must have no attributes, not {given}.")
    require_alike(state, node)
    _with_operands(state, node, attributes)


def require_alike(state: Importer, node: SourceNode) -> None:
    """UnsupportedError for two operands that do not broadcast; ONNX's inference is silent there."""
    constants, seen = state.model.constants, state.model.shapes
    shapes = [
        constants[name].shape if name in constants else seen.get(name, ()) for name in node.inputs
    ]
    if node.op_type not in kinds.BINARY:
        return
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have operands that broadcast, not {listed}.",
            "export the model again",
        ) from None


def _with_operands(state: Importer, node: SourceNode, attributes: Mapping[str, Attribute]) -> None:
    names, constants = [], {}
    for index, name in enumerate(node.inputs):
        if name in state.model.constants:
            values = state.model.constants[name]
            if np.issubdtype(values.dtype, np.floating):
                values = values.astype(np.float32)
                if not np.all(np.isfinite(values)):
                    raise UnsupportedError(f"the constant {name} must be finite.")
            constants[f"{node.outputs[0]}/{index}"] = values
            names.append(f"{node.outputs[0]}/{index}")
        else:
            names.append(as_seen(state, name) if name else "")
    outputs = tuple(name for name in node.outputs if name)
    written = {name: _attribute(node, name, value) for name, value in attributes.items()}
    op = HostOp(outputs[0], node.op_type, tuple(names), outputs, written, constants)
    add(state, op, tuple(state.model.shapes.get(name, ()) for name in outputs))


def _attribute(node: SourceNode, name: str, value: Any) -> Attribute:
    """An attribute as a host operation holds it; UnsupportedError for what a .cfg cannot hold."""
    items = tuple(
        item.decode(errors="replace") if isinstance(item, bytes) else item
        for item in (value if isinstance(value, (list, tuple)) else (value,))
    )
    if not all(isinstance(item, (int, str)) or _is_finite(item) for item in items):
        raise UnsupportedError(
            f"attribute {name} of {node.op_type} {node.name} must be finite numbers or texts."
        )
    return items if isinstance(value, (list, tuple)) else items[0]


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _general(state: Importer, node: SourceNode) -> None:
    """Any operator, rewritten for the opset of the files that we write."""
    if constant_runs.is_random(node, state.model.constants):
        raise UnsupportedError(
            f"{node.op_type} {node.name} makes other numbers at every run.", FOR_INFERENCE
        )
    if node.attributes.get("training_mode", 0):
        raise UnsupportedError(f"{node.op_type} {node.name} is in training form.", FOR_INFERENCE)
    for name in filter(None, node.outputs):
        _require_number_type(state, node, name)
    for made in modern.rewritten(node, state.model):
        state.model = made.model
        _with_operands(state, made.node, made.attributes)
        for name in made.node.outputs:
            state.values[name] = Value(name, on_host=True)


HANDLERS: dict[str, Callable[[Importer, SourceNode], None]] = {
    **dict.fromkeys((*kinds.UNARY, *kinds.BINARY, "Concat"), _same),
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(kinds.SOFT, _softmax),
    **dict.fromkeys(kinds.REDUCING, _reduce),
    **dict.fromkeys(("Conv", "MatMul"), _weighted_sum),
    "ArgMax": _argmax,
    "Cast": _cast,
    "Clip": _clip,
    "Slice": _slice,
    "Split": _split,
    "Transpose": _transpose,
}
