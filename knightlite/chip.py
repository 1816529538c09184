"""Chip descriptions: strict TOML into frozen records; code asks the chip for facts, never its name.

Every quantity has its unit in its name and says where it comes from: ``stated`` (vendor),
``inferred`` (from vendor facts) or ``modelled`` (ours). Source: design machine.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from knightlite.datafiles import chips_folder
from knightlite.errors import Finding, FormatError, UsageError, suggestion
from knightlite.json_records import AtLeast, Misfit, NotEmpty, PowerOfTwo, read, record_form

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES = ("stated", "inferred", "modelled")
FORMAT = 1
FILE_SUFFIX = ".toml"
DEFAULT = "TX5368AV200"  # taken where no chip is asked for, as Knight does


Positive = Annotated[int, AtLeast(1)]
Alignment = Annotated[int, AtLeast(4), PowerOfTwo()]  # partial sums, the widest, have 4 bytes
BitWidths = Annotated[tuple[Literal[8, 16], ...], NotEmpty()]


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip family's facts; see ``chips/*.toml`` for where each value comes from."""

    clock_hz: Positive
    bit_widths: BitWidths
    matrix_input_lanes: Positive  # input channels per cycle of the matrix engine, 8 bit
    matrix_output_lanes: Positive  # output channels per cycle of the matrix engine, 8 bit
    matrix_packed_channels: (
        Positive  # up to so many input channels, kernel columns share input lanes
    )
    wide_matrix_output_lanes: Positive  # the same where an operand has 16 bits
    depthwise_lanes: Positive  # channels per cycle of a depthwise convolution, one tap each, 8 bit
    wide_depthwise_lanes: Positive  # the same where an operand has 16 bits
    vector_lanes: Positive  # elements per cycle of the vector engine
    matrix_setup_cycles: Positive  # per instruction
    vector_setup_cycles: Positive  # per instruction
    fspm_bytes: Positive
    fspm_align_bytes: Alignment
    fspm_banks: Positive
    fspm_bank_bytes_per_cycle: Positive
    wspm_bytes: Positive
    wspm_align_bytes: Alignment
    mspm_bytes: Positive
    mspm_align_bytes: Alignment
    ddr_bytes: Positive
    ddr_align_bytes: Alignment
    ddr_bytes_per_second: Positive
    ddr_efficiency_percent: Positive
    ddr_burst_bytes: Positive
    dma_setup_cycles: Positive  # per transfer, before its first byte

    @property
    def peak_macs_per_cycle(self) -> int:
        """8-bit multiply-accumulates per cycle of the matrix engine."""
        return self.matrix_input_lanes * self.matrix_output_lanes

    @property
    def fspm_bytes_per_cycle(self) -> int:
        """Bytes per cycle that all banks deliver together."""
        return self.fspm_banks * self.fspm_bank_bytes_per_cycle

    def ddr_cycles(self, size_bytes: int) -> int:
        """Cycles that ``size_bytes`` occupy the DDR, at its effective rate, rounded up."""
        rate = self.ddr_bytes_per_second * self.ddr_efficiency_percent
        return -(-size_bytes * self.clock_hz * 100 // rate)


# nothing but time depends on them: a program runs the same on chips that differ here
TIMING_FACTS = (
    "clock_hz",
    "matrix_input_lanes",
    "matrix_output_lanes",
    "wide_matrix_output_lanes",
    "matrix_packed_channels",
    "depthwise_lanes",
    "wide_depthwise_lanes",
    "vector_lanes",
    "matrix_setup_cycles",
    "vector_setup_cycles",
    "fspm_banks",
    "fspm_bank_bytes_per_cycle",
    "ddr_bytes_per_second",
    "ddr_efficiency_percent",
    "ddr_burst_bytes",
    "dma_setup_cycles",
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where one value comes from."""

    source: str
    note: str


@dataclass(frozen=True, slots=True)
class ChipFamily:
    """A parsed chip file: the facts, who they hold for, and where they come from.

    ``digest`` is the SHA-256 of the facts; binaries carry it and the simulator refuses another.
    """

    family: str
    names: tuple[str, ...]
    description: str
    chip: Chip
    provenance: Mapping[str, Provenance]
    digest: str


def parse(text: str, where: str) -> ChipFamily:
    """Parse a chip file; FormatError with every unknown, missing or mistyped key at once."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"chip file {where} is not valid TOML: {error}.") from error
    found: list[Finding] = []
    kinds: dict[str, type] = {
        "format": int,
        "family": str,
        "names": list,
        "description": str,
        "values": dict,
    }
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            found.append(Finding(where, f"key {key} must be present and of type {kind.__name__}."))
    found += [Finding(where, f"unknown key {key}.") for key in data if key not in kinds]
    if found:
        raise FormatError(f"chip file {where} is not usable: {found[0].sentence}", findings=found)
    if data["format"] != FORMAT:
        raise FormatError(f"chip file {where} has format {data['format']}, not {FORMAT}.")
    values, provenance = _parse_values(data["values"], where, found)
    if not data["names"] or not all(isinstance(name, str) for name in data["names"]):
        found.append(Finding(where, "names must be a list of chip names."))
    if found:
        raise FormatError(f"chip file {where} is not usable: {found[0].sentence}", findings=found)
    chip = Chip(**values)
    return ChipFamily(
        data["family"],
        tuple(data["names"]),
        data["description"],
        chip,
        provenance,
        facts_digest(chip),
    )


def facts_digest(chip: Chip) -> str:
    """The SHA-256 of a chip's facts: what binaries carry."""
    facts = sorted((field.name, getattr(chip, field.name)) for field in fields(Chip))
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _parse_values(
    table: Mapping[str, Any], where: str, found: list[Finding]
) -> tuple[dict[str, Any], dict[str, Provenance]]:
    expected = {item.name: item.form for item in record_form(Chip).keys}
    found += [Finding(where, f"unknown value {key}.") for key in table if key not in expected]
    found += [
        Finding(where, f"value {key} is missing.") for key in sorted(set(expected) - set(table))
    ]
    values: dict[str, Any] = {}
    provenance: dict[str, Provenance] = {}
    for key in sorted(expected.keys() & table.keys()):
        entry = table[key]
        if not isinstance(entry, dict) or not {"value", "source"} <= set(entry):
            found.append(Finding(where, f"{key} must be a table with value, source and note."))
            continue
        if set(entry) - {"value", "source", "note"}:
            found.append(Finding(where, f"{key} may only have value, source and note."))
        try:
            values[key] = read(expected[key], entry["value"], key)
        except Misfit as misfit:
            sentence = f"{misfit.path} must be {misfit.wanted}, not {misfit.found}."
            found.append(Finding(where, sentence))
            continue
        if entry["source"] not in SOURCES:
            found.append(
                Finding(
                    where,
                    f"{key}: source must be one of {', '.join(SOURCES)}, not {entry['source']}.",
                )
            )
        provenance[key] = Provenance(str(entry["source"]), str(entry.get("note", "")))
    return values, provenance


@lru_cache(maxsize=1)
def families() -> tuple[ChipFamily, ...]:
    """All families that ship with the program, by file name."""
    return tuple(
        parse(path.read_text(encoding="utf-8"), path.name)
        for path in sorted(chips_folder().glob("*.toml"))
    )


def find(name: str) -> ChipFamily:
    """The family of a chip name, or the file of a user's own chip (``path/to/my.toml``)."""
    if name.endswith(FILE_SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"chip file {name} does not exist.")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(
                f"chip file {name} is not valid TOML: it is not UTF-8 text."
            ) from error
        return parse(text, name)
    for family in families():
        if name in family.names:
            return family
    known = [item for family in families() for item in family.names]
    what_else = "`knightlite chips` lists them; a chip of your own is a file NAME.toml"
    raise UsageError(f"chip {name} is not known.", suggestion(name, known, what_else))
