"""What a chip's predicted times were held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knightlite.chip import Chip, ChipFamily, Held


def evidence_for(family: ChipFamily | None, chip: Chip | None = None) -> Held | None:
    """What a family's figures of time were held against, and whether on a chip of its own.

    A family that nobody measured is held against the one that is taken where none is asked for:
    what that one has not of its figures is said. ``chip``: the facts of one whose family nobody
    knows. None: that one was not measured.
    """
    from knightlite import chip_files
    from knightlite.chip import Held, own_facts

    if family is not None and family.evidence is not None:
        return Held(family.evidence, True)
    usual = chip_files.find(chip_files.DEFAULT)
    if usual.evidence is None:
        return None
    facts = chip if family is None else family.chip
    own = () if facts is None else own_facts(facts, usual.chip)
    return Held(usual.evidence, False, own)


def error_bar(chip_name: str) -> str:
    """How far off times of a chip may be, in the fewest words; "" where no chip was measured."""
    from knightlite import chip_files
    from knightlite.profiler import bar_words

    found = evidence_for(chip_files.find(chip_name))
    if found is None:
        return ""
    percent = None if found.own_facts else found.evidence.error_percent
    return bar_words(percent, not found.of_this_chip)
