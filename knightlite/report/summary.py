"""The first part of a report: what limits a network, which layers take its time, what helps."""

from __future__ import annotations

from dataclasses import dataclass

from knightlite.profiler import LIMITERS, Profile, WhatIf
from knightlite.report.advice import Tried, saved_share

WIDTH = 60  # columns of the lines
TOP = 5  # layers
LEAST_NAME = 12  # columns that a layer's name keeps
LITTLE = 0.03  # of the time: what twice as fast a part saves where it limits nothing
NEAR = 1.1  # cycles by their bound, up to which the part that the bound is of limits
BUSY_ENOUGH = 0.75  # of the time: a part that is idle less waits for no other
FILLED = 0.5  # of the matrix engine's lanes while it works: below, it is told

# what a part is called that limits, and what "faster" is of it
LIMITS = {
    "ddr": ("the DDR's rate limits", "twice the rate saves"),
    "matrix": ("multipliers limit", "twice as many save"),
    "vector": ("vector lanes and banks limit", "twice as many save"),
    "setup": ("setup of instructions limits", "without it saves"),
}
ORDER = "order"
AGAIN = "constants_again"
MOVED = {  # the other causes of bytes, in short
    "constants": "weights, parameters and tables",
    "ends": "inputs and outputs",
    "features": "features between layers",
    "padding": "burst padding",
}
BUSY = {"ddr": "DDR", "matrix": "matrix engine", "vector": "vector engine"}


@dataclass(frozen=True, slots=True)
class Limiter:
    """``part``: of ``profiler.LIMITERS``, or ORDER where none alone limits.

    ``saved``: the share of the time that it saves where it is twice as fast, or setup gone; of
    ORDER the most that a part saves. ``busy``: its share of the time where that is why it limits,
    although twice of it saves little; else None.
    """

    part: str
    saved: float
    busy: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the time of one frame."""

    name: str
    cycles: int
    share: float
    layers: int


def limiter(found: Profile) -> Limiter:
    """What limits a program: the part of the machine that saves most where it is faster.

    Where the program is near its lower bound and no part saves more than lies between, it is the
    part that the bound is of; where none saves much, the one that is busy nearly all of the time.
    """
    saves = {item.part: _saved(found, item) for item in found.what_ifs if item.part in LIMITERS}
    best = max(saves, key=lambda part: (saves[part], -LIMITERS.index(part)))
    bound, ratio = _bound_part(found), found.certificate.ratio
    busy = busy_shares(found)
    if bound and ratio is not None and ratio <= NEAR and saves[best] <= max(LITTLE, 1 - 1 / ratio):
        best = bound
    elif saves[best] < LITTLE:
        most = max(busy, key=busy.__getitem__)
        best = most if busy[most] >= BUSY_ENOUGH else ORDER
    if best == ORDER:
        return Limiter(best, max(saves.values()))
    return Limiter(best, saves[best], None if saves[best] >= LITTLE else busy[best])


def _bound_part(found: Profile) -> str:
    """The part that the lower bound is of; "" where there is none, or two share it."""
    bound = found.certificate.bound
    if bound is None or not bound.cycles:
        return ""
    if bound.weight_cycles == bound.cycles:
        return "" if bound.layer else "matrix"
    return "ddr" if bound.ddr_cycles == bound.cycles else "vector"


def filled_share(found: Profile) -> float:
    """Of the matrix engine's lanes those that are filled while it works, over the whole program."""
    busy = busy_shares(found)["matrix"]
    return min(1.0, found.mac_utilization / busy) if busy else 1.0


def _why_busy(found: Profile, limit: Limiter) -> str:
    """As in "busy 97%, 25% of lanes filled": of a part of which more alone saves little."""
    told = f"busy {limit.busy:.0%}"
    filled = filled_share(found)
    if limit.part == "matrix" and filled < FILLED:
        told += f", {filled:.0%} of lanes filled"
    return told


def _saved(found: Profile, item: WhatIf) -> float:
    return saved_share(found.time_ms, item.time_ms)


def busy_shares(found: Profile) -> dict[str, float]:
    """How busy the DDR and the two engines are, as shares of the time."""
    cycles = max(1, found.cycles)
    return {
        "ddr": found.ddr_utilization,
        "matrix": found.busy_cycles["RCCN"] / cycles,
        "vector": found.busy_cycles["RCVT"] / cycles,
    }


def limiter_sentence(found: Profile) -> str:
    """As in "The DDR's rate limits net: twice the rate saves 12 % of the time. ..."."""
    limit = limiter(found)
    busy = ", ".join(
        f"{BUSY[part]} {share:.0%}"
        for part, share in sorted(busy_shares(found).items(), key=lambda item: -item[1])
    )
    if limit.part == ORDER:
        return f"No part alone limits {found.name}: they wait for each other. Busy: {busy}."
    if limit.busy is not None:
        return (
            f"The {BUSY[limit.part]} limits {found.name}: {_why_busy(found, limit)}. Busy: {busy}."
        )
    limits, saves = LIMITS[limit.part]
    return (
        f"{limits[0].upper()}{limits[1:]} {found.name}: {saves} {limit.saved:.0%} of the time. "
        f"Busy: {busy}."
    )


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
    told = f"{again / 1e6:.1f} MB ({again / total:.1%})" if again else "nothing"
    return (
        f"It moves {total / 1e6:.1f} MB of DDR: {', '.join(shares)}; {told} a second time, because "
        "the scratchpads did not keep it."
    )


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
    limit = limiter(found)
    lines = ["no part alone limits it: they wait for each other"]
    if limit.busy is not None:
        lines = [f"the {BUSY[limit.part]} limits it: {_why_busy(found, limit)}"]
    elif limit.part != ORDER:
        limits, saves = LIMITS[limit.part]
        lines = [f"{limits} it: {saves} {limit.saved:.0%}"]
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
        lines.append("nothing that was tried makes it faster")
    return [*lines, shortened(tried.short, width)] if tried.short else lines
