"""What limits a program: the part of the machine that saves most where there is more of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from knightlite.profiler.profile import Profile
from knightlite.profiler.what_if import LIMITERS, WhatIf

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
BUSY = {"ddr": "DDR", "matrix": "matrix engine", "vector": "vector engine"}


@dataclass(frozen=True, slots=True)
class Limiter:
    """``part``: of ``LIMITERS``, or ORDER where none alone limits.

    ``saved``: the share of the time that it saves where it is twice as fast, or setup gone; of
    ORDER the most that a part saves. ``busy``: its share of the time where that is why it limits,
    although twice of it saves little; else None.
    """

    part: str
    saved: float
    busy: float | None = None


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


def why_busy(found: Profile, limit: Limiter) -> str:
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
            f"The {BUSY[limit.part]} limits {found.name}: {why_busy(found, limit)}. Busy: {busy}."
        )
    limits, saves = LIMITS[limit.part]
    return (
        f"{limits[0].upper()}{limits[1:]} {found.name}: {saves} {limit.saved:.0%} of the time. "
        f"Busy: {busy}."
    )


def limiter_line(found: Profile) -> str:
    """The same in few words, as in "the DDR's rate limits it: twice the rate saves 12%"."""
    limit = limiter(found)
    if limit.part == ORDER:
        return "no part alone limits it: they wait for each other"
    if limit.busy is not None:
        return f"the {BUSY[limit.part]} limits it: {why_busy(found, limit)}"
    limits, saves = LIMITS[limit.part]
    return f"{limits} it: {saves} {limit.saved:.0%}"


def limiter_json(found: Profile) -> dict[str, Any]:
    """All of it, as ``profile --json`` has it."""
    return {**asdict(limiter(found)), "sentence": limiter_sentence(found)}


def saved_share(before: float, after: float) -> float:
    """The share of ``before`` that ``after`` is less; below 0 where it is more."""
    return 1 - after / before if before else 0.0
