"""Sliding windows shared by convolution and pooling: sizes, pads, rows, patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from knightlite.errors import UnsupportedError
from knightlite.ops.opdef import Region

Array = NDArray[Any]


def output_size(padded: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Number of window positions along one axis of ``padded`` elements."""
    return (padded - dilation * (kernel - 1) - 1) // stride + 1


def resolve_pads(
    attributes: Mapping[str, Any],
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool = False,
) -> tuple[int, ...]:
    """Explicit (top, left, bottom, right) from pads, auto_pad and ceil_mode. ONNX Conv, MaxPool.

    Of any number of axes: all begins, then all ends.

    With ``ceil_mode`` the end pads grow so that floor gives the same number of windows; windows
    that would start in the end padding are dropped, as ONNX says.
    """
    mode = attributes.get("auto_pad", "NOTSET")
    rank = len(kernel)
    begin, end = [0] * rank, [0] * rank
    for axis in range(rank):
        reach = dilations[axis] * (kernel[axis] - 1) + 1
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            out = -(-size[axis] // strides[axis])
            total = max(0, (out - 1) * strides[axis] + reach - size[axis])
            small, large = total // 2, total - total // 2
            begin[axis], end[axis] = (small, large) if mode == "SAME_UPPER" else (large, small)
        elif mode == "NOTSET":
            pads = tuple(attributes.get("pads", (0,) * 2 * rank))
            begin[axis], end[axis] = int(pads[axis]), int(pads[axis + rank])
        elif mode != "VALID":
            raise UnsupportedError(f"auto_pad must be NOTSET, SAME_* or VALID, not {mode}.")
        if ceil_mode:
            span = size[axis] + begin[axis] + end[axis] - reach
            out = -(-span // strides[axis]) + 1
            if (out - 1) * strides[axis] >= size[axis] + begin[axis]:
                out -= 1
            end[axis] += max(0, (out - 1) * strides[axis] - span)
    return (*begin, *end)


def window_rows(
    rows: Region, height: int, kernel: int, stride: int, dilation: int, pad_top: int
) -> Region:
    """Input rows inside the picture that output rows [first, last) read."""
    first = rows[0] * stride - pad_top
    last = (rows[1] - 1) * stride - pad_top + dilation * (kernel - 1) + 1
    return max(0, min(first, height)), max(0, min(last, height))


def windows(
    x: Array,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
    fill: int,
) -> Array:
    """Patches [C, H', W', kh, kw] of x [1, C, H, W], padded with ``fill``."""
    top, left, bottom, right = pads
    padded = np.pad(
        x[0], ((0, 0), (top, bottom), (left, right)), constant_values=np.asarray(fill, x.dtype)
    )
    reach = [dilations[a] * (kernel[a] - 1) + 1 for a in range(2)]
    patches = sliding_window_view(padded, reach, axis=(1, 2))
    return patches[:, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
