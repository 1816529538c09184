"""``knightlite model_check`` (``model_check.py``)."""

from __future__ import annotations

from knightlite.api.simulation import check_folders
from knightlite.cli.record_command import record_command
from knightlite.cli.sim import print_compared
from knightlite.cli.terminal import talking
from knightlite.options.inspection import ModelCheckOptions

EPILOG = """\b
Examples:
  knightlite model_check -qo out/quant -co out/npu
"""


@record_command(ModelCheckOptions, epilog=EPILOG)
def command(options: ModelCheckOptions) -> int:
    """Compare every byte with the golden model; exit code 1 where one differs."""
    with talking() as talk:
        result = check_folders(
            options.quant_dir, options.compile_dir, options.layout, options.keep, talk
        )
    print_compared(result)
    return 1 if result.differing_bytes else 0
