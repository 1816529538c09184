"""Densities clipped and mixed against the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import S8
from knightlite.quantize.ranges.densities import clip, mix
from knightlite.quantize.ranges.least_squares import min_max
from knightlite.quantize.ranges.scale_errors import squared_error
from range_cases import density_of, samples

Array = NDArray[Any]


def test_clip_moves_to_the_edge() -> None:
    values = samples("lopsided") - 1
    part = clip(density_of(values), -0.5, 1.25)
    assert (part.minimum, part.maximum) == (-0.5, 1.25)
    low, high = int(0.5 / part.width), int(1.25 / part.width)
    assert part.negative[low] == np.sum(values <= -low * part.width)
    assert part.positive[high] == np.sum(values >= high * part.width)
    assert part.negative[low + 1 :].sum() == part.positive[high + 1 :].sum() == 0
    assert part.negative.sum() + part.positive.sum() + part.zeros == values.size
    assert part.negative[: low - 1].tolist() == density_of(values).negative[: low - 1].tolist()
    whole = clip(density_of(values), -np.inf, np.inf)
    assert np.array_equal(whole.positive, density_of(values).positive)


def test_mix_adds_weighted_errors() -> None:
    quiet, loud = density_of(samples("normal") * 0.01), density_of(samples("heavy"))
    both = mix([quiet, loud], [3.0, 0.5])
    scale = float(min_max([loud], S8)[0])
    expected = 3 * squared_error(quiet, scale, S8) + 0.5 * squared_error(loud, scale, S8)
    assert squared_error(both, scale, S8) == pytest.approx(expected, rel=0.03)
    assert both.minimum == loud.minimum
