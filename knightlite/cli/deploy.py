"""``knightlite deploy``."""

from __future__ import annotations

from knightlite.api.deployment import deploy
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_line, print_table, talking
from knightlite.options.deploy import DeployOptions

EPILOG = """\b
Examples:
  knightlite deploy -o board          # what compile left here last
  knightlite deploy --config X_r.cfg --weight X_r.weight -o board --arrays
"""


@record_command(DeployOptions, epilog=EPILOG)
def command(options: DeployOptions) -> None:
    """Write a project in C that runs the compiled network: PC, board, bare metal."""
    with talking() as talk:
        result = deploy(options, talk)
    rows = [(name, f"{size:,} bytes") for name, size in result.bytes_by_name.items()]
    rows += [
        (f"code, {item.preset.name}", f"{item.text + item.data:,} bytes ({item.compiler})")
        for item in result.sizes
        if item.compiler
    ]
    print_table(f"Project {result.folder}", ("what", "value"), rows)
    print_line(f"make -C {result.folder} test")
