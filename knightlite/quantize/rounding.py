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

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.quantize.walk import Constants, Layer

Array = NDArray[Any]
Float64 = NDArray[np.float64]

RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)  # of the mean diagonal
DAMPING = 0.01  # of the mean diagonal, in the rounding
MOST_ROWS = 2400  # weights per output channel: a 3x3 kernel over 256 channels
TINY = 1e-12
MOST_PIXELS = 1 << 16  # per half: more change no Gram matrix that matters


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Centered second moments of x [pixels, K] and y [pixels, Co]; ``count`` pixels."""

    gram: Float64
    cross: Float64
    x_mean: Float64
    y_mean: Float64
    count: int

    def joined(self, other: Moments) -> Moments:
        """Of the pixels of both."""
        count = self.count + other.count
        share = self.count * other.count / count
        dx, dy = self.x_mean - other.x_mean, self.y_mean - other.y_mean
        return Moments(
            self.gram + other.gram + share * np.outer(dx, dx),
            self.cross + other.cross + share * np.outer(dx, dy),
            (self.count * self.x_mean + other.count * other.x_mean) / count,
            (self.count * self.y_mean + other.count * other.y_mean) / count,
            count,
        )


def moments(x: Array, y: Array) -> Moments:
    """Of x [n, K, P] and y [n, Co, P]."""
    rows = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(np.float64)
    wanted = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1).astype(np.float64)
    x_mean, y_mean = rows.mean(axis=1), wanted.mean(axis=1)
    rows -= x_mean[:, None]
    wanted -= y_mean[:, None]
    return Moments(rows @ rows.T, rows @ wanted.T, x_mean, y_mean, rows.shape[1])


def round_weights(layer: Layer, float_weights: Array) -> Constants | None:
    """A visitor's answer: the node's weights fitted to its inputs and rounded together.

    ``float_weights`` [Co, Ci / group, kh, kw] are the trained ones. None for a node that is not a
    convolution, or whose Gram matrix would be too large.
    """
    if layer.node.op != "Conv":
        return None
    view, name = layer.view, layer.node.inputs[1]
    tensor = layer.graph.tensors[name]
    assert tensor.scale is not None
    integers, scale = layer.graph.constants[name], tensor.scale.astype(np.float64)
    group, outputs = view.integer("group"), len(integers)
    rows, channels = int(np.prod(integers.shape[1:])), outputs // group
    if rows > MOST_ROWS or len(layer.exact) < 2 or tensor.dtype.bits > 8:
        return None
    kernel, strides = integers.shape[2:], view.integers("strides")
    y = layer.exact.reshape(*layer.exact.shape[:2], -1)
    step = -(-y.shape[0] * y.shape[2] // (2 * MOST_PIXELS))
    y = y[:, :, ::step]
    pads, dilations = view.integers("pads"), view.integers("dilations")
    x = np.concatenate(
        [  # one by one: a picture's windows are kernel times its size
            windows(part[None], kernel, strides, pads, dilations)[:, :, ::step]
            for part in layer.fixed_inputs[0]
        ]
    )
    made = np.empty((outputs, rows), np.int64)
    for index in range(group):
        some = slice(index * channels, (index + 1) * channels)
        inputs = x[:, index * rows : (index + 1) * rows]
        halves = [moments(inputs[half::2], y[half::2, some]) for half in (0, 1)]
        trained = float_weights[some].reshape(channels, rows).T.astype(np.float64)
        both = halves[0].joined(halves[1])
        wanted = refit(both, trained, best_ridge(halves, trained))
        limit = int(tensor.dtype.maximum)
        made[some] = round_rows(both.gram, wanted / scale[some], limit).T
    return {name: made.reshape(integers.shape).astype(integers.dtype)}


def windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Array:
    """The windows of x [n, C, H, W] as [n, C * kh * kw, H' * W'], channels outermost."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    spans = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    views = views[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    n, channels, height, width = views.shape[:4]
    ordered = views.transpose(0, 1, 4, 5, 2, 3)
    return np.asarray(ordered.reshape(n, channels * kernel[0] * kernel[1], height * width))


def best_ridge(halves: Sequence[Moments], trained: Float64) -> float:
    """The ridge with the least error on the half that a fit did not see; infinite: no fit."""
    ridges = (np.inf, *RIDGES)
    errors = [0.0] * len(ridges)
    for fitted, other in ((halves[0], halves[1]), (halves[1], halves[0])):
        for place, ridge in enumerate(ridges):
            errors[place] += squared_error(other, refit(fitted, trained, ridge))
    return ridges[int(np.argmin(errors))]


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
    inverse = np.linalg.inv(_damped(gram[np.ix_(order, order)], DAMPING))
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
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
    return np.asarray(gram + np.eye(size) * (share * np.trace(gram) / size + TINY))
