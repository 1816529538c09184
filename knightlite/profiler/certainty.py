"""How sure a predicted time is: the error bar that boards leave, and what it does not cover.

The clock was held against published latencies of one board (:class:`~knightlite.chip.Evidence`,
docs/clock.md). What differs from those networks (another chip, another schedule, an operator that
none of them has, a figure that was assumed) is predicted by the same rules and called extrapolated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from knightlite.chip import FITTED_FACTS, Evidence

SHOWN = 3  # operators that a sentence names


@dataclass(frozen=True, slots=True)
class Certainty:
    """``percent``: half the width of the bar; ``networks`` and ``board``: what it rests on.

    ``extrapolated``: why the bar may not hold, a few words each; empty where it does.
    """

    percent: int
    networks: int
    board: str
    extrapolated: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """As in "\u00b1 25 %, from 7 networks on one board", with what it does not cover."""
        several = "s" if self.networks != 1 else ""
        bar = f"\u00b1 {self.percent} %, from {self.networks} network{several} on one board"
        if not self.extrapolated:
            return bar
        return f"{bar}, extrapolated: {'; '.join(self.extrapolated)}"


UNKNOWN = "no board of any chip was measured"


def certainty(
    evidence: tuple[Evidence, bool] | None,
    chip_name: str,
    level: int,
    operators: Iterable[str],
    assumed: Iterable[str] = (),
    skips_zeros: bool = False,
) -> Certainty | None:
    """What is known of a time; None without any evidence.

    ``evidence``: and whether it is of the chip itself, or of the one whose figures it has;
    ``operators``: of the network's layers, those of a chain joined by +; ``assumed``: facts;
    ``skips_zeros``: blocks of zero weights are left out.
    """
    if evidence is None:
        return None
    held, of_this_chip = evidence
    reasons = []
    if not of_this_chip:
        reasons.append(f"{chip_name} itself was never measured")
    if level != held.schedule_level:
        reasons.append(f"boards ran schedule level {held.schedule_level}, this is {level}")
    known = set(held.operators)
    others = dict.fromkeys(
        part for item in operators for part in item.split("+") if part not in known
    )
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        reasons.append(f"no measured network has {', '.join([*others][:SHOWN])}{more}")
    if skips_zeros:
        reasons.append("no measured program skips blocks of zeros")
    reasons += [
        f"{fact}, which is fitted to boards, is assumed: the bar no longer holds"
        if fact in FITTED_FACTS
        else f"{fact} is assumed"
        for fact in assumed
    ]
    return Certainty(held.error_percent, len(held.networks), held.board, tuple(reasons))


def rounded(value: float, percent: int | None) -> float:
    """A figure with as many digits as its bar allows: the last one is worth a fifth of it or more.

    Two digits at 5 to 50 percent; without a bar as it is.
    """
    if percent is None or value == 0:
        return value
    digits = 3 if percent < 5 else 2
    return float(f"{value:.{digits - 1}e}")
