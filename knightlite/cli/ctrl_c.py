"""Ctrl-C is noted: compiled modules that it meets while they load make an ImportError of it."""

from __future__ import annotations

import signal
from types import FrameType

_asked = False


def heed() -> None:
    """Note Ctrl-C from now on and raise KeyboardInterrupt, unless a parent had it ignored."""
    global _asked
    _asked = False
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def asked() -> bool:
    """Whether there was a Ctrl-C, whatever error came of it."""
    return _asked


def _stop(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt
