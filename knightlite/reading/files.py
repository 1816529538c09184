"""Whole files: regular ones, of at most so many bytes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from knightlite import limits


def read_bytes(path: str | Path, most: int = limits.FILE_BYTES) -> bytes:
    """The bytes of a regular file; OSError where there is none, or more than ``most`` of them.

    A pipe or a device is refused rather than waited for.
    """
    with open_regular(path, most) as stream:
        size = os.fstat(stream.fileno()).st_size
        return stream.read(size)  # a buffer of this size; not of what is added meanwhile


def read_part(path: str | Path, offset: int, length: int) -> bytes:
    """``length`` bytes from ``offset`` on, or as many as there are; OSError as read_bytes."""
    with open_regular(path, None) as stream:
        stream.seek(offset)
        left = os.fstat(stream.fileno()).st_size - offset
        return stream.read(max(0, min(length, left, limits.FILE_BYTES)))


def open_regular(path: str | Path, most: int | None = limits.FILE_BYTES) -> BinaryIO:
    """A regular file, to be read in pieces; OSError as :func:`read_bytes`."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
    try:
        found = os.fstat(handle)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        if most is not None and found.st_size > most:
            reason = f"it has {found.st_size} bytes, and at most {most} are read"
            raise OSError(errno.EFBIG, reason, str(path))
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_text(path: str | Path, most: int = limits.TEXT_BYTES) -> str:
    """The UTF-8 text of a file; OSError as :func:`read_bytes`, UnicodeDecodeError."""
    text = read_bytes(path, most).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
