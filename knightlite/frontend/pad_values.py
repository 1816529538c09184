"""Pad with a number other than zero: zeros around what is less by that number.

::

    Pad(x, v)  =>  Add(Pad(Sub(x, v), 0), v)
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite.errors import UnsupportedError
from knightlite.frontend import compute, padding
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceNode


def pad(state: Importer, node: SourceNode) -> None:
    """Any Pad that ``padding`` does, with whatever finite number."""
    value = _number(state, node)
    if value == 0.0 or node.attributes.get("mode", "constant") != "constant":
        padding.pad(state, node)
        return
    if not np.isfinite(value):
        raise UnsupportedError(
            f"Pad {node.name} must pad with a finite number, not with {value}.",
            "let the pool behind it pad by itself",
        )
    source, output = node.inputs[0], node.outputs[0]
    padding.settle(state, source)
    low, zeros, number = (f"{output}.{part}" for part in ("low", "zeros", "number"))
    shapes = {low: state.seen(source), zeros: state.seen(output)}
    state.model = replace(
        state.model,
        shapes={**state.model.shapes, **shapes},
        constants={**state.model.constants, number: np.asarray(value, np.float32)},
    )
    step = replace(node, attributes={})
    compute.compute(state, replace(step, op_type="Sub", inputs=(source, number), outputs=(low,)))
    attributes = {key: item for key, item in node.attributes.items() if key != "value"}
    inputs = [low, *node.inputs[1:]]
    inputs[2:3] = [""] * len(inputs[2:3])
    padding.pad(state, replace(node, inputs=tuple(inputs), outputs=(zeros,), attributes=attributes))
    padding.settle(state, zeros)
    compute.compute(state, replace(step, op_type="Add", inputs=(zeros, number)))


def _number(state: Importer, node: SourceNode) -> float:
    """The attribute of older opsets, the input of newer ones; zero where there is none."""
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    given = state.model.constants.get(name) if name else node.attributes.get("value", 0.0)
    if given is None:
        raise UnsupportedError(f"Pad {node.name} must have a constant value.")
    return float(np.ravel(given)[0]) if np.size(given) else 0.0
