"""A command in a forked child with little memory and time: the imports are made once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

MEMORY_BYTES = 2 << 30  # of addresses, more than this process has
SECONDS = 10  # of the processor
WAITING = 12  # times as long may it wait for it
CAPABILITIES_VERSION = 0x20080522  # of the kernel's interface


@dataclass(frozen=True)
class Limits:
    """What a child lives in. ``file_bytes``: no file grows beyond; ``mortal``: root may no more
    than others; ``closed``: streams (0, 1, 2) that it does not have.
    """

    file_bytes: int | None = None
    mortal: bool = False
    closed: tuple[int, ...] = ()
    environment: Mapping[str, str | None] | None = None


@dataclass(frozen=True)
class Ended:
    """Exit code (below 0: a signal), stdout, stderr, seconds of the processor, memory at most.

    ``late``: it was stopped since it, or a process that it left, did not end.
    """

    code: int
    out: str
    said: str
    seconds: float
    memory_bytes: int
    late: bool


def run_forked(work: Callable[[], object], folder: Path, limits: Limits) -> Ended:
    """Run ``work`` in ``folder`` in a child, which exits as it says by SystemExit."""
    pipes = [os.pipe(), os.pipe()]
    child = os.fork()
    if child == 0:
        _live(work, folder, limits, [write for _, write in pipes])
    for _, write in pipes:
        os.close(write)
    texts, late = _read([read for read, _ in pipes], time.monotonic() + WAITING * SECONDS)
    if late:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    return Ended(
        os.waitstatus_to_exitcode(status),
        texts[0],
        texts[1],
        used.ru_utime + used.ru_stime,
        used.ru_maxrss << 10,
        late,
    )


def _read(pipes: list[int], ends: float) -> tuple[list[str], bool]:
    """What comes until all writers are gone, and whether that took too long."""
    found = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map() and (left := ends - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                data = os.read(key.fd, 1 << 16)
                found[key.fd] += data
                if not data:
                    waiting.unregister(key.fd)
        late = bool(waiting.get_map())
    for pipe in pipes:
        os.close(pipe)
    return [data.decode("utf-8", "backslashreplace") for data in found.values()], late


def _live(work: Callable[[], object], folder: Path, limits: Limits, pipes: list[int]) -> NoReturn:
    """The child's life; it never returns."""
    code = 70
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, pipe in zip((1, 2), pipes, strict=True):
            os.dup2(pipe, stream)
            os.close(pipe)
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115  # they stay open
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115  # as Python's
        os.chdir(folder)
        for name, value in (limits.environment or {}).items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _confine(limits)
        for stream in limits.closed:  # as Python finds it when it starts
            os.close(stream)
            setattr(sys, ("stdin", "stdout", "stderr")[stream], None)
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 71
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            traceback.print_exc()
    finally:
        for opened in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                opened.flush()
        os._exit(code)


def _confine(limits: Limits) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes,) * 2)
    if limits.mortal:
        header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
        ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())
