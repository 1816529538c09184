"""Products, sums and shares along axes of values of any layout: MatMul, Softmax, reductions.

What is summed lies in the channels, or in all rows or columns: a linear layer is a 1x1
convolution, a mean over tokens a pool. Of the axes that a MatMul repeats itself over, its batch,
each member is a group of channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import any_elementwise, any_layout, axis_orders, rearranging, wanted
from knightlite.frontend.any_layout import Bench
from knightlite.frontend.factors import Factors, Members, chosen, members
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceNode

Array = NDArray[Any]
SUMS = ("ReduceMean", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
        "ReduceLogSumExp")  # fmt: skip
EXTREMES = ("ReduceMax", "ReduceMin")


# ------------------------------------------------------------------ by a constant


def product(state: Importer, node: SourceNode) -> None:
    """MatMul or Gemm, of features and a constant on either side, or of features."""
    constants = state.model.constants
    sides = [name in constants for name in node.inputs[:2]]
    if node.op_type == "Gemm":
        _gemm(state, node)
    elif any(sides):
        _dense(state, node, sides.index(False), None)
    else:
        _features(state, node)


def _gemm(state: Importer, node: SourceNode) -> None:
    """alpha * A * B + beta * C, where A or its transpose are features and B is constant."""
    given = node.attributes
    weights, bias = axis_orders.operand(state, node, 1), axis_orders.operand(state, node, 2)
    if weights is None or node.inputs[0] in state.model.constants:
        raise UnsupportedError(f"Gemm {node.name} must multiply features by constant weights.")
    matrix = weights.T if given.get("transB", 0) else weights
    matrix = (float(given.get("alpha", 1.0)) * matrix.astype(np.float64)).astype(np.float32)
    if bias is not None:
        if bias.size not in (1, matrix.shape[1]) or bias.shape[:-1] not in ((), (1,)):
            raise UnsupportedError(f"Gemm {node.name} must have one bias for every output.")
        scaled = float(given.get("beta", 1.0)) * np.ravel(bias).astype(np.float64)
        bias = np.broadcast_to(scaled, matrix.shape[1:]).astype(np.float32)
    name = axis_orders.constant(state, node, node.inputs[1], matrix)
    source = node.inputs[0]
    if given.get("transA", 0):
        from knightlite.frontend import any_axes

        source = state.builder.fresh(f"{node.outputs[0]}.transposed")
        shapes = {**state.model.shapes, source: state.seen(node.inputs[0])[::-1]}
        state.model = replace(state.model, shapes=shapes)
        any_axes.view(
            state,
            replace(node, op_type="Transpose", inputs=node.inputs[:1], outputs=(source,),
                    attributes={}),
        )  # fmt: skip
    _dense(state, replace(node, inputs=(source, name), attributes={}), 0, bias)


def _dense(state: Importer, node: SourceNode, which: int, bias: Array | None) -> None:
    """Features times a matrix [K, M], or a matrix [M, K] times features: a 1x1 convolution."""
    name, other = node.inputs[which], node.inputs[1 - which]
    weights, seen = state.model.constants[other], state.seen(name)
    matrices = int(np.prod(weights.shape[:-2])) if weights.ndim > 2 else 1
    bench = Bench(state, node)
    if matrices != 1:
        _many(bench, which, weights, seen)
        return
    vector = weights.ndim == 1
    matrix = weights.reshape(weights.shape[-2:]) if not vector else weights[:, None]
    if which == 1 and not vector:
        matrix = matrix.T
    axis = len(seen) - 1 if which == 0 or len(seen) == 1 else len(seen) - 2
    made, factors = over_channels(bench, name, (axis,), matrix, bias)
    bench.finish(made, factors)


def over_channels(
    bench: Bench, name: str, axes: Sequence[int], matrix: Array, bias: Array | None = None
) -> tuple[str, Factors]:
    """The axes of a value, together K elements, times ``matrix`` [K, M]; M stands in their place.

    They must follow each other in the file.
    """
    state = bench.state
    found = members(any_layout.factors_of(state, name), state.seen(name))
    ids = tuple(index for axis in axes for index in found[axis])
    tensor, factors = any_layout.arranged(state, name, wanted.channel_set(ids))
    parts = matrix.reshape(*(factors.sizes[index] for index in ids), matrix.shape[1])
    order = [ids.index(index) for index in factors.places[0]]
    kernel = parts.transpose(*order, len(ids)).reshape(matrix.shape).T
    inputs: list[Any] = [tensor, np.ascontiguousarray(kernel[:, :, None, None], np.float32)]
    if bias is not None:
        inputs.append(bias)
    outputs = matrix.shape[1]
    made = bench.op("Conv", inputs, (1, outputs, *bench.shape(tensor)[2:]))
    at = ids[0] if ids else sum(len(item) for item in found[: axes[0]])
    return made, _replaced(factors, ids, at, outputs)


def _replaced(factors: Factors, ids: Sequence[int], at: int, size: int) -> Factors:
    """All channels, the factors ``ids``, as one factor of ``size``, the ``at``-th in the file."""
    kept = [index for index in range(len(factors.sizes)) if index not in ids]
    before = [index for index in kept if index < at]
    order = kept if size == 1 else [*before, -1, *kept[len(before) :]]
    number = {old: new for new, old in enumerate(order)}
    h, w = (tuple(number[index] for index in place) for place in factors.places[1:])
    sizes = tuple(size if old == -1 else factors.sizes[old] for old in order)
    return Factors(sizes, (() if size == 1 else (number[-1],), h, w))


def _many(bench: Bench, which: int, weights: Array, seen: Shape) -> None:
    """A constant matrix for every member of the batch: a convolution with groups."""
    state, node = bench.state, bench.node
    name = node.inputs[which]
    batch = weights.shape[:-2]
    lead = len(bench.seen) - 2
    if len(seen) - 2 != len(batch) or seen[:-2] != batch or lead != len(batch):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must multiply {seen} by one matrix, or by one for every "
            f"member of its batch, not by {weights.shape}."
        )
    found = members(any_layout.factors_of(state, name), seen)
    outer = tuple(index for axis in found[:-2] for index in axis)
    inner, pixels = (found[-1], found[-2]) if which == 0 else (found[-2], found[-1])
    tensor, factors = any_layout.arranged(state, name, wanted.channels((*outer, *inner)))
    matrices = weights.reshape(-1, *weights.shape[-2:])
    if which == 0:
        matrices = matrices.transpose(0, 2, 1)
    groups, outputs, depth = matrices.shape
    kernel = np.ascontiguousarray(matrices.reshape(groups * outputs, depth, 1, 1), np.float32)
    shape = (1, groups * outputs, *bench.shape(tensor)[2:])
    made = bench.op("Conv", [tensor, kernel], shape, attributes={"group": groups})
    bench.finish(made, _grouped(factors, outer, inner, pixels, which == 0, outputs))


def _grouped(
    factors: Factors,
    outer: Sequence[int],
    inner: Sequence[int],
    pixels: Sequence[int],
    last: bool,
    outputs: int,
) -> Factors:
    """Factors of a product by groups: ``outputs`` stand in place of ``inner``."""
    new = [] if outputs == 1 else [-1]
    order = [*outer, *pixels, *new] if last else [*outer, *new, *pixels]
    number = {old: place for place, old in enumerate(order)}
    h, w = (tuple(number[index] for index in place) for place in factors.places[1:])
    sizes = tuple(outputs if old == -1 else factors.sizes[old] for old in order)
    return Factors(sizes, (tuple(number[index] for index in (*outer, *new)), h, w))


# ------------------------------------------------------------------ of features


FORMS = (("keys", 0), ("values", 0), ("keys", 1), ("values", 1))
"""How A B can be written as the machine's product of x and w, and whether x is A or B."""


def _features(state: Importer, node: SourceNode) -> None:
    """Both operands are computed: the machine's MatMul, in the form that moves least."""
    shapes = [state.seen(name) for name in node.inputs]
    if min(map(len, shapes)) < 2:
        raise UnsupportedError(
            f"MatMul {node.name} must multiply matrices, not {shapes[0]} by {shapes[1]}."
        )
    bench = Bench(state, node)
    batch = bench.seen[:-2]
    names = [_with_batch(bench, name, batch) for name in node.inputs]
    least, (form, of_x) = inf, FORMS[0]
    for option in FORMS:
        cost = _cost(state, names, *option, least)
        if cost < least:
            least, (form, of_x) = cost, option
    sides = [
        any_layout.arranged(state, name, _wanted(state, name, side, form, of_x))
        for side, name in enumerate(names)
    ]
    (x, of_pixels), (w, of_matrix) = sides[of_x], sides[1 - of_x]
    tokens = bench.seen[-1 if of_x == 0 else -2]
    shape = (1, prod(batch) * tokens, *bench.shape(x)[2:])
    output = bench.canonical("MatMul", [x, w], shape, {"groups": prod(batch), "form": form})
    axes = [members(side[1], state.seen(name)) for side, name in zip(sides, names, strict=True)]
    bench.finish(output, _product(of_pixels, of_matrix, axes, of_x))


def _with_batch(bench: Bench, name: str, batch: Shape) -> str:
    """An operand repeated for every member of the batch, where it has none of its own."""
    state = bench.state
    target = (*batch, *state.seen(name)[-2:])
    if state.seen(name) == target:
        return name
    output = bench.name("repeated")
    shapes = {**state.model.shapes, output: target}
    state.model = replace(state.model, shapes=shapes)
    any_elementwise.expand(state, replace(bench.node, inputs=(name,), outputs=(output,)))
    return output


def _wanted(state: Importer, name: str, side: int, form: str, of_x: int) -> wanted.Wanted:
    """Where A (side 0) or B must lie: x's pixels anywhere, the matrices of w in one row."""
    axes = members(any_layout.factors_of(state, name), state.seen(name))
    batch = tuple(index for axis in axes[:-2] for index in axis)
    own, summed_up = (axes[-2], axes[-1]) if side == 0 else (axes[-1], axes[-2])
    if side == of_x:
        return wanted.channels((*batch, *summed_up))
    channels, row = (summed_up, own) if form == "keys" else (own, summed_up)
    return wanted.exactly(((*batch, *channels), (), row))


def _cost(state: Importer, names: Sequence[str], form: str, of_x: int, most: float) -> float:
    """Of the moves of both operands; infinite where it is ``most`` or more."""
    total = 0.0
    for side, name in enumerate(names):
        found = rearranging.search(
            any_layout.factors_of(state, name),
            _wanted(state, name, side, form, of_x),
            most - total,
        )
        if found is None:
            return inf
        total += found[0]
    return total


def _product(x: Factors, w: Factors, axes: Sequence[Members], of_x: int) -> Factors:
    """The factors of A B: x's batch and pixels, and w's own axis as channels behind the batch."""
    own_x, own_w = (-2, -1) if of_x == 0 else (-1, -2)
    batch = [index for axis in axes[of_x][:-2] for index in axis]
    pixels, rows = axes[of_x][own_x], axes[1 - of_x][own_w]
    parts = [("x", index) for index in batch]
    both = [[("x", index) for index in pixels], [("w", index) for index in rows]]
    for part in both if of_x == 0 else both[::-1]:
        parts += part
    number = {part: place for place, part in enumerate(parts)}
    sizes = tuple((x if source == "x" else w).sizes[index] for source, index in parts)
    h, w_place = (tuple(number["x", index] for index in place) for place in x.places[1:])
    channels = (*(number["x", index] for index in batch), *(number["w", index] for index in rows))
    return Factors(sizes, (channels, h, w_place))


# ------------------------------------------------------------------ Softmax


def softmax(state: Importer, node: SourceNode) -> None:
    """Over one axis, or before opset 13 over all from one on: they become the channels.

    Further axes among the channels, such as the heads of an attention, stay there: each member
    has shares of its own.
    """
    name, seen = node.inputs[0], state.seen(node.inputs[0])
    old = state.model.opset < 13
    axis = int(node.attributes.get("axis", 1 if old else -1)) % len(seen)
    axes = range(axis, len(seen)) if old else (axis,)
    found = members(any_layout.factors_of(state, name), seen)
    ids = tuple(index for item in axes for index in found[item])
    bench = Bench(state, node)
    tensor, factors = any_layout.arranged(state, name, wanted.innermost_channels(ids))
    shape = bench.shape(tensor)
    groups = shape[1] // factors.size(ids)
    made = bench.canonical("Softmax", [tensor], shape, {"groups": groups} if groups > 1 else {})
    bench.finish(made, factors)


# ------------------------------------------------------------------ reductions


def reduce(state: Importer, node: SourceNode) -> None:
    """Means, sums, norms and extremes over any axes."""
    name, output = node.inputs[0], node.outputs[0]
    seen = state.seen(name)
    axes = _axes(state, node, len(seen))
    bench = Bench(state, node)
    kind = node.op_type
    if not axes:
        state.values[output] = state.value(name)
        return
    ids = reduced_ids(state, name, axes)
    if kind in EXTREMES:
        made, factors = _extreme(bench, name, ids, kind)
    else:
        made, factors = _sum(bench, name, ids, kind)
    bench.finish(made, factors)


def _axes(state: Importer, node: SourceNode, rank: int) -> list[int]:
    """The axes that are reduced, from 0."""
    given: Any = node.attributes.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = axis_orders.operand(state, node, 1)
    if given is None or len(np.ravel(given)) == 0:
        return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(int(axis) % rank for axis in np.ravel(given))


def reduced_ids(state: Importer, name: str, axes: Sequence[int]) -> tuple[int, ...]:
    """The factors of these axes."""
    found = members(any_layout.factors_of(state, name), state.seen(name))
    return tuple(index for axis in axes for index in found[axis])


def _sum(bench: Bench, name: str, ids: tuple[int, ...], kind: str) -> tuple[str, Factors]:
    """A table in front, the sum or mean, a table behind."""
    state = bench.state
    tensor, factors = any_layout.arranged(state, name, wanted.whole_pixels(ids))
    shape = bench.shape(tensor)
    if kind in ("ReduceL2", "ReduceSumSquare"):
        tensor = bench.op("Pow", [tensor, 2.0], shape, "squares")
    elif kind == "ReduceL1":
        tensor = bench.op("Abs", [tensor], shape, "absolute")
    elif kind == "ReduceLogSumExp":
        tensor = bench.op("Exp", [tensor], shape, "exponentials")
    behind = {"ReduceL2": "Sqrt", "ReduceLogSum": "Log", "ReduceLogSumExp": "Log"}.get(kind)
    part = "sum" if behind else ""
    made, left = summed(bench, tensor, factors, ids, kind == "ReduceMean", part)
    if behind:
        made = bench.op(behind, [made], bench.shape(made))
    return made, left


def summed(
    bench: Bench,
    tensor: str,
    factors: Factors,
    ids: Sequence[int],
    mean: bool,
    part: str = "",
    keep: bool = False,
) -> tuple[str, Factors]:
    """The sum or mean over factors of which rows and columns hold all or none.

    ``keep``: where a part of the channels is summed, every channel gets the sum of its group.
    """
    over = [place for place in (1, 2) if factors.places[place] and factors.places[place][0] in ids]
    inner = [index for index in factors.places[0] if index in ids]
    made = tensor
    if over:
        made = _pooled(bench, made, over, mean, f"{part or 'pooled'}" if inner or part else "")
    if inner:
        matrix = _group_matrix(factors, inner, keep)
        if mean:
            matrix = matrix / factors.size(inner)
        shape = (1, len(matrix), *bench.shape(made)[2:])
        made = bench.op("Conv", [made, matrix[:, :, None, None].astype(np.float32)], shape, part)
    if keep:
        gone = [index for index in ids if index not in factors.places[0]]
        gone += factors.places[0] if set(factors.places[0]) <= set(ids) else ()
    else:
        gone = list(ids)
    return made, chosen(factors, [i for i in range(len(factors.sizes)) if i not in gone])


def _pooled(bench: Bench, tensor: str, over: Sequence[int], mean: bool, part: str) -> str:
    full = bench.shape(tensor)
    shape = tuple(1 if axis - 1 in over else size for axis, size in enumerate(full))
    kernel = [full[axis] if axis - 1 in over else 1 for axis in (2, 3)]
    attributes = {"kernel_shape": kernel, "strides": [1, 1]}
    if mean:
        return bench.op("AveragePool", [tensor], shape, part, attributes)
    made = bench.op("AveragePool", [tensor], shape, "mean", attributes)
    return bench.op("Mul", [made, float(kernel[0] * kernel[1])], shape, part)


def _group_matrix(factors: Factors, inner: Sequence[int], keep: bool) -> Array:
    """[outputs, C] of ones: which channels are summed for which output."""
    place = factors.places[0]
    sizes = [factors.sizes[index] for index in place]
    total = factors.size(place)
    numbers = np.zeros(sizes, np.int64)  # the group of every channel
    step = 1
    for axis in reversed(range(len(place))):
        if place[axis] in inner:
            continue
        counted = np.arange(sizes[axis]).reshape(
            [-1 if k == axis else 1 for k in range(len(place))]
        )
        numbers = numbers + counted * step
        step *= sizes[axis]
    group = np.broadcast_to(numbers, sizes).reshape(total)
    whole = step == 1
    rows = group if keep and not whole else np.arange(step)
    same: Array = rows[:, None] == group[None, :]
    return same.astype(np.float64)


def _extreme(bench: Bench, name: str, ids: tuple[int, ...], kind: str) -> tuple[str, Factors]:
    """Pools over rows and columns; over channels halves that are compared."""
    chosen_ids = set(ids)
    tensor, factors = any_layout.arranged(bench.state, name, wanted.outermost_or_whole(ids))
    inner = [index for index in factors.places[0] if index in chosen_ids]
    over = [p for p in (1, 2) if factors.places[p] and factors.places[p][0] in chosen_ids]
    made = tensor
    if over:
        made = _largest_pixel(bench, made, over, kind, "pooled" if inner else "")
    if inner:
        groups = factors.size(factors.places[0]) // factors.size(inner)
        made = halved(bench, made, factors.size(inner), groups, kind.removeprefix("Reduce"))
    left = [index for index in range(len(factors.sizes)) if index not in chosen_ids]
    return made, chosen(factors, left)


def _largest_pixel(bench: Bench, tensor: str, over: Sequence[int], kind: str, part: str) -> str:
    full = bench.shape(tensor)
    shape = tuple(1 if axis - 1 in over else size for axis, size in enumerate(full))
    kernel = [full[axis] if axis - 1 in over else 1 for axis in (2, 3)]
    attributes = {"kernel_shape": kernel, "strides": [1, 1]}
    if kind == "ReduceMax":
        return bench.op("MaxPool", [tensor], shape, part, attributes)
    turned = bench.op("Mul", [tensor, -1.0], full, "turned")
    top = bench.op("MaxPool", [turned], shape, "largest", attributes)
    return bench.op("Mul", [top, -1.0], shape, part)


def halved(bench: Bench, tensor: str, count: int, groups: int, kind: str) -> str:
    """Max or Min over ``count`` runs of ``groups`` channels: halves compared until one is left."""
    state = bench.state
    while count > 1:
        half = -(-count // 2)  # of an odd number the middle one is compared with itself
        _, _, height, width = bench.shape(tensor)
        parts = [
            rearranging.cut(state, tensor, [start * groups, 0, 0],
                            [(start + half) * groups, height, width], [1, 1, 1], tensor)
            for start in (0, count - half)
        ]  # fmt: skip
        shape = (1, half * groups, height, width)
        tensor = bench.op(kind, parts, shape, "" if half == 1 else "halves")
        count = half
    return tensor
