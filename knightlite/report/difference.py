"""Two profiles beside each other: what changed, and in which layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from knightlite.html_pages import document, table, text
from knightlite.profiler import CAUSES, SavedProfile
from knightlite.profiler.limiter import saved_share

SHOWN = 10  # layers with the largest change
ENGINES = {"RCCN": "matrix engine busy", "RCVT": "vector engine busy"}

Row = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """``sentence``: the whole in one; the tables have no titles: what, A, B, change.

    ``layers``: those whose time changed most, by name; ``only``: layers that one of both has.
    """

    sentence: str
    totals: tuple[Row, ...]
    operators: tuple[Row, ...]
    layers: tuple[Row, ...]
    only: str

    @property
    def tables(self) -> tuple[tuple[str, Row, tuple[Row, ...]], ...]:
        """Title, titles of the columns, rows of each."""
        return (
            ("Totals", ("what", "A", "B", "change"), self.totals),
            ("Types of layers", ("type of layer", "A ms", "B ms", "change ms"), self.operators),
            ("Layers that changed most", ("layer", "A ms", "B ms", "change ms"), self.layers),
        )


def difference(a: SavedProfile, b: SavedProfile) -> Difference:
    """What is other in ``b`` than in ``a``."""
    return Difference(
        _sentence(a, b),
        tuple(_totals(a, b)),
        _changed(_by_operator(a), _by_operator(b)),
        _changed(_by_layer(a), _by_layer(b))[:SHOWN],
        _only(a, b),
    )


def _sentence(a: SavedProfile, b: SavedProfile) -> str:
    saved = saved_share(a.latency_ms, b.latency_ms)
    more = "less" if saved >= 0 else "more"
    change = f"{abs(saved):.1%} {more}" if a.latency_ms != b.latency_ms else "the same"
    both = f"{a.name} on {a.chip}"
    other = f"{b.name} on {b.chip}"
    of = f"A and B: {both}" if both == other else f"A: {both}; B: {other}"
    found = f"{of}. A takes {a.latency_ms:.3f} ms a frame, B {b.latency_ms:.3f} ms, {change}."
    for which, profile in (("A", a), ("B", b)):
        if profile.assumed:
            facts = "; ".join(str(item) for item in profile.assumed)
            found += f" {which} is of a chip that is assumed: {facts}."
    return found


def _totals(a: SavedProfile, b: SavedProfile) -> list[Row]:
    rows: list[tuple[str, int, int]] = [
        ("cycles", a.cycles, b.cycles),
        ("clock, Hz", a.clock_hz, b.clock_hz),
        ("multiply-accumulates", a.macs, b.macs),
        ("DDR bytes read", a.ddr_read_bytes, b.ddr_read_bytes),
        ("DDR bytes written", a.ddr_write_bytes, b.ddr_write_bytes),
        ("DDR bytes in bursts", a.ddr_burst_bytes, b.ddr_burst_bytes),
    ]
    for cause, told in CAUSES.items():
        before, after = (item.ddr_bytes_by_cause.get(cause, 0) for item in (a, b))
        rows.append((f"  {told.partition(':')[0]}", before, after))
    rows.append(("DDR busy, cycles", a.ddr_busy_cycles, b.ddr_busy_cycles))
    for engine, told in ENGINES.items():
        before, after = (item.engine_busy_cycles.get(engine, 0) for item in (a, b))
        rows.append((f"{told}, cycles", before, after))
    return [(name, f"{one:,}", f"{two:,}", _change(one, two)) for name, one, two in rows]


def _change(before: float, after: float) -> str:
    if before == after:
        return "="
    return f"{after / before - 1:+.1%}" if before else "new"


def _by_operator(found: SavedProfile) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in found.layers:
        sums[row.op] = sums.get(row.op, 0.0) + row.time_ms
    return sums


def _by_layer(found: SavedProfile) -> dict[str, float]:
    sums: dict[str, float] = {}
    for row in found.layers:
        sums[row.name] = sums.get(row.name, 0.0) + row.time_ms
    return sums


def _changed(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[Row, ...]:
    """Those that differ, the largest change first."""
    names = list(dict.fromkeys([*a, *b]))
    apart = {name: b.get(name, 0.0) - a.get(name, 0.0) for name in names}
    ordered = sorted((name for name in names if apart[name]), key=lambda name: -abs(apart[name]))
    return tuple((name, _ms(a, name), _ms(b, name), f"{apart[name]:+.4f}") for name in ordered)


def _ms(times: Mapping[str, float], name: str) -> str:
    return f"{times[name]:.4f}" if name in times else ""


def _only(a: SavedProfile, b: SavedProfile) -> str:
    """How many layers only one has; "" where there are none."""
    names = [{row.name for row in found.layers} for found in (a, b)]
    counts = (len(names[0] - names[1]), len(names[1] - names[0]))
    return "" if counts == (0, 0) else f"{counts[0]} layers only in A, {counts[1]} only in B."


def difference_page(found: Difference, a: str, b: str) -> str:
    """The same as a page; ``a`` and ``b``: the files."""
    body = [
        "<h1>Two profiles</h1>",
        f'<p class="finding good">{text(found.sentence)}</p>',
        f'<p class="dim">A: {text(a)}<br>B: {text(b)}</p>',
    ]
    for title, columns, rows in found.tables:
        body += [f"<h2>{title}</h2>", table(columns, rows, title)]
    if found.only:
        body.append(f"<p>{text(found.only)}</p>")
    return document("Two profiles", "\n".join(body))
