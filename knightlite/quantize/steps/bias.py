"""Sequential bias correction: every layer's mean error on what it really receives, taken away.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
section 4.2 (empirical form), layer by layer, each measured with all layers before it corrected. A
channel's correction is shrunk by how sure its mean is: few values that scatter widely (a layer
behind a global pool sees one value per picture) say little about pictures not seen. Values that a
merged activation cuts off count little: an error there is cut off too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.ops import BY_NAME
from knightlite.quantize.steps.walk import Constants, Layer

Array = NDArray[Any]
Float64 = NDArray[np.float64]

CUT_OFF = 0.1  # what a value counts that the float network's activation cuts off


def has_bias(layer: Layer) -> bool:
    """True for a node with weights and a bias."""
    return BY_NAME[layer.node.op].kernel is not None and len(layer.node.inputs) > 2


def correct_bias(layer: Layer, changed: Constants | None = None) -> Constants | None:
    """A visitor's answer: the node's bias with the mean error taken away.

    ``changed``: other weights that the node has by now. None for a node without a bias.
    """
    if not has_bias(layer):
        return None
    changed = changed or {}
    name = layer.node.inputs[2]
    tensor = layer.graph.tensors[name]
    assert tensor.scale is not None
    computed = (picture for some in layer.linear(changed) for picture in some)
    means = picture_means(layer.exact, computed, layer.view.clamp)
    shift = shrunk_mean(means) / tensor.scale.astype(np.float64)
    limit = numerics.MAX_BIAS - 1
    integers = np.clip(layer.graph.constants[name].astype(np.float64) + shift, -limit, limit)
    return {**changed, name: np.rint(integers).astype(np.int32)}


def picture_means(exact: Array, computed: Iterable[Array], clamp: tuple[float, float]) -> Float64:
    """Mean of ``exact`` [n, C, ...] less ``computed``, n pictures, per picture and channel [n, C].

    Where ``clamp`` (low, high) cuts a value off it counts little, the others so much more: counts
    are 1 in the mean of a channel. One picture at a time: memory is that of a picture in float64.
    """
    means, counted = np.empty(exact.shape[:2]), np.zeros(exact.shape[1])
    for place, (wanted, found) in enumerate(zip(exact, computed, strict=True)):
        rows = wanted.reshape(len(wanted), -1)
        missing = (rows - found.reshape(rows.shape)).astype(np.float64)
        counts = np.where((rows > clamp[0]) & (rows < clamp[1]), 1.0, CUT_OFF)
        means[place] = (missing * counts).mean(axis=1)
        counted += counts.mean(axis=1) / len(exact)
    return means / counted


def shrunk_mean(values: Float64) -> Float64:
    """Mean per channel of [n, C, ...], shrunk towards 0 by its uncertainty between pictures.

    The factor m^2 / (m^2 + s^2 / n), s^2 the variance of the pictures' means, is the one with the
    least expected squared error where the true mean is about the measured one.
    """
    rows = values.reshape(values.shape[0], values.shape[1], -1).mean(axis=2)
    mean = rows.mean(axis=0)
    if len(rows) < 2:
        return np.asarray(mean)
    square = mean**2
    total = square + rows.var(axis=0, ddof=1) / len(rows)
    return np.asarray(mean * np.divide(square, total, out=np.zeros_like(mean), where=total > 0))
