"""What if: a chip with other figures, for the same program.

Only facts that nothing but time depends on can be assumed. A program's addresses and tiles were
laid out for the others, so on a chip that differs there it would be another program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from knightlite.chip import TIMING_FACTS, Chip
from knightlite.errors import Finding, UsageError, findings_error, suggestion
from knightlite.json_records import Misfit, read, record_form

GIB = 1 << 30
BANDWIDTH, EFFICIENCY = "ddr_bytes_per_second", "ddr_efficiency_percent"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A fact that was assumed, and what it is on the chip that was compiled for."""

    fact: str
    value: int
    compiled_for: int

    def __str__(self) -> str:
        return f"{self.fact} = {self.value:,} instead of {self.compiled_for:,}"


def assumed_facts(
    facts: Mapping[str, int] | None = None,
    max_bandwidth: float = 0.0,
    utilization: float | None = None,
) -> dict[str, int]:
    """All assumptions as facts; UsageError where two say the same or a number makes no sense.

    ``max_bandwidth``: GiB/s as Knight states it (11.920929 is 12.8e9 bytes/s), 0 for the chip's;
    ``utilization``: the share of it that transfers reach, above 0 and up to 1; None for the chip's.
    """
    found = dict(facts or {})
    named = {}
    if max_bandwidth:
        rate = round(max_bandwidth * GIB) if 0 < max_bandwidth < 1e9 else 0
        if rate < 1:
            raise UsageError(
                f"the storage bandwidth (-mbw) must be 0 or a number of GB/s, not {max_bandwidth}.",
                "11.920929 is 12.8e9 bytes a second",
            )
        named[BANDWIDTH] = rate
    if utilization is not None:
        percent = round(utilization * 100) if 0 < utilization <= 1 else 0
        if percent < 1 or abs(utilization * 100 - percent) > 1e-9:
            raise UsageError(
                "the bandwidth utilization (-bu) must be a whole percentage, 0.01 to 1.00, not "
                f"{utilization}."
            )
        named[EFFICIENCY] = percent
    for fact in named:
        if fact in found:
            raise UsageError(f"{fact} is assumed twice, by --set and by its option of Knight's.")
    return {**found, **named}


def assume(chip: Chip, facts: Mapping[str, int]) -> tuple[Chip, tuple[Assumption, ...]]:
    """The chip with these facts, and those of them that differ; UsageError with all findings."""
    known = {item.name: item.form for item in record_form(Chip).keys}
    found = []
    for fact, value in facts.items():
        if fact not in known:
            hint = suggestion(fact, TIMING_FACTS)
            found.append(Finding("--set", f"a chip has no fact called {fact}.", hint))
        elif fact not in TIMING_FACTS:
            found.append(
                Finding("--set", f"{fact} cannot be assumed: the program was laid out for it.")
            )
        else:
            try:
                read(known[fact], value, fact)
            except Misfit as misfit:
                sentence = f"{fact} must be {misfit.wanted}, not {misfit.found}."
                found.append(Finding("--set", sentence))
    if found:
        raise findings_error(
            UsageError,
            found[0].sentence,
            found if len(found) > 1 else (),
            found[0].hint
            or f"{', '.join(TIMING_FACTS)} can be assumed; for others compile for a chip file",
        )
    changed = tuple(
        Assumption(fact, value, getattr(chip, fact))
        for fact, value in facts.items()
        if value != getattr(chip, fact)
    )
    values: dict[str, Any] = {item.fact: item.value for item in changed}
    return replace(chip, **values), changed
