"""``knightlite inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.inspection import inspect_file
from knightlite.cli.terminal import print_json, print_line, talking

EPILOG = """\b
Examples:
  knightlite inspect X_quantize_r.cfg | less
  knightlite inspect X_quantize_r.weight --json
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the metadata as JSON on stdout.")
def command(file: Path, as_json: bool) -> None:
    """Print what a compiled file holds: metadata, then one line per instruction."""
    with talking() as talk:
        found = inspect_file(file, talk=talk)
    if as_json:
        print_json(found.as_json())
        return
    for line in found.lines():
        print_line(line)
