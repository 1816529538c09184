"""What may help against a cause, tried: the network quantized again, or a place made wider."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.diagnosis.causes import (
    FEW_BITS,
    GROUP,
    OUTLIER_CHANNEL,
    RAISED,
    SPREAD,
    WEIGHT_OUTLIER,
    WEIGHT_SCALE,
    Suspect,
)
from knightlite.diagnosis.judge import Judge, Score
from knightlite.diagnosis.probe import Sums
from knightlite.errors import KnightliteError
from knightlite.ir import Graph, Node, Tensor
from knightlite.quantize.assign import assign
from knightlite.quantize.passes import Observation
from knightlite.quantize.ranges import METHODS
from knightlite.quantize.settings import Settings

Array = NDArray[Any]

HELPS_DB = 1.0  # a remedy must win so much to be named
WIDE_MAXIMUM = 32639  # 127 * 257: of 16-bit weights
PREFER_DB = 3.0  # what costs more on the chip must win so much more to come first,
PREFER_SHARE = 0.5  # and the cheaper one less than this share of its decibels
HEADROOM = 1.05  # of a tensor made wide, for pictures not seen


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
    for switch, make in _candidates(graph, quantized, seen, sums, suspect, settings):
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
) -> Iterator[tuple[str, Make]]:
    def again(changed: Settings) -> Make:
        return lambda: assign(graph, seen.statistics, seen.plan, changed).graph

    yield f"quant -qm {settings.method} over this data", again(settings)
    if suspect.cause not in (FEW_BITS, WEIGHT_OUTLIER, RAISED, WEIGHT_SCALE):
        for method in METHODS:
            if method != settings.method:
                yield f"quant -qm {method}", again(replace(settings, method=method))
    if suspect.cause in WIDER:
        names = suspect.weights or suspect.tensors
        operators = [node.name for node in graph.nodes if node.output in names]
        if operators:
            entry = json.dumps([{"op_names": operators, "bitwidth": 16}])
            yield f"quant -mc FILE with {entry}", lambda: widen(graph, quantized, sums, suspect)


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
        steps = np.where(peaks > 0, peaks / WIDE_MAXIMUM, 1.0)
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
