"""``knightlite sim-lib``."""

from __future__ import annotations

from knightlite.api.deployment import write_simulation_library
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import say
from knightlite.options.deploy import SimLibOptions

EPILOG = """\b
Examples:
  knightlite sim-lib -o rne-sim-lib
  make -C rne-sim-lib
"""


@record_command(SimLibOptions, epilog=EPILOG)
def command(options: SimLibOptions) -> None:
    """Write the sources of a library with the vendor's C interface, which runs a .cfg on a PC."""
    write_simulation_library(options)
    say(f"make -C {options.out_dir} builds libs/*.a and bin/*.so; headers are in include/.")
