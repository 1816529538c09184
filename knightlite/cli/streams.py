"""Streams that nobody reads, or that are full: what is said has its end, the work goes on."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import Literal

Name = Literal["stdout", "stderr"]


def open_streams() -> None:
    """Closed streams swallow what is printed; letters that a terminal lacks are escaped."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, _null())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def silence(name: Name) -> None:
    """Drop what goes to a stream from now on, and what waits in it: it cannot be written."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, getattr(sys, name).fileno())
        os.close(null)
        return
    setattr(sys, name, _null())  # it is closed, or no file


def is_left() -> bool:
    """Whether the reader of stdout, a pager or ``head``, has gone."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return False


def _null() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # stays open
