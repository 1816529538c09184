"""The rule of every operator whose values only move: all its tensors have one scale and type."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from knightlite.ir import Graph
from knightlite.ops.opdef import Constraint, View


def same_scale(breaks: Callable[[], Graph]) -> Constraint:
    """The rule, with a graph that breaks it."""
    return Constraint("all its tensors share one scale and type", _check, breaks)


def _check(view: View) -> str | None:
    out = view.output
    for index in range(len(view.node.inputs)):
        tensor = view.tensor(index)
        if tensor.dtype != out.dtype or not np.array_equal(view.scale(index), view.output_scale):
            return (
                f"all tensors must share one scale and type, but {tensor.name} differs "
                f"from {out.name}"
            )
    return None
