"""``knightlite npy2bin``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.inspection import npy_to_raw
from knightlite.cli.terminal import say

EPILOG = """\b
Examples:
  knightlite npy2bin --input input.npy --output input.bin
"""


@click.command(epilog=EPILOG)
@click.option(
    "-i",
    "--input",
    "source",
    required=True,
    type=click.Path(path_type=Path),
    help="Array of numpy.save; its layout stays as it is.",
)
@click.option(
    "-o",
    "--output",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="Raw file for sim --input.",
)
def command(source: Path, target: Path) -> None:
    """Write a .npy array as the raw bytes that sim reads."""
    values = npy_to_raw(source, target)
    shape = "x".join(map(str, values.shape)) or "1"
    say(f"{target} holds {values.size} numbers of {values.dtype}, shape {shape}.")
