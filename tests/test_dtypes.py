"""The machine's number types."""

from __future__ import annotations

import numpy as np
import pytest

from knightlite import dtypes
from knightlite.dtypes import DType


@pytest.mark.parametrize(
    ("dtype", "name", "low", "high", "size", "numpy"),
    [
        (dtypes.U8, "u8", 0, 255, 1, "u1"),
        (dtypes.S8, "s8", -128, 127, 1, "i1"),
        (dtypes.S16, "s16", -32768, 32767, 2, "<i2"),
        (dtypes.S32, "s32", -(2**31), 2**31 - 1, 4, "<i4"),
    ],
)
def test_integers(dtype: DType, name: str, low: int, high: int, size: int, numpy: str) -> None:
    assert (str(dtype), dtype.minimum, dtype.maximum, dtype.size_bytes) == (name, low, high, size)
    assert dtype.numpy == np.dtype(numpy)
    assert (np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max) == (low, high)
    assert dtypes.BY_NAME[name] is dtype
    assert dtypes.from_numpy(np.dtype(numpy).newbyteorder(">")) is dtype


def test_float() -> None:
    assert dtypes.F32.numpy == np.dtype("<f4")
    assert dtypes.from_numpy(np.dtype(np.float32)) is dtypes.F32


def test_type_without_a_machine_type() -> None:
    with pytest.raises(ValueError, match="no machine type for numpy float64"):
        dtypes.from_numpy(np.dtype(np.float64))
