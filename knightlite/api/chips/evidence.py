"""What a chip's predicted times were held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily, Evidence


def evidence_for(family: ChipFamily | None) -> tuple[Evidence, bool] | None:
    """What a family's figures of time were held against, and whether on a chip of its own.

    A family that nobody measured has the figures of the one that is taken where none is asked for.
    None: that one was not measured.
    """
    from knightlite import chip_files

    if family is not None and family.evidence is not None:
        return family.evidence, True
    usual = chip_files.find(chip_files.DEFAULT).evidence
    return None if usual is None else (usual, False)


def error_bar(chip_name: str) -> str:
    """How far off times of a chip may be, in the fewest words; "" where no chip was measured."""
    from knightlite import chip_files

    found = evidence_for(chip_files.find(chip_name))
    if found is None:
        return ""
    evidence, of_this_chip = found
    return f"\u00b1 {evidence.error_percent} %" + ("" if of_this_chip else ", extrapolated")
