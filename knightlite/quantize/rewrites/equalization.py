"""Cross-layer equalization: channels that share a scale are brought to like ranges.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.1: dividing a channel by s > 0 where it is made and multiplying by s where it is read
changes nothing in real numbers. Here weights have a scale per output channel, so that the division
is free; the multiplication is free too where an Affine or a depthwise convolution reads, and widens
the spread of a dense convolution's weights. How far to go is decided for each set of tied channels
by a model of both errors: an exponent of the ranges, as in Xiao et al., "SmoothQuant", 2023.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Node, Tensor
from knightlite.ir.large import paged, row_blocks
from knightlite.ops import BY_NAME, View
from knightlite.quantize.groups import channel_scaled, scale_groups
from knightlite.quantize.rewrites.channel_ties import Ties, channel_ties

Float64 = NDArray[np.float64]

RANGE_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a channel's range in its divisor
SMALLEST_DIVISOR = 2.0**-8  # of the loudest channel's: what is quieter is as good as silent
LEAST_GAIN = 0.8  # of the modelled error: for less, nothing is touched
WEIGHT_CODES = 127
FEATURE_CODES = 255
MOST_WEIGHTS = 1 << 20  # of one reader that the model looks at: some of its outputs stand for all


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRange:
    """Of one feature tensor on a few pictures: ``peak`` and root mean square ``rms`` [C].

    ``peak`` is the mean over the pictures of the largest magnitude in one.
    """

    peak: Float64
    rms: Float64


@dataclass(frozen=True, slots=True)
class Equalized:
    """One set of tensors whose channels were divided: how many channels, and the spread.

    The spread is that of the first tensor, its loudest channel over its median one, in peaks.
    """

    tensors: tuple[str, ...]
    channels: int
    spread_before: float
    spread_after: float
    exponent: float


def choose_divisors(
    graph: Graph, ranges: Mapping[str, ChannelRange]
) -> tuple[Ties, Float64, tuple[Equalized, ...]]:
    """The classes of channels, a divisor for each of them, and what they come to."""
    ties = channel_ties(graph)
    model = _Model(graph, ranges, ties)
    divisors = np.ones(ties.free.size)
    done = []
    for tensors in _sets(graph, ties):
        found = model.choose(tensors)
        if found is None:
            continue
        exponent, classes, values = found
        divisors[classes] = values
        done.append(_described(tensors, ranges, ties, divisors, exponent))
    return ties, divisors, tuple(done)


def _sets(graph: Graph, ties: Ties) -> list[tuple[str, ...]]:
    """Tensors in one scale group, or with a free class in common, belong to one set."""
    apart = channel_scaled(graph)
    parent: dict[object, object] = {}

    def root(item: object) -> object:
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for index, group in enumerate(scale_groups(graph)):
        for name in group.members:
            parent[root(name)] = root(("group", index))
            for kind in np.unique(ties.classes[name][ties.free[ties.classes[name]]]).tolist():
                parent[root(name)] = root(("class", kind))
    members: dict[object, list[str]] = {}
    for name in ties.classes:
        members.setdefault(root(name), []).append(name)
    return [
        tuple(names)
        for names in members.values()
        if any(name not in apart and ties.free[ties.classes[name]].any() for name in names)
    ]


class _Model:
    """The error that divisors leave at the outputs of the readers of a set of tensors."""

    def __init__(self, graph: Graph, ranges: Mapping[str, ChannelRange], ties: Ties) -> None:
        self.graph, self.ranges, self.ties = graph, ranges, ties
        self.consumers = graph.consumers()
        self.groups = [group.members for group in scale_groups(graph)]
        self.group_of = {
            name: index for index, members in enumerate(self.groups) for name in members
        }
        self.apart = channel_scaled(graph)
        self.readers: dict[str, _Reader] = {}

    def choose(self, tensors: Sequence[str]) -> tuple[float, NDArray[np.int64], Float64] | None:
        """The exponent with the least error, the classes and their divisors; None: leave it."""
        kinds = np.unique(np.concatenate([self.ties.classes[name] for name in tensors]))
        kinds = kinds[self.ties.free[kinds]]
        ranges = self._class_ranges(tensors)
        tried = {}
        for exponent in RANGE_EXPONENTS:
            values = np.ones(self.ties.free.size)
            values[kinds] = _divisors(ranges[kinds], exponent)
            tried[exponent] = self.error(tensors, values), values[kinds]
        best = min(tried, key=lambda key: tried[key][0])
        if tried[best][0] > LEAST_GAIN * tried[0.0][0]:
            return None
        return best, kinds, tried[best][1]

    def _class_ranges(self, tensors: Sequence[str]) -> Float64:
        """Per class its peak relative to its scale group's, the geometric mean over groups."""
        logs, counts = np.zeros(self.ties.free.size), np.zeros(self.ties.free.size)
        for index in dict.fromkeys(self.group_of[name] for name in tensors):
            peaks = np.zeros(self.ties.free.size)
            for name in self.groups[index]:
                np.maximum.at(peaks, self.ties.classes[name], self.ranges[name].peak)
            spoke = peaks > 0
            logs[spoke] += np.log(peaks[spoke] / peaks.max()) if spoke.any() else 0.0
            counts[spoke] += 1
        return np.asarray(np.where(counts > 0, np.exp(logs / np.maximum(counts, 1)), 0.0))

    def _reader(self, node: Node) -> _Reader:
        if node.name not in self.readers:
            self.readers[node.name] = _reader(View(self.graph, node))
        return self.readers[node.name]

    def error(self, tensors: Sequence[str], divisors: Float64) -> float:
        """Sum over the readers of noise energy relative to the energy of what they deliver."""
        total = 0.0
        for name in tensors:
            own = divisors[self.ties.classes[name]]
            if name in self.apart:
                continue
            members = self.groups[self.group_of[name]]
            loudest = max(
                float(np.max(self.ranges[member].peak / divisors[self.ties.classes[member]]))
                for member in members
            )
            step = loudest / FEATURE_CODES
            for node in self.consumers.get(name, ()):
                if node.output in members:
                    continue  # only moves values
                energy = float(np.sum(self.ranges[node.output].rms ** 2))
                if energy > 0:
                    total += self._noise(node, name, own, step) / energy
        return total

    def _noise(self, node: Node, name: str, divisors: Float64, step: float) -> float:
        """Noise energy per pixel at a reader's output: of its input's rounding, of its weights'."""
        view, noise = View(self.graph, node), step**2 / 12 * divisors**2
        definition = BY_NAME[node.op]
        if definition.kernel is None and definition.absorbs_factors:
            return float(np.sum(noise * view.constant(1).astype(np.float64) ** 2))
        if definition.kernel is None:
            return float(np.sum(noise))
        reader = self._reader(node)
        shape = reader.largest.shape
        felt = float(np.dot(reader.squares, noise))
        own = divisors.reshape(shape[0], 1, shape[2])
        steps = (reader.largest * own).max(axis=2) / WEIGHT_CODES
        power = (self.ranges[name].rms / divisors).reshape(shape[0], 1, shape[2]) ** 2
        read = ((reader.largest > 0) * power).sum(axis=2) * reader.taps
        return felt + reader.share * float(np.sum(steps**2 / 12 * read))


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """Weights of a convolution as its model sees them.

    Per input channel [C] the sum of ``squares``; per group, some of its outputs and input channel
    the ``largest`` magnitude; ``taps`` of the kernel; ``share``: how many outputs each one in
    ``largest`` stands for.
    """

    squares: Float64
    largest: NDArray[np.float32]
    taps: int
    share: float


def _reader(view: View) -> _Reader:
    weights, group = view.constant(1), view.integer("group")
    co, depth = weights.shape[:2]
    grouped = weights.reshape(group, co // group, depth, -1)
    largest = np.abs(grouped).max(axis=3)
    step = -(-largest.size // MOST_WEIGHTS)
    some = largest[:, ::step]
    squares = np.einsum("goct,goct->gc", grouped, grouped, dtype=np.float64)
    return _Reader(
        squares.reshape(-1),
        some,
        grouped.shape[3],
        largest.shape[1] / some.shape[1],
    )


def _divisors(ranges: Float64, exponent: float) -> Float64:
    """The power of the ranges where a channel speaks, else 1; not below the floor."""
    values = np.ones(ranges.size)
    spoke = ranges > 0
    if spoke.any():
        relative = (ranges[spoke] / ranges[spoke].max()) ** exponent
        values[spoke] = np.maximum(relative, SMALLEST_DIVISOR)
    return values


def divide(graph: Graph, ties: Ties, divisors: Float64) -> Graph:
    """The graph with every channel divided by its class's number, which its readers multiply by."""
    readers: dict[str, int] = {}
    for node in graph.nodes:
        for name in set(node.inputs) & set(graph.constants):
            readers[name] = readers.get(name, 0) + 1
    nodes, constants, tensors = [], dict(graph.constants), dict(graph.tensors)

    def define(node: Node, name: str, values: NDArray[np.floating[Any]]) -> str:
        kept = name if readers[name] == 1 else f"{name}/{node.output}"
        constants[kept] = paged(values.astype(np.float32, copy=False))
        tensors[kept] = Tensor(kept, values.shape, graph.tensors[name].dtype)
        return kept

    for node in graph.nodes:
        definition = BY_NAME[node.op]
        if not definition.absorbs_factors:
            nodes.append(node)
            continue
        into = divisors[ties.classes[node.inputs[0]]]
        out = divisors[ties.classes[node.output]]
        if np.all(into == 1) and np.all(out == 1):
            nodes.append(node)
            continue
        view = View(graph, node)
        first = view.constant(1)
        if definition.kernel is None:  # a gain [C]
            first = first.astype(np.float64) * into / out
        else:
            group = view.integer("group")
            read = np.repeat(into.reshape(group, -1), first.shape[0] // group, axis=0)
            first = np.empty_like(first)
            for rows in row_blocks(first):
                made = view.constant(1)[rows].astype(np.float64) * read[rows, :, None, None]
                first[rows] = made / out[rows, None, None, None]
        names = [define(node, node.inputs[1], first)]
        if len(node.inputs) > 2:
            names.append(define(node, node.inputs[2], view.constant(2) / out))
        nodes.append(replace(node, inputs=(node.inputs[0], *names)))
    trained = {
        name: known.through(1 / divisors[ties.classes[name]], np.zeros(1))
        for name, known in graph.trained.items()
    }
    return replace(graph, nodes=tuple(nodes), constants=constants, tensors=tensors, trained=trained)


def _described(
    tensors: tuple[str, ...],
    ranges: Mapping[str, ChannelRange],
    ties: Ties,
    divisors: Float64,
    exponent: float,
) -> Equalized:
    widest = max(tensors, key=lambda name: int(ties.free[ties.classes[name]].sum()))
    own = ties.classes[widest]
    named = (widest, *(name for name in tensors if name != widest))
    peak = ranges[widest].peak
    changed = np.unique(np.concatenate([ties.classes[name] for name in tensors]))
    return Equalized(
        named,
        int(np.sum(divisors[changed] != 1)),
        _spread(peak),
        _spread(peak / divisors[own]),
        exponent,
    )


def _spread(peak: Float64) -> float:
    spoke = peak[peak > 0]
    return float(spoke.max() / np.median(spoke)) if spoke.size else 1.0
