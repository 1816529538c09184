"""``model_info``: inputs and outputs of a quantized or compiled model, and how it was quantized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from knightlite.api.inspection.compiled_files import inspect_file, output_names
from knightlite.api.models.finding import find_last, resolved
from knightlite.api.models.notes import VERSION, notes_of, property_of
from knightlite.container import WeightDescription
from knightlite.errors import UsageError
from knightlite.json_records import to_json
from knightlite.talk import SILENT, Talk


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of a model: ``scale`` is the dequant scale, one number or several."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scale: tuple[float, ...]


def model_info(
    path: Path | None = None, directory: Path = Path(), talk: Talk = SILENT
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and chip outputs of ``X_quantize.onnx``, ``X_r.cfg`` or ``X_r.tsmodel``.

    What ``sim`` delivers under the name of a network output goes by that name here too. ``path``
    None: what ``quant`` or ``compile`` left last.
    """
    from knightlite.frontend import load_quantized
    from knightlite.frontend.model_files import SUFFIXES
    from knightlite.sim.outputs import names_of_results

    path = path or _last_model(directory, talk)
    if path.suffix.lower() == ".onnx":
        found = resolved(directory, path, talk)
        graph = load_quantized(found)
        sides = [
            [graph.tensors[name] for name in names] for names in (graph.inputs, graph.chip_outputs)
        ]
        return _pair(
            [[(t.name, t.shape, t.dtype.name, t.scale) for t in tensors] for tensors in sides],
            names_of_results(graph.chip_outputs, graph.host, graph.outputs),
        )
    if path.suffix.lower() in SUFFIXES:
        raise UsageError(
            f"{path} is a float model, not a quantized one.",
            f"quantize it first: knightlite quant onnx -m {path} -d PICTURES --recipe NAME",
        )
    seen = inspect_file(path, directory, talk)
    if isinstance(seen.meta, WeightDescription):
        raise UsageError(f"{path} holds weights only.", "name the .cfg or .tsmodel beside it")
    return _pair(
        [
            [(item.name, item.shape, item.type, item.scale) for item in tensors]
            for tensors in (seen.meta.inputs, seen.meta.outputs)
        ],
        output_names(seen.meta),
    )


def _last_model(directory: Path, talk: Talk) -> Path:
    """What ``quant`` or ``compile`` left last, which is said; UsageError where neither has run."""
    return find_last(directory, {"quant": "onnx", "compile": "cfg"}, talk)


def quantization_notes(path: Path | None = None, directory: Path = Path()) -> dict[str, Any]:
    """How an ``X_quantize.onnx`` was quantized, as it notes: docs/formats.md; {} for other files.

    ``version`` is knightlite's. FormatError where the notes are damaged.
    """
    from knightlite.frontend import onnx_file

    path = path or _last_model(directory, SILENT)
    if path.suffix.lower() != ".onnx":
        return {}
    found = resolved(directory, path, SILENT)
    data = onnx_file.read_bytes(found)
    notes = notes_of(found, data)
    if notes is None:
        return {}
    version = property_of(onnx_file.parse(data, str(found)), VERSION)
    return {**to_json(notes), **({} if version is None else {"version": version})}


def _pair(
    sides: Sequence[Sequence[tuple[str, tuple[int, ...], str, Any]]], results: Mapping[str, str]
) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """Inputs and outputs; ``results``: what outputs are called."""
    inputs, outputs = (
        tuple(
            TensorInfo(
                at,
                called.get(name, name),
                shape,
                kind,
                tuple(np.atleast_1d(scale).astype(float).tolist()),
            )
            for at, (name, shape, kind, scale) in enumerate(side)
        )
        for side, called in zip(sides, ({}, results), strict=True)
    )
    return inputs, outputs
