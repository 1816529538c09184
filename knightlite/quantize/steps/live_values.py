"""Values of many pictures in memory: given back when dropped, those of a quantized tensor small.

A walk makes and drops hundreds of arrays of megabytes each, no two of a size. Between what stays
(sessions, statistics) a heap cannot give them back: DenseNet-40 held three times what was alive.
So such arrays have memory pages of their own.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from knightlite.ir import Tensor

Array = NDArray[Any]

OWN_PAGES = 1 << 20  # bytes from which an array has pages of its own
PART_BYTES = 4 << 20  # of float values that one operator reads and makes at once, about


def empty(shape: Sequence[int], kind: DTypeLike) -> Array:
    """An array of ``kind`` whose memory goes back to the system with its last reference."""
    size = prod(shape) * np.dtype(kind).itemsize
    if size < OWN_PAGES:
        return np.empty(shape, kind)
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, kind).reshape(shape)


def parts(count: int, elements: int) -> list[slice]:
    """``count`` pictures with so many elements each, in pieces of about :data:`PART_BYTES`.

    The pieces depend on nothing else, not on cores: so the same sums are the same everywhere.
    """
    step = max(1, PART_BYTES // (4 * max(1, elements)))
    return [slice(first, min(first + step, count)) for first in range(0, count, step)]


@dataclass(frozen=True, slots=True, eq=False)
class Rounded:
    """Values of a quantized tensor for many pictures, kept as ``integers`` [n, C, ...].

    ``rounded[places]`` are the float32 values of a slice of the pictures.
    """

    integers: Array
    scale: NDArray[np.float32]

    @classmethod
    def of(cls, count: int, tensor: Tensor) -> Rounded:
        """Room for ``count`` pictures of a quantized ``tensor``."""
        integers = empty((count, *tensor.shape[1:]), tensor.dtype.numpy)
        return cls(integers, _broadcast(tensor, integers.ndim))

    def __len__(self) -> int:
        """The number of pictures."""
        return len(self.integers)

    def __getitem__(self, places: slice) -> Array:
        """Float32 [m, C, ...] of some pictures."""
        made = self.integers[places].astype(np.float32)
        made *= self.scale
        return made

    def put(self, places: slice, values: Array, tensor: Tensor) -> Array:
        """Keep float32 ``values`` [m, C, ...] of some pictures, which become integers in place.

        Returns them.
        """
        made = _integers(values, self.scale, tensor, values)
        self.integers[places] = made
        return made

    def real(self, integers: Array) -> Array:
        """What float32 ``integers`` [m, C, ...] stand for, in place."""
        integers *= self.scale
        return integers


def fake_quantize(values: Array, tensor: Tensor) -> Array:
    """What QuantizeLinear and DequantizeLinear make of float32 ``values`` [n, C, ...]."""
    scale = _broadcast(tensor, values.ndim)
    made = _integers(values, scale, tensor)
    made *= scale
    return made


def real_value(integers: Array, tensor: Tensor) -> Array:
    """The float32 values of integer weights or biases, one scale per output channel."""
    assert tensor.scale is not None
    scale = tensor.scale.astype(np.float32)
    if scale.ndim:
        scale = scale.reshape(-1, *(1,) * (integers.ndim - 1))
    made = integers.astype(np.float32)
    made *= scale
    return made


def _integers(
    values: Array, scale: NDArray[np.float32], tensor: Tensor, place: Array | None = None
) -> Array:
    """``saturate(rne(values / scale))``, still float32, at ``place``."""
    made: Array = np.divide(values, scale, out=place)
    np.rint(made, out=made)
    np.clip(made, tensor.dtype.minimum, tensor.dtype.maximum, out=made)
    return made


def _broadcast(tensor: Tensor, rank: int) -> NDArray[np.float32]:
    """The scale of a feature tensor against values [n, C, ...] of so many axes."""
    assert tensor.scale is not None
    scale = tensor.scale.astype(np.float32)
    return scale.reshape(1, -1, *(1,) * (rank - 2)) if scale.ndim else scale
