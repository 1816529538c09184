"""The file of an exploration: every point with what it was computed from, in one order.

A point that the file holds is not computed again where its model, its chip's facts, its level, its
width and the version of the program are the same: so a run that was stopped goes on, and the same
question gives the same bytes, however often it was stopped and however many processes worked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from knightlite.errors import UsageError
from knightlite.json_records import AtLeast, Hexadecimal, canonical_json, decode, key, to_json
from knightlite.limits import TEXT_BYTES
from knightlite.reading import read_bytes

Count = Annotated[int, AtLeast(0)]
Digest = Annotated[str, Hexadecimal(64)]
Width = Literal[8, 16]
Level = Literal[0, 1, 2]
WIDTHS: Mapping[int, Width] = {8: 8, 16: 16}
LEVELS: Mapping[int, Level] = {0: 0, 1: 1, 2: 2}
NO_BAR, BRACKETS = "none", "({})"  # in a column of bars
SCHEMA: Literal["knightlite.explore/1"] = "knightlite.explore/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """What a network keeps in one width: of the output that keeps least."""

    bits: Width = key("of tensors and weights")
    data: Digest = key("of what was asked of the data and of the files that calibrated")
    sqnr_db: float | None = key("of that output; absent where nothing is lost", default=None)
    output: str | None = key("its name", default=None)
    pictures: Count | None = key("over which it was measured", default=None)
    refused: str | None = key("why there is none", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A model that was asked for."""

    file: str = key("as it was named")
    sha256: Digest | None = key("of the file; absent where it cannot be read", default=None)
    macs: Count | None = key("of one picture, on the chip", default=None)
    accuracy: tuple[Accuracy, ...] = key("by width, where there were pictures", default=())
    refused: str | None = key("why no chip runs it, or it is not read", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A chip that was asked for, and what it costs."""

    name: str = key("chip name or chip file")
    facts: Mapping[str, int] = key("figures that were asked for; they may be the chip's own")
    digest: Digest | None = key("of all its facts; absent where they make no chip", default=None)
    on_chip_bytes: Count = key("of all its scratchpads", default=0)
    macs_per_cycle: Count = key("8-bit multiply-accumulates of the matrix engine", default=0)
    refused: str | None = key("why it is no chip", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """What a point takes."""

    cycles: Count = key("of one picture")
    latency_ms: float = key("the same in time, predicted")
    error_percent: Count | None = key("half the width of its bar, if it has one", default=None)
    extrapolated: tuple[str, ...] = key("why there is no bar, or why it may not hold", default=())
    moved_bytes: Count = key("through DDR for one picture, in bursts")
    ddr_bytes: Count = key("of DDR that the network needs, constants included")

    @property
    def longest_ms(self) -> float | None:
        """The latency with its bar against it; None where nothing bounds it."""
        if self.error_percent is None:
            return None
        return self.latency_ms * (1 + self.error_percent / 100)

    @property
    def rounded_text(self) -> str:
        """The latency in ms, with as many digits as its bar allows."""
        return self._rounded(self.latency_ms)

    @property
    def words(self) -> str:
        """As in "6.9 ms \u00b1 25 %, extrapolated"."""
        from knightlite.profiler import bar_words

        bar = bar_words(self.error_percent, bool(self.extrapolated))
        return f"{self.rounded_text} ms {bar}"

    @property
    def longest_text(self) -> str | None:
        """That in ms, with its bar against it; None where nothing bounds it."""
        return None if self.longest_ms is None else self._rounded(self.longest_ms)

    @property
    def bar_text(self) -> str:
        """Of the bar in a table: percent, in brackets where they may not hold, or none."""
        if self.error_percent is None:
            return NO_BAR
        percent = str(self.error_percent)
        return BRACKETS.format(percent) if self.extrapolated else percent

    def _rounded(self, milliseconds: float) -> str:
        from knightlite.profiler import plain, rounded

        return plain(rounded(milliseconds, self.error_percent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One network on one chip. ``model``, ``chip``: their places among the file's."""

    model: Count = key("its place among `models`")
    chip: Count = key("its place among `chips`")
    level: Level = key("of the schedule")
    bits: Width | None = key("absent for a quantized model, which has its own", default=None)
    time: Time | None = key("absent where it does not run", default=None)
    refused: str | None = key("why it does not", default=None)
    best: bool = key("no point of its model is better in one thing and worse in none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exploration:
    """All points, of all models on all chips at all levels in all widths, in that order."""

    schema: Literal["knightlite.explore/1"] = key("of this file")
    version: str = key("of knightlite")
    finished: bool = key("whether every point was computed")
    models: tuple[Network, ...] = key("in the order in which they were named")
    chips: tuple[Size, ...] = key("in the order in which they were named")
    points: tuple[Point, ...] = key("those that are known")

    @property
    def runs(self) -> bool:
        """Whether any model runs on any chip."""
        return any(point.time is not None for point in self.points)

    def misfits(self) -> tuple[tuple[str, str, str], ...]:
        """Points of models or chips that are not there."""
        return tuple(
            (f"points[{place}].{what}", f"below {limit}", str(number))
            for place, point in enumerate(self.points)
            for what, number, limit in (
                ("model", point.model, len(self.models)),
                ("chip", point.chip, len(self.chips)),
            )
            if number >= limit
        )


def read(path: Path) -> Exploration | None:
    """What a file holds; None where there is none. UsageError for a file that is another's."""
    if not path.exists():
        return None
    hint = "name another file with -o, or delete this one: every point is computed anew then"
    try:
        data = read_bytes(path, TEXT_BYTES)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint) from error
    if f'"schema":"{SCHEMA}"'.encode() not in data:
        raise UsageError(f"{path} is not a file of explore: it is not written over.", hint)
    return decode(Exploration, data.removesuffix(b"\n"), str(path), hint)


def text(found: Exploration) -> bytes:
    """The file's bytes: the same for the same points."""
    return canonical_json(to_json(found)) + b"\n"
