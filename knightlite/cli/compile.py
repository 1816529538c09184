"""``knightlite compile`` (``rne-compile``)."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api import compile_model
from knightlite.api.compile import find_onnx, quantized_for
from knightlite.api.default_chip import default_chip
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.terminal import print_files, print_json, print_table, talking

EPILOG = """\b
Examples:
  knightlite compile                  # what quant left here last
  knightlite --chip TX5105C compile --onnx X_quantize.onnx --outpath build
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
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(chip: str | None, onnx_path: Path | None, out_dir: Path, as_json: bool) -> None:
    """Compile a quantized model to .cfg and .weight."""
    with talking() as talk:
        path = find_onnx(Path(), onnx_path, talk)
        result = compile_model(
            path, chip or quantized_for(path) or default_chip(), out_dir, talk=talk
        )
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
