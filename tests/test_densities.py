"""Densities clipped and mixed against the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import S8
from knightlite.quantize.ranges.densities import Density, apart, clip, foreseen, merged, mix
from knightlite.quantize.ranges.least_squares import min_max
from knightlite.quantize.ranges.scale_errors import squared_error
from range_cases import density_of, even_part, samples

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


def test_mix_is_exact_where_bins_fall_into_one() -> None:
    fine = Density(np.arange(8.0), np.arange(8.0, 0, -1), 3.0, 0.25, -2.0, 1.5)
    wide = Density(np.ones(8), np.zeros(8), 10.0, 1.0, 0.5, 7.5)
    both = mix([fine, wide], [2.0, 0.5])
    assert both.positive.tolist() == [12.5, 44.5, *[0.5] * 6]
    assert both.negative.tolist() == [52.0, 20.0, *[0.0] * 6]
    assert (both.zeros, both.width, both.minimum, both.maximum) == (11.0, 1.0, -2.0, 7.5)


def test_channels_merge_as_they_mix() -> None:
    rng = np.random.default_rng(3)
    sides = rng.integers(0, 9, (7, 2, 8)).astype(float)
    rows = [
        Density(high, low, float(n), 2.0 ** -(n % 3), -float(n), n + 0.5)
        for n, (high, low) in enumerate(sides)
    ]
    found, wanted = merged(rows), mix(rows, [1.0] * 7)
    assert found.positive.tolist() == wanted.positive.tolist()
    assert found.negative.tolist() == wanted.negative.tolist()
    assert (found.zeros, found.width) == (wanted.zeros, wanted.width) == (21.0, 1.0)
    assert (found.minimum, found.maximum) == (wanted.minimum, wanted.maximum) == (-6.0, 6.5)
    assert merged(rows[2:3]) is rows[2]


def test_members_with_128_times_finer_bins_keep_their_own() -> None:
    wide = even_part(4096.0, 1.0)
    assert apart([wide, even_part(64.0, 2.0**-6)], [1.0, 1.0]) == ()
    whole, fine = apart([wide, even_part(32.0, 2.0**-7, 3.0)], [1.0, 2.0])
    assert (whole.width, whole.positive.tolist()) == (1.0, wide.positive.tolist())
    assert (fine.width, fine.positive.tolist()) == (2.0**-4, [8 * 2.0 * 3.0] * 512)


def test_a_picture_to_come_reaches_as_far_beyond_the_loudest_as_that_beyond_the_second() -> None:
    positive, negative = np.arange(8.0), np.zeros(8)
    positive[6:], negative[5] = (3.0, 2.0), 4.0
    part = Density(positive, negative, 9.0, 0.5, -2.6, 3.9)
    made = foreseen(part, 2.6)  # in bin 5: what is in bins 6 and 7 is the loudest picture's
    stretch = 2 - 2.6 / 3.9
    assert made.minimum == -2.6 * stretch
    assert made.maximum == pytest.approx(3.9 + 1.3)
    assert (made.zeros, made.width) == (9.0, 1.0)  # it is beyond 8 bins: they merge by two
    more = np.zeros(16)
    more[int(6.5 * stretch)], more[int(7.5 * stretch)] = 3.0, 2.0
    whole = np.concatenate([positive, np.zeros(8)]) + more
    assert made.positive.tolist() == (whole[::2] + whole[1::2]).tolist()
    assert made.negative.tolist() == [0, 0, 4, *[0] * 5]  # nothing there is the loudest's alone


@pytest.mark.parametrize("second", [0.0, 3.9], ids=["one picture", "all alike"])
def test_where_no_picture_stands_out_nothing_is_foreseen(second: float) -> None:
    part = Density(np.ones(8), np.zeros(8), 0.0, 0.5, 0.0, 3.9)
    assert foreseen(part, second) is part


def test_within_the_bins_these_stay() -> None:
    part = Density(np.ones(8), np.broadcast_to(np.float64(0), (8,)), 0.0, 0.5, 0.0, 2.1)
    made = foreseen(part, 1.8)
    assert made.width == part.width
    assert made.positive.size == made.negative.size == 8
    assert made.maximum == pytest.approx(2.4)
