"""What a diagnosis found, in records, and what it says of them: verdicts, remarks, commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knightlite.diagnosis.causes import LABELS, PREPROCESSING
from knightlite.diagnosis.judge import Score
from knightlite.diagnosis.preprocessing import Preprocessing
from knightlite.diagnosis.probe import Sums
from knightlite.diagnosis.remedies import HELPS_DB, Remedy
from knightlite.evaluation import Paired
from knightlite.ir import Graph
from knightlite.metrics import Difference
from knightlite.quantize.statistics import Statistics

TakeMore = Callable[[int], str]
"""Says where that many pictures come from."""

HEALTHY_DB = 25.0  # outputs that keep more lose no accuracy to speak of
PROVEN_DB = 15.0  # the same, where a metric over enough pictures shows that none is lost
PROVING = 20  # pictures
MORE = 10  # times as many pictures tell a small loss from chance
LOST_POINTS = 1.0  # of the metric
LOST_PICTURES = 3  # fewer may be chance
NO_CAUSE = "no cause found: nothing is wrong that has a name."


@dataclass(frozen=True, slots=True)
class LayerQuality:
    """What one layer keeps, in dB and as cosine; in graph order.

    ``isolated_db``: only this layer quantized, on float inputs; ``accumulated_db`` and ``cosine``:
    in the whole quantized network, the cosine from -1 to 1; ``weights_db``: the part of its weights
    (None where it has none); ``rounding_db`` and ``clipping_db``: of its output's rounding and of
    what lies beyond its range; ``middle_channel_db``: the middle channel's own.
    """

    name: str
    op: str
    type: str
    isolated_db: float
    accumulated_db: float
    cosine: float
    weights_db: float | None
    rounding_db: float
    clipping_db: float
    middle_channel_db: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause at a place, what it costs, and the remedies tried against it, the best first.

    ``cost_db``: what the outputs win where this place alone is not quantized (None where that is
    no question: the preprocessing). ``layer``: the tensor; ``node``: what makes it.
    """

    cause: str
    layer: str
    node: str
    sentence: str
    cost_db: float | None
    remedies: tuple[Remedy, ...]
    advice: str
    facts: Mapping[str, Any]


def more_tell(pictures: int) -> str:
    """For callers that do not know where more pictures come from."""
    return f"about {pictures} pictures may tell"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found. ``healthy``: nothing is wrong that has a name.

    ``against``: the quantized network's answers beside the float one's, where they are a top-1.
    ``rare``: sentences on what few pictures excite, where the ranges serve as they are.
    ``measured``: the data's own measure of both, where they have one; the metrics are its totals.
    ``take_more``: what to do for so many pictures, as a clause. ``again``: the words of the command
    that quantizes over these data; none where there is no such command.
    """

    layers: tuple[LayerQuality, ...]
    findings: tuple[Finding, ...]
    score: Score
    float_metric: float | None
    pictures: int
    preprocessing: Preprocessing
    statistics: Mapping[str, Statistics] = field(repr=False)
    sums: Mapping[str, Sums] = field(repr=False)
    quantized: Graph = field(repr=False)
    against: Paired | None = None
    take_more: TakeMore = more_tell
    again: tuple[str, ...] = ()
    measured: Difference | None = None
    rare: tuple[str, ...] = ()

    def command(self, item: Finding) -> str:
        """What to type for the best remedy of a finding; "" where there is nothing to type.

        Beside a preprocessing, or labels, called wrong there is not: the command would repeat it.
        """
        best = item.remedies[0] if item.remedies else None
        if self.blames_data:
            return ""
        if best is None or not best.words or not self.again or best.gain_db < HELPS_DB:
            return ""
        if not best.mix:
            return shlex.join([*self.again, *best.words])
        written = shlex.join(["echo", best.mix])
        return f"{written} > mix.json && {shlex.join([*self.again, *best.words, 'mix.json'])}"

    @property
    def blames_data(self) -> bool:
        """True where the preprocessing, or the labels, are called wrong."""
        return any(one.cause in (LABELS, PREPROCESSING) for one in self.findings)

    @property
    def healthy(self) -> bool:
        """True where there is no finding."""
        return not self.findings

    @property
    def drop(self) -> dict[str, float | None] | None:
        """What the quantized network's metric is behind, with its 95 % interval.

        In points (percent of pictures) for a top-1, in the metric's own unit for a measure of the
        data; None where nothing is known but the two metrics.
        """
        if self.measured is not None:
            item = self.measured
            return {"drop": item.drop, "low": item.low, "high": item.high}
        if self.against is not None:
            low, high = self.against.interval
            return {"drop": self.against.drop, "low": low, "high": high}
        return None

    @property
    def difference(self) -> str | None:
        """The same in words, what is won being positive; None without two metrics."""
        if self.measured is not None:
            return self.measured.gain
        if self.against is not None:
            return self.against.gain
        if self.score.metric is None or self.float_metric is None:
            return None
        change = self.score.metric - self.float_metric
        return f"{change:+.4f} over {self.pictures} pictures: no interval, as it is no top-1"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said beside the findings: that there are none, and what was not judged."""
        unjudged, doubt = self.preprocessing.unjudged, self.preprocessing.doubt
        found = []
        if self.findings:
            if self.score.sqnr_db is not None:
                told = metric_told(
                    self.float_metric, self.score.metric, self.measured or self.against
                )
                found.append(f"the outputs keep {self.score.sqnr_db:.2f} dB; {told}.")
        else:
            lost = share_lost(self.score, self.float_metric)
            count = round(lost * self.pictures)
            if lost > 0:
                compared = self.measured or self.against
                told = (
                    f", but the metric falls by {lost * 100:.2f} points, {count} of "
                    f"{self.pictures} pictures: that may be chance"
                    if compared is None
                    else f"; the metric stays, as its interval holds 0 ({compared.gain})"
                    if compared.stays
                    else f", but the metric falls ({compared.gain})"
                )
                found.append(f"no cause found{told}; {self._more(None)}.")
            elif self.rare:
                found.append("no cause found that another range mends; what stands out follows.")
            elif unjudged is not None or doubt is not None:
                found.append("no cause found in the layers.")
            else:
                found.append(NO_CAUSE)
        found += self.rare
        if doubt is not None:
            found.append(f"{doubt}: {self._more(self.preprocessing.enough)}.")
        if unjudged is not None:
            more = self.preprocessing.enough
            told = "" if more is None else f"; {self._more(more)}"
            found.append(f"the preprocessing was not judged: {unjudged}{told}.")
        return tuple(found)

    def _more(self, pictures: int | None) -> str:
        """The next step where pictures are too few: ``pictures`` would do, else ten times these."""
        return self.take_more(pictures or MORE * self.pictures)


def metric_told(
    float_metric: float | None, metric: float | None, compared: Paired | Difference | None
) -> str:
    """What a metric says beside the decibels that are lost, as a clause.

    ``compared``: the two beside one another, picture by picture, where that is known.
    """
    if float_metric is None or metric is None:
        return "no metric says what answers that costs"
    if metric >= float_metric:
        return "the metric does not fall"
    if compared is not None and compared.stays:
        return "the metric stays: its interval holds 0"
    return "the metric falls: accuracy is lost"


def is_lossy(score: Score, float_metric: float | None, pictures: int) -> bool:
    """True where the outputs, or the metric, say that accuracy is lost.

    A metric over enough pictures that lost nothing outweighs decibels that are merely low.
    """
    if score.sqnr_db is None:
        return False
    if score.metric is None or float_metric is None or pictures < PROVING:
        return score.sqnr_db < HEALTHY_DB
    lost = share_lost(score, float_metric)
    missed = lost * 100 >= LOST_POINTS and lost * pictures >= LOST_PICTURES - 0.5
    return missed or score.sqnr_db < PROVEN_DB


def share_lost(score: Score, float_metric: float | None) -> float:
    """The share of the metric that is lost, below 0 where it is won; metrics are shares or percent.

    0 where there is none.
    """
    if score.metric is None or float_metric is None:
        return 0.0
    return (float_metric - score.metric) / (1.0 if max(score.metric, float_metric) <= 1 else 100.0)
