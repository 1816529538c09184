"""Convolutions over depth, rows and columns as those of pictures: one for every plane they make.

The planes that a kernel reaches lie side by side as channels, and so do its slices: all products of
a plane are one sum, rounded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from knightlite.frontend.steps import Steps

MOST_PLANES = 64  # of a result, each of which is a convolution
DEPTH = 2  # axis


def convolved(steps: Steps) -> str | None:
    """A Conv or ConvTranspose of one group of [N, C, D, H, W]; None for any other."""
    node, given = steps.node, steps.node.attributes
    x = node.inputs[0]
    weights = steps.constants.get(node.inputs[1])
    shape, made = steps.shape(x), steps.shapes[node.outputs[0]]
    plain = (
        given.get("group", 1) == 1
        and given.get("auto_pad", "NOTSET") in ("NOTSET", b"NOTSET")
        and not given.get("output_shape")
    )
    if weights is None or weights.ndim != 5 or len(shape) != 5 or not plain:
        return None
    if made[DEPTH] > MOST_PLANES or x in steps.constants:
        return None
    transposed = node.op_type == "ConvTranspose"
    pads = [int(item) for item in given.get("pads", (0,) * 6)]
    attributes: dict[str, Any] = {
        "kernel_shape": list(weights.shape[3:]),
        "pads": [*pads[1:3], *pads[4:]],
    }
    for key in ("strides", "dilations", "output_padding"):
        if key in given:
            attributes[key] = [int(item) for item in given[key]][1:]
    stride, dilation = (int(given.get(key, (1, 1, 1))[0]) for key in ("strides", "dilations"))
    kernels: dict[tuple[int, ...], str] = {}
    planes = [_plane(steps, x, at) for at in range(shape[DEPTH])]
    found = []
    for at in range(made[DEPTH]):
        taps = _taps(at + pads[0] if transposed else at * stride - pads[0], shape[DEPTH],
                     weights.shape[2], stride, dilation, transposed)  # fmt: skip
        slices = tuple(tap for tap, _ in taps)
        if slices not in kernels:
            axis = 0 if transposed else 1
            kernels[slices] = steps.constant(
                np.concatenate([weights[:, :, tap] for tap in slices], axis)
                if slices
                else np.zeros_like(weights[:, :, 0])
            )
        joined = steps.joined([planes[plane] for _, plane in taps] or planes[:1], 1)
        inputs = [joined, kernels[slices], *filter(None, node.inputs[2:])]
        flat = (*made[:DEPTH], *made[DEPTH + 1 :])
        found.append(steps.node_of(node.op_type, inputs, flat, attributes))
    whole = (*made[:DEPTH], 1, *made[DEPTH + 1 :])
    return steps.joined([steps.reshaped(name, whole) for name in found], DEPTH)


def _plane(steps: Steps, x: str, at: int) -> str:
    shape = steps.shape(x)
    return steps.reshaped(steps.cut(x, DEPTH, at, at + 1), (*shape[:DEPTH], *shape[DEPTH + 1 :]))


def _taps(
    first: int, depth: int, taps: int, stride: int, dilation: int, transposed: bool
) -> Sequence[tuple[int, int]]:
    """Which slice of the kernel meets which plane for one plane of the result."""
    found = []
    for tap in range(taps):
        place = first - tap * dilation if transposed else first + tap * dilation
        if transposed and place % stride:
            continue
        plane = place // stride if transposed else place
        if 0 <= plane < depth:
            found.append((tap, plane))
    return found
