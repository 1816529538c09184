"""Whether numbers lie as pictures do: in the order of channels, rows and pixels that is asked for.

A raw file has no shape, and an array may have the right one over numbers in another order. Rows of
a picture that are neighbours are alike; read in another order, what is taken for neighbours are
pixels a third of a row apart. That holds for pictures of any colours, and for none of noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
COLOURS = (3, 4)  # channels of what is told from its order
LEAST_PIXELS = 1024  # of fewer the differences scatter
# differences in the order that is asked for by those in the other one: pictures read rightly have
# up to 0.85, read wrongly 1.18 and more (3,000 of CIFAR-10, ImageNet and words)
TURNED = 1.1
# the same of int8 codes read as such and as pixels: codes have 1 and more, pixels up to 0.93
PIXELS = 0.95
TINY = 1e-30


def order_remark(frames: Iterable[Array], name: str, layout: str | None) -> str | None:
    """What is odd about the order of frames [1, C, H, W] of input ``name``, with a hint.

    ``layout``: that of the raw file which they were read from; None: they are an array. None where
    nothing is.
    """
    planar = pixelwise = pixels = np.zeros(2)
    shape: tuple[int, ...] = ()
    for values in frames:
        shape = values.shape[1:]
        if values.dtype == np.int8:
            pixels = np.add(pixels, [_apart(values.view(np.uint8), 1), _apart(values, 1)])
        if shape[0] in COLOURS and shape[1] * shape[2] >= LEAST_PIXELS:
            rows = shape[2], shape[0] * shape[2]
            planar = np.add(planar, [_apart(values, row) for row in rows])
            by_pixel = np.moveaxis(values, 1, -1)
            pixelwise = np.add(pixelwise, [_apart(by_pixel, row) for row in reversed(rows)])
    if pixels[0] < PIXELS * pixels[1]:
        return (
            f"the bytes fed to input {name} look like pixels 0 to 255, and are taken for its int8 "
            "codes. Hint: feed float32, prepared as for calibration"
        )
    tried = ((planar, "nchw", "nhwc"), (pixelwise, "nhwc", "nchw"))
    turned = [(one / max(two, TINY), was, other) for (one, two), was, other in tried]
    ratio, was, other = max(turned)
    if ratio <= TURNED:
        return None
    return (
        f"what is fed to input {name} looks like pictures in the order {other.upper()}, and is "
        f"taken for {was.upper()}: rows are alike in that order only. "
        f"Hint: {_remedy(shape, layout, was, other)}"
    )


def _apart(values: Array, step: int) -> float:
    """How far numbers that are ``step`` apart in memory differ, summed up."""
    flat = values.reshape(-1).astype(np.float32)
    difference = flat[step:] - flat[:-step]
    return float(np.abs(difference, out=difference).sum(dtype=np.float64)) / max(1, len(difference))


def _remedy(shape: tuple[int, ...], layout: str | None, was: str, other: str) -> str:
    channels, height, width = shape
    if layout is not None:
        return f"-fmt {other} reads it so"
    if was == "nchw":
        return (
            f"array.reshape(-1, {height}, {width}, {channels}).transpose(0, 3, 1, 2) has channels "
            "first; reshape alone moves no number"
        )
    return f"array.reshape(-1, {channels}, {height}, {width}) is what the numbers lie as"
