"""``knightlite model_info``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from knightlite.api.inspection import TensorInfo, model_info, quantization_notes
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
    """Show the inputs and outputs of a quantized or compiled model, and how it was quantized."""
    with talking() as talk:
        inputs, outputs = model_info(model, talk=talk)
        notes = quantization_notes(model)
    if as_json:
        sides = {"inputs": list(map(asdict, inputs)), "outputs": list(map(asdict, outputs))}
        print_json({**sides, "quantization": notes})
    elif dequant_scale:
        print_table("Outputs", ("Index", "Output name", "Dequant scale"), _scales(outputs))
        if inputs_too:
            print_table("Inputs", ("Index", "Input name", "Dequant scale"), _scales(inputs))
    else:
        for title, side in (("Inputs", inputs), ("Outputs", outputs)):
            rows = [(t.index, t.name, "x".join(map(str, t.shape)), t.type) for t in side]
            print_table(title, ("Index", f"{title[:-1]} name", "shape", "type"), rows)
        if notes:
            print_table("Quantization", ("what", "value"), _facts(notes))


def _facts(notes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The notes, a line each; of a recipe, which is a whole text, what its first line says."""
    found = []
    for name, value in sorted(notes.items()):
        if name == "recipe" and isinstance(value, str):
            value = value.partition("\n")[0].partition("=")[2].strip(' "')
        found.append((name, value if isinstance(value, str) else json.dumps(value)))
    return found


def _scales(side: tuple[TensorInfo, ...]) -> list[tuple[int, str, str]]:
    return [(t.index, t.name, " ".join(f"{scale:.9g}" for scale in t.scale)) for t in side]
