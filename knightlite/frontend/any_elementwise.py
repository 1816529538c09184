"""Element-wise operators on values of any layout, and Expand: operands brought to the same places.

The largest operand stays where it is; what broadcasts against it is brought to its places, with
one element along axes that it lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import prod

from knightlite.errors import UnsupportedError
from knightlite.frontend import any_layout, rearranging, wanted
from knightlite.frontend.any_layout import Bench
from knightlite.frontend.factors import Factors, Places, joined, members, split_for
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode

Handler = Callable[[Importer, SourceNode], None]
MOST_COPIES = 256  # of an operand that is repeated along an axis


def elementwise(state: Importer, node: SourceNode, handler: Handler) -> None:
    """Any operator that computes each element by itself, of operands that broadcast."""
    seen, bench = state.seen(node.outputs[0]), Bench(state, node)
    constants = state.model.constants
    features = list(dict.fromkeys(name for name in node.inputs if name and name not in constants))
    tensors, factors = common(state, node, features, seen)
    axes = members(factors, seen)
    names = []
    for name in node.inputs:
        if name in tensors:
            names.append(bench.value(tensors[name]))
        elif name in constants and constants[name].size > 1:
            names.append(bench.constant(any_layout.aligned(constants[name], factors, axes, seen)))
        else:
            names.append(name)
    output = node.outputs[0]
    state.model = replace(state.model, shapes={**state.model.shapes, output: factors.shape})
    handler(state, replace(node, inputs=tuple(names)))
    bench.finish(state.value(output).tensor, factors)


def common(
    state: Importer, node: SourceNode, names: Sequence[str], seen: Shape
) -> tuple[dict[str, str], Factors]:
    """The tensors of ``names`` with their factors at the same places, and those factors.

    One of them has the shape ``seen``, or is expanded to it; the others may broadcast.
    """
    fine = _fine(state, node, names, seen)
    shapes = {name: _padded(state.seen(name), len(seen)) for name in names}
    found = {name: _split(state, name, fine, shapes[name]) for name in names}
    first = max(names, key=lambda name: _merit(found[name], shapes[name]))
    tensors = {first: state.value(first).tensor}
    if shapes[first] != seen:
        tensors[first], found[first] = _expanded(
            state, tensors[first], found[first], fine, shapes[first], node.outputs[0]
        )
    reference = found[first]
    if any(shapes[name] == seen and found[name].places != reference.places for name in names):
        row = _in_a_row(reference, seen)
        if row is not None:  # one of them moves anyway: to where layers on tokens want both
            tensors[first] = _like(state, first, reference, seen, fine, row)
            reference = row
    for name in names:
        if name != first:
            tensors[name] = _like(state, name, found[name], shapes[name], fine, reference)
    return tensors, reference


def _merit(factors: Factors, shape: Shape) -> tuple[int, bool, int]:
    """Which operand stays where it is: the one that is largest here.

    Of such the one whose channels the file has last, as layers on tokens want them; then the one
    in fewer pieces, tokens in one row.
    """
    last, behind, product = list(range(len(factors.sizes))), list[int](), 1
    while last and product < shape[-1]:
        behind.append(last.pop())
        product *= factors.sizes[behind[-1]]
    by_channel = set(behind) == set(factors.places[0])
    return prod(shape), by_channel, -len(joined(factors).sizes)


def _in_a_row(factors: Factors, seen: Shape) -> Factors | None:
    """Tokens [1, T, C] of several rows in one; None for anything else."""
    c, h, w = factors.places
    if len(seen) != 3 or not h or not w:
        return None
    return factors.placed((c, (), tuple(sorted(h + w))))


def _padded(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _fine(
    state: Importer, node: SourceNode, names: Sequence[str], seen: Shape
) -> tuple[tuple[int, ...], ...]:
    """For every axis the sizes of the factors that all operands can be split into."""
    ends: list[set[int]] = [{1, size} for size in seen]
    for name in names:
        factors, shape = any_layout.factors_of(state, name), state.seen(name)
        lead = len(seen) - len(shape)
        for axis, ids in enumerate(members(factors, shape), start=lead):
            bound = 1
            for index in reversed(ids):
                bound *= factors.sizes[index]
                ends[axis].add(bound)
    fine = []
    for found in ends:
        bounds = sorted(found, reverse=True)
        if any(a % b for a, b in pairwise(bounds)):
            raise UnsupportedError(
                f"{node.op_type} {node.name} joins features whose axes are split in ways that do "
                f"not fit: {', '.join(str(state.seen(name)) for name in names)}."
            )
        fine.append(tuple(a // b for a, b in pairwise(bounds)))
    return tuple(fine)


def _split(state: Importer, name: str, fine: Sequence[tuple[int, ...]], shape: Shape) -> Factors:
    """The factors of a value, split as finely as the others want it."""
    sizes = [size for axis, parts in enumerate(fine) if shape[axis] != 1 for size in parts]
    found = split_for(any_layout.factors_of(state, name), tuple(sizes) or (1,))
    assert found is not None, f"{sizes} are a split of {name}"
    return found


def _numbers(fine: Sequence[tuple[int, ...]], shape: Shape) -> dict[int, int]:
    """From a factor of the whole to that of an operand of ``shape``, where it has it."""
    found, index, own = {}, 0, 0
    for axis, parts in enumerate(fine):
        for _ in parts:
            if shape[axis] != 1:
                found[index] = own
                own += 1
            index += 1
    return found


def _like(
    state: Importer,
    name: str,
    factors: Factors,
    shape: Shape,
    fine: Sequence[tuple[int, ...]],
    reference: Factors,
) -> str:
    """The tensor of an operand at the places of the reference."""
    number = _numbers(fine, shape)
    tensor = state.value(name).tensor
    missing = [
        index
        for place in reference.places
        if any(index in number for index in place)
        for index in place
        if index not in number
    ]
    if missing:  # a part of an axis cannot broadcast: it is repeated
        tensor, factors, number = _repeated(state, tensor, factors, number, missing, reference)
    c, h, w = (tuple(number[index] for index in place if index in number)
               for place in reference.places)  # fmt: skip
    target: Places = (c, h, w)
    if factors.places == target:
        return tensor
    found = rearranging.arranged(state, tensor, factors, wanted.exactly(target), tensor)
    if found is None:
        raise UnsupportedError(
            f"features {state.seen(name)} cannot be brought into the order of the other operand."
        )
    if not missing and name not in (*state.builder.inputs, *state.model.outputs):
        any_layout.put(state, name, found[0], found[1])
    return found[0]


def _repeated(
    state: Importer,
    tensor: str,
    factors: Factors,
    number: dict[int, int],
    missing: Sequence[int],
    reference: Factors,
) -> tuple[str, Factors, dict[int, int]]:
    """The tensor with copies for factors that it lacks, which lie outermost in its channels."""
    number = dict(number)
    for index in missing:
        size = reference.sizes[index]
        if size > MOST_COPIES:
            raise UnsupportedError(
                f"features would be repeated {size} times to broadcast; at most {MOST_COPIES} "
                "copies are made."
            )
        axis = next(place for place in range(3) if index in reference.places[place])
        tensor = rearranging.stacked(state, [tensor] * size, axis, tensor)
        new = len(factors.sizes)
        places = [list(place) for place in factors.places]
        places[axis].insert(0, new)
        c, h, w = map(tuple, places)
        factors = Factors((*factors.sizes, size), (c, h, w))
        number[index] = new
    return tensor, factors, number


def _expanded(
    state: Importer,
    tensor: str,
    factors: Factors,
    fine: Sequence[tuple[int, ...]],
    shape: Shape,
    hint: str,
) -> tuple[str, Factors]:
    """The tensor repeated along all axes of the whole that it lacks."""
    number = _numbers(fine, shape)
    sizes = [size for parts in fine for size in parts]
    places: list[list[int]] = [[], [], []]
    back = {own: index for index, own in number.items()}
    for axis, place in enumerate(factors.places):
        places[axis] = [back[own] for own in place]
    for index, size in reversed(list(enumerate(sizes))):
        if index in number:
            continue
        if size > MOST_COPIES:
            raise UnsupportedError(
                f"features would be repeated {size} times along an axis; at most {MOST_COPIES} "
                "copies are made."
            )
        axis = next((axis for axis in (2, 1, 0) if not places[axis]), 2)
        tensor = rearranging.stacked(state, [tensor] * size, axis, hint)
        places[axis].insert(0, index)
    c, h, w = map(tuple, places)
    return tensor, Factors(tuple(sizes), (c, h, w))


def expand(state: Importer, node: SourceNode) -> None:
    """Expand of features to a known shape: copies along the axes of one element."""
    name, seen = node.inputs[0], state.seen(node.outputs[0])
    shape = _padded(state.seen(name), len(seen))
    fine = _fine(state, node, [name], seen)
    factors = _split(state, name, fine, shape)
    tensor = state.value(name).tensor
    if shape != seen:
        tensor, factors = _expanded(state, tensor, factors, fine, shape, node.outputs[0])
    state.values[node.outputs[0]] = Value(tensor)
    any_layout.put(state, node.outputs[0], tensor, factors)
