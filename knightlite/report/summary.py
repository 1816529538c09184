"""The first part of a report: what limits a network, which layers take its time, what helps."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.profiler import Profile
from knightlite.profiler.limiter import limiter_line
from knightlite.report.advice import Tried

WIDTH = 60  # columns of the lines
TOP = 5  # layers
LEAST_NAME = 12  # columns that a layer's name keeps
AGAIN = "constants_again"
NOTHING_FASTER = "nothing that was tried makes it faster"
MOVED = {  # the other causes of bytes, in short
    "constants": "weights, parameters and tables",
    "ends": "inputs and outputs",
    "features": "features between layers",
    "padding": "burst padding",
}


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the time of one frame."""

    name: str
    cycles: int
    share: float
    layers: int


def rates_sentence(found: Profile) -> str:
    """The rates that the time rests on, as in "At 500 MHz and 12.8 GB/s of DDR, ..."."""
    return (
        f"At {found.clock_hz / 1e6:g} MHz and {found.ddr_bytes_per_second / 1e9:.4g} GB/s of DDR, "
        f"of which transfers are taken to reach {found.ddr_efficiency_percent} %."
    )


def moved_sentence(found: Profile) -> str:
    """What the DDR moves for a frame, the largest cause first; constants loaded again always."""
    total = sum(found.ddr_causes.values())
    if not total:
        return "The DDR moves nothing."
    shares = [
        f"{found.ddr_causes[cause] / total:.1%} {words}"
        for cause, words in sorted(MOVED.items(), key=lambda item: -found.ddr_causes[item[0]])
        if found.ddr_causes[cause]
    ]
    again = found.ddr_causes[AGAIN]
    told = "nothing a second time"
    if again:
        told = f"{again / 1e6:.1f} MB ({again / total:.1%}) a second time, because the scratchpads "
        told += "did not keep it"
    return f"It moves {total / 1e6:.1f} MB of DDR: {', '.join(shares)}; {told}."


def by_operator(found: Profile) -> tuple[Share, ...]:
    """Shares of layers with the same operators, the largest first; together all of the time."""
    sums: dict[str, list[int]] = {}
    for row in found.layers:
        entry = sums.setdefault(row.op, [0, 0])
        entry[0] += row.cycles
        entry[1] += 1
    total = max(1, found.cycles)
    shares = (Share(op, cycles, cycles / total, count) for op, (cycles, count) in sums.items())
    return tuple(sorted(shares, key=lambda item: (-item.cycles, item.name)))


def shortened(name: str, room: int) -> str:
    """A name without its middle: both ends of layers' names tell them apart."""
    if len(name) <= room:
        return name
    start = (room - 1) // 2
    return f"{name[:start]}\u2026{name[len(name) - (room - 1 - start) :]}"


def summary_lines(found: Profile, tried: Tried, width: int = WIDTH) -> list[str]:
    """At most ten lines of at most ``width`` columns: limiter, layers, advice, what it lacks."""
    lines = [limiter_line(found)]
    total = max(1, found.cycles)
    rows = sorted(found.layers, key=lambda row: -row.cycles)[:TOP]
    for row in rows:
        share, op = f"{row.cycles / total:7.1%}", row.op
        room = width - len(share) - 4
        op = shortened(op, max(LEAST_NAME, room - LEAST_NAME - len(row.name)))
        op = shortened(op, min(len(op), room // 2))
        lines.append(f"{share}  {shortened(row.name, room - len(op))}  {op}".rstrip())
    lines += [shortened(f"{-item.saved:+7.1%}  {item.short}", width) for item in tried.chosen]
    if not tried.chosen:
        lines.append(NOTHING_FASTER)
    return [*lines, shortened(tried.short, width)] if tried.short else lines
