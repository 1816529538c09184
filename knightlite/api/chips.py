"""``chips``: the families and where each fact of a chip comes from."""

from __future__ import annotations

from dataclasses import fields


def chip_names() -> list[tuple[str, str, str]]:
    """(family, names, description) of every family that ships."""
    from knightlite import chip

    return [
        (family.family, ", ".join(family.names), family.description) for family in chip.families()
    ]


def chip_facts(name: str) -> list[tuple[str, object, str, str]]:
    """(fact, value, source, note) of one chip."""
    from knightlite import chip

    family = chip.find(name)
    return [
        (
            field.name,
            getattr(family.chip, field.name),
            family.provenance[field.name].source,
            family.provenance[field.name].note,
        )
        for field in fields(family.chip)
    ]
