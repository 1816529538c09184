"""A profile as one self-contained HTML page: what limits the network, what helps, then the rest."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

from knightlite.html_pages import document, scroll, table, text
from knightlite.profiler import CAUSES, LayerProfile, Profile
from knightlite.profiler.limiter import BUSY, busy_shares, limiter_sentence
from knightlite.report.advice import ASSUMED, Tried
from knightlite.report.details import Details, plot_data
from knightlite.report.summary import by_operator, moved_sentence, rates_sentence

ASSETS = Path(__file__).parent / "assets"
TITLES = {
    "layer": "of the node, in the order of execution",
    "op": "operators in one pass",
    "cycles": "in which the layer moves the front of finished work onward",
    "%": "of the time of a frame",
    "MACs": "multiply-accumulates",
    "MAC %": "of the matrix engine's peak in the layer's time, or while it works for the layer "
    "where that is longer: layers that are walked together do their work in each other's time",
    "DDR bytes": "in whole bursts",
    "bound by": "the busiest of engine and DDR; latency: neither is busy for half of the time",
    "FSPM": "bytes at its fullest",
}
TEXTS = 2  # columns of words, in front


def _with_host(found: Profile) -> list[str]:
    whole = found.frame.with_host
    if whole is None:
        return []
    return [f"That is the chip alone; with the host's {found.host_ms:g} ms a frame: {whole.words}."]


def report_page(found: Profile, tried: Tried, more: Details, source: str, certainty: str) -> str:
    """The page; ``source``: the files it was made from; ``certainty``: of the time, in words."""
    body = [
        f"<h1>{text(found.name)} on {text(found.chip_name)}</h1>",
        f'<p class="limiter">{text(limiter_sentence(found))}</p>',
        f'<p class="dim">{found.time_ms:.3f} ms a frame, {found.frame.rate_text} frames/s, '
        f"predicted {text(certainty)}. {text(rates_sentence(found))}</p>",
        *(f'<p class="dim">{text(line)}</p>' for line in _with_host(found)),
        f'<p class="dim">{text(moved_sentence(found))} {text(source)}.</p>',
        *(f'<p class="finding">Assumed: {text(item)}.</p>' for item in found.assumed),
        "<h2>What would make it faster</h2>",
        *_advice(found, tried),
        "<h2>Where the time goes</h2>",
        _operators(found),
        _engines(found),
        "<h2>Layers</h2>",
        _layers(found),
        "<h2>Roofline</h2>",
        '<p class="dim">Every layer by what it computes for a byte of DDR, and how fast while its '
        "busiest engine is at work. Under the slope the DDR keeps it from more, under the flat "
        "part the multipliers do; far below both lanes are not filled. A larger point takes more "
        "of the time.</p>",
        _plot("roofline", "Layers as points under the chip's two roofs"),
        "<h2>Engines over the time of a frame</h2>",
        _plot("timeline", "What each engine does, by operator"),
        "<h2>Memories over the time of a frame</h2>",
        '<p class="dim">A block is a tile, in DDR a tensor, from who writes it first to who reads '
        "it last, in the colour of the layer that it is for. The line is what the memory holds; of "
        "DDR, what the program was given.</p>",
        _memories(more),
        _plot("memory", "What lies where in the memory"),
        "<h2>Bytes of DDR by cause</h2>",
        _causes(found),
        '<noscript><p class="finding">Plots, sorting and details of layers need JavaScript; '
        "tables and advice do not.</p></noscript>",
        _data(found, more),
    ]
    style, scripts = assets("page")
    return document(f"{found.name} on {found.chip_name}", "\n".join(body), style, scripts)


def assets(name: str) -> tuple[str, str]:
    """The style and the scripts of a page with plots."""
    style = "".join(_asset(file) for file in ("uPlot.min.css", f"{name}.css"))
    scripts = ("uPlot.iife.min.js", "plots.js", f"{name}.js")
    return style, "".join(f"<script>{_asset(file)}</script>" for file in scripts)


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8").strip()


def _data(found: Profile, more: Details) -> str:
    """What scripts read: packed, so that no name in it is markup."""
    plain = json.dumps(plot_data(found, more), separators=(",", ":")).encode("ascii")
    packed = base64.b64encode(gzip.compress(plain, 9, mtime=0)).decode("ascii")
    return f'<script type="application/octet-stream" id="data">{packed}</script>'


def _advice(found: Profile, tried: Tried) -> list[str]:
    items = []
    for item in tried.chosen:
        how = "the same program, clocked again" if item.kind == ASSUMED else "compiled and clocked"
        commands = "".join(f"<br><code>{text(command)}</code>" for command in item.commands)
        items.append(
            f"<li><b>{item.saved:.1%} less time</b>: {text(item.sentence)}. {found.time_ms:.3f} "
            f'\u2192 {item.time_ms:.3f} ms <span class="dim">({how})</span>{commands}</li>'
        )
    parts = [f'<p class="finding">{text(told)}</p>' for told in _hardware_only(tried)]
    if items:
        parts += [f'<ol class="advice">{"".join(items)}</ol>']
    else:
        parts += ['<p class="finding good">Nothing that was tried makes it faster.</p>']
    if tried.points:
        parts += [f'<p class="dim">{text(remark)}</p>' for remark in tried.remarks]
    rows = [
        (item.short, "clocked again", f"{item.time_ms:.3f}", f"{-item.saved:+.1%}")
        for item in tried.assumed
    ]
    for point in tried.points:
        if point.time_ms is None:
            rows.append((point.short, point.why, "", ""))
        else:
            change = point.time_ms / found.time_ms - 1 if found.time_ms else 0.0
            rows.append((point.short, "compiled", f"{point.time_ms:.3f}", f"{change:+.1%}"))
    shown = table(("what", "how it is known", "ms", "time"), rows, "All that was tried", 2)
    counts = f"{len(tried.assumed)} what-ifs of this program"
    if tried.points:
        counts += f", {tried.known} of {len(tried.points)} other programs"
    return [
        *parts,
        f"<details><summary>All that was tried: {counts}</summary>{shown}</details>",
    ]


def _hardware_only(tried: Tried) -> list[str]:
    """Why nothing that can be done with today's chip is among the advice, and what gives more."""
    if any(item.kind != ASSUMED for item in tried.chosen):
        return []
    if tried.points:
        faster = f"None of {tried.known} other programs that were compiled is faster."
        return [f"{faster} What follows is other hardware." if tried.chosen else faster]
    why = [remark.removesuffix(".") for remark in tried.remarks]
    return [
        f"{'. '.join(why)}. So only other hardware is here; where profile compiles again, it tries "
        "schedule levels, chips, widths and input sizes too."
    ]


def _bar(share: float) -> str:
    width = max(0.0, min(1.0, share)) * 100
    return f'<span class="bar" style="width:{width:.2f}%"></span>'


def _bars(
    label: str, head: Sequence[str], rows: Sequence[tuple[str, float, tuple[str, ...]]]
) -> str:
    """A table of name, share and what else is told, whose last column draws the share."""
    body = "".join(
        f'<tr><td class="text"><bdi>{text(name)}</bdi></td>'
        f"{''.join(f'<td>{text(one)}</td>' for one in told)}"
        f'<td>{share:.1%}</td><td class="bars" aria-hidden="true">{_bar(share)}</td></tr>'
        for name, share, told in rows
    )
    titles = "".join(
        f'<th class="text">{text(item)}</th>' if place == 0 else f"<th>{text(item)}</th>"
        for place, item in enumerate(head)
    )
    return scroll(
        f"<table><thead><tr>{titles}<td></td></tr></thead><tbody>{body}</tbody></table>", label
    )


def _operators(found: Profile) -> str:
    rows = [
        (item.name, item.share, (f"{item.layers}", f"{item.cycles:,}"))
        for item in by_operator(found)
    ]
    heads = ("type", "layers", "cycles", "of the time")
    return _bars("Share of the time by type of layer", heads, rows)


def _engines(found: Profile) -> str:
    rows = [
        (BUSY[part], share, (f"{round(share * found.cycles):,}",))
        for part, share in busy_shares(found).items()
    ]
    return _bars("How busy the engines are", ("engine", "cycles at work", "of the time"), rows)


def _layers(found: Profile) -> str:
    heads = "".join(
        f'<th scope="col" class="{"text" if place < TEXTS else ""}" aria-sort="none">'
        f'<button type="button" title="{text(told)}">{text(name)}</button></th>'
        for place, (name, told) in enumerate(TITLES.items())
    )
    rows = "".join(_layer(found, number, row) for number, row in enumerate(found.layers))
    return (
        '<p><label for="filter">Show layers with</label> '
        '<input id="filter" type="search" placeholder="a name, an operator, a bound"> '
        '<span id="shown" class="dim" role="status"></span></p>'
        + scroll(
            f'<table id="layers"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>',
            "Layers",
        )
        + '<section id="detail" aria-live="polite"></section>'
    )


def _layer(found: Profile, number: int, row: LayerProfile) -> str:
    figures = (
        (row.cycles, f"{row.cycles:,}"),
        (row.cycles, f"{row.cycles / max(1, found.cycles):.2%}"),
        (row.macs, f"{row.macs:,}"),
        (row.mac_utilization, f"{row.mac_utilization:.1%}"),
        (row.burst_bytes, f"{row.burst_bytes:,}"),
    )
    cells = "".join(f'<td data-value="{value}">{told}</td>' for value, told in figures)
    return (
        f'<tr data-layer="{number}"><td class="text"><button type="button" class="name">'
        f'<bdi>{text(row.name)}</bdi></button></td><td class="text"><bdi>{text(row.op)}</bdi></td>'
        f'{cells}<td class="text">{text(row.bound)}</td>'
        f'<td data-value="{row.fspm_peak_bytes}">{row.fspm_peak_bytes:,}</td></tr>'
    )


def _plot(name: str, label: str) -> str:
    return (
        f'<div class="plot" id="{name}" tabindex="0" role="group" aria-label="{text(label)}"></div>'
    )


def _memories(more: Details) -> str:
    options = "".join(
        f'<option value="{place}">{text(item.memory)}</option>'
        for place, item in enumerate(more.memory)
    )
    return f'<p><label for="which">Memory</label> <select id="which">{options}</select></p>'


def _causes(found: Profile) -> str:
    total = max(1, sum(found.ddr_causes.values()))
    rows = [
        (told, found.ddr_causes[cause] / total, (f"{found.ddr_causes[cause]:,}",))
        for cause, told in CAUSES.items()
    ]
    return _bars("Bytes of DDR by cause", ("cause", "bytes", "of all"), rows)
