"""A diagnosis as one self-contained HTML page. The plots are matplotlib's, drawn as SVG."""

from __future__ import annotations

import io
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.diagnosis.findings import Diagnosis, Finding
from knightlite.errors import UnsupportedError
from knightlite.html_pages import document, table, text
from knightlite.ir import Graph
from knightlite.quantize.ranges import mix, row_densities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTTED = 4  # findings or layers with plots of their own
BINS = 256  # of a drawn histogram
MOST_CHANNELS = 128  # drawn; of more, groups of neighbours by their largest
SHOWN_DB = 80.0  # beyond, a curve only says "no error"
STYLE = """
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots figure { flex: 1 1 20rem; min-width: 0; margin: 0; max-width: 100%; }
.plots svg { width: 100%; max-width: 52rem; height: auto; background: #fff; border-radius: 6px;
  display: block; }
"""


def require_plots() -> None:
    """UnsupportedError where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UnsupportedError(
            "plots need matplotlib, which is not installed.", "pip install 'matplotlib>=3.8'"
        )
    # where HOME cannot be written it caches elsewhere, which is no news to who wants a plot
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def html_page(found: Diagnosis, graph: Graph, model: str, data: str) -> str:
    """The page; the same bytes for the same diagnosis."""
    require_plots()
    body = [
        f"<h1>{text(graph.name)}: what quantization loses, and where</h1>",
        f"<p><code>{text(model)}</code>, {text(data)}.</p>",
        _summary(found),
        "<h2>Causes</h2>",
        *(_finding(place, item) for place, item in enumerate(found.findings, 1)),
    ]
    kind = "finding good" if found.healthy else "finding"
    body += [f'<div class="{kind}">{text(remark)}</div>' for remark in found.remarks]
    keeps = "SQNR of every layer, alone and in the whole network"
    body += ["<h2>What each layer keeps</h2>", _drawn((_curves(found), "curves", keeps))]
    for number, name in enumerate(_places(found)):
        body += [f"<h2>{text(name)}</h2>", f"<p>{text(_why(found, name))}</p>"]
        body.append(
            _drawn(
                (_histogram(found, name), f"values{number}", f"Histogram of the values of {name}"),
                (_channels(found, name), f"channels{number}", f"Ranges of the channels of {name}"),
            )
        )
    body += ["<h2>All layers</h2>", _layers(found)]
    return document(f"{graph.name}: diagnosis", "\n".join(body), STYLE)


def _drawn(*figures: tuple[Figure, str, str]) -> str:
    """Plots beside each other, where there is room; each with its salt and what it shows."""
    drawn = "".join(
        f'<figure role="img" aria-label="{text(told)}">{svg(figure, salt)}</figure>'
        for figure, salt, told in figures
    )
    return f'<div class="plots">{drawn}</div>'


def _why(found: Diagnosis, name: str) -> str:
    """What the plotted layer is, and why it is plotted."""
    number, item = next(pair for pair in enumerate(found.layers) if pair[1].name == name)
    causes = [f"cause {place}" for place, one in enumerate(found.findings, 1) if one.layer == name]
    return (
        f"Layer {number}, {item.op}, {item.type}: {item.isolated_db:.1f} dB alone, "
        f"{item.accumulated_db:.1f} dB in the whole network; shown as "
        f"{' and '.join(causes) or 'one of those that keep least alone'}."
    )


def _summary(found: Diagnosis) -> str:
    kept = "exact" if found.score.sqnr_db is None else f"{found.score.sqnr_db:.2f} dB"
    rows = [("SQNR of the worst output", kept), ("pictures", str(found.pictures))]
    for label, value in (("float", found.float_metric), ("quantized", found.score.metric)):
        if value is not None:
            rows.append((f"metric, {label} model", f"{value:.3f}"))
    if found.difference is not None:
        rows.append(("metric, difference", found.difference))
    rows.append(("preprocessing", found.preprocessing.used))
    return table((), rows, "Summary", texts=2)


def _finding(place: int, item: Finding) -> str:
    cost = "" if item.cost_db is None else f", costs {item.cost_db:.1f} dB at the outputs"
    remedies = ""
    if item.remedies:
        rows: list[tuple[str, ...]] = [
            (r.switch, _db(r.before.sqnr_db), _db(r.after.sqnr_db)) for r in item.remedies
        ]
        columns: tuple[str, ...] = ("tried", "dB before", "after")
        if any(r.after.metric is not None for r in item.remedies):
            columns += ("metric before", "after", "won")
            rows = [
                (*row, _metric(r.before.metric), _metric(r.after.metric), r.gain or "")
                for row, r in zip(rows, item.remedies, strict=True)
            ]
        remedies = table(columns, rows, f"Remedies of cause {place}")
    return (
        f'<div class="finding"><b>{place}. {text(item.cause)}</b>: '
        f"<code>{text(item.layer)}</code>{cost}<br>{text(item.sentence)}.<br>"
        f"<b>Remedy:</b> {text(item.advice)}{remedies}</div>"
    )


def _db(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _layers(found: Diagnosis) -> str:
    columns = (
        "layer", "op", "type", "number", "alone dB", "in all dB", "cosine", "weights dB",
        "rounding dB", "clipping dB", "middle channel dB",
    )  # fmt: skip
    rows = [
        (
            item.name, item.op, item.type, str(number), f"{item.isolated_db:.1f}",
            f"{item.accumulated_db:.1f}",
            f"{item.cosine:.5f}", "" if item.weights_db is None else f"{item.weights_db:.1f}",
            f"{item.rounding_db:.1f}", f"{item.clipping_db:.1f}", f"{item.middle_channel_db:.1f}",
        )
        for number, item in enumerate(found.layers)
    ]  # fmt: skip
    return table(columns, rows, "All layers", 3, frozenset(item.layer for item in found.findings))


# ------------------------------------------------------------------ plots


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, inches wide and high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure, salt: str) -> str:
    """The figure as SVG inside HTML: no date, and identifiers of its own."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _curves(found: Diagnosis) -> Figure:
    figure = new_figure(6.4, 3.2)
    axes = figure.add_subplot()
    places = np.arange(len(found.layers))
    alone = [min(item.isolated_db, SHOWN_DB) for item in found.layers]
    whole = [min(item.accumulated_db, SHOWN_DB) for item in found.layers]
    axes.plot(places, alone, ".-", color="#2471a3", label="this layer alone quantized")
    axes.plot(places, whole, ".-", color="#c0392b", label="whole network quantized")
    names = [item.name for item in found.layers]
    for item in found.findings:
        if item.layer in names and item.cost_db is not None:
            axes.axvline(names.index(item.layer), color="#c0392b", alpha=0.25, linewidth=4)
    axes.set_xlabel("number of the layer, in the order of the network")
    axes.set_ylabel("SQNR, dB")
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    return figure


def _places(found: Diagnosis) -> list[str]:
    """The findings' layers, then those that keep least alone."""
    named = [item.layer for item in found.findings]
    worst = sorted(found.layers, key=lambda item: item.isolated_db)
    places = dict.fromkeys([*named, *(item.name for item in worst)])
    return [name for name in places if name in found.sums][:PLOTTED]


def _histogram(found: Diagnosis, name: str) -> Figure:
    """The float values and the range that the quantized tensor holds."""
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    seen = found.statistics[name]
    rows = row_densities(seen)
    whole = rows[0] if len(rows) == 1 else mix(rows, [1.0] * len(rows))
    counts = np.concatenate([whole.negative[::-1], whole.positive])
    edges = np.arange(-whole.negative.size, whole.positive.size + 1) * whole.width
    used = np.flatnonzero(counts)
    if used.size:
        step = max(1, int(np.ceil((used[-1] - used[0] + 1) / BINS)))
        first, last = int(used[0]), int(used[-1]) + 1
        starts = np.arange(first, last, step)
        heights = np.add.reduceat(counts[:last], starts)
        axes.stairs(heights, np.append(edges[starts], edges[last]), fill=True, color="#5d8aa8")
    low, high = _limits(found, name)
    for limit in {low.min(), high.max()} - {0.0}:
        axes.axvline(limit, color="#c0392b", linestyle="--")
    axes.set_yscale("symlog")
    axes.set_title("float values; dashed: the range kept", fontsize=10)
    axes.set_xlabel("value")
    axes.set_ylabel("how many")
    return figure


def _limits(found: Diagnosis, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    tensor = found.quantized.tensors[name]
    assert tensor.scale is not None
    scale = np.atleast_1d(tensor.scale).astype(np.float64)
    return scale * tensor.dtype.minimum, scale * tensor.dtype.maximum


def _channels(found: Diagnosis, name: str) -> Figure:
    """The range of each channel, and the range kept."""
    figure = new_figure(4.6, 3.0)
    axes = figure.add_subplot()
    sums = found.sums[name]
    low, high = sums.minimum, sums.maximum
    step = max(1, -(-low.size // MOST_CHANNELS))
    starts = np.arange(0, low.size, step)
    bottoms, tops = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    axes.bar(starts, tops - bottoms, width=0.9 * step, bottom=bottoms, color="#7f9c6b")
    least, most = (np.broadcast_to(item, low.shape) for item in _limits(found, name))
    for limits in (least, most):
        axes.step(np.arange(low.size), limits, color="#c0392b", linestyle="--", where="mid")
    axes.set_title("range of each channel; dashed: the range kept", fontsize=10)
    axes.set_xlabel("channel")
    axes.set_ylabel("value")
    return figure
