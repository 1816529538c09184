"""``knightlite chips``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from knightlite.api.chips import chip_facts, chip_names, chip_operators
from knightlite.cli.terminal import print_json, print_line, print_table

EPILOG = """\b
Examples:
  knightlite chips
  knightlite chips TX5368AV200
  knightlite chips my.toml --ops
"""

FAMILY = ("family", "names", "description", "default")
FACT = ("fact", "value", "source", "note")
OPERATOR = ("operator", "from ONNX", "runs on", "rules")


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@click.option("--ops", is_flag=True, help="List the operators that the chip runs instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(name: str | None, ops: bool, as_json: bool) -> None:
    """List the chips, one chip's facts with their sources, or the operators it runs."""
    if ops and name is None:
        raise click.UsageError("--ops needs the NAME of a chip.")
    rows: Sequence[Sequence[object]]
    remarks: Sequence[str] = ()
    if name is None:
        columns, rows = FAMILY, chip_names()
    elif ops:
        columns = OPERATOR
        rows, remarks = chip_operators(name)
    else:
        columns, rows = FACT, chip_facts(name)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(name or "Chips", columns, rows)
    for line in remarks:
        print_line(line)
