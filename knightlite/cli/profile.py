"""``knightlite profile`` (``rne-profiling``)."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api import profile_program
from knightlite.cli.terminal import console, files_table, table, talking

EPILOG = """\b
Examples:
  knightlite profile
  Knight --chip TX5368AV200 rne-profiling --weight X_r.weight --config X_r.cfg --outpath .

Open the .trace.json at ui.perfetto.dev to see a lane per engine.
"""


@click.command(epilog=EPILOG)
@click.option(
    "-w",
    "--weight",
    type=click.Path(path_type=Path),
    help="X_r.weight [default: what compile left here].",
)
@click.option(
    "-cfg",
    "--config",
    "cfg",
    type=click.Path(path_type=Path),
    help="X_r.cfg [default: what compile left here].",
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
@click.option("--json", "as_json", is_flag=True, help="Print the profile as JSON on stdout.")
@click.pass_obj
def command(
    chip: str | None, weight: Path | None, cfg: Path | None, out_dir: Path, as_json: bool
) -> None:
    """Predict the time of a compiled network, layer by layer."""
    with talking(as_json) as talk:
        result = profile_program(cfg, weight, chip, out_dir, talk=talk)
    if as_json:
        print(result.files["json"].read_text(encoding="utf-8"))
        return
    found = result.profile
    rows = [
        (
            row.name,
            row.op,
            f"{row.cycles:,}",
            f"{row.time_ms:.4f}",
            f"{row.macs:,}",
            f"{row.mac_utilization * 100:.1f}",
            f"{row.read_bytes:,}",
            f"{row.write_bytes:,}",
            row.bound,
            f"{row.fspm_peak_bytes:,}" if row.fspm_peak_bytes is not None else "",
        )
        for row in found.layers
    ]
    columns = (
        "layer",
        "op",
        "cycles",
        "ms",
        "MACs",
        "MAC %",
        "DDR read",
        "DDR write",
        "bound by",
        "FSPM",
    )
    screen = console()
    screen.print(table(f"{found.name} on {found.chip_name}", columns, rows))
    screen.print(table("Totals", ("what", "value"), result.totals))
    screen.print(
        f"{found.time_ms:.3f} ms, {found.frames_per_second:.1f} frames/s (predicted, approximate: "
        "see docs/machine.md)"
    )
    screen.print(files_table(result.files))
