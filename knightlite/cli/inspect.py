"""``knightlite inspect``."""

from __future__ import annotations

from knightlite.api.inspection import inspect_file
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, talking
from knightlite.options.inspection import InspectOptions

EPILOG = """\b
Examples:
  knightlite inspect X_quantize_r.cfg | less
  knightlite inspect X_quantize_r.weight --json
"""


@record_command(InspectOptions, epilog=EPILOG)
def command(options: InspectOptions) -> None:
    """Print what a compiled file holds: metadata, then one line per instruction."""
    with talking() as talk:
        found = inspect_file(options.file, talk=talk)
    if options.as_json:
        print_json("inspect", found.as_json())
        return
    for line in found.lines():
        print_line(line)
