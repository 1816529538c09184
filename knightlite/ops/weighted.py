"""What operators with integer weights share: exact sums, one requantize per output channel.

acc = sum x*w + bias, y = clamp(rne(acc * m_c / 2^q_c)) (numerics 1-3). Weights [Co, Ci/group, kh,
kw] are input 1, the bias [Co] is input 2 where there is one. Sums have 32 bits, or 48 where the
features or the weights have 16.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes, numerics
from knightlite.ir import Attribute, Graph, GraphBuilder
from knightlite.ir.large import row_blocks
from knightlite.ops.onnx_io import OnnxWriter, per_channel, weight_bytes
from knightlite.ops.opdef import Constraint, View

Array = NDArray[Any]


def is_depthwise(view: View) -> bool:
    """True where each output channel reads exactly its own input channel."""
    group = view.integer("group")
    return group > 1 and view.constant(1).shape[:2] == (group, 1)


def weights(view: View) -> Array:
    """Integer weights [Co, Ci/group, kh, kw]."""
    return view.constant(1)


def bias(view: View) -> NDArray[np.int64]:
    """Integer bias [Co], zeros where the node has none."""
    if len(view.node.inputs) < 3:
        return np.zeros(weights(view).shape[0], np.int64)
    return view.constant(2).astype(np.int64)


def accumulator(view: View) -> numerics.Accumulator:
    """What the products add up in."""
    return numerics.accumulator(view.tensor(0).dtype.bits, 8 * weights(view).dtype.itemsize)


def requantize_ratio(view: View) -> NDArray[np.float64]:
    """Input scale * weight scale / output scale, per output channel [Co], in float64."""
    ratio = view.scale(0) * view.scale(1) / view.output_scale
    return np.broadcast_to(ratio, (weights(view).shape[0],))


def requantize_parameters(view: View) -> numerics.Multiplier:
    """The (m, q) of every output channel; ValueError where a ratio is out of range."""
    return numerics.multiplier(requantize_ratio(view), sums=accumulator(view))


def l1_norms(view: View) -> NDArray[np.int64]:
    """Sum of the weights' magnitudes at every tap [Co, kh, kw]."""
    values = weights(view)
    norms = np.empty((len(values), *values.shape[2:]), np.int64)
    for rows in row_blocks(values):
        norms[rows] = np.abs(values[rows].astype(np.int64)).sum(axis=1)
    return norms


def accumulator_bound(view: View, norms: NDArray[np.int64]) -> int:
    """The largest |accumulator| any input can produce, from L1 norms [Co] (numerics 2)."""
    largest = max(abs(view.tensor(0).dtype.minimum), view.tensor(0).dtype.maximum)
    return int(np.max(norms * largest + np.abs(bias(view))))


def requantized(view: View, sums: NDArray[np.int64]) -> Array:
    """The output [1, Co, H', W'] of sums [Co, H', W'] without their bias."""
    acc = sums + bias(view)[:, None, None]
    limits = accumulator(view)
    acc = np.clip(acc, limits.minimum, limits.maximum)
    low, high = view.bounds
    round_to = numerics.requantize if limits is numerics.NARROW else numerics.requantize_wide
    y = round_to(np.moveaxis(acc, 0, -1), requantize_parameters(view), view.output.dtype, low, high)
    return np.moveaxis(y, -1, 0)[None]


def write_convolution(
    view: View, writer: OnnxWriter, x: str, kernel: Array, output: str, **attributes: object
) -> None:
    """Golden form: ``kernel`` over ``x`` in integers, the bias, the requantize."""
    dtype = view.tensor(0).dtype
    if accumulator(view) is numerics.NARROW:
        sums = writer.conv_integer(x, dtype, kernel, f"{output}/acc", **attributes)
        wide = writer.cast(sums, TensorProto.DOUBLE, f"{output}/wide")
    else:
        wide = writer.conv_bytes(x, dtype, kernel, f"{output}/acc", **attributes)
    biased = writer.temporary(
        "Add",
        [wide, writer.constant(f"{output}/bias", per_channel(bias(view).astype(np.float64)))],
        f"{output}/biased",
    )
    params = requantize_parameters(view)
    if accumulator(view) is not numerics.NARROW:
        m, unit = per_channel(params.m), per_channel(np.left_shift(np.int64(1), params.q))
        writer.rescale_whole(biased, m, unit, *view.bounds, view.output.dtype, output)
        return
    factor = per_channel(np.ldexp(params.m.astype(np.float64), -params.q))
    writer.rescale(biased, factor, *view.bounds, view.output.dtype, output)


# ------------------------------------------------------------------ constraints


def constraints(
    bound: Callable[[View], int], sample: Callable[..., Graph]
) -> tuple[Constraint, ...]:
    """The rules that all of them have. ``bound``: of the accumulator; ``sample``: a 1x1 kernel."""

    def check_accumulator(view: View) -> str | None:
        largest, limits = bound(view), accumulator(view)
        if largest <= limits.maximum:
            return None
        return (
            f"the accumulator must stay within {limits.bits} bits, but can reach {largest} "
            f"(2^{limits.bits - 1} = {limits.maximum + 1})"
        )

    return (
        Constraint(
            "input scale * weight scale / output scale lies in [2^-17, 2^15), from 2^-33 on where "
            "features or weights have 16 bits",
            _check_ratio,
            lambda: sample("ratio", (8, 4, 4), 8, (1, 1), ratio=1e-6),
        ),
        Constraint(
            "the accumulator fits 32 bits, 48 where features or weights have 16",
            check_accumulator,
            lambda: sample("overflow", (70000, 1, 1), 2, (1, 1), worst=True),
        ),
        Constraint(
            "at 16 bit, sums of products of single bytes fit 32 bits: so the golden model adds",
            _check_bytes,
            lambda: sample(
                "bytes", (34000, 1, 1), 2, (1, 1), worst=True, x_dtype=dtypes.S16, weight_bits=16
            ),
        ),
        Constraint(
            "a clamp on per-channel scales is covered by saturation",
            _check_bounds,
            lambda: sample(
                "clamped", (4, 4, 4), 4, (1, 1), per_channel_output=True, clamp=(0.0, 0.5)
            ),
        ),
    )


def _check_ratio(view: View) -> str | None:
    ratio, limits = requantize_ratio(view), accumulator(view)
    bad = np.flatnonzero((ratio < limits.min_ratio) | (ratio >= numerics.MAX_RATIO))
    if not bad.size:
        return None
    least = numerics.MULTIPLIER_BITS - 1 - limits.max_shift
    return (
        f"input scale * weight scale / output scale must lie in [2^{least}, 2^15), not "
        f"{ratio[bad[0]]:.3g} in channel {bad[0]} ({bad.size} channels in all)"
    )


def _check_bytes(view: View) -> str | None:
    if accumulator(view) is numerics.NARROW:
        return None
    flat = weights(view).reshape(len(weights(view)), -1)
    largest = 255 * max(
        int(np.abs(factors.astype(np.int64) - zero).sum(axis=1).max())
        for factors, zero, _ in weight_bytes(flat)
    )
    if largest < 1 << 31:
        return None
    return (
        f"sums of products of single bytes must stay within 32 bits, but can reach {largest} "
        f"(2^31 = {1 << 31}); use 8-bit features and weights"
    )


def _check_bounds(view: View) -> str | None:
    try:
        _ = view.bounds
    except ValueError:
        return "a clamp on per-channel scales must be covered by saturation, but its bound differs"
    return None


# ------------------------------------------------------------------ samples


def sample(
    op: str,
    infer: Callable[[View], tuple[int, ...]],
    name: str,
    shape: tuple[int, int, int],
    co: int,
    kernel: tuple[int, int],
    attributes: Mapping[str, Attribute],
    fan_in: float,
    *,
    group: int = 1,
    x_dtype: dtypes.DType = dtypes.U8,
    y_dtype: dtypes.DType = dtypes.S8,
    clamp: tuple[float, float] | None = None,
    per_channel_input: bool = False,
    per_channel_output: bool = False,
    worst: bool = False,
    ratio: float = 1.0,
    with_bias: bool = True,
    weight_bits: int = 8,
) -> Graph:
    """A quantized graph of one node; the output scale uses the type's range well.

    ``fan_in``: products that an output adds up.
    """
    rng = np.random.default_rng(len(name) * 7919 + sum(name.encode()))
    channels, height, width = shape
    builder = GraphBuilder(name)
    builder.tensor("x", (1, channels, height, width), x_dtype, 0.02)
    builder.inputs.append("x")
    if per_channel_input:
        builder.tensor(
            "x", (1, channels, height, width), x_dtype, rng.uniform(0.01, 0.05, channels)
        )
    most = (1 << (weight_bits - 1)) - 1
    w = rng.integers(-most, most + 1, (co, channels // group, *kernel))
    w = w.astype(np.int8 if weight_bits == 8 else np.int16)
    if worst:  # every product at its extreme and of one sign: the accumulator's worst case
        w = np.full_like(w, most)
        w[1::2] = -most
    w_scale = rng.uniform(0.5, 1.5, co) * 0.01
    spread = (fan_in if worst else fan_in**0.5) * most * (1 << (x_dtype.bits - 1))
    y_scale = np.float64(0.02 * 0.01 * spread / (y_dtype.maximum + 1)) / ratio
    scales = y_scale * rng.uniform(0.7, 1.4, co) if per_channel_output else y_scale
    inputs = ["x", builder.constant("w", w, w_scale)]
    if with_bias:
        b = rng.integers(-(1 << 15), 1 << 15, co).astype(np.int32)
        x_scale = np.asarray(builder.tensors["x"].scale)
        inputs.append(builder.constant("b", b, w_scale * x_scale))
    known = {**attributes, "group": group}
    if clamp is not None:
        known["clamp"] = clamp
    builder.node(op, tuple(inputs), "y", known)
    builder.tensor("y", (0,) * 4, y_dtype, scales)
    graph = builder.build(("y",))
    shape_out = infer(View(graph, graph.nodes[-1]))
    builder.tensor("y", shape_out, y_dtype, scales)
    return builder.build(("y",))
