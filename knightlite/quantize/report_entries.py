"""What reports are made of: plain dictionaries, numbers rounded the same way everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Entry = dict[str, Any]


def decibels(energy: float, error: float) -> float | None:
    """10 log10(energy / error) to two decimals; None where either is zero."""
    return round(float(10 * np.log10(energy / error)), 2) if energy > 0 and error > 0 else None


def short(values: NDArray[Any] | np.floating[Any]) -> float | list[float]:
    """Float32 values as the shortest decimals that read back as the same float32."""
    array = np.asarray(values, np.float32)
    if array.ndim:
        return [float(str(item)) for item in array]
    return float(str(array[()]))
