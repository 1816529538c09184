"""Large weights: in a file of the system's temporary folder, and looked at some rows at a time.

A network of 500 MB would otherwise be there once as the model has it, once as ONNX Runtime has it,
and what is computed of a layer (float64, magnitudes, codes) several times. A mapped file's pages
are memory only while they are read: the system may take them back whenever it wants, and what
reads large weights gives them back when it is done.
"""

from __future__ import annotations

import mmap
import tempfile
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PAGED_BYTES = 16 << 20  # of an array that lies in a file
BLOCK_BYTES = 16 << 20  # of a block of rows in float64

_FILES: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
_LOCK = threading.Lock()  # layers are looked at, and priced, side by side


def paged(values: Array) -> Array:
    """The same values; large ones read-only in a file that has no name and ends with them.

    They stay as they are where there is no room for such a file.
    """
    if values.nbytes < PAGED_BYTES or _file_of(values) is not None:
        return values
    try:
        with tempfile.TemporaryFile() as stream:
            for rows in row_blocks(values):  # written, not mapped: a full disk is an error here
                stream.write(np.ascontiguousarray(values[rows]).data)
            stream.flush()
            file = mmap.mmap(stream.fileno(), values.nbytes, access=mmap.ACCESS_READ)
    except OSError:
        return values
    with _LOCK:
        _FILES.add(file)
    return np.frombuffer(file, values.dtype).reshape(values.shape)


def row_blocks(values: Array) -> Iterator[slice]:
    """The rows of an array [n, ...] in order, so many together as :data:`BLOCK_BYTES` hold."""
    rows = len(values)
    step = max(1, BLOCK_BYTES * rows // max(1, 8 * values.size))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))
    let_go()


def let_go() -> None:
    """Give the memory of paged arrays back; whoever reads one gets it again."""
    if len(_FILES) and hasattr(mmap, "MADV_DONTNEED"):
        with _LOCK:
            files = list(_FILES)
        for file in files:
            file.madvise(mmap.MADV_DONTNEED)


def all_finite(values: Array) -> bool:
    """True where there is neither NaN nor infinity."""
    whole = np.atleast_1d(values)
    return all(bool(np.all(np.isfinite(whole[rows]))) for rows in row_blocks(whole))


def _file_of(values: Array) -> mmap.mmap | None:
    """The file that an array's values lie in."""
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) and base in _FILES else None
