"""How sure a predicted time is: the error bar that boards leave, and what it does not cover.

The clock was held against published latencies of one board (:class:`~knightlite.chip.Evidence`,
docs/clock.md). What differs from those networks (another chip, another schedule, an operator that
none of them has, a figure that was assumed) is predicted by the same rules and called extrapolated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from knightlite.chip import FITTED_FACTS, Held

SHOWN = 3  # operators or facts that a sentence names


@dataclass(frozen=True, slots=True)
class Certainty:
    """``percent``: half the width of the bar; ``networks`` and ``board``: what it rests on.

    None: the machine is not one that was fitted to boards, and there is no bar. ``extrapolated``:
    why, or why the bar may not hold, a few words each; empty where it does.
    """

    percent: int | None
    networks: int
    board: str
    extrapolated: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """As in "\u00b1 25 %, from 7 networks on one board", with what it does not cover."""
        if self.percent is None:
            return f"{bar_words(None)}: {'; '.join(self.extrapolated)}"
        several = "s" if self.networks != 1 else ""
        bar = f"{bar_words(self.percent)}, from {self.networks} network{several} on one board"
        if not self.extrapolated:
            return bar
        return f"{bar}, extrapolated: {'; '.join(self.extrapolated)}"


UNKNOWN = "no board of any chip was measured"


def bar_words(percent: int | None, extrapolated: bool = False) -> str:
    """What stands behind a time, in the fewest words; ``percent`` None: nothing bounds it."""
    if percent is None:
        return "without a bar"
    return f"\u00b1 {percent} %{', extrapolated' if extrapolated else ''}"


def certainty_sentence(sure: Certainty | None) -> str:
    """What stands behind a time, with its reasons."""
    return UNKNOWN if sure is None else sure.sentence


def certainty(
    evidence: Held | None,
    chip_name: str,
    level: int,
    operators: Iterable[str],
    assumed: Sequence[str] = (),
    skips_zeros: bool = False,
) -> Certainty | None:
    """What is known of a time; None without any evidence.

    ``operators``: of the network's layers, those of a chain joined by +; ``assumed``: facts that
    are not the chip's; ``skips_zeros``: blocks of zero weights are left out.
    """
    if evidence is None:
        return None
    held = evidence.evidence
    refitted = [fact for fact in assumed if fact in FITTED_FACTS]
    reasons = [f"{fact}, which is fitted to boards, is assumed" for fact in refitted]
    if own := [fact for fact in evidence.own_facts if fact not in refitted]:
        which, are = ("which are", "are") if len(own) > 1 else ("which is", "is")
        reasons.append(f"{_listed(own)}, {which} fitted to boards, {are} {chip_name}'s own")
    bar = None if reasons else held.error_percent
    if not evidence.of_this_chip:
        reasons.append(f"{chip_name} itself was never measured")
    if level != held.schedule_level:
        reasons.append(f"boards ran schedule level {held.schedule_level}, this is {level}")
    known = set(held.operators)
    others = dict.fromkeys(
        part for item in operators for part in item.split("+") if part not in known
    )
    if others:
        reasons.append(f"no measured network has {_listed([*others])}")
    if skips_zeros:
        reasons.append("no measured program skips blocks of zeros")
    reasons += [f"{fact} is assumed" for fact in assumed if fact not in refitted]
    return Certainty(bar, len(held.networks), held.board, tuple(reasons))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def rounded(value: float, percent: int | None) -> float:
    """A figure with as many digits as its bar allows: the last one is worth a fifth of it or more.

    Two digits at 5 to 50 percent; without a bar no more.
    """
    digits = 3 if percent is not None and percent < 5 else 2
    return float(f"{value:.{digits - 1}e}")


def plain(value: float) -> str:
    """A time or a rate, to six digits: never as a power of ten."""
    return format(Decimal(f"{value:g}"), "f")
