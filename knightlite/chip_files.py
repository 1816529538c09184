"""Chip files: strict TOML into the frozen records of ``chip``, every mistake said at once.

Every value says where it comes from: ``stated`` (vendor), ``inferred`` (from vendor facts),
``fitted`` (to latencies of boards, docs/clock.md) or ``modelled`` (ours). Source: design machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from knightlite import limits
from knightlite.chip import FITTED_FACTS, Chip, ChipFamily, Evidence, Provenance, facts_digest
from knightlite.datafiles import chips_folder
from knightlite.errors import (
    Finding,
    FormatError,
    KnightliteError,
    UsageError,
    findings_error,
    not_there,
    suggestion,
    unreadable,
)
from knightlite.json_records import Misfit, read, record_form
from knightlite.reading import holds_key, read_text, toml_table

SOURCES = ("stated", "inferred", "fitted", "modelled")
FORMAT = 1
OTHERS = ("evidence", "model_of", "without")  # what a chip file may leave out
WITHOUT = ("input-indep", "output-indep", "unfixloop")  # options that not every chip has
FILE_SUFFIX = ".toml"
DEFAULT = "TX5368AV200"  # taken where no chip is asked for, as Knight does


def parse(text: str, where: str) -> ChipFamily:
    """Parse a chip file; FormatError with all findings at once.

    Unknown, missing and mistyped keys, and facts that instructions cannot live with.
    """
    try:
        data = toml_table(text)
    except ValueError as error:
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
    known = (*kinds, *OTHERS)
    found += [Finding(where, f"unknown key {key}.") for key in data if key not in known]
    if not isinstance(data.get("model_of", ""), str):
        found.append(Finding(where, "model_of must be a text: what the file is a model of."))
    if found:
        raise _unusable(where, found)
    if data["format"] != FORMAT:
        raise FormatError(f"chip file {where} has format {data['format']}, not {FORMAT}.")
    values, provenance = _parse_values(data["values"], where, found)
    evidence = _parse_evidence(data.get("evidence"), where, found)
    if not data["names"] or not all(isinstance(name, str) for name in data["names"]):
        found.append(Finding(where, "names must be a list of chip names."))
    without = data.get("without", [])
    if not isinstance(without, list) or any(name not in WITHOUT for name in without):
        found.append(Finding(where, f"without must be a list of {', '.join(WITHOUT)}."))
    if found:
        raise _unusable(where, found)
    chip = Chip(**values)
    return ChipFamily(
        data["family"],
        tuple(data["names"]),
        data["description"],
        chip,
        provenance,
        facts_digest(chip),
        evidence,
        data.get("model_of", ""),
        tuple(without),
    )


def _unusable(where: str, found: Sequence[Finding]) -> KnightliteError:
    sentence = f"chip file {where} is not usable: {found[0].sentence}"
    return findings_error(FormatError, sentence, found, found[0].hint)


def _parse_values(
    table: Mapping[str, Any], where: str, found: list[Finding]
) -> tuple[dict[str, Any], dict[str, Provenance]]:
    from knightlite.isa import chip_findings  # with numpy: for those who read a file

    expected = {item.name: item.form for item in record_form(Chip).keys}
    found += [Finding(where, f"unknown value {key}.") for key in table if key not in expected]
    found += [
        Finding(where, f"value {key} is missing.", _where_from(key))
        for key in sorted(set(expected) - set(table))
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
    found += chip_findings(values, where)
    return values, provenance


def _where_from(key: str) -> str:
    """Where a figure that boards tell comes from."""
    if key not in FITTED_FACTS:
        return ""
    return f"it is fitted to latencies of boards: docs/clock.md; {DEFAULT} shows it in `chips`"


def _parse_evidence(table: Any, where: str, found: list[Finding]) -> Evidence | None:
    """What predicted times were held against, where the file says it."""
    if table is None:
        return None
    try:
        evidence: Evidence = read(record_form(Evidence), table, "evidence")
    except Misfit as misfit:
        sentence = f"{misfit.path} must be {misfit.wanted}, not {misfit.found}."
        found.append(Finding(where, sentence, "docs/clock.md says what it holds, or leave it out"))
        return None
    return evidence


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
            hint = "`knightlite chips` lists those that ship"
            raise not_there("chip file", path, hint, fits=holds_key("family"))
        try:
            text = read_text(path, limits.TOML_BYTES)
        except OSError as error:
            raise unreadable("chip file", name, error) from error
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
    if not name.strip():
        raise UsageError("the name of the chip is empty.", f"is a variable not set? {what_else}")
    raise UsageError(f"chip {name} is not known.", suggestion(name, known, what_else))
