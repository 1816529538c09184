"""The chips of an exploration: named ones, each with every combination of other figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from knightlite import chip_files
from knightlite.api.exploration.records import Size
from knightlite.chip import Chip, facts_digest
from knightlite.errors import UsageError, suggestion
from knightlite.json_records import Misfit, record_form
from knightlite.json_records import read as read_value

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily

Facts = Sequence[tuple[str, Sequence[int]]]


def sizes(names: Iterable[str], facts: Facts) -> list[tuple[Size, ChipFamily | None]]:
    """Every chip in the order of the names, facts innermost; None with the reason where it is none.

    UsageError for a name that is no chip's and for a fact that chips do not have.
    """
    _known(facts)
    choices = [[(name, value) for value in values] for name, values in facts]
    found: list[tuple[Size, ChipFamily | None]] = []
    for name in names:
        family = chip_files.find(name)
        seen = set()
        for chosen in product(*choices):
            given = dict(chosen)
            size, changed = _size(name, family, given)
            if size.digest is None or size.digest not in seen:
                found.append((size, changed))
            seen.add(size.digest)
    return found


def assumed(size: Size) -> tuple[str, ...]:
    """The figures of a chip that are not its own."""
    own = chip_files.find(size.name).chip
    return tuple(fact for fact, value in size.facts.items() if getattr(own, fact) != value)


def _known(facts: Facts) -> None:
    known = [item.name for item in record_form(Chip).keys]
    for name, _ in facts:
        if name not in known:
            hint = suggestion(name, known, "`knightlite chips NAME` lists them")
            raise UsageError(f"a chip has no fact called {name}.", hint)


def _size(name: str, family: ChipFamily, given: dict[str, int]) -> tuple[Size, ChipFamily | None]:
    """A chip with other figures, or the sentence of the file that it would be."""
    from knightlite.isa import chip_findings

    forms = {item.name: item.form for item in record_form(Chip).keys}
    values: dict[str, Any] = {**asdict(family.chip), **given}
    try:
        for fact, value in given.items():
            read_value(forms[fact], value, fact)
    except Misfit as misfit:
        refused = f"{misfit.path} must be {misfit.wanted}, not {misfit.found}."
        return Size(name=name, facts=given, refused=refused), None
    wrong = list(chip_findings(values, name))
    if wrong:
        return Size(name=name, facts=given, refused=wrong[0].sentence), None
    chip = Chip(**values)
    size = Size(
        name=name,
        facts=given,
        digest=facts_digest(chip),
        on_chip_bytes=chip.fspm_bytes + chip.wspm_bytes + chip.mspm_bytes,
        macs_per_cycle=chip.peak_macs_per_cycle,
    )
    return size, replace(family, chip=chip, digest=facts_digest(chip))
