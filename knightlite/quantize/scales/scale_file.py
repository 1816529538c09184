"""``X_scales.json``: type and scale of every feature tensor, to be read, edited and given back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from knightlite import dtypes
from knightlite.errors import Finding, FormatError, findings_error, unreadable
from knightlite.quantize.report_entries import Entry
from knightlite.quantize.settings import Pin
from knightlite.reading import json_value, read_text

VERSION = 1
SMALLEST, LARGEST = float(np.finfo(np.float32).smallest_subnormal), float(np.finfo(np.float32).max)
TYPES = {kind.name: kind for kind in (dtypes.U8, dtypes.S8, dtypes.S16)}


def scale_text(model: str, tensors: list[Entry]) -> str:
    """The file's text from the ``tensors`` of a report; scales are read back as they are."""
    entries = {item["name"]: {"type": item["type"], "scale": item["scale"]} for item in tensors}
    return json.dumps({"version": VERSION, "model": model, "tensors": entries}, indent=1) + "\n"


def read_scales(path: Path) -> tuple[Pin, ...]:
    """The pins of a file, which need not name every tensor; FormatError with all findings."""
    try:
        data = json_value(read_text(path))
    except OSError as error:
        raise unreadable("scale file", path, error, "-gsj writes one") from error
    except ValueError as error:
        raise FormatError(f"scale file {path} is not valid JSON: {error}.") from error
    tensors = data.get("tensors") if isinstance(data, Mapping) else None
    if not isinstance(tensors, Mapping) or data.get("version") != VERSION:
        raise FormatError(
            f"scale file {path} must hold version {VERSION} and tensors.", "-gsj writes one"
        )
    findings, pins = [], []
    for name, entry in tensors.items():
        reason = _wrong(entry)
        if reason is None:
            scale = np.asarray(entry["scale"], np.float32)
            pins.append(Pin(name, TYPES[entry["type"]], scale, f"scale file {path.name}"))
        else:
            findings.append(Finding(name, f"{reason}."))
    if findings:
        raise findings_error(
            FormatError,
            f"{len(findings)} scale(s) of {path} cannot be used: {findings[0].where}: "
            f"{findings[0].sentence}",
            findings if len(findings) > 1 else (),
        )
    return tuple(pins)


def _wrong(entry: Any) -> str | None:
    """What keeps an entry from being a pin."""
    if not isinstance(entry, Mapping) or set(entry) != {"type", "scale"}:
        return "it must have a type and a scale"
    if not isinstance(entry["type"], str) or entry["type"] not in TYPES:
        return f"its type must be one of {', '.join(TYPES)}, not {entry['type']!r}"
    scale = entry["scale"]
    for number in scale if isinstance(scale, list) and scale else [scale]:
        good = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not good or not SMALLEST <= number <= LARGEST:
            return f"its scale must be a positive number or a list of them, not {number!r}"
    return None
