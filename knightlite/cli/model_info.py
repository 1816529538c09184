"""``knightlite model_info``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from knightlite.api.files import TensorInfo, model_info
from knightlite.cli.terminal import print_json, print_table, talking

EPILOG = """\b
Examples:
  knightlite model_info -m X_quantize.onnx -ds
  knightlite model_info -m X_r.cfg
"""


@click.command(epilog=EPILOG)
@click.option(
    "-m",
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="X_quantize.onnx, X_r.cfg or X_r.tsmodel.",
)
@click.option("-ds", "--dequant-scale", is_flag=True, help="Show outputs and their scales only.")
@click.option("-qi", "inputs_too", is_flag=True, help="With -ds: the scales of the inputs too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(model: Path, dequant_scale: bool, inputs_too: bool, as_json: bool) -> None:
    """Show the inputs and outputs of a quantized or compiled model."""
    with talking() as talk:
        inputs, outputs = model_info(model, talk=talk)
    if as_json:
        print_json({"inputs": list(map(asdict, inputs)), "outputs": list(map(asdict, outputs))})
    elif dequant_scale:
        print_table("Outputs", ("Index", "Output name", "Dequant scale"), _scales(outputs))
        if inputs_too:
            print_table("Inputs", ("Index", "Input name", "Dequant scale"), _scales(inputs))
    else:
        for title, side in (("Inputs", inputs), ("Outputs", outputs)):
            rows = [(t.index, t.name, "x".join(map(str, t.shape)), t.type) for t in side]
            print_table(title, ("Index", f"{title[:-1]} name", "shape", "type"), rows)


def _scales(side: tuple[TensorInfo, ...]) -> list[tuple[int, str, str]]:
    return [(t.index, t.name, " ".join(f"{scale:.9g}" for scale in t.scale)) for t in side]
