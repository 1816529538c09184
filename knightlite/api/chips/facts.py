"""``chips``: the families, where each fact of a chip comes from, and what a chip runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields

from knightlite.api.chips.settings import default_chip
from knightlite.errors import KnightliteError

HOST_ENGINE = "host"


def chip_names() -> list[tuple[str, str, str, str]]:
    """(family, names, description, default chip or "") of every family that ships.

    The family of the user's default comes last where it is a chip file.
    """
    from knightlite import chip_files

    default = default_chip()
    taken = chip_files.find(default)
    known = chip_files.families()
    return [
        (
            family.family,
            ", ".join(family.names),
            family.description,
            default if family == taken else "",
        )
        for family in (*known, *([taken] if taken not in known else []))
    ]


def another_maker_s(names: Iterable[str]) -> list[str]:
    """A sentence for each of these chips that is none of the vendor's, but a model of a machine."""
    from knightlite import chip_files

    found = []
    for name in dict.fromkeys(names):
        with suppress(KnightliteError):  # a chip file that is gone
            what = chip_files.find(name).model_of
            found += [f"{name} is no chip of the vendor's: it models {what}."] if what else []
    return found


def chip_facts(name: str) -> list[tuple[str, object, str, str]]:
    """(fact, value, source, note) of one chip."""
    from knightlite import chip_files

    family = chip_files.find(name)
    return [
        (
            field.name,
            getattr(family.chip, field.name),
            family.provenance[field.name].source,
            family.provenance[field.name].note,
        )
        for field in fields(family.chip)
    ]


def chip_operators(name: str) -> tuple[list[tuple[str, str, str, str]], list[str]]:
    """(operator, from ONNX, runs on, rules) of one chip, and what holds for all of them."""
    from knightlite import chip_files
    from knightlite.api.chips.operators import common_rules, operators_of, sizes
    from knightlite.frontend.host import HOST

    family = chip_files.find(name)
    rows = [
        (
            op.name,
            ", ".join(op.onnx_types) or "the compiler inserts it",
            "not here" if op.refused else " and ".join(op.engines) or "nothing: it is a placement",
            op.refused or "; ".join(op.rules) or "none",
        )
        for op in operators_of(family)
    ]
    rows += [(kind, kind, HOST_ENGINE, "at the end of the network") for kind in HOST]
    return rows, [f"For all: {'; '.join(common_rules())}.", sizes(family.chip)]
