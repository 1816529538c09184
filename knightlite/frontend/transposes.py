"""Transposes: alone, or between two Reshapes. What becomes of them is found by trying.

A Transpose whose readers are Reshapes waits for them. Then the file's three steps and each of our
operators are applied to numbered elements; the operator that puts them at the same places is it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np

from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Importer, Turned, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ir.graph import Attribute
from knightlite.ops import depth_to_space, shuffle
from knightlite.ops import transpose as exchange
from knightlite.ops.rearranging import Steps, rearrange

WAITS_FOR = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})
Move = tuple[str, dict[str, Attribute]]  # operator, attributes


def turned(state: Importer, node: SourceNode) -> Turned:
    """What a Transpose does, one that is still waiting before it included."""
    name = node.inputs[0]
    rank = len(state.seen(name))
    order = tuple(int(axis) for axis in node.attributes.get("perm", range(rank)[::-1]))
    before = state.value(name).turned
    if before is None:
        return Turned(state.seen(name), order)
    return Turned(before.split, tuple(before.order[axis] for axis in order))


def moves_elements(state: Importer, node: SourceNode) -> bool:
    """False where a Transpose, with the one before it, leaves all elements in their order."""
    if state.value(node.inputs[0]).turned is not None:
        return True
    split, order = turned(state, node)
    return not _in_order(split, order)


def _in_order(split: Shape, order: tuple[int, ...]) -> bool:
    long = [axis for axis in order if split[axis] != 1]
    return long == sorted(long)


def transpose(state: Importer, node: SourceNode) -> None:
    """Wait for a Reshape where only such readers follow, else become operators."""
    value, output = state.value(node.inputs[0]), node.outputs[0]
    found = turned(state, node)
    quantized = output in state.model.quantized
    waits = state.readers(output) <= WAITS_FOR and not quantized
    if state.readers(output) == {"output"} and not quantized and node.name in state.tail.nodes:
        raise _unsupported(state, node)  # the host does it while it copies the result
    if value.stands_in and (waits or len(state.seen(output)) == 4):
        state.values[output] = state.stand_in(output)
    elif _in_order(*found) and not quantized:
        state.values[output] = replace(value, turned=None)
    elif waits:
        state.values[output] = replace(value, turned=found)
    else:
        _become(state, node, value, found, state.seen(output))


def reshaped(state: Importer, node: SourceNode) -> None:
    """The Reshape behind a Transpose: both become an operator, or go on waiting (any_axes)."""
    value, target = state.value(node.inputs[0]), state.seen(node.outputs[0])
    assert value.turned is not None
    shape = state.builder.tensors[value.tensor].shape
    if len(target) == 4 and recognised(shape, value.turned, target) is not None:
        _become(state, node, value, value.turned, target)
    else:
        raise _unsupported(state, node)


def _become(state: Importer, node: SourceNode, value: Value, found: Turned, target: Shape) -> None:
    """Append the operators that turn the tensor behind ``value`` into [N, C, H, W] ``target``."""
    builder, output = state.builder, node.outputs[0]
    shape = builder.tensors[value.tensor].shape
    moves = recognised(shape, found, target) if len(target) == 4 else None
    if moves is None:
        raise _unsupported(state, node)
    name = output if target == state.seen(output) else builder.fresh(f"{output}.turned")
    state.values[output] = Value(append_moves(state, value.tensor, moves, name, target))


def append_moves(
    state: Importer, tensor: str, moves: Sequence[Move], output: str, target: Shape
) -> str:
    """Append the operators that turn ``tensor`` into ``output`` of shape ``target``."""
    builder, source = state.builder, state.builder.tensors[tensor]
    shape = source.shape
    for index, (op, attributes) in enumerate(moves):
        if op in exchange.ORDERS:
            shape = exchange.swapped(shape, op)
        if index < len(moves) - 1:
            name = builder.fresh(f"{output}.turned")
            builder.tensor(name, shape, source.dtype, source.scale)
        else:
            name = output
            if name in state.model.shapes:  # the file says how it is quantized
                state.declare(name, target)
            else:
                builder.tensor(name, target, source.dtype, source.scale)
        builder.node(op, (tensor,), name, attributes)
        tensor = name
    return tensor


def _unsupported(state: Importer, node: SourceNode) -> UnsupportedError:
    source = state.seen(node.inputs[0])
    if node.op_type == "Transpose":
        perm = list(turned(state, node).order)
        return UnsupportedError(
            f"Transpose {perm} of {source} is not supported yet; on the chip an order of "
            "[N, C, H, W], a channel shuffle and pixel shuffles are."
        )
    return UnsupportedError(
        f"{node.op_type} {node.name} of a transposed {source} to {state.seen(node.outputs[0])} is "
        "not supported yet; channel shuffles and pixel shuffles are."
    )


# ------------------------------------------------------------------ which operators


def recognised(shape: Shape, found: Turned, target: Shape) -> list[Move] | None:
    """The operators that do to [1, C, H, W] what Transpose and Reshape do, or None."""
    if target[0] != 1 or int(np.prod(target)) != int(np.prod(shape)):
        return None
    numbered = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    wanted = rearrange(numbered, Steps(found.split, found.order, target))
    if shape == target and np.array_equal(numbered, wanted):
        return []
    for op, attributes, steps in _candidates(shape, found, target):
        if steps.joined == target and np.array_equal(rearrange(numbered, steps), wanted):
            return [(op, attributes)]
    own = found.order[1:] if found.split == shape and found.order[0] == 0 else (1, 2, 3)
    for order in (own, *permutations((1, 2, 3))):  # of several the one that the file names
        axes = (0, *order)
        if tuple(shape[axis] for axis in axes) == target and np.array_equal(
            numbered.transpose(axes), wanted
        ):
            return [(op, {}) for op in exchange.exchanges(axes)]
    return None


def _candidates(
    shape: Shape, found: Turned, target: Shape
) -> Iterator[tuple[str, dict[str, Attribute], Steps]]:
    """Shuffles of as many groups as an axis is long, and blocks of the size that fits."""
    _, channels, height, width = shape
    for groups in sorted({size for size in found.split if 1 < size < channels}):
        if channels % groups == 0:
            yield "ChannelShuffle", {"groups": groups}, shuffle.steps(shape, groups)
    for mode in depth_to_space.MODES:
        block, rest = divmod(target[2], height)
        if block > 1 and not rest and channels % block**2 == 0:
            values: dict[str, Attribute] = {"block": block, "mode": mode}
            yield "DepthToSpace", values, depth_to_space.depth_steps(shape, block, mode)
        block, rest = divmod(height, target[2])
        if block > 1 and not rest and not width % block:
            values = {"block": block, "mode": mode}
            yield "SpaceToDepth", values, depth_to_space.space_steps(shape, block, mode)
