"""``knightlite compile`` (``rne-compile``)."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.chips import default_chip
from knightlite.api.compilation import CompileSettings, compile_model
from knightlite.api.models import find_quantized, quantized_for
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.terminal import print_files, print_json, print_table, talking

EPILOG = """\b
Examples:
  knightlite compile                  # what quant left here last
  knightlite --chip TX5105C compile --onnx X_quantize.onnx --outpath build
  knightlite compile --start-layer-name conv1 --end-layer-name pool5
  Knight compile --run-config config.json --compile.save-dir out
  Knight --chip TX5368AV200 rne-compile --onnx X_quantize.onnx --outpath .
"""


@click.command(cls=KnightCommand, word="compile", epilog=EPILOG)
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(path_type=Path),
    help="Quantized model [default: what quant left here].",
)
@click.option(
    "-s",
    "--outpath",
    "--save-dir",
    "out_dir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where the files go [default: here].",
)
@click.option(
    "--output",
    "outputs",
    metavar="BLOB",
    multiple=True,
    help="Deliver this inner tensor too; may be repeated.",
)
@click.option(
    "-sln", "--start-layer-name", "first_layer", metavar="LAYER", help="Leave out what is before."
)
@click.option(
    "-eln", "--end-layer-name", "last_layer", metavar="LAYER", help="Leave out what is behind."
)
@click.option(
    "--opt-ddr",
    type=click.Choice(["0", "1", "2"]),
    default="1",
    show_default=True,
    help="0: no two tensors share DDR; 1: they do; 2: as 1.",
)
@click.option(
    "--res-version", default="1.0", show_default=True, help="Text of yours to keep in the .cfg."
)
@click.option(
    "--input-order",
    type=click.Choice(["nchw", "nhwc"]),
    help="Layout that sim takes raw files to have [default: nchw, the model's].",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None,
    onnx_path: Path | None,
    out_dir: Path,
    outputs: tuple[str, ...],
    first_layer: str | None,
    last_layer: str | None,
    opt_ddr: str,
    res_version: str,
    input_order: str | None,
    as_json: bool,
) -> None:
    """Compile a quantized model to .cfg and .weight, and both in one .tsmodel."""
    settings = CompileSettings(
        outputs, first_layer, last_layer, opt_ddr != "0", res_version, input_order
    )
    with talking() as talk:
        path = find_quantized(Path(), onnx_path, talk)
        if opt_ddr == "2":
            talk.say("--opt-ddr 2 is taken as 1: tensors share DDR where their lives allow it.")
        target = chip or quantized_for(path) or default_chip()
        result = compile_model(path, target, out_dir, settings=settings)
        if result.figures["host"]:
            host = ", ".join(result.figures["host"])
            talk.say(f"On the host, outside the byte comparison: {host}.")
    if as_json:
        files = {key: str(value) for key, value in result.files.items()}
        print_json({**result.figures, "files": files})
        return
    figures = result.figures
    rows = [
        ("chip", figures["chip"]),
        ("layers", figures["layers"]),
        ("fused chains", figures["chains"]),
        ("copies for concat", figures["copies"]),
        ("MACs", f"{figures['macs']:,}"),
        (".cfg", f"{figures['cfg_bytes']:,} bytes"),
        (".weight", f"{figures['weight_bytes']:,} bytes"),
        ("DDR", f"{figures['ddr_bytes']:,} bytes"),
        ("FSPM peak", f"{figures['fspm_peak_bytes']:,} bytes"),
    ]
    print_table(f"Compiled {figures['name']}", ("what", "value"), rows)
    print_files(result.files)
