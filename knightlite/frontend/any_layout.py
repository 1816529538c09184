"""Values of any rank and layout: how their factors lie, and what brings them where they are needed.

What the canonical form cannot say as an order of [N, C, H, W] (importer.Value) is kept as factors.
An operator asks for places, and the cheapest moves are appended; what it makes is an order again
where it can be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import axis_orders, compute, padding, rearranging, wanted
from knightlite.frontend.factors import (
    Factors,
    Members,
    Places,
    in_order,
    joined,
    members,
    of_tensor,
    split_for,
)
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ir import Attribute

Array = NDArray[Any]


# ------------------------------------------------------------------ what a value is


def factors_of(state: Importer, name: str) -> Factors:
    """The factors of an ONNX value, none of which reaches over two of its axes.

    Where an axis begins within a factor, the elements are put into one row first.
    """
    padding.settle(state, name)
    seen, shape = state.seen(name), state.shape(name)
    found = _unsplit(state, name) if 0 not in seen else None
    if found is None:
        raise UnsupportedError(f"features {seen} made of {shape} have no layout.")
    parts = split_for(found, seen)
    if parts is None:
        parts = split_for(_in_rows(state, name, found, seen), seen)
        assert parts is not None, f"{seen} is a split of one row"
    return parts


def _unsplit(state: Importer, name: str) -> Factors | None:
    value, shape = state.value(name), state.shape(name)
    if value.factors is not None:
        return value.factors
    if value.turned is not None:
        return of_tensor(shape, value.turned.split, value.turned.order)
    return of_tensor(shape, shape, value.order)


def _in_rows(state: Importer, name: str, found: Factors, seen: Shape) -> Factors:
    """Factors that an axis of ``seen`` cuts, together with their neighbours, in one axis each."""
    ends = {1, *(prod(seen[axis:]) for axis in range(len(seen) + 1))}
    runs: list[list[int]] = [[]]
    behind = prod(found.sizes)
    for index, size in enumerate(found.sizes):
        if behind in ends:
            runs.append([])
        runs[-1].append(index)
        behind //= size
    cut = tuple(tuple(run) for run in runs if len(run) > 1)
    tensor, made = _arranged(state, name, found, wanted.together(cut))
    made = joined(made)
    state.values[name] = Value(tensor, factors=made)
    return made


def put(state: Importer, name: str, tensor: str, factors: Factors) -> None:
    """Let ONNX value ``name`` be ``tensor`` with these factors; as an order where it is one."""
    simple, shape = joined(factors), state.builder.tensors[tensor].shape
    assert simple.shape == shape, f"{simple} is not {shape}"
    order = in_order(simple)
    if order is not None:
        whole = axis_orders.completed(list(order), shape)
        if axis_orders.groups(state.seen(name), shape, whole) is not None:
            state.values[name] = Value(tensor, order=whole)
            return
    state.values[name] = Value(tensor, factors=simple)


# ------------------------------------------------------------------ where it is needed


def _arranged(
    state: Importer, name: str, factors: Factors, where: wanted.Wanted
) -> tuple[str, Factors]:
    hint = state.value(name).tensor
    found = rearranging.arranged(state, hint, factors, where, hint)
    if found is None:
        raise UnsupportedError(
            f"features {state.seen(name)} made of {state.shape(name)} cannot be brought into the "
            "order that is needed here: too many parts would move.",
            "swap their axes in fewer steps, or export the model with smaller windows",
        )
    return found


def arranged(state: Importer, name: str, where: wanted.Wanted) -> tuple[str, Factors]:
    """The tensor of value ``name`` with its factors at places that are wanted.

    The value is the moved tensor from now on, so that nobody moves it again.
    """
    factors = factors_of(state, name)
    tensor, made = _arranged(state, name, factors, where)
    if tensor != state.value(name).tensor and name not in (
        *state.builder.inputs,
        *state.model.outputs,
    ):
        put(state, name, tensor, made)
    return tensor, made


def standard(state: Importer, node: SourceNode, name: str) -> None:
    """Let the value be [1, C, H, W], [1, C, L] or [1, C] itself; UnsupportedError for a batch."""
    seen = state.seen(name)
    places = axis_orders.STANDARD.get(len(seen))
    if places is None or seen[0] != 1:
        raise UnsupportedError(
            f"{node.op_type} {node.name} must read [1, C, H, W], [1, C, L] or [1, C] features, "
            f"not {seen}."
        )
    axes = members(factors_of(state, name), seen)
    target: list[tuple[int, ...]] = [(), (), (), ()]
    for place, axis in zip(places, axes, strict=True):
        target[place] = axis
    final: Places = (target[1], target[2], target[3])
    tensor, made = arranged(state, name, wanted.exactly(final))
    assert made.shape[1:] == state.builder.tensors[tensor].shape[1:]
    state.values[name] = Value(tensor)


# ------------------------------------------------------------------ nodes on canonical tensors


class Bench:
    """Appends canonical operators for one source node, whose handlers read canonical values."""

    def __init__(self, state: Importer, node: SourceNode) -> None:
        self.state, self.node = state, node
        self.seen = state.seen(node.outputs[0])  # operators on parts give it other shapes
        self._count = 0

    def shape(self, tensor: str) -> Shape:
        """That of a canonical tensor."""
        return self.state.builder.tensors[tensor].shape

    def value(self, tensor: str) -> str:
        """A canonical tensor as an ONNX value of the same shape."""
        name = f"{tensor}.canonical"
        self._shape(name, self.shape(tensor))
        self.state.values[name] = Value(tensor)
        return name

    def constant(self, values: Array | float) -> str:
        """A constant that the file does not have."""
        self._count += 1
        name = f"{self.node.outputs[0]}/any{self._count}"
        array = np.asarray(values, np.float32)
        self.state.model = replace(
            self.state.model, constants={**self.state.model.constants, name: array}
        )
        return name

    def op(
        self,
        kind: str,
        inputs: Sequence[str | Array | float],
        shape: Shape,
        part: str = "",
        attributes: Mapping[str, Any] | None = None,
        handler: Any = None,
    ) -> str:
        """Compute ``kind`` of canonical tensors and constants; the tensor that it makes."""
        names = [self.value(item) if isinstance(item, str) else self.constant(item)
                 for item in inputs]  # fmt: skip
        output = self.name(part)
        self._shape(output, shape)
        made = replace(
            self.node,
            op_type=kind,
            inputs=tuple(names),
            outputs=(output,),
            attributes=attributes or {},
        )
        (handler or compute.compute)(self.state, made)
        return self.state.value(output).tensor

    def canonical(
        self, op: str, tensors: Sequence[str], shape: Shape, attributes: Mapping[str, Attribute]
    ) -> str:
        """Append a canonical node of tensors, as ONNX has no operator for it; what it makes."""
        state, output = self.state, self.name("")
        state.declare(output, shape)
        state.builder.node(op, tuple(tensors), output, attributes)
        compute.check_made(state, state.builder.nodes[-1])
        return output

    def name(self, part: str) -> str:
        """Free for a value and a tensor: the node's output, or a part of it."""
        output = self.node.outputs[0]
        hint = f"{output}.{part}" if part or output in self.state.builder.tensors else output
        name, count = hint, 1
        while name in self.state.builder.tensors or (name != output and name in self.state.values):
            name, count = f"{hint}_{count}", count + 1
        return name

    def _shape(self, name: str, shape: Shape) -> None:
        self.state.model = replace(
            self.state.model, shapes={**self.state.model.shapes, name: shape}
        )

    def finish(self, tensor: str, factors: Factors) -> None:
        """Let the node's output be ``tensor``, in the shape that the file gives it."""
        name = self.node.outputs[0]
        self._shape(name, self.seen)
        put(self.state, name, tensor, factors)


def aligned(values: Array, factors: Factors, axes: Members, seen: Shape) -> Array:
    """A constant that broadcasts against ``seen``, as [1, C, H, W] or with 1 along axes of these.

    ``axes``: the factors of every axis of ``seen``.
    """
    padded = values.reshape((1,) * (len(seen) - values.ndim) + values.shape)
    sizes = [1] * len(factors.sizes)
    full = [False] * len(factors.sizes)
    for size, ids in zip(padded.shape, axes, strict=True):
        for index in ids:
            full[index] = size != 1
            sizes[index] = factors.sizes[index] if size != 1 else 1
    spread = padded.reshape(sizes)
    order = [index for place in factors.places for index in place]
    turned = spread.transpose(order)
    target = []
    broad = []
    for place in factors.places:
        varies = any(full[index] for index in place)
        target.append(factors.size(place) if varies else 1)
        broad += [factors.sizes[index] if varies else 1 for index in place]
    return np.broadcast_to(turned, broad).reshape(1, *target)
