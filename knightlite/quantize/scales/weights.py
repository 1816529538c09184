"""Weights and biases of convolutions: scales per channel, raised channels (numerics 1, 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.errors import Finding, UnsupportedError, findings_error
from knightlite.ir import Graph, Node
from knightlite.ir.large import row_blocks
from knightlite.numerics import WEIGHT_MAXIMUM, WIDE_WEIGHT_MAXIMUM
from knightlite.ops import BY_NAME, View
from knightlite.quantize.scales.features import Feature
from knightlite.quantize.scales.weight_scales import least_error_scales

Float64 = NDArray[np.float64]
Integers = NDArray[np.signedinteger[Any]]
WIDE_MIN_RATIO = numerics.WIDE.min_ratio
EMPTY_RATIO = 2.0**14  # the largest ratio a channel without weights may take
BIAS_STEPS = 2.0**10  # a channel without weights resolves its bias to 1/1024 of an output step


@dataclass(frozen=True, slots=True)
class Raise:
    """A channel whose weight scale had to grow, and what that costs.

    ``before_db`` and ``after_db``: SQNR of the channel's weights; None where nothing is lost or
    nothing was there.
    """

    node: str
    channel: int
    reason: str
    scale_before: float
    scale_after: float
    before_db: float | None
    after_db: float | None


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """Integers and scales of one convolution; ``bias`` int32 at ``bias_scale`` (Co,).

    ``exact``: the trained weights; None where the integers are these.
    """

    weights: Integers
    scale: NDArray[np.float32]
    bias: NDArray[np.int32] | None
    bias_scale: NDArray[np.float32]
    raises: tuple[Raise, ...]
    exact: NDArray[np.float32] | None

    @cached_property
    def sqnr_db(self) -> float | None:
        """Of the weights alone; None where they are zero or exact.

        Most networks are only measured: it takes as long as rounding.
        """
        if self.exact is None:
            return None
        return weight_sqnr_db(self.exact, self.weights, self.scale.astype(np.float64))


def weight_scales(weights: NDArray[np.float32], largest: int = WEIGHT_MAXIMUM) -> Float64:
    """Largest magnitude / ``largest`` per output channel (Co,); 0 for a channel of zeros."""
    flat = weights.reshape(weights.shape[0], -1)
    found = np.empty(len(flat))
    for rows in row_blocks(flat):
        found[rows] = np.abs(flat[rows]).max(axis=1)
    return np.asarray(found / largest)


def quantize_conv(
    graph: Graph,
    node: Node,
    features: Mapping[str, Feature],
    mean: Float64 | None = None,
    *,
    wide: bool = False,
    search: bool = True,
) -> QuantizedWeights:
    """Integers of one Conv. ``mean`` [C] of its input switches the bias correction on.

    ``wide``: the weights have 16 bits. ``search``: scales of 8 bits are those of least error.

    UnsupportedError where a requantize ratio is 2^15 or more.
    """
    weights = graph.constants[node.inputs[1]]
    bias = graph.constants[node.inputs[2]].astype(np.float64) if len(node.inputs) > 2 else None
    scale_in = features[node.inputs[0]].scale.astype(np.float64)
    scale_out = features[node.output].scale.astype(np.float64)
    largest = WIDE_WEIGHT_MAXIMUM if wide else WEIGHT_MAXIMUM
    wanted = weight_scales(weights, largest)
    least = WIDE_MIN_RATIO if wide else numerics.MIN_RATIO
    scale, reasons = raised_scales(wanted, bias, scale_in, scale_out, least)
    _check_ratios(node, scale_in * scale / scale_out)
    if search and not wide:  # 16 bits are fine enough
        tuned = least_error_scales(weights, scale, largest)
        lifted, more = raised_scales(tuned, bias, scale_in, scale_out, least)
        kept = lifted * scale_in / scale_out >= numerics.MAX_RATIO
        kept[[*reasons, *more]] = True  # where bounds decide, they decide
        scale = np.where(kept, scale, lifted)
    integers = quantize_weights(weights, scale, largest)
    raises = _raises(node, weights, wanted, scale, reasons, largest)
    bias_scale = features[node.inputs[0]].scale * scale.astype(np.float32)
    if mean is not None:
        bias = (0.0 if bias is None else bias) + _shift(graph, node, integers, scale, mean)
    whole = None
    if bias is not None:
        whole = np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32)
    return QuantizedWeights(
        integers, scale.astype(np.float32), whole, bias_scale, raises, weights
    )  # fmt: skip


def quantize_weights(
    weights: NDArray[np.float32], scale: Float64, largest: int = WEIGHT_MAXIMUM
) -> Integers:
    """``rne(weight / scale)`` per output channel, saturated to [-largest, largest]."""
    shaped = scale.reshape((-1,) + (1,) * (weights.ndim - 1))
    found = np.empty(weights.shape, np.int8 if largest <= WEIGHT_MAXIMUM else np.int16)
    for rows in row_blocks(weights):
        codes = weights[rows] / shaped[rows]  # float64, as the scales are
        np.rint(codes, out=codes)
        found[rows] = np.clip(codes, -largest, largest, out=codes)
    return found


def raised_scales(
    wanted: Float64,
    bias: Float64 | None,
    scale_in: Float64,
    scale_out: Float64,
    least_ratio: float = numerics.MIN_RATIO,
) -> tuple[Float64, dict[int, str]]:
    """Float32-exact scales that keep the least ratio and |bias| < 2^30, and why each was raised.

    A channel of zeros takes scale 1, or, where it has a bias, one that resolves the bias finely;
    either is brought into the range of ratios.
    """
    per_ratio = np.broadcast_to(scale_out / scale_in, wanted.shape)  # scale = ratio * this
    empty = wanted == 0
    scale = np.where(empty, 1.0, wanted)
    least = per_ratio * least_ratio
    if bias is not None:
        scale = np.where(empty & (bias != 0), per_ratio / BIAS_STEPS, scale)
        least_bias = np.abs(bias) / scale_in / (numerics.MAX_BIAS - 1)
    else:
        least_bias = np.zeros_like(least)
    scale = np.where(empty, np.minimum(scale, per_ratio * EMPTY_RATIO), scale)
    reasons = {}
    for channel in np.flatnonzero(~empty & (scale < np.maximum(least, least_bias))):
        by_ratio = least[channel] >= least_bias[channel]
        reasons[int(channel)] = (
            f"ratio below 2^{np.log2(least_ratio):.0f}" if by_ratio else "bias beyond 2^30"
        )
    needed = np.maximum(least, least_bias)
    rounded = np.maximum(scale, needed).astype(np.float32)
    low = rounded.astype(np.float64) < needed
    rounded = np.where(low, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return rounded.astype(np.float64), reasons


def _check_ratios(node: Node, ratio: Float64) -> None:
    bad = np.flatnonzero(ratio >= numerics.MAX_RATIO)
    if not bad.size:
        return
    findings = [
        Finding(
            node.name,
            f"channel {channel} has requantize ratio {ratio[channel]:.4g} (input scale * weight "
            "scale / output scale), which must be below 2^15.",
            "calibrate on pictures that excite this output, or look for weights that exploded",
        )
        for channel in bad
    ]
    raise findings_error(
        UnsupportedError,
        f"node {node.name} channel {bad[0]} must have a requantize ratio below 2^15, not "
        f"{ratio[bad[0]]:.4g} ({bad.size} channels in all).",
        findings,
        "calibrate on pictures that excite this output, or look for weights that exploded",
    )


def _shift(graph: Graph, node: Node, integers: Integers, scale: Float64, mean: Float64) -> Float64:
    """What the rounded weights lose on an average input, per output channel.

    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
    section 4.2, with the inputs' means measured. A tap that often lies in the padding sees so
    much less of the mean.
    """
    view, kernel = View(graph, node), BY_NAME[node.op].kernel
    assert kernel is not None
    weights, coverage = graph.constants[node.inputs[1]], kernel.tap_coverage(view)
    shaped = scale.astype(np.float32).astype(np.float64).reshape(-1, 1, 1, 1)
    lost = np.empty(weights.shape[:2])
    for rows in row_blocks(weights):
        missing = weights[rows].astype(np.float64)
        missing -= integers[rows] * shaped[rows]
        missing *= coverage
        # a sum over axes of one tap takes longer than the rest
        lost[rows] = missing[:, :, 0, 0] if coverage.size == 1 else missing.sum(axis=(2, 3))
    inputs = mean.reshape(view.integer("group"), -1)  # [group, Ci / group]
    return np.asarray((lost * np.repeat(inputs, len(weights) // len(inputs), axis=0)).sum(axis=1))


def _raises(
    node: Node,
    weights: NDArray[np.float32],
    wanted: Float64,
    scale: Float64,
    reasons: Mapping[int, str],
    largest: int = WEIGHT_MAXIMUM,
) -> tuple[Raise, ...]:
    made = []
    for channel, reason in reasons.items():
        some = slice(channel, channel + 1)
        before = quantize_weights(weights[some], wanted[some], largest)
        after = quantize_weights(weights[some], scale[some], largest)
        made.append(
            Raise(
                node.name,
                channel,
                reason,
                float(wanted[channel]),
                float(scale[channel]),
                weight_sqnr_db(weights[some], before, wanted[some]),
                weight_sqnr_db(weights[some], after, scale[some]),
            )
        )
    return tuple(made)


def weight_sqnr_db(
    weights: NDArray[np.float32], integers: Integers, scale: Float64
) -> float | None:
    """SQNR in dB of the weights alone; None where they are zero or exact."""
    energy = noise = 0.0
    shaped = scale.reshape((-1,) + (1,) * (weights.ndim - 1))
    for rows in row_blocks(weights):
        exact = weights[rows].astype(np.float64)
        error = exact - integers[rows] * shaped[rows]
        energy, noise = energy + float(np.sum(exact**2)), noise + float(np.sum(error**2))
    return float(10 * np.log10(energy / noise)) if energy > 0 and noise > 0 else None
