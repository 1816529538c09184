"""What a model's file says of itself: how it was quantized, and of which compile run it is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.errors import ModelError

if TYPE_CHECKING:
    import onnx

# metadata properties of an ONNX file
QUANTIZATION = "knightlite.quantize"
VERSION = "knightlite.version"

INPUT_LAYOUT = "nchw"  # of ONNX and Paddle models


def property_of(model: onnx.ModelProto, key: str) -> str | None:
    """A metadata property of a model; None where it has none of this key."""
    return next((str(entry.value) for entry in model.metadata_props if entry.key == key), None)


def pair_of(model: onnx.ModelProto) -> str | None:
    """The digest of the compiled files that a golden model goes with; None for any other model."""
    from knightlite.frontend.model_kind import PAIR_NOTE

    return property_of(model, PAIR_NOTE)


def notes_of(path: Path, data: bytes | None = None) -> dict[str, Any]:
    """What the quantizer noted in a quantized model: method, recipe, pictures, ...; {} if nothing.

    ``data``: the model where it is not read from ``path``. ModelError where the notes are damaged.
    """
    from knightlite.frontend import onnx_file

    model = onnx_file.parse(onnx_file.read_bytes(path) if data is None else data, str(path))
    found = _noted(model)
    if found is None:
        return {}
    if not found or not _sound(found, path):
        raise ModelError(
            f"{path} is damaged: its notes of the quantization cannot be read.",
            "quantize the model again",
        )
    return found


def notes_as_found(model: onnx.ModelProto) -> Mapping[str, Any]:
    """The notes, whatever they say; {} where there are none or they cannot be read."""
    return _noted(model) or {}


def quantized_for(path: Path, data: bytes | None = None) -> str | None:
    """The chip that ``quant`` was asked for, as noted in the model; None in a file of others.

    ``data``: the model where it is not read from ``path``.
    """
    if path.suffix.lower() != ".onnx":
        return None
    noted = notes_of(path, data).get("chip")
    return noted if isinstance(noted, str) else None


def _noted(model: onnx.ModelProto) -> dict[str, Any] | None:
    """The notes; None where there are none, {} where they cannot be read."""
    with contextlib.suppress(ValueError):  # neither JSON, nor perhaps UTF-8
        text = property_of(model, QUANTIZATION)
        if text is None:
            return None
        found = json.loads(text)
        if isinstance(found, dict):
            return found
    return {}


def _sound(notes: Mapping[str, Any], path: Path) -> bool:
    """Whether the notes that end up in the ``.cfg`` make sense; FormatError for a recipe."""
    from knightlite.preprocess import parse_recipe

    recipe = notes.get("recipe")
    if isinstance(recipe, str):
        parse_recipe(recipe, "stored recipe", path.name)
    frames = notes.get("ir_batch", 1)
    if not isinstance(frames, int) or frames < 1:
        return False
    return notes.get("input_layout") == INPUT_LAYOUT and isinstance(recipe, (str, type(None)))
