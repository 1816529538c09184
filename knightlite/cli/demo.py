"""``knightlite demo``."""

from __future__ import annotations

from knightlite.api.demonstration import demo
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_table, say, talking
from knightlite.options.demo import DemoOptions

EPILOG = """\b
Examples:
  knightlite demo                    # all stages, into demo-out
  knightlite demo -f onnx -s quant
  knightlite demo -s rne
"""


@record_command(DemoOptions, epilog=EPILOG)
def command(options: DemoOptions) -> int:
    """Every stage on a trained network and real pictures that ship: handwritten digits."""
    with talking() as talk:
        found = demo(options, talk)
    print_table(f"{options.model} ({options.framework})", ("what", "value"), found.rows)
    for what in found.differs:
        say(f"Error: {what} are not the same bytes.")
    return 1 if found.differs else 0
