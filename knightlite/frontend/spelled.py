"""Operators written as others while a model is read: running products, chosen elements.

::

    CumSum(x)              =>  MatMul(x, triangle of ones)
    CumProd(x)             =>  Muls of x by itself moved along by 1, 2, 4 .. elements
    TensorScatter(x, u, i) =>  parts of x and u, one after the other; ScatterND, where a box or
                               rows of x are replaced, or added to, as x[a:b] = u is exported
    GatherElements(x, i)   =>  Gather, where i is the same for all other axes
    Mod(x, y) of reals     =>  the rest of a division, and y more where their signs differ
    MatMul(x, c)           =>  by all of c's matrices side by side, where x has one for each
    Gemm(x, w, c)          =>  Gemm(x, w) + c, where c has a row for each of x
    Conv over depth        =>  Convs of pictures (volumes)
    Resize, cubic          =>  products with a matrix for rows and one for columns (cubic)

Where something about a node does not fit it stays as it is, and its handler says what.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite.errors import UnsupportedError
from knightlite.frontend import cubic, volumes
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.steps import REALS, STEP, Steps

Array = NDArray[Any]
LONGEST_SUM = 1024  # of a CumSum: a triangle of so many rows, which costs as many products a value
Rule = Callable[[Steps], "str | None"]


def of_later_opsets(model: SourceModel) -> SourceModel:
    """The model without operators that the files which we write have not yet."""
    return _written(model, LATER)


def spelled_out(model: SourceModel) -> SourceModel:
    """The model as the chip may compute it; the host computes the operators as they are."""
    return _written(model, RULES)


def nodes_of(names: Sequence[str], model: SourceModel) -> dict[str, str]:
    """Of the names of nodes that one of ``model`` became, its name."""
    known = {node.name for node in model.nodes}
    found = ((name, name.rpartition(STEP)[0]) for name in names)
    return {name: whole for name, whole in found if whole in known and name not in known}


def _written(model: SourceModel, rules: Mapping[str, Rule]) -> SourceModel:
    if model.quantized or not any(node.op_type in rules for node in model.nodes):
        return model
    nodes: list[SourceNode] = []
    constants, shapes, types = dict(model.constants), dict(model.shapes), dict(model.types)
    for node in model.nodes:
        made = None
        if node.op_type in rules and not node.domain and _is_known(node, constants, shapes, types):
            steps = Steps(node, model.opset, constants, shapes, types)
            last = rules[node.op_type](steps)
            made = None if last is None else steps.finished(last)
        nodes += [node] if made is None else made
    return replace(model, nodes=tuple(nodes), constants=constants, shapes=shapes, types=types)


def _is_known(
    node: SourceNode,
    constants: Mapping[str, Array],
    shapes: Mapping[str, Shape],
    types: Mapping[str, int],
) -> bool:
    """Whether a node computes real numbers of features of known shapes."""
    features = [name for name in node.inputs if name and name not in constants]
    values = (*features, node.outputs[0])
    return (
        bool(features)
        and all(name in shapes and 0 not in shapes[name] for name in values)
        and all(types.get(name, TensorProto.FLOAT) in REALS for name in values)
    )


def refuse(state: Importer, node: SourceNode) -> None:
    """The handler of what was not written as others."""
    what = {
        "CumProd": "a constant axis, and more than one element along it",
        "CumSum": f"a constant axis, and at most {LONGEST_SUM} elements along it",
        "GatherElements": "constant indices that are the same along all axes but its own",
        "TensorScatter": "constant write_indices",
    }[node.op_type]
    raise UnsupportedError(f"{node.op_type} {node.name} must have {what}.")


# ------------------------------------------------------------------ along one axis


def _axis(steps: Steps, values: Any) -> int | None:
    """An axis of the first input, from 0; None where it is computed."""
    rank = len(steps.shape(steps.node.inputs[0]))
    return None if values is None or np.size(values) != 1 else int(np.ravel(values)[0]) % rank


def _products(steps: Steps) -> str | None:
    """Of 1, 2, 4, .. elements in a row: as many roundings as the length has bits."""
    node = steps.node
    axis = _axis(steps, steps.constants.get(node.inputs[1]))
    if axis is None:
        return None
    value, shape = node.inputs[0], steps.shape(node.inputs[0])
    length, exclusive = shape[axis], bool(node.attributes.get("exclusive", 0))
    backwards = bool(node.attributes.get("reverse", 0))
    if exclusive:
        length -= 1
        value = steps.cut(value, axis, 1, length + 1) if backwards else (
            steps.cut(value, axis, 0, length) if length else value
        )  # fmt: skip
        if not length:
            return None
    apart = 1
    while apart < length:
        early = steps.cut(value, axis, 0, length - apart)
        late = steps.cut(value, axis, apart, length)
        moved = steps.node_of("Mul", [early, late], steps.shape(late))
        kept = (length - apart, length) if backwards else (0, apart)
        rest = steps.cut(value, axis, *kept)
        value = steps.joined([moved, rest] if backwards else [rest, moved], axis)
        apart *= 2
    if exclusive:
        ones = np.ones((*shape[:axis], 1, *shape[axis + 1 :]), np.float32)
        first = steps.constant(ones)
        value = steps.joined([value, first] if backwards else [first, value], axis)
    return value


def _sums(steps: Steps) -> str | None:
    """Each element is a sum of those up to its own, rounded once: a product with a triangle."""
    node = steps.node
    axis = _axis(steps, steps.constants.get(node.inputs[1]))
    value, shape = node.inputs[0], steps.shape(node.inputs[0])
    least = 1 if node.attributes.get("exclusive", 0) else 0
    if axis is None or not least < shape[axis] <= LONGEST_SUM:
        return None
    place = np.arange(shape[axis])
    apart = place[None, :] - place[:, None]  # [of an element, of a sum]
    apart = -apart if node.attributes.get("reverse", 0) else apart
    triangle = (apart >= least).astype(np.float32)
    rank = len(shape)
    if axis == rank - 2:
        return steps.node_of("MatMul", [steps.constant(triangle.T), value], shape)
    order = [*(at for at in range(rank) if at != axis), axis]
    value = steps.transposed(value, order)
    shape = steps.shape(value)
    if rank == 1:
        value = steps.reshaped(value, (1, *shape))
    value = steps.node_of("MatMul", [value, steps.constant(triangle)], steps.shape(value))
    return steps.transposed(steps.reshaped(value, shape), [order.index(at) for at in range(rank)])


def _scattered(steps: Steps) -> str | None:
    """What stands where is known: runs of the old and of the new values."""
    node = steps.node
    past, update, where = (*node.inputs, "")[:3]
    shape, count = steps.shape(past), steps.shape(update)
    starts = steps.constants.get(where) if where else np.zeros(shape[0], np.int64)
    axis = _axis(steps, node.attributes.get("axis", -2))
    if starts is None or axis is None or axis == 0 or np.size(starts) != shape[0]:
        return None
    length, new = shape[axis], count[axis]
    circular = node.attributes.get("mode", "linear") in ("circular", b"circular")
    rows = []
    for start in np.ravel(starts):
        source = np.arange(length)  # in past and then update, one behind the other
        places = np.arange(new) + int(start)
        if circular:
            places %= length
        if places.size > length or places.min(initial=0) < 0 or places.max(initial=0) >= length:
            return None
        source[places] = length + np.arange(new)
        rows.append(source)
    if all(np.array_equal(row, rows[0]) for row in rows):
        return _runs(steps, past, update, rows[0], axis)
    parts = [
        _runs(steps, steps.cut(past, 0, at, at + 1), steps.cut(update, 0, at, at + 1), row, axis)
        for at, row in enumerate(rows)
    ]
    return steps.joined(parts, 0)


def _placed(steps: Steps) -> str | None:
    """ScatterND of constant places, each of them once: rows, or a box of the leading axes."""
    node = steps.node
    data, where, update = node.inputs
    places = steps.constants.get(where)
    shape = steps.shape(data)
    kind = node.attributes.get("reduction", "none")
    reduction = {"none": "", "add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}.get(
        kind.decode() if isinstance(kind, bytes) else kind
    )
    if places is None or reduction is None or not places.size:
        return None
    depth = places.shape[-1]
    rows = places.reshape(-1, depth) % shape[:depth]
    if len(np.unique(rows, axis=0)) < len(rows):
        return None
    if depth == 1 and not reduction:
        source = np.arange(shape[0])
        source[rows[:, 0]] = shape[0] + np.arange(len(rows))
        update = steps.reshaped(update, (len(rows), *shape[1:]))
        return _runs(steps, data, update, source, 0)
    first, last = rows.min(axis=0), rows.max(axis=0) + 1
    box = tuple(int(size) for size in last - first)
    whole = np.stack(np.unravel_index(np.arange(prod(box)), box), axis=1) + first
    if not np.array_equal(rows, whole):
        return None
    made = steps.reshaped(update, (*box, *shape[depth:]))
    if reduction:
        old = _boxed(steps, data, first, last, depth)
        made = steps.node_of(reduction, [old, made], steps.shape(old))
    for axis in reversed(range(depth)):
        beside = _boxed(steps, data, first, last, axis)
        parts = [made]
        if first[axis]:
            parts.insert(0, steps.cut(beside, axis, 0, int(first[axis])))
        if last[axis] < shape[axis]:
            parts.append(steps.cut(beside, axis, int(last[axis]), shape[axis]))
        made = steps.joined(parts, axis)
    return made


def _boxed(steps: Steps, data: str, first: Array, last: Array, depth: int) -> str:
    """What the box holds of the data along the first axes."""
    for axis in range(depth):
        data = steps.cut(data, axis, int(first[axis]), int(last[axis]))
    return data


def _runs(steps: Steps, past: str, update: str, source: Array, axis: int) -> str:
    length = len(source)
    breaks = np.flatnonzero((np.diff(source) != 1) | (source[1:] == length)) + 1
    parts = []
    for run in np.split(source, breaks):
        first, last = int(run[0]), int(run[-1]) + 1
        if first >= length:
            parts.append(steps.cut(update, axis, first - length, last - length))
        else:
            parts.append(steps.cut(past, axis, first, last))
    return steps.joined(parts, axis)


def _chosen(steps: Steps) -> str | None:
    """Indices that do not depend on the other axes choose whole slices."""
    node = steps.node
    value, shape = node.inputs[0], steps.shape(node.inputs[0])
    indices = steps.constants.get(node.inputs[1])
    axis = _axis(steps, node.attributes.get("axis", 0))
    if value in steps.constants or indices is None or axis is None or indices.ndim != len(shape):
        return None
    row = np.moveaxis(indices, axis, -1).reshape(-1, indices.shape[axis])
    if np.any(row != row[0]):
        return None
    for other, size in enumerate(indices.shape):
        if other != axis:
            value = steps.cut(value, other, 0, size)
    chosen = steps.constant(row[0].astype(np.int64))
    return steps.node_of("Gather", [value, chosen], indices.shape, {"axis": axis})


# ------------------------------------------------------------------ pairs of values


def _rest(steps: Steps) -> str | None:
    """As ONNX counts from opset 28 on: the rest has the divisor's sign, as Python's has."""
    node = steps.node
    if node.attributes.get("fmod", 0):
        return None
    x, y = node.inputs
    shape = steps.shapes[node.outputs[0]]
    rest = steps.node_of("Mod", [x, y], shape, {"fmod": 1})
    signs = [
        steps.node_of("Sign", [name], steps.shape(name))
        if name not in steps.constants
        else steps.constant(np.sign(steps.constants[name]))
        for name in (rest, y)
    ]
    both = steps.node_of("Mul", signs, shape)
    zero = steps.constant(np.zeros((), np.float32))
    apart = steps.node_of("Less", [both, zero], shape, element=TensorProto.BOOL)
    more = steps.node_of("Add", [rest, y], shape)
    return steps.node_of("Where", [apart, more, rest], shape)


def _all_matrices(steps: Steps) -> str | None:
    """A constant of several matrices times features that all of them multiply."""
    node = steps.node
    names = node.inputs
    sides = [name in steps.constants for name in names]
    if sides.count(True) != 1:
        return None
    left = sides[0]  # the constant's side
    constant, feature = steps.constants[names[not left]], names[left]
    shape = steps.shape(feature)
    batch = constant.shape[:-2]
    width = max(len(batch), len(shape) - 2)
    outer = (*(1,) * (width - len(batch)), *batch)
    own = (*(1,) * (width - max(len(shape) - 2, 0)), *shape[:-2])
    if prod(outer) == 1 or any(a > 1 and b > 1 for a, b in zip(outer, own, strict=True)):
        return None
    if len(shape) == 1:
        shape = (*shape, 1) if left else (1, *shape)
    value = steps.reshaped(feature, (*(size for size in own if size > 1), *shape[-2:]))
    return _side_by_side(steps, value, constant.reshape(-1, *constant.shape[-2:]), left, outer, own)


def _side_by_side(
    steps: Steps, value: str, matrices: Array, left: bool, outer: Shape, own: Shape
) -> str:
    """All matrices as one, and the axes in their places: ``outer`` of them, ``own`` of features."""
    count, rows, columns = matrices.shape
    *front, height, width = steps.shape(value)
    if left:
        whole = steps.constant(matrices.reshape(count * rows, columns))
        made = steps.node_of("MatMul", [whole, value], (*front, count * rows, width))
        made = steps.reshaped(made, (*front, count, rows, width))
        order = [len(front)]
    else:
        whole = steps.constant(matrices.transpose(1, 0, 2).reshape(rows, count * columns))
        made = steps.node_of("MatMul", [value, whole], (*front, height, count * columns))
        made = steps.reshaped(made, (*front, height, count, columns))
        order = [len(front) + 1]
    inner = [at for at in range(len(front), len(front) + 3) if at not in order]
    # where the axes of both alternate, those of the matrices are told apart again
    split = tuple(size for size in outer if size > 1)
    if len(split) > 1:
        sizes = steps.shape(made)
        made = steps.reshaped(made, (*sizes[: order[0]], *split, *sizes[order[0] + 1 :]))
        order = list(range(order[0], order[0] + len(split)))
        inner = [at for at in range(len(front), len(front) + 2 + len(split)) if at not in order]
    fronts, matrix = iter(range(len(front))), iter(order)
    perm = [
        next(matrix) if a > 1 else next(fronts)
        for a, b in zip(outer, own, strict=True)
        if a > 1 or b > 1
    ]
    made = steps.transposed(made, [*perm, *inner])
    return steps.reshaped(made, steps.shapes[steps.node.outputs[0]])


def _with_rows_added(steps: Steps) -> str | None:
    """A matrix that is added is no bias of a linear layer."""
    node = steps.node
    added = steps.constants.get((*node.inputs, "", "")[2])
    if added is None or added.ndim != 2 or added.shape[0] == 1:
        return None
    attributes = {key: value for key, value in node.attributes.items() if key != "beta"}
    shape = steps.shapes[node.outputs[0]]
    product = steps.node_of("Gemm", node.inputs[:2], shape, attributes)
    rows = np.float32(node.attributes.get("beta", 1.0)) * added.astype(np.float32)
    return steps.node_of("Add", [product, steps.constant(rows)], shape)


LATER: Mapping[str, Rule] = {"CumProd": _products, "Mod": _rest, "TensorScatter": _scattered}
RULES: Mapping[str, Rule] = {
    "Conv": volumes.convolved,
    "ConvTranspose": volumes.convolved,
    "CumSum": _sums,
    "GatherElements": _chosen,
    "Gemm": _with_rows_added,
    "MatMul": _all_matrices,
    "Resize": cubic.resized,
    "ScatterND": _placed,
}
REFUSED = ("CumProd", "CumSum", "GatherElements", "TensorScatter")
"""What no other handler reads."""
