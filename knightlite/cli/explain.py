"""``knightlite explain``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.chips import default_chip
from knightlite.api.compilation import explain
from knightlite.api.models import find_quantized, quantized_for
from knightlite.cli.terminal import print_json, print_line, print_table, talking

EPILOG = """\b
Examples:
  knightlite explain relu_3 --onnx X_quantize.onnx
  knightlite explain                  # every node
"""


@click.command(epilog=EPILOG)
@click.argument("node", required=False)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(path_type=Path),
    help="Quantized model [default: what quant left here].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(chip: str | None, node: str | None, onnx_path: Path | None, as_json: bool) -> None:
    """Say why each rewrite did or did not apply to a node."""
    with talking() as talk:
        path = find_quantized(Path(), onnx_path, talk)
        chip = chip or quantized_for(path) or default_chip()
    columns = ("node", "pass", "what happened")
    rows = explain(path, chip, node)
    if as_json:
        keys = ("node", "pass", "sentence")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    elif rows:
        print_table("Rewrites", columns, rows)
    else:
        print_line(f"No rewrite looked at {node or 'any node'}.")
