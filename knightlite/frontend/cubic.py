"""Resizes that no instruction does, as products of matrices: cubic ones, and those of areas.

A Resize of rows and columns is linear in what it reads: a matrix for the rows, and one for the
columns. They are what the operator itself makes of the rows and columns of a unit matrix.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.frontend import constant_runs
from knightlite.frontend.source import SourceNode
from knightlite.frontend.steps import Steps

Array = NDArray[Any]
LARGEST = 1024  # rows or columns, of which each is a sum
ALONE = ("align_corners", "asymmetric", "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
"""Coordinates that depend on the sizes of one axis only."""


def resized(steps: Steps) -> str | None:
    """Two MatMuls; None for Resizes that instructions do, or that are of more than two axes."""
    node, given = steps.node, steps.node.attributes
    if not _mode(given, "cubic") and not given.get("antialias", 0):
        return None
    if _mode(given, "nearest") or steps.opset < 11 or len(node.inputs) < 3:
        return None
    shape, made = steps.shape(node.inputs[0]), steps.shapes[node.outputs[0]]
    ways = given.get("coordinate_transformation_mode", "half_pixel")
    policy = given.get("keep_aspect_ratio_policy", "stretch")
    if _text(ways) not in ALONE or _text(policy) != "stretch":
        return None
    if len(shape) != 4 or shape[:2] != made[:2] or max(*shape[2:], *made[2:]) > LARGEST:
        return None
    scales = _by_axis(steps, 2, 1.0)
    sizes = None if scales is not None else _by_axis(steps, 3, 0)
    if scales is None and sizes is None:
        return None
    value = node.inputs[0]
    for axis in (2, 3):
        if shape[axis] == made[axis] and (scales is None or scales[axis] == 1):
            continue
        matrix = _matrix(steps, axis, scales, made[axis])
        if matrix is None:
            return None
        name = steps.constant(matrix if axis == 2 else matrix.T)
        whole = (*shape[:axis], made[axis], *shape[axis + 1 :])
        value = steps.node_of("MatMul", [name, value] if axis == 2 else [value, name], whole)
        shape = whole
    return value


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _mode(given: Any, mode: str) -> bool:
    return _text(given.get("mode", "nearest")) == mode


def _by_axis(steps: Steps, place: int, default: float) -> list[float] | None:
    """Constant scales or sizes of all four axes; None where there are none."""
    name = (*steps.node.inputs, "", "")[place]
    values = steps.constants.get(name)
    if not name or values is None or not values.size:
        return None
    found = [default] * 4
    axes = steps.node.attributes.get("axes", range(4))
    for axis, item in zip(axes, np.ravel(values), strict=True):
        found[int(axis) % 4] = float(item)
    return found


def _matrix(steps: Steps, axis: int, scales: list[float] | None, made: int) -> Array | None:
    """[made, size]: what the Resize makes of each row or column; None where it is refused."""
    size = steps.shape(steps.node.inputs[0])[axis]
    unit = np.eye(size, dtype=np.float32).reshape(1, size, size, 1)  # along rows, for both
    factors = None if scales is None else np.array([1, 1, scales[axis], 1], np.float32)
    sizes = np.array([1, size, made, 1], np.int64) if scales is None else None
    attributes = {key: value for key, value in steps.node.attributes.items() if key != "axes"}
    names = ("x", "", "" if factors is None else "scales", *([] if sizes is None else ["sizes"]))
    node = SourceNode(steps.node.name, "Resize", "", names, ("y",), attributes)
    operands = [unit, None, factors, *([] if sizes is None else [sizes])]
    try:
        (found,) = constant_runs.run(node, operands, steps.opset)
    except UnsupportedError:
        return None
    return found.reshape(size, -1).T if found.shape == (1, size, made, 1) else None
