"""Views, Concat, Slice, Split, Gather, Pad and Tile of values of any layout.

Elements that stand together are cut and stacked where they lie: a head of an attention is a range
of channels. What does not lie so is moved there first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import any_layout, axis_orders, planes, rearranging, wanted
from knightlite.frontend.any_layout import Bench
from knightlite.frontend.factors import Factors, Places, members, split_for, transposed
from knightlite.frontend.host import require_all_elements
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import Shape, SourceNode

Array = NDArray[Any]
MOST_PARTS = 512  # that one Gather, Tile or Concat is made of


# ------------------------------------------------------------------ views


def view(state: Importer, node: SourceNode) -> None:
    """Reshape and its kin, and any Transpose: nothing moves."""
    name, output = node.inputs[0], node.outputs[0]
    seen, target = state.seen(name), state.seen(output)
    require_all_elements(node, seen, target)
    factors = any_layout.factors_of(state, name)
    value = state.value(name)
    if value.stands_in:
        state.values[output] = replace(value, factors=factors)
        return
    if node.op_type == "Transpose":
        order = [int(axis) for axis in node.attributes.get("perm", range(len(seen))[::-1])]
        factors = transposed(factors, seen, order)
    any_layout.put(state, output, value.tensor, factors)


# ------------------------------------------------------------------ an axis, where it lies


def _along(state: Importer, name: str, axis: int) -> tuple[str, Factors, int]:
    """A tensor in which the axis is the outermost part of C, H or W, its factors, and which."""
    seen = state.seen(name)
    found = any_layout.factors_of(state, name)
    ids = members(found, seen)[axis]
    # tokens stay pixels: layers on them want the channels for themselves
    first = 0 if set(ids) <= set(found.places[0]) else 1
    tensor, factors = any_layout.arranged(state, name, wanted.outermost(ids, first))
    if not ids:  # one element: any empty axis will do
        free = next((place for place in (2, 1, 0) if not factors.places[place]), None)
        return tensor, factors, 2 if free is None else free
    place = next(place for place in range(3) if factors.places[place][: len(ids)] == ids)
    return tensor, factors, place


def _resized(factors: Factors, ids: tuple[int, ...], place: int, size: int) -> Factors:
    """The factors where the outermost ones of a place, ``ids``, become one of ``size``."""
    first = ids[0] if ids else None
    if first is None:
        raise AssertionError("an axis of one element is cut elsewhere")
    gone = set(ids)
    kept = [index for index in range(len(factors.sizes)) if index not in gone or index == first]
    number = {old: new for new, old in enumerate(kept)}
    sizes = [size if old == first else factors.sizes[old] for old in kept]
    places = [tuple(number[index] for index in item if index in number) for item in factors.places]
    made = Factors(tuple(sizes), (places[0], places[1], places[2]))
    return made if size != 1 else _without(made, number[first])


def _without(factors: Factors, index: int) -> Factors:
    """Without a factor of one element."""
    order = [item for item in range(len(factors.sizes)) if item != index]
    number = {old: new for new, old in enumerate(order)}
    c, h, w = (tuple(number[old] for old in place if old != index) for place in factors.places)
    return Factors(tuple(factors.sizes[old] for old in order), (c, h, w))


def _range(
    state: Importer, tensor: str, place: int, unit: int, start: int, end: int, hint: str
) -> str:
    """Elements ``start`` to ``end`` of an axis whose elements are ``unit`` of C, H or W each."""
    shape = state.builder.tensors[tensor].shape[1:]
    starts, ends = [0, 0, 0], list(shape)
    starts[place], ends[place] = start * unit, end * unit
    return rearranging.cut(state, tensor, starts, ends, [1, 1, 1], hint)


def pick(
    state: Importer, node: SourceNode, name: str, axis: int, indices: Sequence[int], output: str
) -> None:
    """Value ``output``: the elements ``indices`` of an axis of ``name``, which it keeps."""
    seen = state.seen(name)
    target = (*seen[:axis], len(indices), *seen[axis + 1 :])
    state.model = replace(state.model, shapes={**state.model.shapes, output: target})
    runs = _runs(indices)
    if len(runs) > MOST_PARTS:
        raise UnsupportedError(
            f"{node.op_type} {node.name} picks {len(runs)} separate parts; at most {MOST_PARTS} "
            "are joined.",
            "pick ranges, or end the network before it",
        )
    if list(indices) == list(range(seen[axis])):
        state.values[output] = state.value(name)
        return
    tensor, factors, place = _along(state, name, axis)
    ids = members(factors, seen)[axis]
    if not ids:
        parts = [tensor] * len(indices)
        made = rearranging.stacked(state, parts, place, output)
        _grown(state, output, made, factors, seen, axis, place, len(indices))
        return
    unit = factors.size(factors.places[place][len(ids) :])
    parts = [_range(state, tensor, place, unit, start, end, output) for start, end in runs]
    made = rearranging.stacked(state, parts, place, output)
    any_layout.put(state, output, made, _resized(factors, ids, place, len(indices)))


def _grown(
    state: Importer,
    output: str,
    tensor: str,
    factors: Factors,
    seen: Shape,
    axis: int,
    place: int,
    size: int,
) -> None:
    """An axis of one element that has ``size`` now, outermost in ``place``."""
    axes = members(factors, seen)
    new = sum(len(ids) for ids in axes[:axis])
    places = [[index + (index >= new) for index in item] for item in factors.places]
    places[place].insert(0, new)
    sizes = (*factors.sizes[:new], size, *factors.sizes[new:])
    c, h, w = map(tuple, places)
    any_layout.put(state, output, tensor, Factors(sizes, (c, h, w)))


def _runs(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of indices that follow each other."""
    runs: list[tuple[int, int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


# ------------------------------------------------------------------ Slice, Split, Gather, Tile


def sliced(state: Importer, node: SourceNode) -> None:
    """Constant bounds and steps, also negative ones, axis by axis."""
    name, output = node.inputs[0], node.outputs[0]
    seen = state.seen(name)
    starts, ends = (_numbers(state, node, key, place)
                    for place, key in enumerate(("starts", "ends"), start=1))  # fmt: skip
    assert starts is not None
    assert ends is not None
    axes = _numbers(state, node, "axes", 3)
    steps = _numbers(state, node, "steps", 4)
    for number, axis in enumerate(range(len(starts)) if axes is None else axes):
        size = seen[axis % len(seen)]
        step = 1 if steps is None else steps[number]
        end = None if step < 0 and ends[number] < -size else ends[number]
        indices = range(size)[slice(starts[number], end, step)]
        if len(indices) != size or step != 1:
            part = state.builder.fresh(f"{output}.sliced{number}")
            pick(state, node, name, axis % len(seen), indices, part)
            name = part
    state.values[output] = state.value(name)


def _numbers(state: Importer, node: SourceNode, key: str, place: int) -> list[int] | None:
    if key in node.attributes:
        return [int(item) for item in node.attributes[key]]
    values = axis_orders.operand(state, node, place)
    return None if values is None else [int(item) for item in np.ravel(values)]


def split(state: Importer, node: SourceNode) -> None:
    """A range for each output that is read."""
    name = node.inputs[0]
    axis = int(node.attributes.get("axis", 0)) % len(state.seen(name))
    start = 0
    for output in node.outputs:
        if output not in state.model.shapes:
            raise UnsupportedError(f"Split {node.name} must have sizes known from the file.")
        end = start + state.seen(output)[axis]
        if state.is_read(output):
            pick(state, node, name, axis, range(start, end), output)
        start = end


def gather(state: Importer, node: SourceNode) -> None:
    """Gather of features by constant indices, one or several."""
    name, output = node.inputs[0], node.outputs[0]
    indices = axis_orders.operand(state, node, 1)
    if indices is None or name in state.model.constants:
        raise UnsupportedError(
            f"Gather {node.name} must have features and constant indices.",
            "a look-up by computed indices has no instruction: end the network before it",
        )
    seen, target = state.seen(name), state.seen(output)
    axis = int(node.attributes.get("axis", 0)) % len(seen)
    chosen = [int(index) % seen[axis] for index in np.ravel(indices)]
    part = state.builder.fresh(f"{output}.gathered")
    pick(state, node, name, axis, chosen, part)
    value = state.value(part)
    state.values[output] = value
    _seen_as(state, part, output, target)


def _seen_as(state: Importer, name: str, output: str, target: Shape) -> None:
    """Value ``output``: the elements of ``name`` in another shape."""
    factors = any_layout.factors_of(state, name)
    state.model = replace(state.model, shapes={**state.model.shapes, output: target})
    any_layout.put(state, output, state.value(name).tensor, factors)


def tile(state: Importer, node: SourceNode) -> None:
    """Constant repeats, axis by axis."""
    name, output = node.inputs[0], node.outputs[0]
    repeats = axis_orders.operand(state, node, 1)
    assert repeats is not None
    for axis, count in enumerate(int(item) for item in np.ravel(repeats)):
        if count < 1:
            raise UnsupportedError(
                f"Tile {node.name} must repeat at least once, not {count} times."
            )
        if count > 1:
            part = state.builder.fresh(f"{output}.tiled{axis}")
            pick(state, node, name, axis, [*range(state.seen(name)[axis])] * count, part)
            name = part
    state.values[output] = state.value(name)


# ------------------------------------------------------------------ Concat


def concat(state: Importer, node: SourceNode) -> None:
    """Features and constants stacked along an axis, where the first feature has it."""
    seen, output = state.seen(node.outputs[0]), node.outputs[0]
    axis = int(node.attributes.get("axis", 1)) % len(seen)
    constants, bench = state.model.constants, Bench(state, node)
    names = [name for name in node.inputs if name not in constants or constants[name].size]
    features = [name for name in names if name not in constants]
    if len(names) > MOST_PARTS:
        raise UnsupportedError(
            f"Concat {node.name} must join at most {MOST_PARTS} tensors, not {len(names)}."
        )
    first = max(features, key=lambda name: state.seen(name)[axis])
    _, factors, place = _along(state, first, axis)
    own = state.seen(first)
    ids = members(factors, own)[axis]
    others = [index for axis_ids in members(factors, own)[:axis] for index in axis_ids]
    behind = [index for axis_ids in members(factors, own)[axis + 1 :] for index in axis_ids]
    tensors = []
    for name in names:
        shape = constants[name].shape if name in constants else state.seen(name)
        size = shape[axis]
        if name in constants:
            tensors.append(_plane(bench, constants[name], factors, ids, place, size, axis, own))
            continue
        tensors.append(_like(state, name, factors, (others, behind), ids, place, axis, own))
    made = rearranging.stacked(state, tensors, place, output)
    total = seen[axis]
    if ids:
        any_layout.put(state, output, made, _resized(factors, ids, place, total))
    else:
        _grown(state, output, made, factors, own, axis, place, total)


def _like(
    state: Importer,
    name: str,
    factors: Factors,
    around: tuple[list[int], list[int]],
    ids: tuple[int, ...],
    place: int,
    axis: int,
    own: Shape,
) -> str:
    """A tensor whose other factors lie as those of ``factors``, and whose axis is outermost."""
    before, behind = around
    seen = state.seen(name)
    sizes = [
        *(factors.sizes[index] for index in before),
        seen[axis],
        *(factors.sizes[index] for index in behind),
    ]
    found = split_for(any_layout.factors_of(state, name), tuple(sizes))
    if found is None:
        raise UnsupportedError(
            f"features {seen} cannot be joined to {own}: their axes are split in other ways."
        )
    new = members(found, tuple(sizes))
    middle = new[len(before)]
    number = {index: new[count] for count, index in enumerate(before)}
    number |= {index: new[len(before) + 1 + count] for count, index in enumerate(behind)}
    target = []
    for item, old in enumerate(factors.places):
        kept = [part for index in old if index not in ids for part in number[index]]
        target.append((*middle, *kept) if item == place else tuple(kept))
    final: Places = (target[0], target[1], target[2])
    source = state.value(name).tensor
    made = rearranging.arranged(state, source, found, wanted.exactly(final), source)
    if made is None:
        raise UnsupportedError(f"features {seen} cannot be brought into the order of {own}.")
    return made[0]


def _plane(
    bench: Bench,
    values: Array,
    factors: Factors,
    ids: tuple[int, ...],
    place: int,
    size: int,
    axis: int,
    own: Shape,
) -> str:
    """A constant operand of a Concat as a tensor that lies like the others."""
    axes = members(factors, own)
    long = [index for axis_ids in axes for index in axis_ids if index not in ids]
    flat = values.reshape(
        [*(factors.sizes[i] for a in axes[:axis] for i in a), size,
         *(factors.sizes[i] for a in axes[axis + 1 :] for i in a)]
    )  # fmt: skip
    middle = sum(len(a) for a in axes[:axis])
    number = {index: count + (count >= middle) for count, index in enumerate(long)}
    order: list[int] = []
    shape = []
    for item, old in enumerate(factors.places):
        kept = [number[index] for index in old if index not in ids]
        if item == place:
            kept.insert(0, middle)
        order += kept
        shape.append(prod(flat.shape[index] for index in kept))
    return planes.feature(bench.state, bench.node, flat.transpose(order).reshape(1, *shape))


# ------------------------------------------------------------------ Pad


def pad(state: Importer, node: SourceNode) -> None:
    """Borders of any mode along any axes, made of constants and of the features themselves."""
    name, output = node.inputs[0], node.outputs[0]
    seen = state.seen(name)
    amounts = _numbers(state, node, "pads", 1)
    axes = _numbers(state, node, "axes", 3)
    assert amounts is not None
    listed = list(range(len(seen))) if axes is None else [axis % len(seen) for axis in axes]
    mode = str(node.attributes.get("mode", "constant"))
    number = axis_orders.operand(state, node, 2) if len(node.inputs) > 2 else None
    filled = float(np.ravel(number)[0]) if number is not None else node.attributes.get("value", 0.0)
    for place, axis in enumerate(listed):
        before, behind = amounts[place], amounts[place + len(listed)]
        size = state.seen(name)[axis]
        if not before and not behind:
            continue
        part = state.builder.fresh(f"{output}.padded{axis}")
        if mode == "constant":
            name = _filled(state, node, name, axis, (before, behind), float(filled), part)
            continue
        if mode == "reflect" and max(before, behind) >= size:
            raise UnsupportedError(
                f"Pad {node.name} must reflect fewer than {size} elements, not "
                f"{max(before, behind)}."
            )
        source = np.pad(np.arange(size), (max(before, 0), max(behind, 0)), mode=_numpy(node, mode))
        first, last = max(-before, 0), len(source) - max(-behind, 0)
        pick(state, node, name, axis, source[first:last].tolist(), part)
        name = part
    state.values[output] = state.value(name)


def _numpy(node: SourceNode, mode: str) -> Any:
    if mode not in ("edge", "reflect", "wrap"):
        raise UnsupportedError(f"Pad {node.name} must pad by constant, edge, reflect or wrap.")
    return mode


def _filled(
    state: Importer,
    node: SourceNode,
    name: str,
    axis: int,
    amounts: tuple[int, int],
    number: float,
    output: str,
) -> str:
    """A number before and behind an axis; negative amounts cut."""
    before, behind = amounts
    seen = state.seen(name)
    if min(amounts) < 0:
        part = state.builder.fresh(f"{output}.cut")
        kept = range(max(-before, 0), seen[axis] - max(-behind, 0))
        pick(state, node, name, axis, kept, part)
        name, seen = part, state.seen(part)
    parts = []
    constants = dict(state.model.constants)
    for amount, place in ((max(before, 0), "before"), (max(behind, 0), "behind")):
        if amount:
            key = f"{output}.{place}"
            shape = (*seen[:axis], amount, *seen[axis + 1 :])
            constants[key] = np.full(shape, number, np.float32)
            parts.append(key)
        if place == "before":
            parts.append(name)
    if len(parts) == 1:
        return name
    target = list(seen)
    target[axis] += max(before, 0) + max(behind, 0)
    shapes = {**state.model.shapes, output: tuple(target)}
    state.model = replace(state.model, constants=constants, shapes=shapes)
    made = replace(
        node, op_type="Concat", inputs=tuple(parts), outputs=(output,), attributes={"axis": axis}
    )
    concat(state, made)
    return output
