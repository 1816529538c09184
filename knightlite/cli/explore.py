"""``knightlite explore``."""

from __future__ import annotations

from collections.abc import Callable

from knightlite.api.chips import another_maker_s
from knightlite.api.exploration import (
    Exploration,
    Point,
    accuracy_of,
    bar_notes,
    chip_called,
    explore,
    explored_text,
    reasons,
    smallest,
    told_of_rate,
)
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_files, print_line, print_table, talking
from knightlite.errors import Finding, KnightliteError
from knightlite.options.explore import ExploreOptions

EPILOG = """\b
Examples:
  knightlite explore -m model.onnx --fps 25
  knightlite explore -m a.onnx b.onnx --chips TX5368AV200 my.toml \\
    --opt-group 0 1 -b 8 16
  knightlite explore -m model.onnx --chips TX5368AV200 \\
    --set fspm_bytes=262144,524288 --set vector_lanes=8,16
  knightlite explore -m model.onnx -d pictures --recipe imagenet

* marks the points that none of the same model beats: no other is better
in time, on-chip bytes, MACs per cycle or dB and worse in none of them.
"""

BEST = "*"


@record_command(ExploreOptions, epilog=EPILOG)
def command(options: ExploreOptions) -> int:
    """Many models on many chips, at several levels and widths: time beside what a chip costs."""
    with talking() as talk:
        found = explore(options, talk)
    if options.as_json:
        print_line(explored_text(found).decode("utf-8").rstrip())
        return 0 if found.runs else 1
    if not found.runs:
        findings = [Finding(item.where, item.sentence) for item in reasons(found)]
        raise KnightliteError(
            f"none of {len(found.points)} points runs; no file is written.", findings=findings
        )
    for number, network in enumerate(found.models):
        points = [point for point in found.points if point.model == number]
        if network.refused is None:
            columns = [item for item in COLUMNS if any(item[1](point, found) for point in points)]
            rows = [[cell(point, found) for _, cell in columns] for point in points]
            print_table(network.file, [title for title, _ in columns], rows)
    for note in (*bar_notes(found), *another_maker_s(size.name for size in found.chips)):
        print_line(note)
    for item in reasons(found):
        print_line(f"{item.where}: {item.sentence}")
    if options.rate is not None:
        for row in smallest(found, options.rate):
            print_line(told_of_rate(row, found, options.rate))
    files = {"explore": options.result}
    if options.page is not None:
        files["page"] = options.page
    print_files(files)
    return 0


# ------------------------------------------------------------------ the columns of a point


def _bits(point: Point, found: Exploration) -> str:
    return "" if point.bits is None else str(point.bits)


def _time(point: Point, found: Exploration) -> str:
    return "no" if point.time is None else point.time.rounded_text


def _bar(point: Point, found: Exploration) -> str:
    return "" if point.time is None else point.time.bar_text


def _memory(point: Point, found: Exploration) -> str:
    return f"{found.chips[point.chip].on_chip_bytes >> 10} KiB"


def _moved(point: Point, found: Exploration) -> str:
    return "" if point.time is None else f"{point.time.moved_bytes / 1e6:.1f} MB"


def _kept(point: Point, found: Exploration) -> str:
    kept = accuracy_of(point, found.models)
    if kept is None or kept.refused is not None:
        return ""
    return "exact" if kept.sqnr_db is None else f"{kept.sqnr_db:.1f}"


COLUMNS: tuple[tuple[str, Callable[[Point, Exploration], str]], ...] = (
    ("chip", chip_called),
    ("level", lambda point, found: str(point.level)),
    ("bits", _bits),
    ("ms", _time),
    ("\u00b1 %", _bar),
    ("dB", _kept),
    ("on chip", _memory),
    ("MAC/cycle", lambda point, found: str(found.chips[point.chip].macs_per_cycle)),
    ("DDR", _moved),
    (BEST, lambda point, found: BEST if point.best else ""),
)
