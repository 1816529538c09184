"""``knightlite check``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.checking import check
from knightlite.api.chips import default_chip
from knightlite.cli.arguments import Shape
from knightlite.cli.conversion import conversion_options
from knightlite.cli.data_options import data_option
from knightlite.cli.terminal import print_json, print_line, print_table, talking

EPILOG = """\b
Examples:
  knightlite check -m model.pdmodel
  knightlite check -m model.onnx --chip TX5112CV201 --json
  knightlite check -f pytorch -m resnet50 -w resnet50.pth -uds s.py
"""


@click.command(epilog=EPILOG)
@data_option("model", required=True)
@data_option("weight")
@data_option("framework")
@data_option("script", help="User script with the function that builds the network.")
@data_option("input_shapes")
@click.option(
    "-gp",
    "--general-process",
    is_flag=True,
    help="Run unsupported operators at the end of the network on the host.",
)
@conversion_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None,
    model: Path,
    weight: Path | None,
    framework: str | None,
    script: Path | None,
    input_shapes: tuple[Shape, ...],
    general_process: bool,
    paddle_python: str | None,
    torch_python: str | None,
    torch_exporter: str,
    as_json: bool,
) -> int:
    """List every node that keeps a model off a chip; exit code 1 where there is one."""
    with talking() as talk:
        result = check(
            model,
            chip or default_chip(),
            weight,
            framework,
            input_shapes,
            general_process,
            script,
            paddle_python,
            torch_python,
            torch_exporter,
            talk,
        )
    share = 100.0 * result.npu_macs / result.macs if result.macs else 100.0
    gflops = 2 * result.macs / 1e9
    if as_json:
        print_json(
            {
                "name": result.name,
                "chip": result.chip,
                "fits": result.fits,
                "gflops": gflops,
                "macs": result.macs,
                "npu_macs_percent": share,
                "parameters": result.parameters,
                "host": list(result.host),
                "operators": {
                    kind: {"nodes": total, "supported": done}
                    for kind, (total, done) in result.operators.items()
                },
                "findings": [
                    {
                        "where": item.where,
                        "sentence": item.sentence,
                        "hint": item.hint,
                        "severity": item.severity,
                    }
                    for item in result.findings
                ],
            }
        )
        return 0 if result.fits else 1
    rows = [(kind, total, done) for kind, (total, done) in sorted(result.operators.items())]
    print_table(f"{result.name} on {result.chip}", ("operator", "nodes", "on the NPU"), rows)
    print_line(
        f"{gflops:.3f} GFLOPs, {result.parameters / 1e6:.3f} M parameters, "
        f"{share:.1f} % of the MACs on the NPU"
    )
    if result.host:
        print_line(f"on the host: {', '.join(result.host)}")
    for item in result.findings:
        print_line(f"{item.severity}: {item}")
    verdict = "runs on" if result.fits else "does not run on"
    print_line(f"{result.name} {verdict} {result.chip}.")
    return 0 if result.fits else 1
