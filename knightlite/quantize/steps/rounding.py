"""Weights rounded so that the layer's output is right, not each weight by itself.

With X the layer's real (quantized) inputs, one row per output pixel, and Y what the float layer
computes, the integers q minimise ``|Y - X (q * scale)|^2`` about the means. First as real numbers:
least squares on the Gram matrix, held near the trained weights by a ridge, so that the weights make
good part of what the layers before lost. How strong the ridge must be is asked of pictures that the
fit did not see; where no fit helps them the trained weights stay. Then rounded row after row, each
row's rounding error taken over by the rows after it.

Frantar et al., "Optimal Brain Compression", 2022, and "GPTQ", 2022, for the rounding; the target
(quantized inputs, float outputs) is that of Nagel et al., "Up or Down? Adaptive Rounding for
Post-Training Quantization", 2020, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference import NodeRuns
from knightlite.quantize.steps.walk import Constants, Layer

Array = NDArray[Any]
Float64 = NDArray[np.float64]

RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the mean diagonal
DAMPING = 0.01  # of the mean diagonal, in the rounding
MOST_ROWS = 2400  # weights per output channel: a 3x3 kernel over 256 channels
TINY = 1e-12
MOST_PIXELS = 1 << 16  # per half: more change no Gram matrix that matters
CHUNK_BYTES = 8 << 20  # of windows in float64


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Centered second moments of inputs [pixels, K] and outputs [pixels, Co]."""

    gram: Float64
    cross: Float64


class Sums:
    """Running sums over pixels of what :class:`Moments` need, for G groups side by side.

    Values are taken less the means of the first ones added, so little is lost where a mean is large
    beside what varies. Memory is that of G * K * (K + Co) values, however many pixels there are.
    """

    def __init__(self, groups: int, rows: int, outputs: int) -> None:
        """``rows`` K inputs and ``outputs`` Co, of each group."""
        self.gram = np.zeros((groups, rows, rows))
        self.cross = np.zeros((groups, rows, outputs))
        self._x = np.zeros((groups, rows, 1))
        self._y = np.zeros((groups, outputs, 1))
        self._offsets: tuple[Float64, Float64] | None = None
        self.count = 0

    def add(self, x: Array, y: Array) -> None:
        """Of x [G, K, P] and y [G, Co, P]."""
        inputs, wanted = x.astype(np.float64), y.astype(np.float64)
        if self._offsets is None:
            self._offsets = (
                inputs.mean(axis=2, keepdims=True),
                wanted.mean(axis=2, keepdims=True),
            )
        inputs -= self._offsets[0]
        wanted -= self._offsets[1]
        self._x += inputs.sum(axis=2, keepdims=True)
        self._y += wanted.sum(axis=2, keepdims=True)
        self.gram += inputs @ inputs.transpose(0, 2, 1)
        self.cross += inputs @ wanted.transpose(0, 2, 1)
        self.count += x.shape[2]

    def join(self, other: Sums) -> None:
        """Add the pixels of ``other``, which has some too."""
        if self._offsets is None:
            self._offsets = np.zeros_like(self._x), np.zeros_like(self._y)
        assert other._offsets is not None
        dx, dy = other._offsets[0] - self._offsets[0], other._offsets[1] - self._offsets[1]
        x, y, count = other._x, other._y, other.count
        turned = (0, 2, 1)
        self.gram += other.gram
        self.gram += x @ dx.transpose(turned) + dx @ (x + count * dx).transpose(turned)
        self.cross += other.cross
        self.cross += x @ dy.transpose(turned) + dx @ (y + count * dy).transpose(turned)
        self._x += x + count * dx
        self._y += y + count * dy
        self.count += count

    def moments(self, group: int) -> Moments:
        """Of all pixels so far, about their means."""
        x, y = self._x[group], self._y[group]
        gram = x @ (x.T / -self.count)
        gram += self.gram[group]
        return Moments(gram, self.cross[group] - x @ (y.T / self.count))


def round_weights(layer: Layer, float_weights: Array) -> Constants | None:
    """A visitor's answer: the node's weights fitted to its inputs and rounded together.

    ``float_weights`` [Co, Ci / group, kh, kw] are the trained ones. None for a node that is not a
    convolution, or whose Gram matrix would be too large.
    """
    # windows of a convolution: a transposed one reads each pixel with another part of its kernel
    if layer.node.op != "Conv":
        return None
    name = layer.node.inputs[1]
    tensor = layer.graph.tensors[name]
    assert tensor.scale is not None
    integers, scale = layer.graph.constants[name], tensor.scale.astype(np.float64)
    group, outputs = layer.view.integer("group"), len(integers)
    rows, channels = int(np.prod(integers.shape[1:])), outputs // group
    if rows > MOST_ROWS or len(layer.exact) < 2 or tensor.dtype.bits > 8:
        return None
    halves = list(layer.runs.side_by_side(lambda half: half_sums(layer, half), (0, 1)))
    limit = int(tensor.dtype.maximum)
    trained = [
        float_weights[index * channels : (index + 1) * channels].reshape(channels, rows).T
        for index in range(group)
    ]
    ridges = [
        best_ridge([half.moments(index) for half in halves], trained[index], layer.runs)
        for index in range(group)
    ]
    both = halves[0]
    both.join(halves.pop())
    made = np.empty((outputs, rows), np.int64)
    for index in range(group):
        some = slice(index * channels, (index + 1) * channels)
        found = both.moments(index)
        wanted = refit(found, trained[index].astype(np.float64), ridges[index])
        made[some] = round_rows(found.gram, wanted / scale[some], limit).T
    return {name: made.reshape(integers.shape).astype(integers.dtype)}


def half_sums(layer: Layer, half: int) -> Sums:
    """The sums of a convolution over every other picture, from ``half`` (0 or 1) on.

    One picture at a time, and so many pixels of it that :data:`CHUNK_BYTES` hold their windows.
    """
    view, weights = layer.view, layer.graph.constants[layer.node.inputs[1]]
    group, rows = view.integer("group"), int(np.prod(weights.shape[1:]))
    count, outputs, size = len(layer.exact), len(weights), int(np.prod(layer.exact.shape[2:]))
    pixels = np.arange(0, size, -(-count * size // (2 * MOST_PIXELS)))
    chunk = max(1, CHUNK_BYTES // (8 * group * rows))
    sums = Sums(group, rows, outputs // group)
    for place in range(half, count, 2):
        one = slice(place, place + 1)
        x, y = layer.fixed_inputs[0][one][0], layer.exact[place].reshape(outputs, size)
        read = windows(
            x,
            weights.shape[2:],
            view.integers("strides"),
            view.integers("pads"),
            view.integers("dilations"),
        )
        for first in range(0, len(pixels), chunk):
            some = pixels[first : first + chunk]
            sums.add(
                read(some).reshape(group, rows, len(some)),
                y[:, some].reshape(group, outputs // group, len(some)),
            )
    return sums


def windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Callable[[NDArray[np.intp]], Array]:
    """What a convolution over x [C, H, W] reads for some of its output pixels, as a function.

    Of the numbers of P pixels, row by row, it makes [C * kh * kw, P], channels outermost.
    """
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right)))
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(1, 2))
    views = views[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    turned = views.transpose(0, 3, 4, 1, 2)

    def read(pixels: NDArray[np.intp]) -> Array:
        down, across = np.divmod(pixels, views.shape[2])
        return np.asarray(turned[:, :, :, down, across].reshape(-1, len(pixels)))

    return read


def best_ridge(halves: Sequence[Moments], trained: Array, runs: NodeRuns) -> float:
    """The ridge with the least error on the half that a fit did not see; infinite: no fit."""
    ridges, weights = (np.inf, *RIDGES), trained.astype(np.float64)

    def errors(fitted: int) -> list[float]:
        return [
            squared_error(halves[1 - fitted], refit(halves[fitted], weights, ridge))
            for ridge in ridges
        ]

    sums = np.sum(list(runs.side_by_side(errors, (0, 1))), axis=0)
    return ridges[int(np.argmin(sums))]


def refit(found: Moments, trained: Float64, ridge: float) -> Float64:
    """Weights [K, Co] with the least error, held near ``trained`` by the ridge."""
    if np.isinf(ridge):
        return trained
    damped = _damped(found.gram, ridge)
    return np.asarray(trained + np.linalg.solve(damped, found.cross - found.gram @ trained))


def squared_error(found: Moments, weights: Float64) -> float:
    """``|Y - X w|^2`` about the means, less |Y|^2, which no weights change."""
    return float(np.sum(weights * (found.gram @ weights - 2 * found.cross)))


def round_rows(gram: Float64, weights: Float64, limit: int) -> NDArray[np.int64]:
    """Integers [K, Co] for ``weights`` [K, Co] in steps; the loudest inputs' rows come first."""
    order = np.argsort(-np.diag(gram), kind="stable")
    inverse = np.linalg.inv(_damped(gram, DAMPING)[np.ix_(order, order)])
    inverse += inverse.T
    inverse /= 2
    upper = np.linalg.cholesky(inverse).T
    rest = weights[order]
    codes = np.empty(rest.shape)
    for row in range(len(rest)):
        codes[row] = np.clip(np.rint(rest[row]), -limit, limit)
        error = (rest[row] - codes[row]) / upper[row, row]
        rest[row + 1 :] -= np.outer(upper[row, row + 1 :], error)
    made = np.empty(codes.shape, np.int64)
    made[order] = codes.astype(np.int64)
    return made


def _damped(gram: Float64, share: float) -> Float64:
    """The Gram matrix with ``share`` of its mean diagonal added: inputs that never varied too."""
    size = len(gram)
    made = gram.copy()
    made.flat[:: size + 1] += share * np.trace(gram) / size + TINY
    return made
