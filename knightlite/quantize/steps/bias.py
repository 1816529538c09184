"""Sequential bias correction: every layer's mean error on what it really receives, taken away.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.2 (empirical form), layer by layer, each measured with all layers before it corrected. A
channel's mean is that of the pictures' own means without the largest and the smallest fifth: one
loud picture of thirty would else be most of it in every other channel of a MobileNet. It is shrunk
by how sure it is: few values that scatter widely (a layer behind a global pool sees one value per
picture) say little about pictures not seen. Values that an activation cuts off count little, be it
merged or a table behind the layer: an error there is cut off too.

Many pictures make a mean, and few fit into memory with their values of both networks. So the float
network runs first, a few pictures at a time; of every layer its means per picture remain, and a bit
per value that says what the activation cuts off. Then the quantized network alone goes through all
pictures layer by layer, its values kept as integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, View
from knightlite.ops.slopes import is_steep
from knightlite.quantize.data.sample import bytes_at_widest, integer_bytes
from knightlite.quantize.steps.correcting import correct, see_linear
from knightlite.quantize.steps.judgement import trimmed_means
from knightlite.quantize.steps.walk import Constants, Layer, Walk

Array = NDArray[Any]
Float64 = NDArray[np.float64]

MOST_PIXELS = 1 << 11  # of a map: their mean errors scatter by a fiftieth of a step
CUT_OFF = 0.1  # what a value counts that the float network's activation cuts off

Passes = Callable[[Array], NDArray[np.bool_]]
"""Which of what a layer makes in float its activation lets through."""


def has_bias(layer: Layer) -> bool:
    """True for a node with weights and a bias."""
    return BY_NAME[layer.node.op].kernel is not None and len(layer.node.inputs) > 2


def correct_biases(walk: Walk, quantized: Graph, pictures: slice) -> Graph:
    """The quantized graph with every bias corrected, layer by layer, on some of the pictures.

    :func:`pictures_for` says how many fit into memory.
    """
    known = _FloatMeans(walk.graph, len(range(walk.count)[pictures]))
    see_linear(walk, known.see, pictures)

    def correction(graph: Graph, node: Node, computed: Iterator[Array]) -> Array | None:
        if len(node.inputs) < 3:
            return None
        return _corrected(graph, node, known.missing(node, computed))

    return correct(walk, quantized, correction, pictures)


def pictures_for(graph: Graph, quantized: Graph, live_bytes: int) -> int:
    """How many pictures :func:`correct_biases` can take at once; at least 1."""
    masks = sum(
        _seen_pixels(graph.tensors[node.output])[1] * graph.tensors[node.output].shape[1] // 8
        for node in graph.nodes
        if passes_of(graph, node) is not None
    )
    return max(1, live_bytes // (bytes_at_widest(quantized, integer_bytes) + masks))


class _FloatMeans:
    """Of every layer of the float network with a bias, what the means of errors need.

    Per picture and channel the mean of what it makes and of what values count, [n, C] each; which
    values its activation leaves, a bit for each pixel that is looked at.
    """

    def __init__(self, graph: Graph, count: int) -> None:
        self._graph, self._count = graph, count
        self._means: dict[str, Float64] = {}
        self._counted: dict[str, Float64] = {}
        self._inside: dict[str, list[NDArray[np.uint8] | None]] = {}
        self._passes = {node.output: passes_of(graph, node) for node in graph.nodes}
        for node in graph.nodes:
            if BY_NAME[node.op].kernel is not None:
                shape = self._count, graph.tensors[node.output].shape[1]
                self._means[node.output], self._counted[node.output] = (
                    np.zeros(shape),
                    np.ones(shape),
                )
                self._inside[node.output] = [None] * count

    def see(self, node: Node, place: int, values: Array) -> None:
        """Linear ``values`` [C, ...] of the picture with this number."""
        name, rows = node.output, self._pixels(node.output, values)
        passes = self._passes[name]
        if passes is None:
            self._means[name][place] = _row_means(rows)
            return
        inside = passes(rows)
        self._inside[name][place] = np.packbits(inside, axis=1)
        self._means[name][place] = _counted_means(rows, inside)
        self._counted[name][place] = CUT_OFF + (1 - CUT_OFF) * _row_means(inside)

    def missing(self, node: Node, computed: Iterable[Array]) -> Float64:
        """Per picture and channel [n, C] the mean error of what the quantized node makes."""
        name = node.output
        found = np.empty_like(self._means[name])
        for place, picture in enumerate(item for some in computed for item in some):
            rows, bits = self._pixels(name, picture), self._inside[name][place]
            if bits is None:
                found[place] = _row_means(rows)
            else:
                inside = np.unpackbits(bits, axis=1, count=rows.shape[1])
                found[place] = _counted_means(rows, inside)
                self._inside[name][place] = None
        return np.asarray((self._means[name] - found) / self._counted[name].mean(axis=0))

    def _pixels(self, name: str, picture: Array) -> Array:
        """[C, pixels] of one picture [C, ...]; of a large map every few of them tell its mean."""
        stride, _ = _seen_pixels(self._graph.tensors[name])
        return picture.reshape(len(picture), -1)[:, ::stride]


def _seen_pixels(tensor: Tensor) -> tuple[int, int]:
    """Every how many-th pixel of a map is looked at, no column being left out; how many."""
    size = tensor.elements // tensor.shape[1]
    stride = -(-size // MOST_PIXELS)
    while math.gcd(stride, tensor.shape[-1]) > 1:
        stride += 1
    return stride, -(-size // stride)


def passes_of(graph: Graph, node: Node) -> Passes | None:
    """What tells which values of a layer the activation behind it lets through; None for all.

    A merged one lets through what lies within its bounds; tables that alone read the layer, values
    at which one of them is steep.
    """
    if BY_NAME[node.op].kernel is None:
        return None
    low, high = View(graph, node).clamp
    readers = graph.consumers().get(node.output, ())
    looked_up = readers and all(BY_NAME[reader.op].lookup is not None for reader in readers)
    tables = readers if looked_up and node.output not in graph.chip_outputs else ()
    if not tables and np.isinf(low) and np.isinf(high):
        return None

    def passes(values: Array) -> NDArray[np.bool_]:
        inside = (values > low) & (values < high)
        if tables:
            inside &= np.logical_or.reduce([is_steep(table, values) for table in tables])
        return np.asarray(inside)

    return passes


def _counted_means(rows: Array, inside: NDArray[Any]) -> Float64:
    """Mean per row [C] of what values count: ``CUT_OFF`` where an activation cuts them off."""
    return CUT_OFF * _row_means(rows) + (1 - CUT_OFF) * _row_means(rows * inside)


def _row_means(rows: NDArray[Any]) -> Float64:
    """[C] of [C, n]: a product with ones is three times as fast as a sum."""
    size = rows.shape[1]
    return np.asarray((rows @ _ones(size)).astype(np.float64) / size)


@lru_cache(maxsize=64)
def _ones(size: int) -> NDArray[np.float32]:
    return np.ones(size, np.float32)


def correct_bias(layer: Layer, changed: Constants | None = None) -> Constants | None:
    """A visitor's answer: the node's bias with the mean error taken away.

    ``changed``: other weights that the node has by now. None for a node without a bias.
    """
    if not has_bias(layer):
        return None
    changed = changed or {}
    computed = (picture for some in layer.linear(changed) for picture in some)
    means = picture_means(layer.exact, computed, passes_of(layer.graph, layer.node))
    bias = _corrected(layer.graph, layer.node, means)
    return {**changed, layer.node.inputs[2]: bias}


def _corrected(graph: Graph, node: Node, means: Float64) -> NDArray[np.int32]:
    """The node's bias less the mean errors [n, C] of pictures."""
    name = node.inputs[2]
    scale = graph.tensors[name].scale
    assert scale is not None
    shift = shrunk_mean(means) / scale.astype(np.float64)
    limit = numerics.MAX_BIAS - 1
    integers = np.clip(graph.constants[name].astype(np.float64) + shift, -limit, limit)
    return np.rint(integers).astype(np.int32)


def picture_means(exact: Array, computed: Iterable[Array], passes: Passes | None) -> Float64:
    """Mean of ``exact`` [n, C, ...] less ``computed``, n pictures, per picture and channel [n, C].

    What does not pass counts little, the others so much more: counts are 1 in the mean of a
    channel. One picture at a time: memory is that of a picture in float64.
    """
    means, counted = np.empty(exact.shape[:2]), np.zeros(exact.shape[1])
    for place, (wanted, found) in enumerate(zip(exact, computed, strict=True)):
        rows = wanted.reshape(len(wanted), -1)
        missing = (rows - found.reshape(rows.shape)).astype(np.float64)
        counts = np.where(True if passes is None else passes(rows), 1.0, CUT_OFF)
        means[place] = (missing * counts).mean(axis=1)
        counted += np.broadcast_to(counts, rows.shape).mean(axis=1) / len(exact)
    return means / counted


def shrunk_mean(values: Float64) -> Float64:
    """Trimmed mean per channel of [n, C], shrunk towards 0 by its uncertainty between pictures.

    The factor m^2 / (m^2 + e^2), e the standard error of the mean, is the one with the least
    expected squared error where the true mean is about the measured one.
    """
    if len(values) < 2:
        return np.asarray(values.mean(axis=0))
    mean, error = trimmed_means(values)
    square = mean**2
    total = square + error**2
    return np.asarray(mean * np.divide(square, total, out=np.zeros_like(mean), where=total > 0))
