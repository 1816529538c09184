"""``knightlite compare``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from knightlite.api.comparison import LEVEL, LEVELS, CompareOptions, Comparison, compare
from knightlite.cli.binary import pair_options
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.terminal import print_json, print_table, talking

EPILOG = """\b
Examples:
  knightlite compare                  # what quant and compile left here
  knightlite compare -sl 1            # the network's outputs only
  knightlite compare --sort -sn 10 -sh
  knightlite compare -qd out -sd results --rmse

Levels (-sl), which Knight counts too and does not explain:
"""
EPILOG += "\n\b\n" + "\n".join(f"  {level}  {text}" for level, text in enumerate(LEVELS)) + "\n"
SPARKS = " .:-=+*#%@"  # shares of a histogram, in letters that every terminal has
BUCKETS = ("0-1%", "1-10%", "10-50%", "50-100%", "100+%")
HISTOGRAM = "0 2^-11..1"  # |difference| relative to the largest value, by powers of two


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
    help="Where sim left results of inputs/, folders as a:b [default: they are computed].",
)
@pair_options
@click.option(
    "-sl",
    "--show-level",
    "level",
    type=click.IntRange(0, len(LEVELS) - 1),
    default=LEVEL,
    show_default=True,
    help="How much is compared, see below.",
)
@click.option("-on", "--out-name", "names", multiple=True, help="Only this tensor; repeatable.")
@click.option("--op-type", help="Only outputs of this operator.")
@click.option(
    "--index-range",
    "indices",
    metavar="FIRST:LAST",
    callback=lambda _context, _option, text: _indices(text),
    help="Only layers with these numbers, counted from 0.",
)
@click.option("-sn", "--show-number", "number", type=click.IntRange(1), help="Rows [default: all].")
@click.option("-si", "--show-index", is_flag=True, help="Number the layers.")
@click.option("-sh", "--show-hist", is_flag=True, help="Add a histogram of the differences.")
@click.option("--show-plot", is_flag=True, help="Draw every row into --save-dir.")
@click.option("--sort", is_flag=True, help="The largest MRE first.")
@click.option("--no-mre", is_flag=True, help="Leave out the mean relative error.")
@click.option("--no-cos", is_flag=True, help="Leave out the cosine.")
@click.option("--rmse", is_flag=True, help="Add the root mean square error.")
@click.option("--maxdiff", is_flag=True, help="Add the largest difference.")
@click.option("--bias", is_flag=True, help="Add the mean difference.")
@click.option(
    "-s", "--save-dir", type=click.Path(path_type=Path), help="Also write compare.json there."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def command(
    quant_dir: Path | None,
    sim_dir: str | None,
    weight: Path | None,
    cfg: Path | None,
    level: int,
    names: tuple[str, ...],
    op_type: str | None,
    indices: tuple[int, int] | None,
    number: int | None,
    show_index: bool,
    show_hist: bool,
    show_plot: bool,
    sort: bool,
    no_mre: bool,
    no_cos: bool,
    rmse: bool,
    maxdiff: bool,
    bias: bool,
    save_dir: Path | None,
    as_json: bool,
) -> None:
    """Compare float, quantized, golden and chip, layer by layer, on quant's sample."""
    options = CompareOptions(
        quant_dir=quant_dir,
        sim_dirs=tuple(Path(item) for item in (sim_dir or "").split(":") if item),
        cfg=cfg,
        weight=weight,
        names=names,
        op_type=op_type,
        number=number,
        sort=sort,
        save_dir=save_dir,
        level=level,
        indices=indices,
        plots=show_plot,
    )
    with talking() as talk:
        rows = compare(options, talk)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    shown = {"idx": show_index, "MRE%": not no_mre, "cos%": not no_cos}
    shown |= {"RMSE%": rmse, "max diff": maxdiff, "bias": bias, HISTOGRAM: show_hist}
    print_comparison(rows, [column for column, wanted in shown.items() if not wanted])


def _indices(text: str | None) -> tuple[int, int] | None:
    """FIRST:LAST, or one number."""
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        found = int(first), int(last or first)
    except ValueError:
        found = (-1, -1)
    if not 0 <= found[0] <= found[1]:
        raise click.BadParameter(f"{text} must be FIRST:LAST, two numbers from 0 up.")
    return found


def print_comparison(rows: tuple[Comparison, ...], hidden: list[str]) -> None:
    """Knight's table."""
    cells = [_cells(row) for row in rows]
    columns = [column for column in _cells(rows[0]) if column not in hidden] if rows else ["none"]
    title = "Layers" if len({row.name for row in rows}) > 1 else "Outputs"
    print_table(title, columns, [[row[column] for column in columns] for row in cells])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.4f}"


def _cells(row: Comparison) -> dict[str, str]:
    found = row.difference
    told = ("-",) * len(BUCKETS) if found is None else [f"{100 * s:.1f}" for s in found.buckets]
    return {
        "idx": str(row.index),
        "compared": f"{row.found} with {row.wanted}",
        "MRE%": _percent(None if found is None else found.mre),
        "cos%": _percent(None if found is None else found.cosine),
        "RMSE%": _percent(None if found is None else found.rmse),
        "max diff": "-" if found is None else f"{found.max_difference:.6g}",
        "bias": "-" if found is None else f"{found.bias:.4g}",
        HISTOGRAM: "-" if found is None else f"|{_sparks(found.histogram)}|",
        **dict(zip(BUCKETS, told, strict=True)),
        "OP-TYPE": row.op,
        "OUT-NAME": f"{row.name} ({row.remark})" if row.remark else row.name,
    }


def _sparks(shares: tuple[float, ...]) -> str:
    """One letter per bin: a blank for none, else the darker the more."""
    top = max(shares) or 1.0
    steps = len(SPARKS) - 1
    return "".join(SPARKS[max(1, round(steps * share / top)) if share else 0] for share in shares)
