"""The memories of the machine and typed, strided views into them.

Features differ from picture to picture, so FSPM and DDR have a row of bytes for each picture that
goes through at once. Weights and parameters do not: WSPM and MSPM have one row. The constants at
the start of DDR stand in its first row alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.dtypes import DType
from knightlite.isa import PARAMETER_BYTES, Operand, Space

Bytes = NDArray[np.uint8]  # of a memory: [pictures, bytes]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Decoded 8-byte records: factor ``m``, shift ``q``, offset ``b`` per channel, as float64."""

    m: NDArray[np.float64]
    q: NDArray[np.int64]
    b: NDArray[np.float64]

    @property
    def scale(self) -> NDArray[np.float64]:
        """``m / 2^q``, exact in float64."""
        return np.ldexp(self.m, -self.q)


_RECORD = np.dtype([("m", "<i2"), ("q", "u1"), ("zero", "u1"), ("b", "<i4")])
assert _RECORD.itemsize == PARAMETER_BYTES


def sizes(chip: Chip, ddr_bytes: int) -> dict[Space, int]:
    """Bytes of each memory; of the DDR only what the program was given."""
    return {
        Space.DDR: ddr_bytes,
        Space.FSPM: chip.fspm_bytes,
        Space.WSPM: chip.wspm_bytes,
        Space.MSPM: chip.mspm_bytes,
    }


def allocate(chip: Chip, ddr_bytes: int, pictures: int = 1) -> dict[Space, Bytes]:
    """Zeroed memories (the system hands out pages when they are first touched)."""
    rows = {Space.DDR: pictures, Space.FSPM: pictures, Space.WSPM: 1, Space.MSPM: 1}
    return {
        space: np.zeros((rows[space], size), np.uint8)
        for space, size in sizes(chip, ddr_bytes).items()
    }


def byte_view(memory: NDArray[Any], operand: Operand) -> NDArray[Any]:
    """The runs of an operand as [..., outer..., rows, columns, run] of an array [..., bytes].

    An item of the array is a byte of the memory, whatever its type.
    """
    size = memory.itemsize
    shape: tuple[int, ...] = (operand.rows, operand.columns, operand.run)
    strides: tuple[int, ...] = (operand.row_stride * size, operand.column_stride * size, size)
    if operand.outer:
        shape = (*(turns for turns, _ in operand.outer), *shape)
        strides = (*(stride * size for _, stride in operand.outer), *strides)
    if memory.ndim > 1:
        shape, strides = (*memory.shape[:-1], *shape), (*memory.strides[:-1], *strides)
    return np.ndarray(shape, memory.dtype, memory, operand.address * size, strides)


def tile_view(memory: Bytes, operand: Operand, dtype: DType) -> NDArray[Any]:
    """The elements of an operand as [pictures, rows, columns, channels]."""
    size = dtype.size_bytes
    shape = (len(memory), operand.rows, operand.columns, operand.run // size)
    strides = (memory.strides[0], operand.row_stride, operand.column_stride, size)
    return np.ndarray(shape, dtype.numpy, memory, operand.address, strides)


def flat_view(memory: Bytes, operand: Operand) -> NDArray[np.uint8]:
    """The bytes, without gaps, of an operand that all pictures share: weights, parameters."""
    return memory[0, operand.address : operand.last]


def sums_view(memory: Bytes, operand: Operand, channels: int) -> NDArray[np.signedinteger[Any]]:
    """Partial sums as [pictures, pixels, channels]."""
    found = memory[:, operand.address : operand.last].view(f"<i{operand.unit}")
    return found.reshape(len(memory), -1, channels)


def parameters(stored: NDArray[np.uint8]) -> Parameters:
    """Decode 8-byte records; a copy."""
    records = stored.view(_RECORD)
    return Parameters(
        records["m"].astype(np.float64),
        records["q"].astype(np.int64),
        records["b"].astype(np.float64),
    )


def parameter_record(m: int, q: int) -> bytes:
    """A record without an offset."""
    return np.array([(m, q, 0, 0)], _RECORD).tobytes()


class Scratch:
    """Work arrays of the host, shared by all instructions: first reserve, then take.

    One block of memory per role, as large as the largest request: what lies in it is only valid
    while one instruction runs.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._blocks: dict[str, NDArray[np.uint8]] = {}

    def reserve(self, role: str, elements: int, item_bytes: int = 8) -> None:
        """Ask for room; to be called before the first ``take`` of any role."""
        self._sizes[role] = max(self._sizes.get(role, 0), elements * item_bytes)

    def take(self, role: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """An array at the start of the role's block."""
        if role not in self._blocks:
            self._blocks[role] = np.zeros(self._sizes[role], np.uint8)
        return np.ndarray(shape, dtype, self._blocks[role])
