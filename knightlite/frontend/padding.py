"""A constant Pad with zeros is taken over by the Conv or pool that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend.importer import Pads
from knightlite.frontend.source import SourceNode
from knightlite.ir import GraphBuilder
from knightlite.ops.signs import nonnegative_outputs

Array = NDArray[Any]


def pads_of(node: SourceNode, constants: Mapping[str, Array]) -> Pads:
    """Rows and columns of zeros that a Pad of [N, C, H, W] adds; UnsupportedError for the rest."""
    rank = 4
    mode = node.attributes.get("mode", "constant")
    if mode != "constant":
        raise UnsupportedError(f"Pad {node.name} must pad with constant zeros, not by {mode}.")
    amounts = _operand(node, constants, 1, "pads")
    value = _operand(node, constants, 2, "value")
    if value is not None and np.any(value):
        raise UnsupportedError(
            f"Pad {node.name} must pad with zeros, not with {float(np.ravel(value)[0])}."
        )
    axes = _operand(node, constants, 3, "axes")
    if amounts is None:
        raise UnsupportedError(f"Pad {node.name} must have constant pads.")
    listed = range(rank) if axes is None else [int(axis) % rank for axis in np.ravel(axes)]
    begin, end = [0] * rank, [0] * rank
    sizes = [int(item) for item in np.ravel(amounts)]
    for index, axis in enumerate(listed):
        begin[axis], end[axis] = sizes[index], sizes[index + len(listed)]
    if any(begin[:2]) or any(end[:2]):
        raise UnsupportedError(f"Pad {node.name} must pad height and width only, not {sizes}.")
    if min(begin + end) < 0:
        raise UnsupportedError(f"Pad {node.name} must add zeros, not cut ({sizes}).")
    return (begin[2], begin[3], end[2], end[3])


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


def take_over(
    node: SourceNode, attributes: dict[str, Any], pads: Pads, builder: GraphBuilder, tensor: str
) -> None:
    """Add ``pads`` to the attributes of a Conv or pool that reads the padded ``tensor``."""
    mode = attributes.pop("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID"):
        raise UnsupportedError(
            f"{node.op_type} {node.name} must have explicit pads after a Pad, not auto_pad {mode}."
        )
    own = (0, 0, 0, 0) if mode == "VALID" else tuple(attributes.get("pads", (0, 0, 0, 0)))
    if node.op_type == "MaxPool" and tensor not in nonnegative_outputs(builder.build(())):
        raise UnsupportedError(
            f"MaxPool {node.name} reads a Pad with zeros, which equals its own padding only "
            "after a Relu or another non-negative operator."
        )
    if node.op_type == "AveragePool":
        if any(own) and not attributes.get("count_include_pad", 0):
            raise UnsupportedError(
                f"AveragePool {node.name} must not count some pads and leave out others."
            )
        attributes["count_include_pad"] = 1
    attributes["pads"] = tuple(a + b for a, b in zip(own, pads, strict=True))
