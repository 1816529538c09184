"""``knightlite profile`` (``rne-profiling``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from knightlite.api.profiling import compare_profiles, profile_program
from knightlite.cli.knight_command import KnightCommand
from knightlite.cli.record_command import record_command
from knightlite.cli.regions import print_regions
from knightlite.cli.terminal import (
    print_files,
    print_line,
    print_table,
    table_gaps,
    talking,
    terminal_width,
)
from knightlite.options.profile import ProfileOptions

if TYPE_CHECKING:
    from knightlite.api.profiling import Difference, LayerProfile

EPILOG = """\b
Examples:
  knightlite profile
  Knight --chip TX5368AV200 rne-profiling \\
    --weight X_r.weight --config X_r.cfg --outpath .
  knightlite profile --html page.html   # and advice, by compiling again
  knightlite profile --diff before/X_r.profile.json X_r.profile.json
  knightlite profile --set clock_hz=800e6 --set vector_lanes=128
  Knight rne-profiling -mbw 5.960464 -bu 0.8

Without -bu the share of the bandwidth that transfers reach is the chip's
(`knightlite chips NAME`), not Knight's 1.00.

Open the .pftrace at ui.perfetto.dev to see a lane per engine.
"""

NAME_ROOM = 18  # columns that a layer's name should have before the figures are shortened


@record_command(ProfileOptions, cls=KnightCommand, word="profile", epilog=EPILOG)
def command(options: ProfileOptions) -> None:
    """Predict the time of a compiled network, layer by layer."""
    if options.diff:
        print_difference(compare_profiles(options))
        return
    with talking() as talk:
        result = profile_program(options, talk)
    if options.as_json:
        print_line(result.files["json"].read_text(encoding="utf-8").rstrip())
        return
    found = result.profile
    columns = _columns(found.layers, terminal_width())
    rows = [[cell(row) for _, cell in columns] for row in found.layers]
    names = [title for title, _ in columns]
    print_table(f"{found.name} on {found.chip_name}", names, rows, shrink=0)
    print_table("Totals", ("what", "value"), [*result.totals, *result.bound_lines])
    print_regions(result.region_table)
    for item in found.assumed:
        print_line(f"assumed: {item}")
    most = found.batches[-1]
    print_line(
        f"{found.frame.words}; {found.frame.rate_text} frames/s, "
        f"{most.rate_text} with {most.frames} back to back (predicted: docs/clock.md)"
    )
    if found.frame.with_host is not None:
        print_line(
            f"that is the chip alone; with the host's {found.host_ms:g} ms a frame: "
            f"{found.frame.with_host.words}"
        )
    for line in result.summary:
        print_line(line)
    print_line("")
    print_files(result.files)


def print_difference(found: Difference) -> None:
    """The sentence, then what changed."""
    print_line(found.sentence)
    print_line("")
    for title, columns, rows in found.tables:
        if rows:
            print_table(title, columns, rows, shrink=0)
    if found.only:
        print_line(found.only)


# ------------------------------------------------------------------ the columns of a layer

Column = tuple[str, "Callable[[LayerProfile], str]"]

LAYER: Column = ("layer", lambda row: row.name)
OPERATOR: Column = ("op", lambda row: row.op)
FULL: tuple[Column, ...] = (
    LAYER,
    OPERATOR,
    ("cycles", lambda row: f"{row.cycles:,}"),
    ("ms", lambda row: f"{row.time_ms:.4f}"),
    ("MACs", lambda row: f"{row.macs:,}"),
    ("MAC %", lambda row: f"{row.mac_utilization * 100:.1f}"),
    ("DDR read", lambda row: f"{row.read_bytes:,}"),
    ("DDR write", lambda row: f"{row.write_bytes:,}"),
    ("in bursts", lambda row: f"{row.burst_bytes:,}"),
    ("bound by", lambda row: row.bound),
    ("FSPM", lambda row: f"{row.fspm_peak_bytes:,}"),
)
COMPACT: tuple[Column, ...] = (
    LAYER,
    OPERATOR,
    ("cycles", lambda row: short(row.cycles)),
    ("ms", lambda row: f"{row.time_ms:.4f}"),
    ("MACs", lambda row: short(row.macs)),
    ("MAC %", lambda row: f"{row.mac_utilization * 100:.1f}"),
    ("read", lambda row: short(row.read_bytes)),
    ("write", lambda row: short(row.write_bytes)),
    ("bursts", lambda row: short(row.burst_bytes)),
    ("bound by", lambda row: row.bound),
    ("FSPM", lambda row: short(row.fspm_peak_bytes)),
)
NARROW = tuple(column for column in COMPACT if column is not OPERATOR)


def _columns(layers: tuple[LayerProfile, ...], width: int | None) -> tuple[Column, ...]:
    """The fullest columns that leave room for names; all of them where the width is unlimited."""
    for columns in (FULL, COMPACT):
        if width is None:
            return columns
        cells = [max(len(title), *(len(cell(row)) for row in layers)) for title, cell in columns]
        names = min(cells[0], NAME_ROOM)
        if names + sum(cells[1:]) + table_gaps(len(columns)) <= width:
            return columns
    return NARROW


def short(number: int) -> str:
    """Three or four digits and k, M or G for thousands, millions, thousand millions."""
    value = float(number)
    for unit in ("", "k", "M"):
        if value < 999.5:
            return f"{number}" if not unit else f"{value:.{1 if value < 99.95 else 0}f}{unit}"
        value /= 1000
    return f"{value:.1f}G"
