"""Attention as quantized files have it: Einsum of two features, and Softmax, in groups of channels.

In groups: of features reshaped to them, and reshaped back (ops/matmul.py, ops/softmax.py).
"""

from __future__ import annotations

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute, host, transposes
from knightlite.frontend.importer import IN_ORDER, Importer, Turned, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ops import matmul


def einsum(state: Importer, node: SourceNode) -> None:
    """One of attention's products."""
    found = matmul.form_of(str(node.attributes.get("equation", "")))
    if found is None or len(node.inputs) != 2 or not found[1]:
        compute.compute(state, node)
        return
    groups = state.seen(node.outputs[0])[1]
    output, target = node.outputs[0], _joined(state, node)
    second = found[0] == "turned"
    tensors = tuple(_whole(state, name, at == 1 and second) for at, name in enumerate(node.inputs))
    shapes = tuple(state.builder.tensors[name].shape for name in tensors)
    seen = [state.seen(name) for name in node.inputs]
    wanted = [_split(shape, groups, at == 1 and second) for at, shape in enumerate(shapes)]
    if seen != wanted:
        raise UnsupportedError(
            f"Einsum {node.name} must read channels split into {groups} groups, {wanted[0]} and "
            f"{wanted[1]}, not {seen[0]} and {seen[1]}.",
            "write it as a MatMul, with Transposes and Reshapes around it",
        )
    _, _, channels, height, width = state.seen(output)
    state.declare(target, (1, groups * channels, height, width))
    state.builder.node("MatMul", tensors, target, {"groups": groups, "form": found[0]})
    compute.check_made(state, state.builder.nodes[-1])
    state.values[output] = Value(target)


def softmax(state: Importer, node: SourceNode) -> None:
    """Over the channels of each group, where channels are split; else as it is."""
    source, target = node.inputs[0], _joined(state, node)
    seen, value = state.seen(source), state.value(source)
    axis = int(node.attributes.get("axis", 1 if state.model.opset < 13 else -1)) % len(seen)
    at_end = node.name in state.tail.better and target not in state.model.quantized
    in_groups = len(seen) == 5 and axis == 2 and not (value.on_host or at_end)
    tensor = _whole(state, source, False) if in_groups else value.tensor
    shape = state.builder.tensors[tensor].shape
    if not in_groups or seen != _split(shape, seen[1], False):
        host.softmax(state, node)
        return
    state.declare(target, shape)
    state.builder.node("Softmax", (tensor,), target, {"groups": seen[1]})
    compute.check_made(state, state.builder.nodes[-1])
    state.values[node.outputs[0]] = Value(target)


def _joined(state: Importer, node: SourceNode) -> str:
    """The name of the result: that of the Reshape which joins the groups, where that is all."""
    output = node.outputs[0]
    readers = [item for item in state.model.nodes if output in item.inputs]
    if len(readers) == 1 and readers[0].op_type == "Reshape" and output not in state.model.outputs:
        return readers[0].outputs[0]
    return output


def _whole(state: Importer, name: str, along_pixels: bool) -> str:
    """The tensor whose groups ``name`` shows; moved where only a view of other axes makes it.

    Blocks as large as the features lie in the file in the order that they have anyway, so that
    reading takes them for a view; on the chip they are moved.
    """
    value, seen, shape = state.value(name), state.seen(name), state.shape(name)
    if len(seen) != 5 or value.turned is not None or value.order != IN_ORDER:
        return value.tensor
    n, first, second, height, width = seen
    whole = (
        (n, first, second, height * width) if along_pixels else (n, first * second, height, width)
    )
    moves = transposes.recognised(shape, Turned(shape, (0, 1, 2, 3)), whole)
    if not moves:
        return value.tensor
    made = state.builder.fresh(f"{value.tensor}.moved")
    return transposes.append_moves(state, value.tensor, moves, made, whole)


def _split(shape: Shape, groups: int, along_pixels: bool) -> Shape:
    """The shape with its channels, or its pixels, split into groups."""
    _, channels, height, width = shape
    if along_pixels:
        return (1, channels, height, groups, width // groups)
    return (1, groups, channels // groups, height, width)
