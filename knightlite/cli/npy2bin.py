"""``knightlite npy2bin``."""

from __future__ import annotations

from knightlite.api.inspection import npy_to_raw
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import say
from knightlite.options.inspection import Npy2BinOptions

EPILOG = """\b
Examples:
  knightlite npy2bin --input input.npy --output input.bin
"""


@record_command(Npy2BinOptions, epilog=EPILOG)
def command(options: Npy2BinOptions) -> None:
    """Write a .npy array as the raw bytes that sim reads."""
    values = npy_to_raw(options.source, options.target)
    shape = "x".join(map(str, values.shape)) or "1"
    say(f"{options.target} holds {values.size} numbers of {values.dtype}, shape {shape}.")
