"""``knightlite compile`` (``rne-compile``)."""

from __future__ import annotations

from dataclasses import asdict

from knightlite.api.compilation import compile_model
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.record_command import record_command
from knightlite.cli.regions import print_peak, print_regions
from knightlite.cli.terminal import print_files, print_json, print_table, talking
from knightlite.options.compile import CompileOptions

EPILOG = """\b
Examples:
  knightlite compile                  # what quant left here last
  knightlite --chip TX5105C compile --onnx X_quantize.onnx --outpath build
  knightlite compile --start-layer-name conv1 --end-layer-name pool5
  Knight compile --run-config config.json --compile.save-dir out
  Knight --chip TX5368AV200 rne-compile --onnx X_quantize.onnx --outpath .
"""


@record_command(CompileOptions, cls=KnightCommand, word="compile", epilog=EPILOG)
def command(options: CompileOptions) -> None:
    """Compile a quantized model to .cfg and .weight, and both in one .tsmodel."""
    with talking() as talk:
        result = compile_model(options, talk)
    if options.as_json:
        files = {key: str(value) for key, value in result.files.items()}
        told = {
            **result.figures,
            "certificate": result.certificate_json,
            "memory": [asdict(peak) for peak in result.memory],
            "files": files,
        }
        print_json("compile", told)
        return
    figures = result.figures
    rows = [
        ("chip", figures["chip"]),
        ("schedule (--opt-group)", f"level {figures['schedule_level']}"),
        ("layers", figures["layers"]),
        ("fused chains", figures["chains"]),
        ("copies for concat", figures["copies"]),
        ("MACs", f"{figures['macs']:,}"),
        (".cfg", f"{figures['cfg_bytes']:,} bytes"),
        (".weight", f"{figures['weight_bytes']:,} bytes"),
        ("DDR", f"{figures['ddr_bytes']:,} bytes"),
        ("DDR read", f"{figures['ddr_read_bytes']:,} bytes"),
        ("DDR write", f"{figures['ddr_write_bytes']:,} bytes"),
        ("in bursts", f"{figures['ddr_burst_bytes']:,} bytes"),
        ("FSPM peak", f"{figures['fspm_peak_bytes']:,} bytes"),
    ]
    rows += [
        (f"{region['of']}, outside the network's memory", f"{region['size']:,} bytes of that DDR")
        for region in figures["regions"]
    ]
    if figures["once"]:
        once = figures["once"]
        rows.append(
            ("loaded once", f"{once['read_bytes']:,} bytes, {once['cycles']:,} cycles, in no frame")
        )
    if figures["trips"]:
        trips = "; ".join(", ".join(trip) for trip in figures["trips"])
        rows.append(("trips to the host", f"{len(figures['trips'])}: {trips}"))
    print_table(
        f"Compiled {figures['name']}",
        ("what", "value"),
        [*rows, *result.bound_lines, *result.frame.lines],
    )
    print_regions(result.region_table)
    for peak in result.memory:
        print_peak(peak)
    print_files(result.files)
