"""``knightlite chips``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from knightlite.api.chips import chip_facts, chip_names, chip_operators
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table
from knightlite.options.inspection import ChipsOptions

EPILOG = """\b
Examples:
  knightlite chips
  knightlite chips TX5368AV200
  knightlite chips my.toml --ops
"""

FAMILY = ("family", "names", "description", "default")
FACT = ("fact", "value", "source", "note")
OPERATOR = ("operator", "from ONNX", "runs on", "rules")


@record_command(ChipsOptions, epilog=EPILOG)
def command(options: ChipsOptions) -> None:
    """List the chips, one chip's facts with their sources, or the operators it runs."""
    name, ops = options.name, options.ops
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
    if options.as_json:
        print_json("chips", [dict(zip(columns, row, strict=True)) for row in rows])
        return
    print_table(name or "Chips", columns, rows)
    for line in remarks:
        print_line(line)
