"""``knightlite explain``."""

from __future__ import annotations

from knightlite.api.compilation import explain, level_of
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.options.compile import ExplainOptions

EPILOG = """\b
Examples:
  knightlite explain relu_3 --onnx X_quantize.onnx
  knightlite explain                  # every node
  knightlite explain relu_3 --opt-group 0
"""


@record_command(ExplainOptions, epilog=EPILOG)
def command(options: ExplainOptions) -> None:
    """Say why each rewrite did or did not apply to a node, and what the schedule made of it."""
    with talking() as talk:
        rows = explain(options, talk)
    columns = ("node", "pass", "what happened")
    if options.as_json:
        keys = ("node", "pass", "sentence")
        told = [dict(zip(keys, row, strict=True)) for row in rows]
        print_json("explain", {"schedule_level": level_of(options), "rows": told})
    elif rows:
        print_table(f"Rewrites, and the schedule of level {level_of(options)}", columns, rows)
    else:
        node = options.node or "any node"
        print_line(f"No rewrite looked at {node}, and it takes no instruction.")
