"""``knightlite compare``."""

from __future__ import annotations

from dataclasses import asdict

from knightlite.api.comparison import Comparison, compare
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_json, print_table, talking
from knightlite.options.compare import LEVELS, OUTPUTS, CompareOptions

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


@record_command(CompareOptions, cls=KnightCommand, word="compare", epilog=EPILOG)
def command(options: CompareOptions) -> None:
    """Compare float, quantized, golden and chip, layer by layer, on quant's sample."""
    with talking() as talk:
        rows = compare(options, talk)
    if options.as_json:
        print_json("compare", [asdict(row) for row in rows])
        return
    shown = {"idx": options.show_index, "MRE%": not options.no_mre, "cos%": not options.no_cos}
    shown |= {"RMSE%": options.rmse, "max diff": options.maxdiff, "bias": options.bias}
    shown |= {HISTOGRAM: options.show_hist}
    hidden = [column for column, wanted in shown.items() if not wanted]
    print_comparison("Layers" if options.level > OUTPUTS else "Outputs", rows, hidden)


def print_comparison(title: str, rows: tuple[Comparison, ...], hidden: list[str]) -> None:
    """Knight's table; ``title``: what the rows are of."""
    cells = [_cells(row) for row in rows]
    columns = [column for column in _cells(rows[0]) if column not in hidden] if rows else ["none"]
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
