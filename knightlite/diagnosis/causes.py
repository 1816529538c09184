"""Suspects among the feature tensors: ranges that do not fit, loud channels, loud group members.

A suspect is a place and a cause whose measured error could be smaller in a way that has a name.
Whether it matters is for :mod:`knightlite.diagnosis.run` to measure, at the network's outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.diagnosis.probe import Sums
from knightlite.dtypes import DType
from knightlite.ir import Graph
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import Group, felt_interval, scale_groups
from knightlite.quantize.ranges import (
    METHODS,
    Density,
    clip,
    clipped_share,
    mix,
    row_densities,
    squared_error,
)
from knightlite.quantize.statistics import Statistics

Float64 = NDArray[np.float64]

CLIPPED = "range clipped"
TOO_WIDE = "range too wide"
OUTLIER_CHANNEL = "outlier channel"
SPREAD = "channel spread"
GROUP = "group scale"
WEIGHT_OUTLIER = "weight outlier"
RARE = "rare strong activations"
RAISED = "raised channels"
WEIGHT_SCALE = "weight scale"
FEW_BITS = "8 bits are few"
PREPROCESSING = "wrong preprocessing"
LABELS = "wrong labels"
DATA_RANGE = "other data than calibration"

GAP_DB = 3.0  # twice the error of the best range for the same data
LOUD = 4.0  # one channel beside the rest, or one group member beside another
SPREAD_RATIO = 16.0  # loudest against middle channel: the middle one has 4 of 8 bits left
QUIET_DB = 30.0  # what keeps more is not hurt: 8 bits over a whole range keep about 40
MEMBER_DB = 10.0  # what a group member loses against a scale of its own
LOUD_CHANNELS = 0.05  # at most this share of the channels is "a few"
FOREIGN_SHARE = 0.05  # of an input's values beyond its range: not the data of calibration
DEADBAND_DB = 120.0  # of what has no error


@dataclass(frozen=True, slots=True)
class Suspect:
    """A cause by name at a place.

    ``layer``: the tensor, or for causes in weights the node's output; ``tensors`` and ``weights``:
    what would be left in float to see what the place costs by itself (feature tensors; outputs of
    nodes whose weights are meant: not what these read, whose errors are another place's).
    ``badness``: what the place keeps in dB, for the order in which suspects are tried. ``facts``:
    the numbers of the sentence.
    """

    cause: str
    layer: str
    sentence: str
    tensors: tuple[str, ...]
    weights: tuple[str, ...]
    badness: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    certain: bool = False


CALIBRATED = (CLIPPED, TOO_WIDE, GROUP, RARE)
"""Causes in ranges, which calibration over other data chooses anew."""


def beside_foreign_data(suspects: Sequence[Suspect]) -> list[Suspect]:
    """The suspects without those that only say again that the data are not those of calibration.

    Where they are surely others, no range behind the input is theirs either.
    """
    if not any(item.certain and item.cause == DATA_RANGE for item in suspects):
        return list(suspects)
    return [item for item in suspects if item.certain or item.cause not in CALIBRATED]


def ratio_db(energy: float, error: float) -> float:
    """10 log10(energy / error), at most DEADBAND_DB."""
    if error <= 0:
        return DEADBAND_DB
    if energy <= 0:
        return 0.0
    return min(DEADBAND_DB, float(10 * np.log10(energy / error)))


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """One tensor's own error in dB, as it is and with the best range of the same type."""

    rows: list[Density]
    at_db: float
    best_db: float
    scale: float  # the largest, where there is one per channel
    best_scale: float
    clipped: float

    @property
    def gap_db(self) -> float:
        return self.best_db - self.at_db


def fit(rows: Sequence[Density], scale: NDArray[Any], dtype: DType) -> _Fit:
    """How a scale, () or one per row, fits densities. 16 bits: against the extremes."""
    if not scale.ndim and len(rows) > 1:
        rows = [mix(rows, [1.0] * len(rows))]
    method = METHODS["min_max"] if dtype.bits > 8 else METHODS["mse"]
    best = np.asarray(method(rows, dtype), np.float64)
    best = np.where(best > 0, best, 1.0)
    scales = np.broadcast_to(scale.astype(np.float64), (len(rows),))
    energy = sum(row.energy for row in rows)
    pairs = list(zip(rows, scales.tolist(), strict=True))
    return _Fit(
        list(rows),
        ratio_db(energy, sum(squared_error(row, item, dtype) for row, item in pairs)),
        ratio_db(
            energy,
            sum(squared_error(r, s, dtype) for r, s in zip(rows, best.tolist(), strict=True)),
        ),
        float(scales.max()),
        float(best.max()),
        sum(clipped_share(row, item, dtype) for row, item in pairs) / len(rows),
    )


def tensor_suspects(
    graph: Graph,
    quantized: Graph,
    statistics: Mapping[str, Statistics],
    sums: Mapping[str, Sums],
) -> list[Suspect]:
    """All suspects among the feature tensors, group by group, in graph order."""
    found: list[Suspect] = []
    producers = graph.producers()
    for group in scale_groups(graph):
        made = [producers[name] for name in group.members if name in producers]
        if any(BY_NAME[node.op].fixed_output is not None for node in made):
            continue
        fits = {
            name: fit(
                _rows(graph, statistics, name), _scale(quantized, name), _type(quantized, name)
            )
            for name in _sources(graph, group)
        }
        suspect = _torn_group(quantized, group)
        suspect = suspect or _range_suspect(graph, quantized, group, fits)
        if suspect is None and len(fits) > 1:
            suspect = _group_suspect(quantized, group, fits)
            loud = None if suspect is None else suspect.layer
            if suspect is not None and loud is not None:
                why = _channel_suspect(graph, quantized, group, loud, sums[loud], fits[loud])
                if why is not None:
                    facts = {**why.facts, **suspect.facts, "channel_ratio": why.facts["ratio"]}
                    text = f"{suspect.sentence}; {why.sentence}"
                    suspect = replace(suspect, sentence=text, facts=facts)
        if suspect is not None:
            found.append(suspect)
            continue
        found += [
            suspect
            for name in fits
            for suspect in [_channel_suspect(graph, quantized, group, name, sums[name], fits[name])]
            if suspect is not None
        ]
    return found


def _rows(graph: Graph, statistics: Mapping[str, Statistics], name: str) -> list[Density]:
    seen = statistics[name]
    felt = felt_interval(graph, name)
    return [clip(row, *felt) for row in row_densities(seen)]


def _scale(quantized: Graph, name: str) -> NDArray[Any]:
    scale = quantized.tensors[name].scale
    assert scale is not None
    return scale


def _type(quantized: Graph, name: str) -> DType:
    return quantized.tensors[name].dtype


def _sources(graph: Graph, group: Group) -> list[str]:
    """The members whose values are not merely another member's at another place."""
    moved = {node.output for node in graph.nodes if BY_NAME[node.op].rearranges}
    return [name for name in group.members if name not in moved]


# ------------------------------------------------------------------ ranges


def _range_suspect(
    graph: Graph, quantized: Graph, group: Group, fits: Mapping[str, _Fit]
) -> Suspect | None:
    """The scale of a tensor, or of a whole group, is far from the best one for this data."""
    if not fits:
        return None
    first = next(iter(fits))
    together = _together(quantized, fits) if len(fits) > 1 else fits[first]
    dtype = _type(quantized, first)
    if together.gap_db < GAP_DB or min(item.at_db for item in fits.values()) > QUIET_DB:
        return None
    worst = min(fits, key=lambda name: fits[name].at_db)
    small = together.scale < together.best_scale
    limit, better = together.scale * dtype.maximum, together.best_scale * dtype.maximum
    share = max(item.clipped for item in fits.values())
    facts = {
        "limit": limit, "fitting_limit": better, "clipped_share": share,
        "minimum": min(row.minimum for item in fits.values() for row in item.rows),
        "maximum": max(row.maximum for item in fits.values() for row in item.rows),
        "sqnr_db": fits[worst].at_db, "best_db": fits[worst].best_db,
    }  # fmt: skip
    if small:
        sentence = (
            f"{share:.2%} of the values lie beyond {_range(dtype, limit)} and are clipped; "
            f"{_range(dtype, better)} would fit (seen: {facts['minimum']:.4g} to "
            f"{facts['maximum']:.4g})"
        )
    else:
        sentence = (
            f"the range {_range(dtype, limit)} spends its codes on values that hardly occur; "
            f"{_range(dtype, better)} would fit (seen: {facts['minimum']:.4g} to "
            f"{facts['maximum']:.4g})"
        )
    cause = CLIPPED if small else TOO_WIDE
    if len(fits) > 1:
        cause = GROUP
        sentence = f"the one scale of {', '.join(fits)} does not fit: at {worst} {sentence}"
    elif first in graph.inputs:
        cause = DATA_RANGE if small else cause
        sentence += "; the data differ from those of calibration" if small else ""
    # where the data are others, every range behind the input is wrong too: it alone costs little
    foreign = cause == DATA_RANGE and share >= FOREIGN_SHARE
    return Suspect(cause, worst, sentence, group.members, (), together.at_db, facts, foreign)


def _range(dtype: DType, limit: float) -> str:
    return f"±{limit:.4g}" if dtype.minimum else f"0..{limit:.4g}"


def _together(quantized: Graph, fits: Mapping[str, _Fit]) -> _Fit:
    """The fit of a group's scale, each member counting relative to its own energy."""
    parts, scales = [], set()
    for item in fits.values():
        merged = item.rows[0] if len(item.rows) == 1 else mix(item.rows, [1.0] * len(item.rows))
        if merged.energy > 0:
            parts.append((merged, 1 / merged.energy))
        scales.add(item.scale)
    first = next(iter(fits))
    if not parts:
        return fits[first]
    whole = mix([part for part, _ in parts], [weight for _, weight in parts])
    return fit([whole], np.asarray(max(scales), np.float64), _type(quantized, first))


# ------------------------------------------------------------------ groups and channels


def _torn_group(quantized: Graph, group: Group) -> Suspect | None:
    """Members of one group with different scales or types: moving values cannot rescale them."""
    kinds = {name: (_type(quantized, name), _scale(quantized, name)) for name in group.members}
    counts: dict[tuple[str, bytes], list[str]] = {}
    for name, (dtype, scale) in kinds.items():
        counts.setdefault((dtype.name, scale.tobytes()), []).append(name)
    if len(counts) < 2:
        return None
    usual = max(counts.values(), key=len)
    odd = next(name for name in group.members if name not in usual)
    told = [
        f"{name} {kinds[name][0]} * {float(kinds[name][1].max()):.4g}" for name in (odd, usual[0])
    ]
    sentence = (
        f"it must share one scale and type with {', '.join(n for n in group.members if n != odd)}, "
        f"which are only moved, but they differ ({', '.join(told)})"
    )
    facts = {"scales": {name: float(scale.max()) for name, (_, scale) in kinds.items()}}
    return Suspect(GROUP, odd, sentence, group.members, (), 0.0, facts, certain=True)


def _group_suspect(quantized: Graph, group: Group, fits: Mapping[str, _Fit]) -> Suspect | None:
    """A loud member beside a quiet one: the scale that fits both best fits the quiet one badly."""
    quiet = max(fits, key=lambda name: fits[name].gap_db)
    loud = max(fits, key=lambda name: fits[name].best_scale)
    hurt = fits[quiet]
    ratio = fits[loud].best_scale / hurt.best_scale
    if hurt.gap_db < MEMBER_DB or ratio < LOUD or hurt.at_db > QUIET_DB:
        return None
    dtype = _type(quantized, quiet)
    sentence = (
        f"its range {_range(dtype, fits[loud].best_scale * dtype.maximum)} decides the one scale "
        f"of its group and is {ratio:.1f} times that of {quiet} "
        f"({_range(dtype, hurt.best_scale * dtype.maximum)}), which keeps {hurt.at_db:.1f} dB, and "
        f"{hurt.best_db:.1f} with a scale of its own"
    )
    facts = {"quiet": quiet, "ratio": ratio, "sqnr_db": hurt.at_db, "best_db": hurt.best_db}
    return Suspect(GROUP, loud, sentence, group.members, (), hurt.at_db, facts)


def channel_quality(sums: Sums) -> Float64:
    """What each channel that speaks keeps of itself behind the tensor's own rounding, in dB."""
    alive = sums.energy > 0
    least = sums.energy[alive] * 10 ** (-DEADBAND_DB / 10)
    kept = 10 * np.log10(sums.energy[alive] / np.maximum(sums.rounding[alive], least))
    return np.asarray(kept)


def _channel_suspect(
    graph: Graph, quantized: Graph, group: Group, name: str, sums: Sums, own: _Fit
) -> Suspect | None:
    """One scale for channels of very different loudness."""
    tensor = quantized.tensors[name]
    if tensor.per_channel or tensor.dtype == dtypes.S16 or sums.energy.size < 3:
        return None
    quality = channel_quality(sums)
    if not quality.size:
        return None
    middle = float(np.median(quality))
    kept = min(middle, own.at_db)
    if kept > QUIET_DB or name in graph.inputs:
        return None
    loudness = sums.absmax
    order = np.argsort(-loudness, kind="stable")
    few = max(1, int(LOUD_CHANNELS * order.size))
    ranked = np.maximum(loudness[order], 1e-30)
    steps = ranked[:few] / ranked[1 : few + 1]
    count = int(np.argmax(steps)) + 1
    if steps[count - 1] >= LOUD:
        return _outlier(graph, group, name, sums, order[:count], float(steps[count - 1]), kept)
    ratio = float(ranked[0] / max(float(np.median(loudness)), 1e-30))
    if ratio < SPREAD_RATIO:
        return None
    sentence = (
        f"one scale serves channels whose ranges differ {ratio:.0f} times (loudest "
        f"{ranked[0]:.4g}, middle {np.median(loudness):.4g}): half of the channels keep less than "
        f"{middle:.1f} dB"
    )
    facts = {"ratio": ratio, "median_db": middle}
    return Suspect(SPREAD, name, sentence, group.members, (), kept, facts)


def _outlier(
    graph: Graph,
    group: Group,
    name: str,
    sums: Sums,
    channels: NDArray[np.intp],
    ratio: float,
    kept: float,
) -> Suspect:
    """A few channels decide the scale; where their weights do so too, the weights are named."""
    listed = ", ".join(str(item) for item in channels.tolist())
    many = "s" if len(channels) > 1 else ""
    sentence = (
        f"channel{many} {listed} of {name} reach {sums.absmax[channels[0]]:.4g}, the next one "
        f"{ratio:.1f} times less: the scale that holds them leaves the middle channel {kept:.1f} dB"
    )
    facts: dict[str, Any] = {"channels": channels.tolist(), "ratio": ratio, "median_db": kept}
    producer = graph.producers().get(name)
    cause = OUTLIER_CHANNEL
    if producer is not None and BY_NAME[producer.op].kernel is not None:
        weights = np.abs(graph.constants[producer.inputs[1]])
        norms = weights.reshape(weights.shape[0], -1).max(axis=1)
        others = np.delete(norms, channels)
        usual = max(float(np.median(others)), 1e-30)
        facts["weight_ratio"] = float(norms[channels].min()) / usual
        if facts["weight_ratio"] >= LOUD:
            cause = WEIGHT_OUTLIER
            sentence += (
                f"; the weights of {producer.name} for it reach {norms[channels[0]]:.4g}, those of "
                f"the other channels {usual:.4g}"
            )
    return Suspect(cause, name, sentence, group.members, (), kept, facts)
