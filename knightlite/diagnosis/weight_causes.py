"""Suspects among the weights: outliers, scales that do not fit, raised scales."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import numerics
from knightlite.diagnosis.causes import (
    DEADBAND_DB,
    RAISED,
    WEIGHT_OUTLIER,
    WEIGHT_SCALE,
    Suspect,
)
from knightlite.ir import Graph, Node
from knightlite.ops import BY_NAME

Float64 = NDArray[np.float64]

ROW_DB = 25.0  # the middle weight of a normal channel keeps about 38 dB at 8 bits
COARSE = 1.05  # a scale this much above what the largest weight asks for was raised, or is wrong
NEAR = 1.05  # of the bounds that raise scales


def weight_suspects(graph: Graph, quantized: Graph) -> list[Suspect]:
    """At most one suspect per operator with weights, in graph order."""
    made = {node.output: node for node in quantized.nodes}
    found = []
    for node in graph.nodes:
        twin = made.get(node.output)
        if BY_NAME[node.op].kernel is None or twin is None:
            continue
        suspect = _suspect(graph, quantized, node, twin)
        if suspect is not None:
            found.append(suspect)
    return found


def row_quality(exact: NDArray[Any], rounded: NDArray[Any]) -> Float64:
    """SQNR in dB of each output channel's weights."""
    flat = exact.reshape(exact.shape[0], -1).astype(np.float64)
    error = np.sum((flat - rounded.reshape(flat.shape)) ** 2, axis=1)
    energy = np.sum(flat**2, axis=1)
    kept = np.full(energy.shape, DEADBAND_DB)
    lossy = (error > 0) & (energy > 0)
    kept[lossy] = 10 * np.log10(energy[lossy] / error[lossy])
    return np.minimum(kept, DEADBAND_DB)


def middle_quality(exact: NDArray[Any], scale: NDArray[Any]) -> Float64:
    """What each channel's middle weight keeps of itself in dB: one outlier does not hide the rest.

    Rounding errs by scale / sqrt(12); weights of exactly 0 do not count, they have no error.
    """
    flat = np.abs(exact.reshape(exact.shape[0], -1).astype(np.float64))
    scales = np.broadcast_to(scale.astype(np.float64), flat.shape[:1])
    middle = [float(np.median(row[row > 0])) if row.any() else np.inf for row in flat]
    with np.errstate(divide="ignore"):
        kept = 20 * np.log10(np.asarray(middle) * np.sqrt(12) / scales)
    return np.asarray(np.clip(kept, 0.0, DEADBAND_DB))


def dequantized(quantized: Graph, name: str) -> NDArray[Any]:
    """A constant's real values; scales lie along axis 0."""
    values, scale = quantized.constants[name], quantized.tensors[name].scale
    if scale is None:
        return values
    shaped = scale.reshape(-1, *(1,) * (values.ndim - 1)) if scale.ndim else scale
    return np.asarray(values.astype(np.float64) * shaped)


def _suspect(graph: Graph, quantized: Graph, node: Node, twin: Node) -> Suspect | None:
    exact = graph.constants[node.inputs[1]]
    codes, scale = quantized.constants[twin.inputs[1]], quantized.tensors[twin.inputs[1]].scale
    if scale is None or codes.shape != exact.shape:
        return None
    quality = np.minimum(
        row_quality(exact, dequantized(quantized, twin.inputs[1])), middle_quality(exact, scale)
    )
    bad = np.flatnonzero(quality < ROW_DB)
    if not bad.size:
        return None
    worst = int(bad[np.argmin(quality[bad])])
    flat = np.abs(exact.reshape(exact.shape[0], -1).astype(np.float64))
    peak = flat.max(axis=1)
    scales = np.broadcast_to(scale.astype(np.float64), peak.shape)
    limit = np.iinfo(codes.dtype).max
    facts: dict[str, Any] = {
        "channels": bad.tolist(), "channel": worst, "sqnr_db": float(quality[worst]),
    }  # fmt: skip
    kept = (
        f"channel {worst} keeps {quality[worst]:.1f} dB ({bad.size} of {peak.size} channels keep "
        f"less than {ROW_DB:.0f})"
    )
    wanted = np.maximum(peak / limit, 1e-300)
    if scales[worst] > COARSE * wanted[worst]:
        times = float(scales[worst] / wanted[worst])
        facts["times"] = times
        reason = _raised_by(quantized, twin, worst, float(scales[worst]))
        if reason is not None:
            cause = RAISED
            sentence = (
                f"weight scales were raised ({reason}): that of channel {worst} {times:.1f} times, "
                f"so that {kept}"
            )
        else:
            cause = WEIGHT_SCALE
            sentence = f"the weight scale of channel {worst} is {times:.1f} times too large: {kept}"
    elif scales[worst] * 1.5 < wanted[worst]:
        cause = WEIGHT_SCALE
        sentence = (
            f"the weight scale of channel {worst} clips: its largest weight is {peak[worst]:.4g}, "
            f"the range ends at {scales[worst] * limit:.4g}; {kept}"
        )
    else:
        usual = float(np.median(flat[worst][flat[worst] > 0]))
        cause = WEIGHT_OUTLIER
        place = np.unravel_index(int(np.argmax(flat[worst])), exact.shape[1:])
        facts |= {"value": float(peak[worst]), "usual": usual}
        sentence = (
            f"weight {[worst, *(int(item) for item in place)]} is {peak[worst]:.4g}, the others of "
            f"its channel about {usual:.4g}: one scale for both, and {kept}"
        )
    return Suspect(cause, node.output, sentence, (), (node.output,), float(quality[worst]), facts)


def _raised_by(quantized: Graph, twin: Node, channel: int, scale: float) -> str | None:
    """Which bound the scale stands at, or None."""

    def of(name: str) -> float:
        values = quantized.tensors[name].scale
        assert values is not None
        return float(values[channel] if values.ndim and values.size > channel else values.max())

    ratio = of(twin.inputs[0]) * scale / of(twin.output)
    if ratio <= NEAR * numerics.MIN_RATIO:
        return "the requantize ratio must be at least 2^-17"
    if len(twin.inputs) > 2:
        bias = abs(int(quantized.constants[twin.inputs[2]].reshape(-1)[channel]))
        if bias * NEAR >= numerics.MAX_BIAS:
            return "the bias must stay below 2^30 steps"
    return None
