"""The error that a scale leaves in a density: rounding inside the range, clipping beyond it."""

from __future__ import annotations

import numpy as np

from knightlite.dtypes import DType
from knightlite.quantize.ranges.densities import Density, Float64


def squared_error(part: Density, scale: float, dtype: DType) -> float:
    """Expected sum of squared quantization errors at ``scale``, rounding and clipping.

    The integral of (v - q(v))^2 over each bin, values taken as uniform inside it, in closed form:
    in steps, with n = min(rne(v), largest code), the integral from 0 to v is
    n / 12 + (v - n)^3 / 3, inside the range and beyond it alike.
    """
    step = part.width / scale
    error = float(np.dot(part.positive, _bin_errors(part.positive.size, step, dtype.maximum)))
    if part.negative.any():
        codes = -dtype.minimum
        error += float(np.dot(part.negative, _bin_errors(part.negative.size, step, codes)))
    return error * scale**2


def clipped_share(part: Density, scale: float, dtype: DType) -> float:
    """Share of the values beyond the range: more than half a step past the last code."""
    clipped, count = 0.0, part.zeros
    for counts, largest in ((part.positive, dtype.maximum), (part.negative, -dtype.minimum)):
        count += float(counts.sum())
        last = (largest + 0.5) * scale / part.width  # in bins
        if last >= counts.size:
            continue  # all are covered
        first = int(last)  # covered in part, those before it wholly
        beyond = counts[first:].copy()
        beyond[0] *= 1.0 - (last - first)
        clipped += float(beyond.sum())
    return clipped / count if count else 0.0


def errors_between(edges: Float64, steps_per_bin: Float64 | float, largest: int) -> Float64:
    """Expected squared error in steps of one value in each bin, by the closed form.

    ``edges`` of the bins in steps, along the first axis; they are overwritten.
    """
    codes = np.rint(edges)
    np.minimum(codes, largest, out=codes)
    edges -= codes
    cubes = edges * edges
    cubes *= edges
    cubes /= 3
    codes /= 12
    codes += cubes
    return np.asarray((codes[1:] - codes[:-1]) / steps_per_bin)


def _bin_errors(bins: int, steps_per_bin: float, largest: int) -> Float64:
    """``errors_between`` for bins of one width, from zero on."""
    edges = np.arange(bins + 1, dtype=np.float64) * steps_per_bin
    return errors_between(edges, steps_per_bin, largest)
