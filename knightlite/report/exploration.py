"""An exploration as a page: for every network its points, time beside what a chip costs."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from knightlite.html_pages import document, table, text
from knightlite.report.page import assets

COLUMNS = (
    "chip", "level", "bits", "ms", "\u00b1 %", "dB", "KiB on chip", "MAC/cycle", "DDR MB", "best",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExploredPoint:
    """A network on a chip. ``ms`` None: it does not run there; ``decibels`` None: not measured.

    ``bar``: how many percent the time may be off, as text. ``best``: no point of its network is
    better in one thing and worse in none.
    """

    chip: str
    level: int
    bits: int | None
    ms: float | None
    bar: str
    decibels: float | None
    on_chip_kib: int
    macs_per_cycle: int
    moved_mb: float
    best: bool

    @property
    def label(self) -> str:
        """In words, beside its dot."""
        bits = "" if self.bits is None else f", {self.bits} bits"
        return f"{self.chip}, level {self.level}{bits}"


@dataclass(frozen=True, slots=True)
class ExploredNetwork:
    """A network and its points; ``sentences``: what is to be said of it."""

    name: str
    points: tuple[ExploredPoint, ...]
    sentences: tuple[str, ...]


AXES = (
    ("on_chip_kib", "KiB on chip"),
    ("macs_per_cycle", "multiply-accumulates per cycle"),
    ("decibels", "dB kept"),
)


def exploration_page(
    networks: Sequence[ExploredNetwork], source: str, notes: Sequence[str] = ()
) -> str:
    """The page; ``source``: the file that holds the points; ``notes``: sentences about all."""
    count = f"{len(networks)} network{'' if len(networks) == 1 else 's'}"
    body = [
        "<h1>Chips explored</h1>",
        f'<p class="dim">Predicted times of {count}, from {text(source)}. A ring '
        "marks points that no other of the same network beats: none is better in time, bytes on "
        "chip, multiply-accumulates or dB and worse in none of them.</p>",
        *(f'<p class="dim">{text(note)}</p>' for note in notes),
    ]
    plots: list[dict[str, Any]] = []
    for item in networks:
        body.append(f"<h2>{text(item.name)}</h2>")
        body += [f"<p>{text(sentence)}</p>" for sentence in item.sentences]
        body += _plots(item, plots)
        if item.points:
            body.append(_table(item))
    plain = json.dumps(plots, separators=(",", ":")).encode("ascii")
    packed = base64.b64encode(gzip.compress(plain, 9, mtime=0)).decode("ascii")
    body += [
        '<noscript><p class="finding">Plots need JavaScript; tables do not.</p></noscript>',
        f'<script type="application/octet-stream" id="data">{packed}</script>',
    ]
    style, scripts = assets("exploration")
    return document("Chips explored", "\n".join(body), style, scripts)


def _plots(item: ExploredNetwork, plots: list[dict[str, Any]]) -> list[str]:
    """Places for plots; what is drawn there is added to ``plots``."""
    runs = [point for point in item.points if point.ms is not None]
    places = []
    for name, label in AXES:
        dots = [
            [getattr(point, name), point.ms, point.level, int(point.best), point.label]
            for point in runs
            if getattr(point, name) is not None
        ]
        if len({dot[0] for dot in dots}) < 2:
            continue  # nothing to choose from
        title = f"{item.name}: time beside {label}"
        places.append(
            f'<div class="trade" data-plot="{len(plots)}" role="img" aria-label="{text(title)}, '
            'every point of it in the table below"></div>'
        )
        plots.append({"label": label, "dots": dots})
    return [f'<div class="trades">{"".join(places)}</div>'] if places else []


def _table(item: ExploredNetwork) -> str:
    """All points; a column in which nothing stands is left out."""
    rows = [_row(point) for point in item.points]
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    shown = [[row[place] for place in kept] for row in rows]
    return table([COLUMNS[place] for place in kept], shown, item.name)


def _row(point: ExploredPoint) -> tuple[str, ...]:
    bits = "" if point.bits is None else str(point.bits)
    if point.ms is None:
        return (point.chip, str(point.level), bits, "no", *[""] * (len(COLUMNS) - 4))
    return (
        point.chip,
        str(point.level),
        bits,
        f"{point.ms:.3f}",
        point.bar,
        "" if point.decibels is None else f"{point.decibels:.1f}",
        f"{point.on_chip_kib:,}",
        f"{point.macs_per_cycle:,}",
        f"{point.moved_mb:.1f}",
        "yes" if point.best else "",
    )
