"""``knightlite compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from knightlite.api.compare import CompareOptions, Comparison, compare
from knightlite.cli.binary import pair_options
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.terminal import print_json, print_table, talking

EPILOG = """\b
Examples:
  knightlite compare                  # what quant and compile left here
  knightlite compare -qd out -sd results --rmse
"""
BUCKETS = ("0-1%", "1-10%", "10-50%", "50-100%", "100+%")


@click.command(cls=KnightCommand, word="compare", epilog=EPILOG)
@click.option(
    "-qd",
    "--quant-dir",
    type=click.Path(path_type=Path),
    help="Where quant left its files [default: what it left here].",
)
@click.option(
    "-sd",
    "--sim-dir",
    type=click.Path(path_type=Path),
    help="Where sim left results of inputs/ [default: they are computed].",
)
@pair_options
@click.option("-on", "--out-name", "names", multiple=True, help="Only this output; repeatable.")
@click.option("--op-type", help="Only outputs of this operator.")
@click.option("-sn", "--show-number", "number", type=click.IntRange(1), help="Rows [default: all].")
@click.option("-si", "--show-index", is_flag=True, help="Number the outputs.")
@click.option("--sort", is_flag=True, help="The largest MRE first.")
@click.option("--no-mre", is_flag=True, help="Leave out the mean relative error.")
@click.option("--no-cos", is_flag=True, help="Leave out the cosine.")
@click.option("--rmse", is_flag=True, help="Add the root mean square error.")
@click.option("--maxdiff", is_flag=True, help="Add the largest difference.")
@click.option(
    "-s", "--save-dir", type=click.Path(path_type=Path), help="Also write compare.json there."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    quant_dir: Path | None,
    sim_dir: Path | None,
    weight: Path | None,
    cfg: Path | None,
    names: tuple[str, ...],
    op_type: str | None,
    number: int | None,
    show_index: bool,
    sort: bool,
    no_mre: bool,
    no_cos: bool,
    rmse: bool,
    maxdiff: bool,
    save_dir: Path | None,
    as_json: bool,
) -> None:
    """Compare the float model, the quantized model and the chip on quant's sample."""
    options = CompareOptions(
        quant_dir, sim_dir, cfg, weight, names, op_type, number, sort, save_dir
    )
    with talking() as talk:
        rows = compare(options, talk)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    shown = {"idx": show_index, "MRE%": not no_mre, "cos%": not no_cos}
    shown |= {"RMSE%": rmse, "max diff": maxdiff}
    print_comparison(rows, [column for column, wanted in shown.items() if not wanted])


def print_comparison(rows: tuple[Comparison, ...], hidden: list[str]) -> None:
    """Knight's table."""
    cells = [_cells(row) for row in rows]
    columns = [column for column in _cells(rows[0]) if column not in hidden] if rows else ["none"]
    print_table("Outputs", columns, [[row[column] for column in columns] for row in cells])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.4f}"


def _cells(row: Comparison) -> dict[str, str]:
    found = row.difference
    return {
        "idx": str(row.index),
        "compared": f"{row.found} with {row.wanted}",
        "MRE%": _percent(found.mre),
        "cos%": _percent(found.cosine),
        "RMSE%": _percent(found.rmse),
        "max diff": f"{found.max_difference:.6g}",
        **{name: f"{100 * share:.1f}" for name, share in zip(BUCKETS, found.buckets, strict=True)},
        "OP-TYPE": row.op,
        "OUT-NAME": row.name,
    }
