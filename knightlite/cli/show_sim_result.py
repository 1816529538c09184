"""``knightlite show_sim_result``."""

from __future__ import annotations

from pathlib import Path

import click

from knightlite.api.inspection import result_facts, result_text, save_facts, simulated_results
from knightlite.cli.terminal import print_json, print_line, print_table
from knightlite.errors import UsageError

EPILOG = """\b
Examples:
  knightlite show_sim_result -sd .
  knightlite show_sim_result -sd results -i 0 -fmt nhwc
"""


@click.command(epilog=EPILOG)
@click.option(
    "-sd",
    "--sim-dir",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where sim left its results [default: here].",
)
@click.option("-i", "--index", type=click.IntRange(0), help="Print the values of this result.")
@click.option(
    "-fmt",
    "--format",
    "layout",
    type=click.Choice(["nchw", "nhwc"]),
    default="nchw",
    show_default=True,
    help="Channel by channel, or pixel by pixel.",
)
@click.option(
    "-s",
    "--save-dir",
    type=click.Path(path_type=Path),
    help="Also write the list there, as sim_results.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    sim_dir: Path, index: int | None, layout: str, save_dir: Path | None, as_json: bool
) -> None:
    """List what sim left in a folder, or print one result."""
    results = simulated_results(sim_dir)
    if index is not None:
        if index >= len(results):
            raise UsageError(f"there are {len(results)} results in {sim_dir}, not {index + 1}.")
        print_line(result_text(results[index], layout).rstrip("\n"))
        return
    rows = [result_facts(item) for item in results]
    if save_dir is not None:
        save_facts(rows, save_dir)
    if as_json:
        print_json(rows)
        return
    columns = ("Index", "Output name", "shape", "type", "min", "max")
    print_table("Results", columns, [_cells(row) for row in rows])


def _cells(row: dict[str, object]) -> list[object]:
    shape = row["shape"]
    assert isinstance(shape, list)
    return ["x".join(map(str, value)) if value is shape else value for value in row.values()]
