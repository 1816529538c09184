"""What would make a network faster, each with what it saves; how to see it is part of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from knightlite.profiler import Profile
from knightlite.profiler.limiter import saved_share

SHOWN = 3
WORTH = 0.01  # of the time: what saves less is no advice

ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that would make it faster.

    ``kind``: "assumed" where the same program was clocked again, else what differs in the program
    that was compiled for it ("level", "width", "size", "chip"); ``sentence``: what to do;
    ``short``: the same in few words; ``commands``: that show it; ``time_ms``: of a frame then;
    ``saved``: the share of today's time that this is less.
    """

    kind: str
    sentence: str
    short: str
    commands: tuple[str, ...]
    time_ms: float
    saved: float


@dataclass(frozen=True, slots=True)
class Point:
    """A program that was compiled to see what it saves; ``time_ms`` None: ``why`` there is none."""

    kind: str
    sentence: str
    short: str
    commands: tuple[str, ...]
    time_ms: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was found out for the advice.

    ``chosen``: the three that are shown first; ``assumed``: all what-ifs; ``points``: programs
    that were compiled; ``remarks``: why some were not, a sentence each, ``short`` in few words.
    """

    chosen: Sequence[Advice]
    assumed: Sequence[Advice]
    points: Sequence[Point] = ()
    remarks: Sequence[str] = ()
    short: str = ""

    @property
    def known(self) -> int:
        """How many other programs were compiled and clocked."""
        return sum(point.time_ms is not None for point in self.points)


APART = "what-if"  # where the profile of a chip that is not goes


def assumed_advice(found: Profile, command: str) -> tuple[Advice, ...]:
    """Of the same program where one part of the machine is faster; the best first.

    ``command``: the words that profile it; what it assumes already is added, and a folder of its
    own, so that the files of this profile stay.
    """
    made = []
    known = {item.fact: item.value for item in found.assumed}
    for item in found.what_ifs:
        facts = known | dict(item.facts)
        words = " ".join(f"--set {fact}={value}" for fact, value in facts.items())
        made.append(
            Advice(
                ASSUMED,
                f"A chip with {item.title}, and the same program",
                item.title,
                (f"{command} {words} --outpath {APART}",),
                item.time_ms,
                saved_share(found.time_ms, item.time_ms),
            )
        )
    return _best_first(made)


def compiled_advice(found: Profile, points: Iterable[Point]) -> tuple[Advice, ...]:
    """Of programs that were compiled; the best first."""
    return _best_first(
        Advice(
            item.kind, item.sentence, item.short, item.commands, item.time_ms,
            saved_share(found.time_ms, item.time_ms),
        )
        for item in points
        if item.time_ms is not None
    )  # fmt: skip


def _best_first(advice: Iterable[Advice]) -> tuple[Advice, ...]:
    return tuple(sorted(advice, key=lambda item: -item.saved))


def chosen(assumed: Sequence[Advice], compiled: Sequence[Advice]) -> tuple[Advice, ...]:
    """The three that are shown first: of what was compiled the best of each kind, then what-ifs.

    What the user can do stands before what only another chip has; among both the best is first.
    """
    kinds: dict[str, Advice] = {}
    for item in compiled:
        if item.saved >= WORTH:
            kinds.setdefault(item.kind, item)
    taken = [*kinds.values()][:SHOWN]
    taken += [item for item in assumed if item.saved >= WORTH][: SHOWN - len(taken)]
    return _best_first(taken)


def advice_json(tried: Tried) -> dict[str, Any]:
    """What is shown first, every program that was compiled, and why others were not."""
    return {
        "chosen": [asdict(item) for item in tried.chosen],
        "compiled": [asdict(item) for item in tried.points],
        "remarks": list(tried.remarks),
    }
