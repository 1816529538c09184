"""``knightlite inspect``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api import inspect_file

EPILOG = """\b
Examples:
  knightlite inspect X_quantize_r.cfg | less
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
def command(file: Path) -> None:
    """Print what a compiled file holds: metadata, then one line per instruction."""
    for line in inspect_file(file):
        print(line)
