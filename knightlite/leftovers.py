"""What a killed run leaves behind: temporary files and folders that say whose they are.

Their names hold the machine and the process that made them. The next run that makes one beside them
removes those whose process has ended; what belongs to other machines, or to processes that live, is
left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

LONGEST = 100  # letters of a name that are kept: a mark and a suffix follow
_MARK = re.compile(r"-kl([0-9a-f]{8})p([0-9]{1,10})-")


def mark() -> str:
    """What the name of a temporary file or folder of this process holds."""
    return f"-kl{_machine()}p{os.getpid()}-"


def prefix(name: str) -> str:
    """How the name of a hidden temporary file begins that will become ``name``."""
    return f".{name[:LONGEST]}{mark()}"


def sweep(folder: str | Path) -> None:
    """Remove what ended processes of this machine left in ``folder``; what cannot be, stays."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            found = _MARK.search(entry.name)
            if found is None or found[1] != _machine() or _lives(int(found[2])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A folder among the system's temporary ones, which vanishes with the ``with``."""
    sweep(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=f"knightlite{mark()}") as folder:
        yield folder


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # somebody else's, which lives
    return True


@cache
def _machine() -> str:
    """The host and its processes' numbering, which containers have of their own."""
    try:
        numbering = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbering = ""
    return hashlib.sha256(f"{socket.gethostname()} {numbering}".encode()).hexdigest()[:8]
