"""What may help against a cause, tried: the network quantized again, or a place made wider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes, numerics
from knightlite.diagnosis.causes import (
    CLIPPED,
    DATA_RANGE,
    FEW_BITS,
    GROUP,
    OUTLIER_CHANNEL,
    RAISED,
    SPREAD,
    TOO_WIDE,
    WEIGHT_OUTLIER,
    Suspect,
)
from knightlite.diagnosis.judge import Judge, Score
from knightlite.diagnosis.probe import Sums
from knightlite.errors import KnightliteError
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME
from knightlite.quantize.assign import assign
from knightlite.quantize.mix_config import read_mix
from knightlite.quantize.passes import Observation
from knightlite.quantize.settings import Settings, settings_for
from knightlite.quantize.steps import improve
from knightlite.quantize.widths import Widths

Array = NDArray[Any]

HELPS_DB = 1.0  # a remedy must win so much to be named
HEADROOM = 1.05  # of a tensor made wide, for pictures not seen
PREFER_DB = 3.0  # what costs more on the chip must win so much more to come first,
PREFER_SHARE = 0.5  # and the cheaper one less than this share of its decibels
TRIED_METHODS = ("mse", "min_max", "kl", "percentile")  # of -qm


@dataclass(frozen=True, slots=True)
class Remedy:
    """A remedy that was tried. ``switch``: what to say to ``quant``; scores before and after."""

    switch: str
    before: Score
    after: Score

    @property
    def gain_db(self) -> float:
        """Won at the worst output."""
        return self.after.gain_over(self.before)


Make = Callable[[], Graph]
Tried = dict[str, Score]  # switch -> score: a requantization serves several suspects

METHODICAL = (CLIPPED, TOO_WIDE, GROUP, DATA_RANGE, OUTLIER_CHANNEL, SPREAD)
WIDER = (OUTLIER_CHANNEL, SPREAD, GROUP, FEW_BITS, WEIGHT_OUTLIER, RAISED)


def try_remedies(
    graph: Graph,
    quantized: Graph,
    seen: Observation,
    sums: dict[str, Sums],
    suspect: Suspect,
    before: Score,
    judge: Judge,
    settings: Settings,
    tried: Tried,
) -> list[Remedy]:
    """All remedies against a suspect: first the cheapest of those that help most, then by gain."""
    found = []
    for switch, make in _candidates(graph, quantized, seen, sums, suspect, settings, judge.threads):
        if switch not in tried:
            try:
                tried[switch] = judge.score(make())
            except KnightliteError:
                continue  # this one cannot be represented: no remedy
        found.append(Remedy(switch, before, tried[switch]))
    if not found:
        return []
    best = max(item.gain_db for item in found)
    enough = min(best - PREFER_DB, PREFER_SHARE * best) if best > HELPS_DB else best
    first = next(item for item in found if item.gain_db >= max(enough, min(best, HELPS_DB)))
    rest = [item for item in found if item is not first]
    return [first, *sorted(rest, key=lambda item: -item.gain_db)]


def _candidates(
    graph: Graph,
    quantized: Graph,
    seen: Observation,
    sums: dict[str, Sums],
    suspect: Suspect,
    settings: Settings,
    threads: int | None,
) -> Iterator[tuple[str, Make]]:
    """What to say to ``quant``, the cheapest on the chip first, and the network it gives."""

    def again(changed: Settings) -> Make:
        def make() -> Graph:
            assigned = assign(graph, seen.statistics, seen.plan, changed).graph
            return improve(graph, assigned, seen.sample, changed, threads)[0]

        return make

    yield f"quant -qm {settings.method} over this data", again(settings)
    if suspect.cause in METHODICAL:
        for method in TRIED_METHODS:
            if method != settings.method:
                yield f"quant -qm {method}", again(replace(settings, method=method))
    if suspect.cause in WIDER:
        operators = _wide_operators(graph, suspect)
        if operators:
            yield _wider(graph, quantized, seen, sums, suspect, settings, operators, again)
    if suspect.cause == FEW_BITS:
        yield "quant --effort high", again(settings_for("high", method=settings.method))
        yield "quant -b 16", again(replace(settings, bit_width=16))


def _wider(
    graph: Graph,
    quantized: Graph,
    seen: Observation,
    sums: dict[str, Sums],
    suspect: Suspect,
    settings: Settings,
    operators: tuple[str, ...],
    again: Callable[[Settings], Make],
) -> tuple[str, Make]:
    """A mix that quant can write; where an operator refuses 16 bits, what they would give."""
    entry = json.dumps([{"op_names": list(operators), "bitwidth": 16}])
    try:
        widths = read_mix(entry, "the mix", graph).widths
        mix = Widths(settings.mix.wide | widths.wide, settings.mix.weights16 | widths.weights16)
        wide = replace(settings, mix=mix)
        refused = assign(graph, seen.statistics, seen.plan, wide).narrowed
        reason = next(iter(refused.values()), None)
    except KnightliteError as error:
        reason = error.sentence
    if reason is None:
        return f"quant -mc FILE with {entry}", again(wide)
    told = f"16 bits for {', '.join(operators)}, which cannot be written ({reason.rstrip('.')})"
    return told, lambda: widen(graph, quantized, sums, suspect)


def _wide_operators(graph: Graph, suspect: Suspect) -> tuple[str, ...]:
    """Operators that a mix makes wide, with what they read: those of the weights, or the readers.

    One reader is enough for a tensor: the operators behind it read the same 16 bits.
    """
    if suspect.weights:
        return tuple(node.name for node in graph.nodes if node.output in suspect.weights)
    for node in graph.nodes:
        moves = BY_NAME[node.op].value_preserving
        if not moves and not set(node.inputs).isdisjoint(suspect.tensors):
            return (node.name,)
    return ()


def widen(graph: Graph, quantized: Graph, sums: dict[str, Sums], suspect: Suspect) -> Graph:
    """The quantized graph with the suspect's tensors, or weights, in 16 bits."""
    changed = quantized
    tensors = [name for name in suspect.tensors if name in sums]
    if tensors:
        largest = max(float(sums[name].absmax.max()) for name in tensors) or 1.0
        scale = np.asarray(HEADROOM * largest / dtypes.S16.maximum, np.float32)
        wide = [Tensor(n, quantized.tensors[n].shape, dtypes.S16, scale) for n in tensors]
        changed = changed.with_tensors(wide)
    for node, name in _kernels(graph, quantized, suspect.weights):
        exact = graph.constants[node.inputs[1]].astype(np.float64)
        peaks = np.abs(exact.reshape(exact.shape[0], -1)).max(axis=1)
        steps = np.where(peaks > 0, peaks / numerics.WIDE_WEIGHT_MAXIMUM, 1.0)
        codes = np.rint(exact / steps.reshape(-1, *(1,) * (exact.ndim - 1))).astype(np.int16)
        changed = changed.with_constants({name: codes}).with_tensors(
            [Tensor(name, codes.shape, dtypes.S16, steps.astype(np.float32))]
        )
    return _with_float_bias(graph, changed, suspect.weights)


def without_weights(graph: Graph, quantized: Graph, outputs: tuple[str, ...]) -> Graph:
    """The quantized graph with the weights and biases of these nodes as they were."""
    constants = {
        name: graph.constants[node.inputs[1]] for node, name in _kernels(graph, quantized, outputs)
    }
    tensors = [Tensor(name, item.shape, dtypes.F32, None) for name, item in constants.items()]
    bare = quantized.with_constants(constants).with_tensors(tensors)
    return _with_float_bias(graph, bare, outputs)


def _kernels(
    graph: Graph, quantized: Graph, outputs: tuple[str, ...]
) -> Iterator[tuple[Node, str]]:
    """The float nodes of these outputs, and what the quantized graph calls their weights."""
    twins = {node.output: node for node in quantized.nodes}
    for node in graph.nodes:
        if node.output in outputs:
            yield node, twins[node.output].inputs[1]


def _with_float_bias(graph: Graph, quantized: Graph, outputs: tuple[str, ...]) -> Graph:
    """A bias that corrects for other weights would be an error: take the float one."""
    twins = {node.output: node for node in quantized.nodes}
    constants: dict[str, Array] = {}
    for node in graph.nodes:
        twin = twins.get(node.output)
        if node.output not in outputs or twin is None or len(twin.inputs) < 3:
            continue
        has = len(node.inputs) > 2
        size = quantized.tensors[twin.inputs[2]].shape
        constants[twin.inputs[2]] = (
            graph.constants[node.inputs[2]] if has else np.zeros(size, np.float32)
        )
    tensors = [Tensor(name, item.shape, dtypes.F32, None) for name, item in constants.items()]
    return quantized.with_constants(constants).with_tensors(tensors)
