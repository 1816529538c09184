"""``knightlite diagnose``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knightlite.api.diagnosis import as_json, diagnose
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_line, print_table, talking
from knightlite.options.diagnose import DiagnoseOptions

if TYPE_CHECKING:
    from knightlite.diagnosis import Diagnosis

EPILOG = """\b
Examples:
  knightlite diagnose                 # what quant left here, on its pictures
  knightlite diagnose -d pictures --recipe imagenet -i 100 --html page.html
  knightlite diagnose -m model.onnx -q out/model_quantize.onnx -uds s.py \\
    -if FUNCTION -d DIR -i 50
"""


@record_command(DiagnoseOptions, epilog=EPILOG)
def command(options: DiagnoseOptions) -> None:
    """Say which layers lose accuracy, why, and what helps, with the measured effect."""
    with talking() as talk:
        found = diagnose(options, talk)
        if options.html is not None:
            talk.say(f"Page : {options.html}")
    if options.as_json:
        print_json("diagnose", as_json(found))
        return
    print_diagnosis(found, options.number)


def print_diagnosis(found: Diagnosis, number: int) -> None:
    """The verdict, the findings, the layers that keep least."""
    kept = "exact" if found.score.sqnr_db is None else f"{found.score.sqnr_db:.2f} dB"
    print_line(f"outputs: {kept} of SQNR over {found.pictures} pictures")
    for label, value in (("float", found.float_metric), ("quantized", found.score.metric)):
        if value is not None:
            print_line(f"metric, {label} model: {value:.4f}")
    if found.difference is not None:
        print_line(f"metric, difference: {found.difference}")
    for remark in found.remarks:
        print_line(remark)
    print_line("")
    for place, item in enumerate(found.findings, 1):
        where = item.layer if item.node == item.layer else f"{item.layer} (node {item.node})"
        cost = "" if item.cost_db is None else f", costs {item.cost_db:.1f} dB at the outputs"
        print_line(f"{place}. {item.cause}: {where}{cost}")
        print_line(f"   why: {item.sentence}.")
        print_line(f"   remedy: {item.advice}")
        command = found.command(item)
        if command:
            print_line(f"   run: {command}")
    if found.findings:
        print_line("")
    worst = sorted(found.layers, key=lambda layer: layer.isolated_db)[:number]
    rows = [
        (
            layer.name, layer.op, layer.type, f"{layer.isolated_db:.1f}",
            f"{layer.accumulated_db:.1f}", f"{layer.cosine:.5f}",
            "" if layer.weights_db is None else f"{layer.weights_db:.1f}",
            f"{layer.clipping_db:.1f}", f"{layer.middle_channel_db:.1f}",
        )
        for layer in worst
    ]  # fmt: skip
    columns = (
        "layer", "op", "type", "alone dB", "in all dB", "cosine", "weights dB", "clipping dB",
        "middle channel dB",
    )  # fmt: skip
    print_table("Layers that keep least", columns, rows, shrink=0)
