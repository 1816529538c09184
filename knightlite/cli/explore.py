"""``knightlite explore``."""

from __future__ import annotations

from collections.abc import Callable

from knightlite.api.exploration import Exploration, Point, Smallest, accuracy_of, explore, smallest
from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import print_files, print_line, print_table, talking
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
        print_line(options.result.read_text(encoding="utf-8").rstrip())
        return _code(found)
    for number, network in enumerate(found.models):
        points = [point for point in found.points if point.model == number]
        if network.refused is None:
            columns = [item for item in COLUMNS if any(item[1](point, found) for point in points)]
            rows = [[cell(point, found) for _, cell in columns] for point in points]
            print_table(network.file, [title for title, _ in columns], rows)
    for where, sentence in _reasons(found):
        print_line(f"{where}: {sentence}")
    if options.rate is not None:
        for row in smallest(found, options.rate):
            print_line(_told(row, found, options.rate))
    print_files({"explore": options.result})
    return _code(found)


def _code(found: Exploration) -> int:
    return 0 if any(point.time is not None for point in found.points) else 1


# ------------------------------------------------------------------ the columns of a point


def _bits(point: Point, found: Exploration) -> str:
    return "" if point.bits is None else str(point.bits)


def _time(point: Point, found: Exploration) -> str:
    return "no" if point.time is None else _milliseconds(point)


def _bar(point: Point, found: Exploration) -> str:
    percent = None if point.time is None else point.time.error_percent
    return "" if percent is None else str(percent)


def _memory(point: Point, found: Exploration) -> str:
    return f"{found.chips[point.chip].on_chip_bytes >> 10} KiB"


def _moved(point: Point, found: Exploration) -> str:
    return "" if point.time is None else f"{point.time.moved_bytes / 1e6:.1f} MB"


def _kept(point: Point, found: Exploration) -> str:
    kept = accuracy_of(point, found.models)
    if kept is None or kept.refused is not None:
        return ""
    return "exact" if kept.sqnr_db is None else f"{kept.sqnr_db:.1f}"


def _chip(point: Point, found: Exploration) -> str:
    size = found.chips[point.chip]
    return " ".join([size.name, *(f"{name}={value}" for name, value in size.facts.items())])


COLUMNS: tuple[tuple[str, Callable[[Point, Exploration], str]], ...] = (
    ("chip", _chip),
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


def _milliseconds(point: Point) -> str:
    assert point.time is not None
    return f"{point.time.rounded_ms:g}"


def _reasons(found: Exploration) -> list[tuple[str, str]]:
    """(where, why) of everything that does not run, each sentence once."""
    told: dict[tuple[str, str], list[str]] = {}
    for network in found.models:
        if network.refused is not None:
            told.setdefault((network.file, network.refused), [])
        for kept in network.accuracy:
            if kept.refused is not None:
                told.setdefault((network.file, f"at {kept.bits} bits: {kept.refused}"), [])
    for size in found.chips:
        if size.refused is not None:
            facts = " ".join(f"{name}={value}" for name, value in size.facts.items())
            told.setdefault((f"{size.name} {facts}".strip(), size.refused), [])
    for point in found.points:
        network, size = found.models[point.model], found.chips[point.chip]
        if point.refused is not None and point.refused not in (network.refused, size.refused):
            key = (network.file, point.refused)
            told.setdefault(key, []).append(_where(point, found))
    return [
        (f"{where} on {', '.join(dict.fromkeys(places))}" if places else where, sentence)
        for (where, sentence), places in told.items()
    ]


def _where(point: Point, found: Exploration) -> str:
    bits = "" if point.bits is None else f", {point.bits} bits"
    return f"{_chip(point, found)} (level {point.level}{bits})"


def _told(row: Smallest, found: Exploration, rate: float) -> str:
    name = found.models[row.model].file
    if row.point is None:
        return f"{name}: no chip here runs {rate:g} frames/s."
    sentence = f"{name}: the smallest chip for {rate:g} frames/s is {_named(row.point, found)}"
    if row.surely is None:
        return f"{sentence}; with the bar against it none here is."
    if row.surely == row.point:
        return f"{sentence}, its bar included."
    return f"{sentence}; with the bar against it {_named(row.surely, found)}."


def _named(point: Point, found: Exploration) -> str:
    size = found.chips[point.chip]
    return (
        f"{_where(point, found)} with {size.on_chip_bytes >> 10} KiB on chip and "
        f"{size.macs_per_cycle} MAC/cycle: {_milliseconds(point)} ms"
    )
