"""``knightlite diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from knightlite.api.diagnosis import LAYERS, SUSPECTS, DiagnoseOptions, as_json, diagnose
from knightlite.cli.arguments import Shape
from knightlite.cli.data_options import data_option
from knightlite.cli.terminal import print_json, print_line, print_table, talking

if TYPE_CHECKING:
    from knightlite.diagnosis import Diagnosis

EPILOG = """\b
Examples:
  knightlite diagnose                 # what quant left here, on its pictures
  knightlite diagnose -d pictures --recipe imagenet -i 100 --html page.html
  knightlite diagnose -m model.onnx -q out/model_quantize.onnx -uds s.py \\
    -if FUNCTION -d DIR -i 50
"""


@click.command(epilog=EPILOG)
@click.option(
    "-q",
    "--quantized",
    type=click.Path(path_type=Path),
    help="X_quantize.onnx [default: what quant left here].",
)
@data_option("model", help="The float model [default: the one that quant left].")
@data_option("weight", help="Its weights, of Paddle.")
@data_option("framework", help="onnx or paddle [default: by the model's suffix].")
@data_option("script", help="Knight user script that feeds the data.")
@data_option("function")
@data_option("data", help="Picture folder, or the script's data [default: quant's].")
@data_option("recipe", help="How pictures become inputs [default: the quantized model's].")
@data_option("batch_size")
@data_option(
    "iteration",
    type=click.IntRange(1),
    help="Forward calls [default: quant's, else all pictures; at most 100 pictures].",
)
@data_option("input_shapes")
@data_option("seed")
@click.option(
    "--suspects",
    type=click.IntRange(1),
    default=SUSPECTS,
    show_default=True,
    help="Places that are tried: each costs a run of the network.",
)
@click.option(
    "-sn",
    "--show-number",
    "number",
    type=click.IntRange(1),
    default=LAYERS,
    show_default=True,
    help="Rows of the table of layers.",
)
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Also write a page with plots (needs knightlite[report]).",
)
@click.option("--json", "as_data", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    quantized: Path | None,
    model: Path | None,
    weight: Path | None,
    framework: str | None,
    script: Path | None,
    function: str | None,
    data: str | None,
    recipe: str | None,
    batch_size: int,
    iteration: int | None,
    input_shapes: tuple[Shape, ...],
    seed: int,
    suspects: int,
    number: int,
    html: Path | None,
    as_data: bool,
) -> None:
    """Say which layers lose accuracy, why, and what helps, with the measured effect."""
    options = DiagnoseOptions(
        model=model,
        quantized=quantized,
        weight=weight,
        framework=framework,
        script=script,
        function=function,
        data=data,
        recipe=recipe,
        batch_size=batch_size,
        iteration=iteration,
        input_shapes=input_shapes,
        seed=seed,
        suspects=suspects,
        html=html,
    )
    with talking() as talk:
        found = diagnose(options, talk)
        if html is not None:
            talk.say(f"Page : {html}")
    if as_data:
        print_json(as_json(found))
        return
    print_diagnosis(found, number)


def print_diagnosis(found: Diagnosis, number: int) -> None:
    """The verdict, the findings, the layers that keep least."""
    kept = "exact" if found.score.sqnr_db is None else f"{found.score.sqnr_db:.2f} dB"
    print_line(f"outputs: {kept} of SQNR over {found.pictures} pictures")
    for label, value in (("float", found.float_metric), ("quantized", found.score.metric)):
        if value is not None:
            print_line(f"metric, {label} model: {value:.4f}")
    if found.healthy:
        print_line("no cause found: nothing is wrong that has a name.")
    print_line("")
    for place, item in enumerate(found.findings, 1):
        where = item.layer if item.node == item.layer else f"{item.layer} (node {item.node})"
        cost = "" if item.cost_db is None else f", costs {item.cost_db:.1f} dB at the outputs"
        print_line(f"{place}. {item.cause}: {where}{cost}")
        print_line(f"   why: {item.sentence}.")
        print_line(f"   remedy: {item.advice}")
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
