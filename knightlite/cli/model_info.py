"""``knightlite model_info``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from knightlite.api.inspection import TensorInfo, model_info, quantization_notes
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_table, talking
from knightlite.options.inspection import ModelInfoOptions

EPILOG = """\b
Examples:
  knightlite model_info -m X_quantize.onnx -ds
  knightlite model_info -m X_r.cfg
"""


@record_command(ModelInfoOptions, epilog=EPILOG)
def command(options: ModelInfoOptions) -> None:
    """Show the inputs and outputs of a quantized or compiled model, and how it was quantized."""
    with talking() as talk:
        inputs, outputs = model_info(options.model, talk=talk)
        notes = quantization_notes(options.model)
    if options.as_json:
        sides = {"inputs": list(map(asdict, inputs)), "outputs": list(map(asdict, outputs))}
        print_json("model_info", {**sides, "quantization": notes})
    elif options.dequant_scale:
        print_table("Outputs", ("Index", "Output name", "Dequant scale"), _scales(outputs))
        if options.inputs_too:
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
