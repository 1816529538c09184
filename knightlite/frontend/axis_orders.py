"""How the file sees a canonical tensor [1, C, H, W]: which axes of it, in which order.

A value of the file is [N, C, H, W], or [N, H, W, C] behind a Transpose, [N, C, L] of a network on
signals, [N, L, C], [N, H * W, C] and so on. Which canonical axes each of its axes is made of, its
groups, follows from its shape and from ``Value.order``; a Transpose only changes the order. So it
costs nothing until an operator needs the canonical order itself: then it is settled.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import padding, transposes
from knightlite.frontend.importer import IN_ORDER, Importer, Turned, Value
from knightlite.frontend.source import Shape, SourceNode

Array = NDArray[Any]
Groups = tuple[tuple[int, ...], ...]
STANDARD = {4: IN_ORDER, 3: (0, 1, 3), 2: (0, 1)}
"""Which canonical axis each axis is, by the number of axes: signals lie in one row."""
DROPPED = {4: ((),), 3: ((2,), (3,), (1,)), 2: ((2, 3), (1, 2), (1, 3))}
"""Which canonical axes of size 1 the file may not have, the likeliest first."""


def groups(seen: Shape, canonical: Shape, order: tuple[int, ...] = IN_ORDER) -> Groups | None:
    """The canonical axes that each axis of ``seen`` is made of, None where an axis is split."""
    for dropped in DROPPED.get(len(seen), ()):
        kept = [axis for axis in order if axis not in dropped]
        ones = all(canonical[axis] == 1 for axis in dropped)
        if ones and tuple(canonical[axis] for axis in kept) == seen:
            return tuple((axis,) for axis in kept)
    left = [axis for axis in order if canonical[axis] != 1]
    found = []
    for size in seen:
        taken: list[int] = []
        product = 1
        while left and product < size:
            taken.append(left.pop(0))
            product *= canonical[taken[-1]]
        if product != size:
            return None
        found.append(tuple(taken))
    return None if left else tuple(found)


def groups_of(state: Importer, name: str) -> Groups | None:
    """The groups of an ONNX value."""
    value = state.value(name)
    if value.turned is not None:
        return None
    return groups(state.seen(name), state.padded_shape(name), value.order)


def standard(state: Importer, name: str) -> bool:
    """True where the axes are the canonical ones, those that the file does not have left out."""
    seen = state.seen(name)
    found = groups_of(state, name)
    places = STANDARD.get(len(seen))
    return places is not None and found == tuple((axis,) for axis in places)


def transposed(state: Importer, node: SourceNode) -> Value | None:
    """What a Transpose makes where it only changes the order; None where it splits axes."""
    name = node.inputs[0]
    value, found = state.value(name), groups_of(state, name)
    if found is None or value.pads is not None or value.on_host:
        return None
    perm = [int(axis) for axis in node.attributes.get("perm", range(len(found))[::-1])]
    placed = [axis for index in perm for axis in found[index]]
    shape = state.shape(name)
    order = completed(placed, shape)
    made = Value(value.tensor, stands_in=value.stands_in, order=order)
    return made if groups(state.seen(node.outputs[0]), shape, order) is not None else None


def completed(placed: list[int], shape: Shape) -> tuple[int, ...]:
    """The order with the axes of size 1 that were not placed; in order where that is the same."""
    long = [axis for axis in placed if shape[axis] != 1]
    if long == sorted(long):
        return IN_ORDER
    missing = [axis for axis in IN_ORDER if axis not in placed]
    return tuple([*(axis for axis in missing if axis == 0), *placed,
                  *(axis for axis in missing if axis != 0)])  # fmt: skip


def settle(state: Importer, name: str) -> None:
    """Let the tensor itself have the order that the file has: a view where nothing moves."""
    if standard(state, name) or state.value(name).on_host:
        return
    value, found, seen = state.value(name), groups_of(state, name), state.seen(name)
    places = STANDARD.get(len(seen))
    if found is None or places is None or any(len(group) > 1 for group in found) or seen[0] != 1:
        if value.order == IN_ORDER:
            return  # the reader says what it thinks of the view
        raise UnsupportedError(
            f"features {seen} made of {state.shape(name)} in another order are not supported here."
        )
    padding.settle(state, name)
    wanted = {place: group[0] for place, group in zip(places, found, strict=True) if group}
    move(state, name, _full(wanted))


def _full(wanted: dict[int, int]) -> tuple[int, ...]:
    """A whole order from places and the axes for them; the others stay where they can."""
    spare = [axis for axis in IN_ORDER if axis not in wanted.values()]
    free = [place for place in IN_ORDER if place not in wanted]
    for place in [item for item in free if item in spare]:
        wanted[place] = place
        spare.remove(place)
        free.remove(place)
    wanted.update(zip(free, spare, strict=True))
    if wanted[0] != 0:  # both have size 1
        (place,) = [item for item, axis in wanted.items() if axis == 0]
        wanted[place], wanted[0] = wanted[0], 0
    return tuple(wanted[place] for place in IN_ORDER)


def move(state: Importer, name: str, order: tuple[int, ...]) -> None:
    """Append operators that bring the tensor behind ``name`` into ``order``."""
    value, shape = state.value(name), state.shape(name)
    target = tuple(shape[axis] for axis in order)
    now = tuple(order.index(axis) for axis in value.order)
    moved = Value(value.tensor, stands_in=value.stands_in, order=now)
    if target != shape or any(
        shape[a] != 1 and shape[b] != 1 and order.index(a) > order.index(b)
        for a in IN_ORDER
        for b in IN_ORDER[a + 1 :]
    ):
        free = name if name not in state.builder.tensors else state.builder.fresh(f"{name}.turned")
        moves = transposes.recognised(shape, Turned(shape, order), target)
        assert moves is not None, f"{order} is an order of {shape}"
        tensor = transposes.append_moves(state, value.tensor, moves, free, target)
        moved = Value(tensor, stands_in=value.stands_in, order=now)
    long = [axis for axis in now if target[axis] != 1]
    if long == sorted(long):
        moved = Value(moved.tensor, stands_in=value.stands_in)
    state.values[name] = moved


# ------------------------------------------------------------------ for nodes that are rewritten


def straighten(state: Importer, name: str) -> None:
    """Settle a value that a Transpose put into another order."""
    if state.value(name).order != IN_ORDER:
        settle(state, name)


def alias(state: Importer, name: str) -> str:
    """The canonical tensor behind a feature as a value of its own."""
    if not name or name in state.model.constants:
        return name
    found, value = f"{name}.canonical", state.value(name)
    shapes = {**state.model.shapes, found: state.padded_shape(name)}
    state.model = replace(state.model, shapes=shapes)
    state.values[found] = replace(value, order=IN_ORDER)
    return found


def constant(state: Importer, node: SourceNode, name: str, values: Array) -> str:
    """A constant operand of ``node`` in place of ``name``."""
    made = f"{name}/{node.outputs[0]}"
    constants = {**state.model.constants, made: values}
    state.model = replace(state.model, constants=constants)
    return made


def operand(state: Importer, node: SourceNode, index: int) -> Array | None:
    """The constant input ``index``, None where it is absent; UnsupportedError for features."""
    name = node.inputs[index] if index < len(node.inputs) else ""
    if name and name not in state.model.constants:
        raise UnsupportedError(f"{node.op_type} {node.name} must have a constant input {index}.")
    return state.model.constants[name] if name else None
