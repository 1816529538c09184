"""``knightlite quant [onnx]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from knightlite.api.quantization import QuantizeOutcome, quantize
from knightlite.cli.arguments import TARGETS
from knightlite.cli.compare import HISTOGRAM, print_comparison
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.mix_output import print_mix
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_files, print_json, print_line, talking
from knightlite.options.quantize import QuantizeOptions

EPILOG = """\b
Examples:
  knightlite quant onnx -m model.pdmodel -d pictures --recipe imagenet -i 100
  knightlite quant onnx -m model.onnx -uds s.py -if FUNCTION -d DIR -i 200
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet \\
    -qm kl mse -i 10 100                   # four runs, a table by loss
  knightlite quant onnx -m model.pdmodel        # no data: from its BatchNorms
  knightlite quant onnx -f pytorch -m resnet50 -w resnet50.pth -uds s.py \\
    -if FUNCTION -d DIR -i 200             # s.py builds resnet50
  knightlite quant onnx -m model.json --paddle-python ~/paddle3/bin/python
  knightlite quant onnx -m model.pdparams -uds s.py -d pictures \\
    --recipe imagenet
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet -i 100 -gt
  knightlite quant onnx -m model.onnx -d pictures --recipe imagenet -i 100 \\
    -mc model.json                          # after editing it
  knightlite --chip TX5368AV200 quant onnx -m model.onnx -d pictures \\
    --recipe imagenet -i 100 --mix-budget 5    # 16 bits for 5 % more cycles
  knightlite quant onnx -m model.onnx -d DIR --recipe imagenet -qid uint8
  knightlite quant onnx -m model.onnx -uds s.py -if FUNCTION -d DIR \\
    -qid uint8 --mean 123.675 116.28 103.53 --std 58.395 57.12 57.375
  knightlite quant onnx -m model.onnx -d DIR --recipe imagenet -on conv5 fc
  Knight --chip TX5368AV200 quant onnx -m X.pdmodel -w X.pdiparams -f paddle \\
    -uds s.py -if FN -s out -d DIR -bs 1 -i 200

The default method is mse (at high effort auto), not Knight's kl, which is weak on
distributions that lie away from zero (docs/quantization.md).
"""


DONE = {  # of run modes that quantize nothing; Knight says of all that quant is complete
    "convert": "Convert complete",
    "infer": "Infer complete",
    "compare": "Compare complete",
}
FEW = 10  # pictures: below, the interval is that of all of them

TARGET = click.Argument(
    ["target"], type=click.Choice(TARGETS), default=TARGETS[0], required=False, expose_value=False
)


@record_command(QuantizeOptions, cls=KnightCommand, word="quant", epilog=EPILOG, before=(TARGET,))
def command(options: QuantizeOptions) -> None:
    """Quantize a model to int8."""
    with talking() as talk:
        result = quantize(options, talk)
        if result.combinations:
            first = result.combinations[0]
            talk.say(
                f"the best of {len(result.combinations)} is {first['method']} with "
                f"{first['iteration']} iteration(s); its files are also where compile finds them"
            )
        if "onnx" in result.files:
            talk.say(f"Quantized Model : {result.files['onnx']}")
        if result.loss_percent is not None:
            talk.say(loss_sentence(result))
        talk.say(DONE.get(options.run_mode, "Quant complete"))
    if options.as_json:
        print_json(
            "quant",
            {
                "files": {key: str(path) for key, path in result.files.items()},
                "float_metric": result.float_metric,
                "quantized_metric": result.quantized_metric,
                "quantization_loss": result.loss_percent,
                "gain": result.gain,
                "pictures": result.pictures,
                "outputs": result.report.get("outputs", []),
                **({"layers": [asdict(row) for row in result.layers]} if result.layers else {}),
                "combinations": list(result.combinations),
                "cycles": result.report.get("cycles"),
                "mix_points": result.report.get("mix_points", []),
                "wide": result.report.get("wide", []),
            },
        )
        return
    if result.combinations:
        print_line(
            f"{'method':12} {'i':>5} {'loss %':>10} {'SQNR dB':>8}  {'folder':20} against float"
        )
    for row in result.combinations:
        loss, decibels = row["quantization_loss"], row["sqnr_db"]
        print_line(
            f"{row['method']:12} {row['iteration']:5} {'-' if loss is None else f'{loss:.4f}':>10} "
            f"{'-' if decibels is None else f'{decibels:.2f}':>8}  {row['folder']:20} "
            f"{row['gain'] or '-'}"
        )
    for label, value in (("float", result.float_metric), ("quantized", result.quantized_metric)):
        if value is not None:
            print_line(f"metric, {label} model: {value:.4f}")
    print_mix(result.report)
    compared = result.report.get("compared")
    for output in result.report.get("outputs", []):
        print_line(f"output {output['name']}: {output['type']}, {_kept(output, compared)}")
    if result.layers:
        print_comparison("Layers", result.layers, ["compared", "max diff", "bias", HISTOGRAM])
    if result.files:
        print_files(result.files)


def loss_sentence(result: QuantizeOutcome) -> str:
    """Knight's line, and what its number says: whether the metric falls, rises or stays.

    It stays where its interval holds 0, as a diagnosis has it.
    """
    assert result.loss_percent is not None
    relation = (
        "falls" if result.loss_percent > 0 else "rises" if result.loss_percent < 0 else "stays"
    )
    if result.compared is not None and result.compared.same:
        relation = "stays" if result.loss_percent == 0 else "may stay, its interval holds 0"
    sure = result.gain or f"over {result.pictures} pictures: no interval, as it is no top-1"
    return (
        f"Quantization Loss: {result.loss_percent:.4f} % (the metric {relation}: "
        f"{result.float_metric:.4f} float, {result.quantized_metric:.4f} quantized; {sure})"
    )


def _kept(output: Mapping[str, Any], compared: int | None) -> str:
    """What an output keeps, and how sure that is."""
    kept = "exact" if output["sqnr_db"] is None else f"SQNR {output['sqnr_db']} dB"
    if not compared:
        return kept
    if compared == 1:
        return f"{kept} over 1 calibration picture: not a verdict"
    over = f"{kept} over {compared} calibration pictures"
    low, middle, high = (output[key] for key in ("low_db", "median_db", "high_db"))
    if None in (low, middle, high):
        return over
    share = "all" if compared < FEW else "80 % of them"
    return f"{over} (median {middle:.1f}, {share} from {low:.1f} to {high:.1f})"
