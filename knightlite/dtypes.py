"""The number types of the machine. Source: design numerics, section 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class DType:
    """An integer (or float32) element type: width in bits, signedness, representable range."""

    name: str
    bits: int
    signed: bool
    is_float: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of one element."""
        return self.bits // 8

    @property
    def minimum(self) -> int:
        """Smallest representable integer."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def maximum(self) -> int:
        """Largest representable integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy type that holds it, little-endian."""
        if self.is_float:
            return np.dtype("<f4")
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.size_bytes}")

    def __str__(self) -> str:
        return self.name


U8 = DType("u8", 8, False)
S8 = DType("s8", 8, True)
S16 = DType("s16", 16, True)
S32 = DType("s32", 32, True)
F32 = DType("f32", 32, True, is_float=True)

ALL_DTYPES = (U8, S8, S16, S32, F32)
BY_NAME = {dtype.name: dtype for dtype in ALL_DTYPES}


def from_numpy(dtype: np.dtype[Any]) -> DType:
    """The machine type of a numpy type; ValueError where there is none."""
    for candidate in ALL_DTYPES:
        if candidate.numpy == dtype.newbyteorder("<"):
            return candidate
    raise ValueError(f"no machine type for numpy {dtype}")
