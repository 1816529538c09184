"""Distributions on which ranges are tried, and the errors of the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.dtypes import S8, U8, DType
from knightlite.quantize.ranges.densities import Density, density
from knightlite.quantize.statistics.observers import Observer

Array = NDArray[Any]


def density_of(values: Array) -> Density:
    observer = Observer("t", 1)
    observer.add(values.astype(np.float32).reshape(1, 1, 1, -1))
    return density(observer.result())


def quantized(values: Array, scale: float, dtype: DType) -> Array:
    return np.clip(np.rint(values / scale), dtype.minimum, dtype.maximum) * scale


def true_error(values: Array, scale: float, dtype: DType) -> float:
    return float(np.sum((values - quantized(values, scale, dtype)) ** 2))


def samples(kind: str) -> Array:
    rng = np.random.default_rng(5)
    made: dict[str, Array] = {
        "normal": rng.normal(0, 1.3, 60_000),
        "heavy": rng.standard_t(3, 60_000),
        "lopsided": rng.gamma(2.0, 0.7, 60_000) - 0.4,
    }
    return made[kind].astype(np.float32).astype(np.float64)


CASES = [(kind, dtype) for kind in ("normal", "heavy", "lopsided") for dtype in (S8, U8)]


def values_for(kind: str, dtype: DType) -> Array:
    return np.maximum(samples(kind), 0) if dtype is U8 else samples(kind)


def even_part(last: float, width: float, count: float = 1.0, bins: int = 4096) -> Density:
    """``count`` values in every bin up to ``last``."""
    counts = np.where(np.arange(bins) * width < last, count, 0.0)
    return Density(counts, np.zeros(bins), 0.0, width, 0.0, last)
