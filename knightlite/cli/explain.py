"""``knightlite explain``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.compile import explain, find_onnx
from knightlite.cli.program import DEFAULT_CHIP
from knightlite.cli.terminal import console, table, talking

EPILOG = """\b
Examples:
  knightlite explain relu_3 --onnx X_quantize.onnx
  knightlite explain                                    # every node
"""


@click.command(epilog=EPILOG)
@click.argument("node", required=False)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(path_type=Path),
    help="Quantized model [default: what quant left here].",
)
@click.pass_obj
def command(chip: str | None, node: str | None, onnx_path: Path | None) -> None:
    """Say why each rewrite did or did not apply to a node."""
    with talking() as talk:
        path = find_onnx(Path(), onnx_path, talk)
    rows = explain(path, chip or DEFAULT_CHIP, node)
    console().print(table("Rewrites", ("node", "pass", "what happened"), rows))
