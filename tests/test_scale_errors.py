"""The error of a scale against brute force over the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.dtypes import U8, DType
from knightlite.quantize.ranges.least_squares import min_max
from knightlite.quantize.ranges.scale_errors import clipped_share, squared_error
from range_cases import CASES, density_of, quantized, true_error, values_for

Array = NDArray[Any]


@pytest.mark.parametrize(("kind", "dtype"), CASES)
def test_squared_error_is_that_of_the_values(kind: str, dtype: DType) -> None:
    values = values_for(kind, dtype)
    part = density_of(values)
    for share in (1.3, 1.0, 0.6, 0.2):
        scale = float(min_max([part], dtype)[0]) * share
        assert squared_error(part, scale, dtype) == pytest.approx(
            true_error(values, scale, dtype), rel=0.005
        )
        beyond = np.abs(values / scale - quantized(values, scale, dtype) / scale) > 0.5
        assert clipped_share(part, scale, dtype) == pytest.approx(beyond.mean(), abs=2e-4)
    assert part.energy == pytest.approx(float(np.sum(values**2)), rel=1e-4)


def test_signal_to_noise() -> None:
    values = np.random.default_rng(0).uniform(0, 1, 100_000)
    part = density_of(values)
    # energy 1/3 against step^2 / 12
    expected = (1 / 3) / ((1 / 255) ** 2 / 12)
    assert part.energy / squared_error(part, 1 / 255, U8) == pytest.approx(expected, rel=0.005)
