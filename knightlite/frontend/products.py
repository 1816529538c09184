"""Einsum of two features, as quantized files have products of computed tensors (ops/matmul.py)."""

from __future__ import annotations

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceNode
from knightlite.ops import matmul


def einsum(state: Importer, node: SourceNode) -> None:
    """One of attention's products. In groups: of features reshaped to them, and reshaped back."""
    found = matmul.form_of(str(node.attributes.get("equation", "")))
    if found is None or len(node.inputs) != 2 or not found[1]:
        compute.compute(state, node)
        return
    groups = state.seen(node.outputs[0])[1]
    output, target = node.outputs[0], _joined(state, node)
    tensors = tuple(state.value(name).tensor for name in node.inputs)
    shapes = tuple(state.shape(name) for name in node.inputs)
    seen = [state.seen(name) for name in node.inputs]
    wanted = [_split(shape, groups, at == 1 and found[0] == "turned")
              for at, shape in enumerate(shapes)]  # fmt: skip
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


def _joined(state: Importer, node: SourceNode) -> str:
    """The name of the result: that of the Reshape which joins the groups, where that is all."""
    output = node.outputs[0]
    readers = [item for item in state.model.nodes if output in item.inputs]
    if len(readers) == 1 and readers[0].op_type == "Reshape" and output not in state.model.outputs:
        return readers[0].outputs[0]
    return output


def _split(shape: Shape, groups: int, along_pixels: bool) -> Shape:
    """The shape with its channels, or its pixels, split into groups."""
    _, channels, height, width = shape
    if along_pixels:
        return (1, channels, height, groups, width // groups)
    return (1, groups, channels // groups, height, width)
