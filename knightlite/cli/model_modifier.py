"""``knightlite model_modifier``."""

from __future__ import annotations

from knightlite.api.inspection import cut_out
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import say
from knightlite.options.inspection import ModelModifierOptions

EPILOG = """\b
Examples:
  knightlite model_modifier -m X.onnx --output-names conv5 --save-dir part
"""


@record_command(ModelModifierOptions, epilog=EPILOG)
def command(options: ModelModifierOptions) -> None:
    """Write a part of an ONNX model as a model of its own."""
    target = cut_out(options.model, options.inputs, options.outputs, options.name, options.save_dir)
    say(f"Submodel : {target}")
