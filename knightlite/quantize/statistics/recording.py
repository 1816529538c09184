"""The float model's outputs of the first pass, kept on disk for the passes that come after.

Every pass sees the same pictures in the same order, so the float model need not run again. Outputs
lie in a temporary file: memory does not grow with the pictures. Each call is kept with a hash of
its inputs, and is given back only for the same inputs: where a user script draws its pictures anew
each time, or the file would become too large, the float model simply runs again.
"""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LIMIT_BYTES = 1 << 30  # of the file: 260,000 pictures of 1000 scores
IN_MEMORY_BYTES = 4 << 20  # a short run needs no file


@dataclass(frozen=True, slots=True)
class _Call:
    digest: bytes
    offset: int
    shapes: Mapping[str, tuple[int, ...]]


class Recording:
    """Outputs by name, float32, of each call of a forward function, in the order of the calls."""

    def __init__(self) -> None:
        """Nothing recorded yet; the file vanishes with the object."""
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._calls: list[_Call] = []
        self._bytes = 0
        self._full = False

    def add(self, inputs: tuple[Array, ...], outputs: Mapping[str, Array]) -> None:
        """Keep the outputs of the next call, unless the file is full."""
        size = sum(4 * item.size for item in outputs.values())
        self._full = self._full or self._bytes + size > LIMIT_BYTES
        if self._full:
            return
        self._file.seek(self._bytes)
        for values in outputs.values():
            self._file.write(np.ascontiguousarray(values, np.float32).tobytes())
        shapes = {name: values.shape for name, values in outputs.items()}
        self._calls.append(_Call(_digest(inputs), self._bytes, shapes))
        self._bytes += size

    def find(self, index: int, inputs: tuple[Array, ...]) -> dict[str, Array] | None:
        """The outputs of call ``index`` (from 0); None where they are not those of ``inputs``."""
        if index >= len(self._calls) or self._calls[index].digest != _digest(inputs):
            return None
        call = self._calls[index]
        self._file.seek(call.offset)
        found = {}
        for name, shape in call.shapes.items():
            count = int(np.prod(shape))
            found[name] = np.frombuffer(self._file.read(4 * count), np.float32).reshape(shape)
        return found


def _digest(inputs: tuple[Array, ...]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for item in inputs:
        digest.update(repr(item.shape).encode())
        digest.update(np.ascontiguousarray(item, np.float32).data)
    return digest.digest()
