"""What instructions ask of a chip: their fields address its memories, up to a size and aligned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from knightlite.errors import Finding
from knightlite.isa.fields import FieldLayout, layout
from knightlite.isa.instructions import ALL_INSTRUCTIONS
from knightlite.isa.operands import Space


def addresses(space: Space) -> list[FieldLayout]:
    """The fields of all instructions that hold an address in a memory."""
    return [item for record in ALL_INSTRUCTIONS for item in layout(record) if space in item.spaces]


def chip_findings(facts: Mapping[str, int], where: str) -> Iterator[Finding]:
    """The facts of a chip that its instructions cannot live with, each with what would do.

    ``facts``: whole numbers by the names of ``Chip``'s fields; those that are missing are not
    looked at. ``where``: what findings name, the chip's file.
    """
    for space in Space:
        fields = addresses(space)
        size, step = f"{space.name.lower()}_bytes", f"{space.name.lower()}_align_bytes"
        width, unit = min(item.width for item in fields), max(item.unit for item in fields)
        most = 1 << width
        if facts.get(size, 0) > most:
            yield Finding(
                where,
                f"{size} must be at most {most}, not {facts[size]}: instructions address "
                f"{space.name} with {width} bits.",
                f"write {most}: no instruction reaches more",
            )
        if facts.get(step, unit) < unit:
            yield Finding(
                where,
                f"{step} must be at least {unit}, not {facts[step]}: instructions find what lies "
                f"in {space.name} at multiples of {unit} bytes.",
                f"write {unit}, or a larger power of 2",
            )
        if step in facts and facts[step] > min(facts.get(size, most), most):
            yield Finding(
                where,
                f"{step} must be at most {size}, {facts.get(size, most)}, not {facts[step]}.",
                "write a smaller power of 2: nothing but address 0 is a multiple of this one",
            )
