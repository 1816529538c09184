"""``knightlite bin2header``."""

from __future__ import annotations

from knightlite.api.deployment import bin2header
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import say
from knightlite.options.deploy import Bin2HeaderOptions

EPILOG = """\b
Examples:
  knightlite bin2header X_r.cfg network_cfg.h
  knightlite bin2header network_cfg.h X_r.cfg -r
"""


@record_command(Bin2HeaderOptions, epilog=EPILOG)
def command(options: Bin2HeaderOptions) -> None:
    """Write a file as a C array, or with -r a C array as a file."""
    size = bin2header(options)
    say(f"{options.target} holds {size} bytes{'' if options.back else ' as a C array'}.")
