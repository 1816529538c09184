"""Arrays in ``.npy`` and ``.npz`` files and raw ones, no larger than the bytes that are there.

numpy makes an array of the size that a header names before it looks for the data, evaluates the
header as Python, and unpacks whatever a ``.npz`` promises. Errors are those of ``reading``.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.reading import open_regular, read_bytes

Array = NDArray[Any]

MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
HEADER_BYTES = 10_000  # what numpy's own reader takes
NUMBERS = re.compile("[<>|=]?[biuf][0-9]+")  # dtypes of booleans, integers, floats
SHOWN = 40  # letters of another one
NOT_NPY = "it is not a .npy file"


def read_array(path: Path) -> Array:
    """The numbers of a ``.npy`` file; OSError, ValueError where it holds anything else."""
    return _array(read_bytes(path))


def map_array(path: Path) -> np.memmap[Any, Any]:
    """A ``.npy`` file's numbers, read from the file as they are used; errors as read_array."""
    with open_regular(path, None) as stream:
        size = path.stat().st_size
        dtype, shape, order = _header(stream, size)
        offset = stream.tell()
    return np.memmap(path, dtype, "r", offset, shape, order)


def raw_values(path: Path, dtype: Any) -> Array:
    """All of a raw file as numbers of ``dtype``; what is left of the last one is dropped."""
    data, kind = read_bytes(path), np.dtype(dtype)
    return np.frombuffer(data, kind, len(data) // kind.itemsize)


def read_arrays(data: bytes) -> dict[str, Array]:
    """The arrays of a ``.npz`` by name; ValueError where it is none or unpacks to too much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            unpacked = sum(item.file_size for item in members)
            if unpacked > limits.CACHE_BYTES:
                raise ValueError(f"it unpacks to {unpacked} bytes, more than {limits.CACHE_BYTES}")
            found = {}
            for item in members:
                found[item.filename.removesuffix(".npy")] = _array(archive.read(item))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError,
            struct.error) as error:  # fmt: skip
        raise ValueError(f"it is not a .npz file ({error})") from None
    return found


def _array(data: bytes) -> Array:
    stream = io.BytesIO(data)
    dtype, shape, order = _header(stream, len(data))
    values = np.frombuffer(data, dtype, math.prod(shape), stream.tell())
    return values.reshape(shape, order=order)


def _header(stream: BinaryIO, size: int) -> tuple[np.dtype[Any], tuple[int, ...], Any]:
    """Type, shape and order ("C" or "F") of the numbers behind it; they fill the file exactly."""
    start = stream.read(len(MAGIC) + 2)
    if start[: len(ZIP_MAGIC)] == ZIP_MAGIC:
        raise ValueError("it is a .npz file, which holds several arrays")
    if start[: len(MAGIC)] != MAGIC or len(start) < len(MAGIC) + 2:
        raise ValueError(NOT_NPY)
    width, code = (2, "<H") if start[6] == 1 else (4, "<I")
    field = stream.read(width)
    length = struct.unpack(code, field)[0] if len(field) == width else HEADER_BYTES + 1
    if length > HEADER_BYTES:
        raise ValueError(f"{NOT_NPY}, or its header is damaged")
    kind, shape, order = _fields(stream.read(length))
    dtype = _dtype(kind)
    have, wanted = size - stream.tell(), math.prod(shape) * dtype.itemsize
    if have != wanted:
        raise ValueError(f"its header asks for {wanted} bytes of numbers, and {have} are there")
    return dtype, shape, order


def _dtype(kind: str) -> np.dtype[Any]:
    with contextlib.suppress(TypeError):  # there is no such size
        if NUMBERS.fullmatch(kind):
            return np.dtype(kind)
    raise ValueError(f"it holds {kind[:SHOWN]}, not numbers")


def _fields(header: bytes) -> tuple[str, tuple[int, ...], str]:
    try:
        found = ast.literal_eval(header.decode("utf-8").strip())
        shape, kind = found["shape"], found["descr"]
        if set(found) != {"descr", "fortran_order", "shape"} or not isinstance(kind, str):
            raise ValueError
        if not isinstance(shape, tuple) or len(shape) > limits.TENSOR_AXES:
            raise ValueError
        if not all(type(item) is int and 0 <= item < 1 << 63 for item in shape):
            raise ValueError
        return kind, shape, "F" if found["fortran_order"] else "C"
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise ValueError(f"{NOT_NPY} of numbers, or its header is damaged") from None
