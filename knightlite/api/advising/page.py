"""The page of a profile: figures, advice, and what each layer became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from knightlite.api.models.binary import Binary

if TYPE_CHECKING:
    from knightlite.profiler import Profile
    from knightlite.report import Tried

LISTED = 24  # instructions of a layer


def page_of(
    found: Profile,
    binary: Binary,
    tried: Tried,
    explained: Sequence[tuple[str, str, str]] | None,
) -> str:
    """The text of the page; ``explained``: (node, pass, sentence), None where nobody knows."""
    from knightlite.container import program_chip
    from knightlite.isa import disassemble, listing_line
    from knightlite.profiler import certainty_sentence, occupancies, per_frame
    from knightlite.report import Details, report_page

    chip, program = program_chip(binary.program), per_frame(binary.program)
    instructions = disassemble(program.code)
    listing: list[tuple[int, list[str]]] = [(0, []) for _ in found.layers]
    for number, item in enumerate(instructions):
        count, lines = listing[item.layer]
        if count < LISTED:
            lines.append(listing_line(number, item))
        listing[item.layer] = (count + 1, lines)
    rate = found.ddr_bytes_per_second * found.ddr_efficiency_percent / 100
    more = Details(
        occupancies(program, instructions, found.timeline, chip),
        listing,
        explained,
        chip.peak_macs_per_cycle * found.clock_hz,
        rate,
    )
    meta = binary.program.meta
    source = f"From {binary.cfg.name}, schedule level {meta.schedule_level}"
    return report_page(found, tried, more, source, certainty_sentence(found.certainty))
