"""A profile read again from its JSON file: what two profiles are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from knightlite.errors import FormatError
from knightlite.json_records import AtLeast, from_json, parse_json, shown
from knightlite.profiler.assumptions import Assumption
from knightlite.profiler.profile import LayerProfile
from knightlite.profiler.writers import SCHEMA

HINT = "profile the network again with this version"


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """What is compared of a profile; the file has more."""

    name: str
    chip: str
    clock_hz: Annotated[int, AtLeast(1)]
    assumed: tuple[Assumption, ...]
    cycles: Annotated[int, AtLeast(0)]
    latency_ms: float
    macs: int
    ddr_read_bytes: int
    ddr_write_bytes: int
    ddr_burst_bytes: int
    ddr_busy_cycles: int
    ddr_bytes_by_cause: Mapping[str, int]
    engine_busy_cycles: Mapping[str, int]
    layers: tuple[LayerProfile, ...]


def read_profile(data: bytes, where: str) -> SavedProfile:
    """The profile in a file's bytes; FormatError, where it is of another version too."""
    if data[:1] != b"{":
        raise FormatError(f"{where} is no profile: it does not begin as one.", _KIND)
    value = parse_json(data, where, HINT)
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(value, dict) or schema is None:
        raise FormatError(f"{where} is no profile: it has no schema.", _KIND)
    if schema != SCHEMA:
        raise FormatError(f"{where} must be of schema {SCHEMA}, not {shown(schema)}.", HINT)
    known = [item.name for item in fields(SavedProfile)]
    lacks = [name for name in known if name not in value]
    if lacks:
        raise FormatError(f"{where} has no {', '.join(lacks)}: another version wrote it.", HINT)
    kept: dict[str, Any] = {name: value[name] for name in known}
    return from_json(SavedProfile, kept, where, HINT)


_KIND = "name two X.profile.json, which profile leaves"
