"""``knightlite script-path``."""

from __future__ import annotations

from knightlite.api.script_path import make_known, scripts_folder
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_line, say
from knightlite.options.inspection import ScriptPathOptions

EPILOG = """\b
Examples:
  knightlite script-path --python ~/torch/bin/python
  PYTHONPATH=$(knightlite script-path) python src/make_image_input_onnx.py
"""


@record_command(ScriptPathOptions, epilog=EPILOG)
def command(options: ScriptPathOptions) -> None:
    """Print the folder of onnx_quantize_tool, which scripts import that run outside the tool."""
    if options.python is not None:
        say(f"{make_known(options.python)} lets {options.python} find it.")
    print_line(str(scripts_folder()))
