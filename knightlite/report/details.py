"""What the plots of a page are drawn from, as plain lists of whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knightlite.profiler import Occupancy, Profile

ENGINES = ("RDMA", "WDMA", "RCCN", "RCVT")
MOST_SPANS = 20_000  # of the timeline


@dataclass(frozen=True, slots=True)
class Details:
    """What a page shows beside the profile.

    ``memory``: each over the time of a frame; ``listing``: of every layer its number of
    instructions and the first of them as text; ``explained``: (node, pass, sentence), None
    where the model is not at hand; ``roofs``: of the chip, multiply-accumulates and bytes a second.
    """

    memory: tuple[Occupancy, ...]
    listing: Sequence[tuple[int, Sequence[str]]]
    explained: Sequence[tuple[str, str, str]] | None
    macs_per_second: float
    bytes_per_second: float


def plot_data(found: Profile, more: Details) -> dict[str, Any]:
    """All that scripts draw, without a name that is not needed twice."""
    spans, merged = timeline_spans(found)
    ops = list(dict.fromkeys(row.op for row in found.layers))
    return {
        "clockHz": found.clock_hz,
        "cycles": found.cycles,
        "layers": [row.name for row in found.layers],
        "ops": ops,
        "opOf": [ops.index(row.op) for row in found.layers],
        "layerCycles": [row.cycles for row in found.layers],
        "ownCycles": own_cycles(found),
        "macs": [row.macs for row in found.layers],
        "bytes": [row.burst_bytes for row in found.layers],
        "roofs": [more.macs_per_second, more.bytes_per_second],
        "engines": list(ENGINES),
        "timeline": spans,
        "merged": merged,
        "memory": [_memory(item) for item in more.memory],
        "listing": [[count, list(lines)] for count, lines in more.listing],
        "explained": None if more.explained is None else [list(row) for row in more.explained],
    }


def own_cycles(found: Profile) -> list[int]:
    """For every layer what the busiest of matrix engine, vector engine and DDR does for it.

    Unlike its share of the frame that knows no neighbours, which layers walked together have.
    """
    busy = [dict.fromkeys(ENGINES, 0) for _ in found.layers]
    for event in found.timeline.events:
        busy[event.layer][event.engine] += event.cycles
    return [max(own["RDMA"] + own["WDMA"], own["RCCN"], own["RCVT"]) for own in busy]


def timeline_spans(found: Profile) -> tuple[list[list[int]], int]:
    """Of every engine start, length and layer of its work, one after the other.

    Of a long program work of one layer with short gaps between becomes one span: the second value
    says how many cycles such gaps have at most.
    """
    gap = 0
    while True:
        lanes = [_lane(found, name, gap) for name in ENGINES]
        if sum(map(len, lanes)) <= 3 * MOST_SPANS or gap > found.cycles:
            return lanes, gap
        gap = max(16, 2 * gap)


def _lane(found: Profile, engine: str, gap: int) -> list[int]:
    flat: list[int] = []
    layer, start, end = -1, 0, 0
    for event in found.timeline.events:
        if event.engine != engine:
            continue
        if gap and event.layer == layer and event.start - end <= gap:
            end = event.end
            continue
        if layer >= 0:
            flat += (start, end - start, layer)
        layer, start, end = event.layer, event.start, event.end
    return flat + ([start, end - start, layer] if layer >= 0 else [])


def _memory(item: Occupancy) -> Mapping[str, Any]:
    names = list(dict.fromkeys(span.name for span in item.spans))
    places = {name: place for place, name in enumerate(names)}
    flat: list[int] = []
    for span in item.spans:
        flat += (
            span.first, span.last - span.first, span.start, span.end - span.start, span.layer,
            places[span.name],
        )  # fmt: skip
    return {
        "name": item.memory,
        "capacity": item.capacity,
        "names": names,
        "spans": flat,
        "leftOut": item.left_out,
    }
