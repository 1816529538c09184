"""A Split is a Slice for each output that is read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode

SEVERAL_OUTPUTS = ("Split",)  # the only operators whose second output may be read


def split(state: Importer, node: SourceNode) -> None:
    """Every way to write the sizes comes to the same output shapes."""
    source = node.inputs[0]
    sizes = state.seen(source)
    axis = int(node.attributes.get("axis", 0)) % len(sizes)
    end = 0
    for name in node.outputs:
        shape = state.model.shapes.get(name)
        if shape is None:
            raise UnsupportedError(f"Split {node.name} must have sizes known from the file.")
        begin, end = end, end + shape[axis]
        if state.is_read(name):
            bounds = {"starts": begin, "ends": end, "axes": axis}
            operands = {f"{name}/{key}": np.array([value]) for key, value in bounds.items()}
            state.model = replace(state.model, constants={**state.model.constants, **operands})
            compute.compute(
                state,
                replace(node, op_type="Slice", inputs=(source, *operands), outputs=(name,)),
            )
    if end != sizes[axis]:
        raise UnsupportedError(
            f"Split {node.name} must cut all of its {sizes[axis]} elements, not {end}."
        )
