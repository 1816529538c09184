"""The range methods by name, ``percentile`` and ``octav`` among them, and scales to choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from knightlite.dtypes import DType
from knightlite.errors import UsageError, nearest
from knightlite.quantize.choices import DEFAULT_PERCENT
from knightlite.quantize.ranges.densities import Density, Float64
from knightlite.quantize.ranges.divergence import kl, kl_v2
from knightlite.quantize.ranges.least_squares import min_max, mse

OCTAV_STEPS = 100  # at most; it settles within a dozen
OCTAV_SETTLED = 1e-9
ROOM = 2.0  # times the scale of mse: a bit

Method = Callable[[Sequence[Density], DType], Float64]


def percentile(parts: Sequence[Density], dtype: DType, percent: float = DEFAULT_PERCENT) -> Float64:
    """Per density the scale whose range holds the share ``percent`` of the magnitudes, zeros too.

    McKinstry et al., "Discovering low-precision networks close to full-precision networks", 2018,
    take 0.9999 and 0.99999. Inside a bin values are taken as uniform. Where the share holds nothing
    but zeros, ``min_max`` is taken; it is also the largest scale, and that of ``percent`` 1.
    """
    largest = min_max(parts, dtype)
    scales = largest.copy()
    for index, part in enumerate(parts):
        counts = part.positive + part.negative
        sums = np.concatenate([[0.0], np.cumsum(counts)])
        wanted = percent * (part.zeros + sums[-1]) - part.zeros
        if 0.0 < wanted < sums[-1]:
            last = int(np.searchsorted(sums, wanted)) - 1  # sums[last] < wanted <= sums[last + 1]
            place = last + (wanted - sums[last]) / counts[last]
            scales[index] = min(place * part.width / dtype.maximum, largest[index])
    return scales


def octav(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density the clip value with the least error if rounding noise were uniform: OCTAV.

    Sakr et al., "Optimal Clipping and Magnitude-aware Differentiation for Improved
    Quantization-aware Training", 2022, equation 6: Newton's recursion on the clip value c,

        c <- sum(|x| of |x| > c) / (count(0 < |x| <= c) / (12 n^2) + count(|x| > c)),

    with n codes on a side (their 4^-B / 3 for signed and 4^-B / 12 for unsigned numbers).
    Unlike ``mse`` it does not see where the codes fall.
    """
    return np.asarray([_octav_scale(part, dtype) for part in parts])


def _octav_scale(part: Density, dtype: DType) -> float:
    largest = float(min_max([part], dtype)[0])
    if largest == 0.0:
        return 0.0
    counts = part.positive + part.negative
    if not counts.any():  # few values were not zero, and none of these was counted
        return largest
    edges = np.arange(counts.size + 1.0)
    below = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * (edges[:-1] + 0.5))])
    noise = 1 / (12 * dtype.maximum**2)
    clip = moment[-1] / below[-1]  # the paper's start: the mean magnitude of what is not zero
    for _ in range(OCTAV_STEPS):
        place = min(int(clip), counts.size - 1)
        inside = below[place] + counts[place] * (clip - place)
        within = moment[place] + counts[place] * (clip**2 - place**2) / 2
        beyond = below[-1] - inside
        found = (moment[-1] - within) / (noise * inside + beyond)
        settled = abs(found - clip) <= OCTAV_SETTLED * clip
        clip = min(found, float(counts.size))
        if settled:
            break
    return float(min(clip * part.width / dtype.maximum, largest))


def wide_mse(parts: Sequence[Density], dtype: DType) -> Float64:
    """Per density as much as twice the scale of ``mse``, as far as there are values."""
    return widened(parts, dtype, mse(parts, dtype))


def widened(parts: Sequence[Density], dtype: DType, scales: Float64) -> Float64:
    """The scales with a bit of room, where values lie there."""
    return np.minimum(min_max(parts, dtype), ROOM * scales)


METHODS: dict[str, Method] = {
    "kl": kl,
    "kl_v2": kl_v2,
    "min_max": min_max,
    "mse": mse,
    "octav": octav,
    "percentile": percentile,
}


WIDE_MSE, FAR_MIN_MAX = "wide_mse", "far_min_max"
ROOMY_METHODS: dict[str, Method] = {WIDE_MSE: wide_mse, FAR_MIN_MAX: min_max}
"""What ``--output-scales`` tries where rare values decide: no user names them. Both reckon with a
picture to come (:data:`FORESEEING`)."""

FORESEEING = ("mse", WIDE_MSE, FAR_MIN_MAX)
"""Methods that choose a scale per channel on ``densities.foreseen_row_densities``."""

OTHER_METHODS = "auto chooses one for each tensor, all tries every one"


def method_of(name: str, percent: float = DEFAULT_PERCENT) -> Method:
    """The method of a name, with its share where it takes one; UsageError for another name.

    A share that is not above 0 and at most 1 is a UsageError too.
    """
    if name not in METHODS:
        raise UsageError(
            f"the method must be one of {', '.join(METHODS)}, not {name}.",
            f"{nearest(name, METHODS)} {OTHER_METHODS}".strip(),
        )
    if not 0.0 < percent <= 1.0:
        raise UsageError(
            f"the share of percentile must be above 0 and at most 1, not {percent:g}.",
            "0.9999 to 0.999999 are usual",
        )
    return partial(percentile, percent=percent) if name == "percentile" else METHODS[name]


def any_method_of(name: str, percent: float = DEFAULT_PERCENT) -> Method:
    """The same, of the methods that no user names too."""
    return ROOMY_METHODS.get(name) or method_of(name, percent)
