"""What a model's file says of itself: how it was quantized, and of which compile run it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from knightlite.json_records import canonical_json, decode, from_json, parse_json, to_json
from knightlite.version import __version__

if TYPE_CHECKING:
    import onnx

    from knightlite.container import Interface, Program, QuantizationNotes

# metadata properties of an ONNX file
QUANTIZATION = "knightlite.quantize"
VERSION = "knightlite.version"
INTERFACE = "knightlite.interface"  # of a golden model: what its program promises

INPUT_LAYOUT: Literal["nchw"] = "nchw"  # of ONNX and Paddle models
REMEDY = "quantize the model again"


def property_of(model: onnx.ModelProto, key: str) -> str | None:
    """A metadata property of a model; None where it has none of this key."""
    return next((entry.value for entry in model.metadata_props if entry.key == key), None)


def pair_of(model: onnx.ModelProto) -> str | None:
    """The digest of the compiled files that a golden model goes with; None for any other model."""
    from knightlite.frontend.model_kind import PAIR_NOTE

    return property_of(model, PAIR_NOTE)


def golden_metadata(program: Program) -> dict[str, str]:
    """The metadata properties of a golden model: of which program, and what that promises."""
    from knightlite.container import interface
    from knightlite.frontend.model_kind import PAIR_NOTE

    promised = canonical_json(to_json(interface(program))).decode("ascii")
    return {PAIR_NOTE: program.meta.pair, INTERFACE: promised}


def interface_of(model: onnx.ModelProto, where: str) -> Interface:
    """What a golden model says of its program's interface; FormatError where it does not."""
    from knightlite.container import Interface

    text = property_of(model, INTERFACE) or ""
    return decode(Interface, text.encode(), f"{INTERFACE} in {where}", "compile the model again")


def notes_metadata(notes: QuantizationNotes) -> dict[str, str]:
    """The metadata properties that the quantizer writes."""
    return {VERSION: __version__, QUANTIZATION: json.dumps(to_json(notes), sort_keys=True)}


def notes_of(path: Path, data: bytes | None = None) -> QuantizationNotes | None:
    """What the quantizer noted in a quantized model: method, recipe, pictures; None if nothing.

    ``data``: the model where it is not read from ``path``. ModelError, FormatError.
    """
    from knightlite.frontend import onnx_file

    read = onnx_file.read_bytes(path) if data is None else data
    return notes_in(onnx_file.parse(read, str(path)), path)


def notes_in(model: onnx.ModelProto, path: Path) -> QuantizationNotes | None:
    """As :func:`notes_of`, of a parsed model. FormatError where the notes do not fit."""
    from knightlite.container import QuantizationNotes
    from knightlite.preprocess import parse_recipe

    text = property_of(model, QUANTIZATION)
    if text is None:
        return None
    where = f"{QUANTIZATION} in {path}"
    notes = from_json(QuantizationNotes, parse_json(text, where, REMEDY), where, REMEDY)
    if notes.recipe is not None:
        parse_recipe(notes.recipe, "the stored recipe", path.name)
    return notes


def quantized_for(path: Path, data: bytes | None = None) -> str | None:
    """The chip that ``quant`` was asked for, as noted in the model; None in a file of others.

    ``data``: the model where it is not read from ``path``.
    """
    if path.suffix.lower() != ".onnx":
        return None
    notes = notes_of(path, data)
    return None if notes is None else notes.chip
