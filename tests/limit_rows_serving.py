"""Limits of ``serve``, as in ``limit_rows``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace as Made
from typing import Any
from unittest.mock import MagicMock

import anyio
import numpy as np

from knightlite.serving import protocol, run
from knightlite.serving.application import Server, _Counted
from knightlite.serving.served import Served
from limit_rows import Rows, written


def request(said: str | None, *chunks: int) -> object:
    """The body that a server of at most ten bytes reads: what it is said to have, what comes."""

    async def stream() -> AsyncIterator[bytes]:
        for size in chunks:
            yield bytes(size)

    headers = {} if said is None else {"content-length": said}
    server, asked = Made(limits=Made(body_bytes=10)), Made(headers=headers, stream=stream)
    body: Any = Server._body
    read: bytes = anyio.run(body, server, asked)
    return str(len(read))


def pending(count: int) -> object:
    """One more request, where three may wait."""
    server = Made(draining=False, pending=count, limits=Made(pending=3), meters=MagicMock())
    _Counted(server).__enter__()  # type: ignore[arg-type]
    return str(server.pending)


def token(folder: Path, text: bytes) -> object:
    return run._token(written(folder, text))


def frames(count: int) -> object:
    """Frames of an input, where four are taken at a time."""
    values = np.zeros((count, 1, 1, 1), np.float32)
    network = Made(_most_frames=4, name="n")
    return str(len(Served._fed(network, MagicMock(), "x", values)))  # type: ignore[arg-type]


ROWS: Rows = {
    "serving/application.py:Server._body": (
        (lambda f: request("10", 4, 6), "=10"),
        (lambda f: request(None, 4, 6), "=10"),
        (lambda f: request("11"), "a request may have 10 bytes, not 11."),
        (lambda f: request(None, 4, 7), "a request may have 10 bytes."),
        (lambda f: request("-1"), "a request may have 10 bytes, not -1."),
    ),
    "serving/application.py:_Counted.__enter__": (
        (lambda f: pending(2), "=3"),
        (lambda f: pending(3), "3 requests wait or run already"),
    ),
    "serving/protocol.py:_shown": (
        (lambda f: protocol._shown("a" * 38), "='" + "a" * 38 + "'"),
        (lambda f: protocol._shown("a" * 39), "='" + "a" * 39 + "..."),
    ),
    "serving/run.py:_token": (
        (lambda f: token(f, b"a" * 16), "=" + "a" * 16),
        (lambda f: token(f, b"a" * 15), "at least 16 printable ASCII letters, not of 15"),
    ),
    "serving/served.py:Served._fed": (
        (lambda f: frames(4), "=4"),
        (lambda f: frames(5), "input x has 5 frames, and at most 4"),
    ),
}  # fmt: skip
