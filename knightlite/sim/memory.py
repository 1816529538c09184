"""The memories of the machine and typed, strided views into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.chip import Chip
from knightlite.dtypes import DType
from knightlite.isa import PARAMETER_BYTES, Operand, Space

Bytes = NDArray[np.uint8]


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


def allocate(chip: Chip, ddr_bytes: int) -> dict[Space, Bytes]:
    """Zeroed memories (the system hands out pages when they are first touched)."""
    return {space: np.zeros(size, np.uint8) for space, size in sizes(chip, ddr_bytes).items()}


def byte_view(memory: NDArray[Any], operand: Operand) -> NDArray[Any]:
    """The runs of an operand as [outer..., rows, columns, run] of an array of one item a byte."""
    size = memory.itemsize
    shape = (*(turns for turns, _ in operand.loops), operand.run)
    strides = (*(stride * size for _, stride in operand.loops), size)
    return np.ndarray(shape, memory.dtype, memory, operand.address * size, strides)


def tile_view(memory: Bytes, operand: Operand, dtype: DType) -> NDArray[Any]:
    """The elements of an operand as [rows, columns, channels]."""
    size = dtype.size_bytes
    shape = (operand.rows, operand.columns, operand.run // size)
    strides = (operand.row_stride, operand.column_stride, size)
    return np.ndarray(shape, dtype.numpy, memory, operand.address, strides)


def flat_view(memory: Bytes, operand: Operand) -> Bytes:
    """The bytes of an operand that has no gaps."""
    return memory[operand.address : operand.last]


def sums_view(memory: Bytes, operand: Operand, channels: int) -> NDArray[np.signedinteger[Any]]:
    """Partial sums as [pixels, channels]."""
    return flat_view(memory, operand).view(f"<i{operand.unit}").reshape(-1, channels)


def parameters(stored: Bytes) -> Parameters:
    """Decode 8-byte records; a copy."""
    records = stored.view(_RECORD)
    return Parameters(
        records["m"].astype(np.float64),
        records["q"].astype(np.int64),
        records["b"].astype(np.float64),
    )


class Scratch:
    """Work arrays of the host, shared by all instructions: first reserve, then take.

    One block of memory per role, as large as the largest request: what lies in it is only valid
    while one instruction runs.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._blocks: dict[str, Bytes] = {}

    def reserve(self, role: str, elements: int, item_bytes: int = 8) -> None:
        """Ask for room; to be called before the first ``take`` of any role."""
        self._sizes[role] = max(self._sizes.get(role, 0), elements * item_bytes)

    def take(self, role: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """An array at the start of the role's block."""
        if role not in self._blocks:
            self._blocks[role] = np.zeros(self._sizes[role], np.uint8)
        return np.ndarray(shape, dtype, self._blocks[role])
