"""Messages between two processes: a JSON object and arrays, through pipes, never through a file."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ARRAYS = "arrays"  # key of the types and shapes; the bytes follow
_LENGTH = struct.Struct("<Q")


class ArrayPipe:
    """Both directions, as one of the two processes has them. Streams are closed with it."""

    def __init__(self, reading: BinaryIO, writing: BinaryIO) -> None:
        self._reading, self._writing = reading, writing

    def send(self, message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
        """Send a message; BrokenPipeError where the other process has ended."""
        kept = [np.ascontiguousarray(array) for array in arrays]
        forms = [[array.dtype.str, array.shape] for array in kept]
        head = json.dumps({**message, ARRAYS: forms}).encode()
        self._writing.write(_LENGTH.pack(len(head)) + head)
        for array in kept:
            self._writing.write(array.reshape(-1).view(np.uint8).data)
        self._writing.flush()

    def receive(self) -> tuple[dict[str, Any], list[Array]] | None:
        """The next message and its arrays; None where the other process has ended."""
        length = self._read(_LENGTH.size)
        head = length and self._read(*_LENGTH.unpack(length))
        if not head:
            return None
        message = json.loads(bytes(head))
        arrays = []
        for kind, shape in message.pop(ARRAYS):
            dtype = np.dtype(kind)
            size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            data = self._read(size)
            if data is None:
                return None
            arrays.append(np.frombuffer(data, dtype).reshape(shape))
        return message, arrays

    def close(self) -> None:
        """Close both directions; the other process sees the end."""
        for stream in (self._reading, self._writing):
            with contextlib.suppress(OSError):  # what was left to be written has no reader
                stream.close()

    def _read(self, size: int) -> bytearray | None:
        """Exactly so many bytes, of memory that may be written to; None at the end."""
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            count = self._reading.readinto(view[done:])  # type: ignore[attr-defined]  # buffered
            if not count:
                return None
            done += count
        return data
