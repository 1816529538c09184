"""What both kinds of model functions (PyTorch's and Paddle's) need before they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from knightlite.errors import UsageError, not_there
from knightlite.frontend.interpreter import Conversion
from knightlite.frontend.static_shapes import InputShapes


def script_of(conversion: Conversion, function: str, framework: str) -> Path:
    """The script that builds the model; UsageError where there is none."""
    if conversion.script is None:
        raise UsageError(
            f"{function} needs the script with the function that builds the network.",
            f'name it with -uds FILE; the function is marked @{framework}_model.register("NAME")',
        )
    if not conversion.script.is_file():
        raise not_there("user script", conversion.script, "name it with -uds FILE")
    return conversion.script


def require_weight(weight: Path | None) -> None:
    """UsageError where a weight file is named and is not there."""
    if weight is not None and not weight.is_file():
        raise not_there("weight file", weight)


def shapes_as_json(input_shapes: InputShapes | None) -> Any:
    """Shapes of ``-is`` for a request: a list in order, or an object by input name."""
    if not input_shapes:
        return None
    if isinstance(input_shapes, dict):
        return {name: list(shape) for name, shape in input_shapes.items()}
    return [list(shape) for shape in input_shapes]
