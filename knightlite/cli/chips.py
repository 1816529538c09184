"""``knightlite chips``."""

from __future__ import annotations

import click

from knightlite.api.chips import chip_facts, chip_names
from knightlite.cli.terminal import console, table

EPILOG = """\b
Examples:
  knightlite chips
  knightlite chips TX5368AV200
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the chips, or one chip's facts with their sources."""
    if name is None:
        console().print(table("Chips", ("family", "names", "what"), chip_names()))
        return
    console().print(table(name, ("fact", "value", "source", "note"), chip_facts(name)))
