"""Ctrl-C is noted, and waits for compiled modules that load: those it meets crash, or lose it."""

from __future__ import annotations

import signal
import sys
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

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
    loading = _loading(frame)
    if loading is None:
        raise KeyboardInterrupt
    before = sys.gettrace()

    def traced(frame: FrameType, event: str, argument: object) -> Any:
        if event != "return":  # made, but not executed yet
            return traced
        sys.settrace(before)
        raise KeyboardInterrupt

    loading.f_trace = traced
    sys.settrace(lambda *_: None)  # or no frame is traced


def _loading(frame: FrameType | None) -> FrameType | None:
    """The outermost frame, of those around ``frame``, in which a compiled module loads.

    Its C code calls Python; where that fails against expectation it aborts, reads what is not
    there, or goes on. A module that is made and never executed may not survive its end either.
    """
    found = None
    while frame is not None:
        code = frame.f_code
        if code.co_name == "_load_unlocked" and code.co_filename == "<frozen importlib._bootstrap>":
            loader = getattr(frame.f_locals.get("spec"), "loader", None)
            found = frame if isinstance(loader, ExtensionFileLoader) else found
        frame = frame.f_back
    return found
