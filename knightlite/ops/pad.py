"""Pad: zeros around a tensor, where no convolution or pool takes them over; values only move.

Zero is zero in every scale, so a Pad never needs a scale of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from knightlite import dtypes
from knightlite.ir import Graph
from knightlite.ops.onnx_io import OnnxWriter, element_type
from knightlite.ops.opdef import (
    Constraint,
    OpDef,
    Region,
    Tie,
    View,
    as_inputs,
    never,
    no_macs,
    own_channels,
)
from knightlite.ops.rearranging import case
from knightlite.ops.sharing import same_scale

Array = NDArray[Any]


def infer(view: View) -> tuple[int, ...]:
    """The sizes with the zeros of both ends."""
    sizes = zip(view.tensor(0).shape[1:], *amounts(view), strict=True)
    return (1, *(size + begin + end for size, begin, end in sizes))


def amounts(view: View) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before and behind channels, rows and columns."""
    return view.integers("begins"), view.integers("ends")


def reference(view: View, inputs: tuple[Array, ...]) -> Array:
    """Zeros, and the input in them."""
    return np.pad(inputs[0], ((0, 0), *zip(*amounts(view), strict=True)))


def to_onnx(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Pad with constant zeros."""
    begins, ends = amounts(view)
    pads = writer.constant(f"{output}/pads", np.array((0, *begins, 0, *ends), np.int64))
    writer.node("Pad", [*inputs, pads], output)


def golden(view: View, writer: OnnxWriter, inputs: tuple[str, ...], output: str) -> None:
    """Pad of 32-bit integers, which ONNX Runtime has."""
    wide = writer.fresh(f"{output}/padded")
    to_onnx(view, writer, (writer.cast(inputs[0], TensorProto.INT32, f"{output}/wide"),), wide)
    writer.node("Cast", [wide], output, to=element_type(view.output.dtype))


def channel_ties(view: View) -> tuple[Tie, ...] | None:
    """Each channel's own, unless channels of zeros are added."""
    begins, ends = amounts(view)
    return None if begins[0] or ends[0] else own_channels(view)


def region(view: View, index: int, rows: Region) -> Region:
    """The rows that are not zeros; perhaps none."""
    height, top = view.tensor(0).shape[2], view.integers("begins")[1]
    return max(0, min(rows[0] - top, height)), max(0, min(rows[1] - top, height))


def _case(
    name: str,
    shape: tuple[int, int, int],
    begins: tuple[int, int, int],
    ends: tuple[int, int, int],
    **more: Any,
) -> Graph:
    return case("Pad", name, shape, {"begins": begins, "ends": ends}, infer, **more)


def samples() -> tuple[Graph, ...]:
    """Rows and columns, channels at both ends, tiles of zeros only."""
    return (
        _case("picture", (6, 7, 9), (0, 1, 2), (0, 3, 0)),
        _case("channels", (5, 6, 7), (3, 0, 0), (12, 0, 1), dtype=dtypes.U8),
        _case("wide", (4, 6, 7), (0, 2, 0), (2, 0, 1), dtype=dtypes.S16),
        _case("zeros", (100, 8, 60), (0, 100, 0), (0, 90, 0)),
    )


def _check_amounts(view: View) -> str | None:
    begins, ends = amounts(view)
    return None if min((*begins, *ends)) >= 0 else f"pads must not cut, as {begins} and {ends} do"


PAD = OpDef(
    name="Pad",
    onnx_types=(),
    also_from=("Pad",),
    from_onnx=None,
    infer=infer,
    to_onnx=to_onnx,
    reference=reference,
    to_golden=golden,
    region=region,
    macs=no_macs,
    constraints=(
        Constraint(
            "pads add zeros, they do not cut",
            _check_amounts,
            lambda: _case("cut", (6, 7, 9), (0, -1, 0), (0, 0, 0)),
            structural=True,
        ),
        same_scale(lambda: _case("scales", (6, 7, 9), (0, 1, 0), (0, 0, 0), y_scale=0.2)),
    ),
    samples=samples,
    value_preserving=True,
    rearranges=True,
    nonnegative=as_inputs,
    ties=channel_ties,
    carries_offsets=never,  # the zeros that it adds stay zeros
)
