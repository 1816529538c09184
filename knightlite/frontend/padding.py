"""Pad: zeros that a Conv or pool takes over, else a Pad of its own; borders of other modes.

Zeros around the picture wait for their readers. A negative pad is a Slice. Edge, reflect and wrap
are a Concat of the tensor with single rows and columns of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Importer, Pads, Value
from knightlite.frontend.source import SourceNode
from knightlite.ops import slice as cutting
from knightlite.ops.signs import nonnegative_outputs

Array = NDArray[Any]
Amounts = tuple[int, int, int]  # of channels, rows and columns
TAKERS = ("Conv", "MaxPool", "AveragePool")  # they pad by themselves
HAND_ON = ("Pad", "Squeeze")  # zeros wait on behind them
BORDERS = ("edge", "reflect", "wrap")


def pad(state: Importer, node: SourceNode) -> None:
    """Any Pad of [N, C, H, W] features, between whose axes there may be further ones of size 1."""
    name, output = node.inputs[0], node.outputs[0]
    seen = state.seen(name)
    places = _places(seen, state.padded_shape(name))
    if places is None:
        raise UnsupportedError(f"Pad {node.name} must read [N, C, H, W] features, not {seen}.")
    begins, ends = _amounts(node, state.model.constants, places)
    mode = node.attributes.get("mode", "constant")
    cuts = min(*begins, *ends) < 0
    if mode != "constant" or cuts:
        settle(state, name)
    if mode in BORDERS and not cuts:
        state.values[output] = Value(_border(state, node, begins, ends, str(mode)))
        return
    if mode != "constant":
        raise UnsupportedError(
            f"Pad {node.name} must pad with zeros or add an {', '.join(BORDERS)} border, not by "
            f"{mode} ({begins} and {ends})."
        )
    value = state.value(name)
    if cuts:
        value = Value(_cut(state, node, begins, ends))
        begins, ends = _positive(begins), _positive(ends)
    state.values[output] = _with_zeros(value, begins, ends)
    if begins[0] or ends[0]:
        _append(state, output, (begins[0], ends[0]))
    elif not state.readers(output) & {*TAKERS, *HAND_ON}:
        settle(state, output)


def settle(state: Importer, name: str) -> None:
    """Let zeros that wait for a reader become a Pad of their own."""
    if state.value(name).pads is not None:
        _append(state, name, (0, 0))


def _with_zeros(value: Value, begins: Amounts, ends: Amounts) -> Value:
    """The value with more zeros around the picture."""
    both = value.pads or (0, 0, 0, 0)
    total = (both[0] + begins[1], both[1] + begins[2], both[2] + ends[1], both[3] + ends[2])
    return replace(value, pads=total if any(total) else None)


def _append(state: Importer, name: str, channels: tuple[int, int]) -> None:
    """A Pad node for the zeros of value ``name`` and for channels of zeros."""
    value = state.value(name)
    top, left, bottom, right = value.pads or (0, 0, 0, 0)
    _, depth, height, width = state.padded_shape(name)
    output = state.builder.fresh(name)
    state.declare(output, (1, depth + sum(channels), height, width))
    amounts = {"begins": (channels[0], top, left), "ends": (channels[1], bottom, right)}
    state.builder.node("Pad", (value.tensor,), output, amounts)
    state.values[name] = replace(value, tensor=output, pads=None)


# ------------------------------------------------------------------ what a Pad says


def _places(seen: tuple[int, ...], canonical: tuple[int, ...]) -> tuple[int | None, ...] | None:
    """The canonical axis of every axis of the file's shape, None for one of size 1 between them.

    Paddle pads pictures as volumes of depth 1: [N, C, 1, H, W]. None where the shapes do not fit.
    """
    places: list[int | None] = []
    spare = len(seen) - len(canonical)
    following = 0
    for size in seen:
        if (
            following < len(canonical)
            and size == canonical[following]
            and not (size == 1 and spare > 0 and following > 1)
        ):
            places.append(following)
            following += 1
        elif size == 1 and spare > 0:
            places.append(None)
            spare -= 1
        else:
            return None
    return tuple(places) if following == len(canonical) else None


def _amounts(
    node: SourceNode, constants: Mapping[str, Array], places: tuple[int | None, ...]
) -> tuple[Amounts, Amounts]:
    """Zeros before and behind channels, rows and columns; negative where the Pad cuts."""
    rank = len(places)
    amounts = _operand(node, constants, 1, "pads")
    axes = _operand(node, constants, 3, "axes")
    if amounts is None:
        raise UnsupportedError(f"Pad {node.name} must have constant pads.")
    listed = range(rank) if axes is None else [int(axis) % rank for axis in np.ravel(axes)]
    begin, end = [0] * 4, [0] * 4
    sizes = [int(item) for item in np.ravel(amounts)]
    for index, axis in enumerate(listed):
        before, behind, place = sizes[index], sizes[index + len(listed)], places[axis]
        if place is not None:
            begin[place], end[place] = before, behind
        elif before or behind:
            raise UnsupportedError(
                f"Pad {node.name} must not pad axis {axis} of size 1, as {sizes} does."
            )
    if begin[0] or end[0]:
        raise UnsupportedError(f"Pad {node.name} must not pad the batch, as {sizes} does.")
    return (begin[1], begin[2], begin[3]), (end[1], end[2], end[3])


def _operand(
    node: SourceNode, constants: Mapping[str, Array], index: int, attribute: str
) -> Array | None:
    """An operand that is an attribute in older opsets and an input in newer ones."""
    if attribute in node.attributes:
        return np.asarray(node.attributes[attribute])
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    if node.inputs[index] not in constants:
        raise UnsupportedError(f"Pad {node.name} must have constant {attribute}.")
    return constants[node.inputs[index]]


def _positive(amounts: Amounts) -> Amounts:
    channels, rows, columns = (max(0, amount) for amount in amounts)
    return channels, rows, columns


# ------------------------------------------------------------------ cuts and borders


def _made(state: Importer, node: SourceNode, shape: tuple[int, ...], last: bool) -> str:
    """A tensor for a step of ``node``: its output, or one between with the type of its input."""
    output = node.outputs[0]
    if last:
        state.declare(output, shape)
        return output
    source = state.builder.tensors[state.value(node.inputs[0]).tensor]
    name = state.builder.fresh(f"{output}.part")
    return state.builder.tensor(name, shape, source.dtype, source.scale)


def _cut(state: Importer, node: SourceNode, begins: Amounts, ends: Amounts) -> str:
    """The Slice that negative pads are."""
    name = node.inputs[0]
    sizes = state.shape(name)[1:]
    first = tuple(max(0, -begin) for begin in begins)
    last = tuple(size - max(0, -end) for size, end in zip(sizes, ends, strict=True))
    shape = (1, *(b - a for a, b in zip(first, last, strict=True)))
    if min(shape) < 1:
        raise UnsupportedError(f"Pad {node.name} must leave something of {sizes}.")
    output = _made(state, node, shape, max(*begins, *ends) <= 0)
    cutting.append(state.builder, state.value(name).tensor, output, first, last)
    return output


def _border(state: Importer, node: SourceNode, begins: Amounts, ends: Amounts, mode: str) -> str:
    """The tensor between rows, columns or channels of itself, axis by axis."""
    tensor = state.value(node.inputs[0]).tensor
    axes = [axis for axis in range(3) if begins[axis] or ends[axis]]
    for axis in axes:
        shape = state.builder.tensors[tensor].shape
        size = shape[axis + 1]
        if mode == "reflect" and max(begins[axis], ends[axis]) >= size:
            raise UnsupportedError(
                f"Pad {node.name} must reflect fewer than {size} elements, not "
                f"{max(begins[axis], ends[axis])}."
            )
        numbers = np.pad(np.arange(size), (begins[axis], ends[axis]), mode=mode)  # type: ignore[call-overload]
        singles: dict[int, str] = {}
        for number in (*numbers[: begins[axis]], *numbers[begins[axis] + size :]):
            if int(number) not in singles:
                singles[int(number)] = _single(state, node, tensor, axis, int(number))
        before = [singles[int(number)] for number in numbers[: begins[axis]]]
        behind = [singles[int(number)] for number in numbers[begins[axis] + size :]]
        whole = (*shape[: axis + 1], len(numbers), *shape[axis + 2 :])
        output = _made(state, node, whole, axis == axes[-1])
        attributes = {} if axis == 0 else {"axis": axis + 1}
        state.builder.node("Concat", (*before, tensor, *behind), output, attributes)
        tensor = output
    return tensor


def _single(state: Importer, node: SourceNode, tensor: str, axis: int, number: int) -> str:
    """One row, column or channel."""
    shape = state.builder.tensors[tensor].shape
    first, last = [0, 0, 0], list(shape[1:])
    first[axis], last[axis] = number, number + 1
    name = _made(state, node, (*shape[: axis + 1], 1, *shape[axis + 2 :]), False)
    cutting.append(state.builder, tensor, name, tuple(first), tuple(last))
    return name


# ------------------------------------------------------------------ readers


def taken_over(state: Importer, node: SourceNode) -> dict[str, Any]:
    """The attributes of a reader with the zeros that wait in its input, where it can take them."""
    name = state.features(node)[0]
    pads = state.value(name).pads
    if pads is None:
        return dict(node.attributes)
    taken = _taken(state, node, pads) if node.op_type in TAKERS else None
    if taken is None:
        settle(state, name)
        return dict(node.attributes)
    return taken


def _taken(state: Importer, node: SourceNode, pads: Pads) -> dict[str, Any] | None:
    attributes = dict(node.attributes)
    mode = attributes.pop("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID"):
        return None
    own = (0, 0, 0, 0) if mode == "VALID" else tuple(attributes.get("pads", (0, 0, 0, 0)))
    tensor = state.value(node.inputs[0]).tensor
    if node.op_type == "MaxPool" and tensor not in nonnegative_outputs(state.builder.build(())):
        return None  # it would pad with the least value, not with zeros
    if node.op_type == "AveragePool":
        if any(own) and not attributes.get("count_include_pad", 0):
            return None  # it cannot count some pads and leave out others
        attributes["count_include_pad"] = 1
    total = tuple(a + b for a, b in zip(own, pads, strict=True))
    reach = _reach(state, node)
    if any(amount >= reach[index % 2] for index, amount in enumerate(total)):
        return None  # a window would see zeros only
    attributes["pads"] = total
    return attributes


def _reach(state: Importer, node: SourceNode) -> tuple[int, int]:
    """Rows and columns from the first to the last tap of the window."""
    kernel = node.attributes.get("kernel_shape")
    if kernel is None:
        kernel = state.model.constants[node.inputs[1]].shape[2:]
    dilations = node.attributes.get("dilations", (1, 1))
    high, wide = (step * (size - 1) + 1 for step, size in zip(dilations, kernel, strict=True))
    return high, wide
