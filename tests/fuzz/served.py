"""Whole requests to the server: read from the wire as it reads them, and answered."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import unquote

import h11

from fuzz import mutators
from fuzz.seeds import request_bytes
from knightlite.serving.application import Limits, Server
from knightlite.serving.served import Served, Source

NAME = "small"
TOKEN = "0123456789abcdef"
LENGTH = b"inference-header-content-length"
HEADERS = (
    LENGTH, b"content-length", b"content-encoding", b"content-type", b"host", b"authorization",
    b"transfer-encoding", b"x",
)  # fmt: skip
VALUES = (
    b"", b"0", b"1", b"-1", b"7 ", b"9" * 30, b"9" * 5000, b"\xb2", b"\xff", b"gzip", b"identity",
    b"localhost", b"[::1]:1", b"[", b"a" * 300, b"Bearer", b"Bearer \xff", b"bearer  x", b"chunked",
    b"1e3", b"0x10", b"+1", b"1_0",
)  # fmt: skip
METHODS = (b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"", b"G T", b"\xff")
PATHS = (
    b"/v2", b"/v2/", b"/", b"/metrics", b"/v2/health/live", b"/v2/health/ready", b"/v2/models",
    b"/v2/models/small", b"/v2/models/small/ready", b"/v2/models/small/versions/1/infer",
    b"/v2/models/small/versions/2", b"/v2/models/../infer", b"/v2/models/%2e%2e/infer",
    b"/v2/models/%ff/infer", b"/v2/models/%00", b"/v2/models/a/infer?x=1", b"*", b"http://a/v2",
)  # fmt: skip


def message(feeds: list[dict[str, Any]]) -> bytes:
    """A request for the network, in JSON."""
    body = json.dumps({"inputs": feeds}).encode()
    return _joined([
        b"POST /v2/models/small/infer HTTP/1.1", b"host: localhost",
        b"authorization: Bearer " + TOKEN.encode(), b"content-length: %d" % len(body),
    ], body)  # fmt: skip


def binary_message(name: str, data: bytes, shape: list[int]) -> bytes:
    """A request with an input in binary, and outputs of both kinds."""
    value = json.loads(request_bytes())
    value["inputs"] = [
        {"name": name, "datatype": "FP32", "shape": shape,
         "parameters": {"binary_data_size": len(data)}},
    ]  # fmt: skip
    text = json.dumps(value).encode()
    return _joined([
        b"POST /v2/models/small/infer HTTP/1.1", b"host: localhost",
        b"authorization: Bearer " + TOKEN.encode(), LENGTH + b": %d" % len(text),
        b"content-length: %d" % (len(text) + len(data)),
    ], text + data)  # fmt: skip


def request(data: bytes, rng: random.Random) -> bytes:
    """A part of a request changed; lengths of body and JSON are right, but for those changed."""
    lines, body = _parts(data)
    match rng.randrange(8):
        case 0:
            words = lines[0].split(b" ")
            words[rng.randrange(len(words))] = rng.choice(METHODS + PATHS)
            lines[0] = b" ".join(words)
        case 1:
            lines.insert(rng.randrange(1, len(lines) + 1), _header(rng))
        case 2 if len(lines) > 1:
            at = rng.randrange(1, len(lines))
            name = lines[at].partition(b":")[0]
            lines[at] = name + b": " + rng.choice(VALUES)
        case 3 if len(lines) > 1:
            del lines[rng.randrange(1, len(lines))]
        case _:
            size = _length(lines, LENGTH)
            text, tail = (body, b"") if size is None else (body[:size], body[size:])
            if tail and rng.random() < 0.2:
                tail = mutators.raw(tail, rng)
            else:
                text = mutators.json_text(text, rng)
            body = text + tail
            lines = _with_length(lines, LENGTH, len(text))
            lines = _with_length(lines, b"content-length", len(body))
    return _joined(lines, body)


def _header(rng: random.Random) -> bytes:
    return rng.choice(HEADERS) + b": " + rng.choice(VALUES)


def _parts(data: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def _joined(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _length(lines: list[bytes], name: bytes) -> int | None:
    found = [line.partition(b":")[2].strip() for line in lines if line.startswith(name)]
    return int(found[0]) if found and found[0].isdigit() and len(found[0]) < 9 else None


def _with_length(lines: list[bytes], name: bytes, size: int) -> list[bytes]:
    return [name + b": %d" % size if line.startswith(name + b":") else line for line in lines]


# ------------------------------------------------------------------ the server


def answering(cfg: Path) -> Callable[[Path], object]:
    """A reader of requests: a server of the network answers them, or what failed in it is raised.

    Its work runs in this thread, where it is watched and may be stopped.
    """
    network = Served(Source(NAME, cfg), "numpy", 1, 4)
    server = Server({NAME: network}, Limits(4, 1 << 20, 20.0), token=TOKEN)
    application = server.application()

    def read(path: Path) -> object:
        asked = _received(path.read_bytes())
        if asked is None:
            return None
        with _Failures() as failures, mock.patch("anyio.to_thread.run_sync", _here):
            status = asyncio.run(_answered(application, *asked))
        if failures.found is not None:
            raise failures.found
        assert status < 500 or status == 503, status
        return status

    return read


async def _here(work: Callable[[], object], **_: object) -> object:
    return work()


class _Failures(logging.Handler):
    """What the server logs as failed inside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: BaseException | None = None

    def __enter__(self) -> _Failures:
        log = logging.getLogger("knightlite.serve")
        log.addHandler(self)
        log.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        log = logging.getLogger("knightlite.serve")
        log.removeHandler(self)
        log.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the error."""
        self.found = record.exc_info[1] if record.exc_info else None


def _received(data: bytes) -> tuple[dict[str, Any], list[bytes], bool] | None:
    """Scope, pieces of the body, whether it is whole; None where the server has no request."""
    wire = h11.Connection(h11.SERVER, max_incomplete_event_size=32 << 10)
    try:
        wire.receive_data(data)
        asked = wire.next_event()
        if not isinstance(asked, h11.Request):
            return None
        pieces, event = [], wire.next_event()
        while isinstance(event, h11.Data):
            pieces.append(bytes(event.data))
            event = wire.next_event()
    except h11.RemoteProtocolError:
        return None
    raw, _, query = asked.target.partition(b"?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": asked.method.decode("ascii"), "path": unquote(raw.decode("ascii")),
        "raw_path": raw, "query_string": query, "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000), "headers": [*asked.headers],
    }  # fmt: skip
    return scope, pieces, isinstance(event, h11.EndOfMessage)


async def _answered(
    application: Any, scope: dict[str, Any], pieces: list[bytes], whole: bool
) -> int:
    """The status of the answer."""
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    last = {"type": "http.request", "body": b"", "more_body": False}
    waiting.append(last if whole else {"type": "http.disconnect"})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await application(scope, receive, send)
    starts = [event["status"] for event in sent if event["type"] == "http.response.start"]
    assert len(starts) == 1, sent
    return int(starts[0])
