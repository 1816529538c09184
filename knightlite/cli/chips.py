"""``knightlite chips``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from knightlite.api.chips import chip_facts, chip_names
from knightlite.cli.terminal import print_json, print_table

EPILOG = """\b
Examples:
  knightlite chips
  knightlite chips TX5368AV200
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(name: str | None, as_json: bool) -> None:
    """List the chips, or one chip's facts with their sources."""
    columns: tuple[str, ...] = ("family", "names", "description")
    rows: Sequence[Sequence[object]] = chip_names() if name is None else chip_facts(name)
    if name is not None:
        columns = ("fact", "value", "source", "note")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(name or "Chips", columns, rows)
