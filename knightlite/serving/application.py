"""The addresses of the protocol, and what a request may not do.

A request is counted in before its body is read, and out when its work is done, so that bodies in
memory are as bounded as work is. Nothing that comes from outside names a file.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from knightlite.errors import KnightliteError
from knightlite.serving import protocol
from knightlite.serving.meters import Meters
from knightlite.serving.served import VERSION, Served
from knightlite.version import __version__

LOG = logging.getLogger("knightlite.serve")
SERVER = "knightlite"
EXTENSIONS = ["binary_tensor_data"]
JSON, BINARY = "application/json", "application/octet-stream"
LOCAL_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Limits:
    """``pending``: requests that wait or run; ``body_bytes`` of one; ``seconds`` that one takes."""

    pending: int
    body_bytes: int
    seconds: float


class Refused(Exception):
    """A request that is answered with a sentence."""

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


@dataclass(slots=True)
class Server:
    """The networks behind their addresses. ``names``: of hosts that requests may be addressed to.

    ``token``: that requests must bring; None: none. ``draining``: it takes no more work.
    """

    networks: Mapping[str, Served]
    limits: Limits
    names: frozenset[str] = LOCAL_NAMES
    token: str | None = None
    meters: Meters = field(default_factory=Meters)
    draining: bool = False
    pending: int = 0

    def application(self) -> Starlette:
        """For a server of ASGI."""
        guarded = self._guarded
        routes = [
            Route("/v2", guarded(self._server)),
            Route("/v2/health/live", guarded(self._live, token=False)),
            Route("/v2/health/ready", guarded(self._ready, token=False)),
            Route("/metrics", guarded(self._metrics)),
        ]
        for tail in ("", "/versions/{version}"):
            model = f"/v2/models/{{model}}{tail}"
            routes += [
                Route(model, guarded(self._model)),
                Route(f"{model}/ready", guarded(self._model_ready)),
                Route(f"{model}/infer", guarded(self._infer), methods=["POST"]),
            ]
        handlers: dict[Any, Any] = {HTTPException: _not_there}
        return Starlette(routes=routes, exception_handlers=handlers)

    # ---------------------------------------------------------------- who may ask

    def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]], token: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """The answer, or a sentence in JSON; never anything of the program's inside."""

        async def guarded(request: Request) -> Response:
            try:
                self._require_host(request)
                if token:
                    self._require_token(request)
                return await answer(request)
            except Refused as refused:
                return _error(refused.status, refused.sentence, refused.headers)
            except ClientDisconnect:
                return _error(400, "the request ended before it was whole.")
            except Exception:
                LOG.exception("a request failed inside")
                return _error(500, "the server failed inside; its log says more.")

        return guarded

    def _require_host(self, request: Request) -> None:
        """A page of another site can make a browser ask this machine, but not under our name."""
        host = request.headers.get("host", "").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        if name not in self.names:
            raise Refused(421, f"requests for host {ascii(host)[:80]} are not answered here.")

    def _require_token(self, request: Request) -> None:
        if self.token is None:
            return
        kind, _, sent = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(sent.strip().encode(), self.token.encode())
        if kind.lower() != "bearer" or not same:
            raise Refused(401, "the token is missing or wrong.", {"www-authenticate": "Bearer"})

    # ---------------------------------------------------------------- what is there

    async def _server(self, request: Request) -> Response:
        return JSONResponse({"name": SERVER, "version": __version__, "extensions": EXTENSIONS})

    async def _live(self, request: Request) -> Response:
        return Response(status_code=200)

    async def _ready(self, request: Request) -> Response:
        return Response(status_code=503 if self.draining else 200)

    async def _metrics(self, request: Request) -> Response:
        return Response(self.meters.text(), media_type=METRICS_TYPE)

    async def _model(self, request: Request) -> Response:
        return JSONResponse(self._network(request).metadata())

    async def _model_ready(self, request: Request) -> Response:
        self._network(request)
        return await self._ready(request)

    def _network(self, request: Request) -> Served:
        name, version = request.path_params["model"], request.path_params.get("version", VERSION)
        found = self.networks.get(name)
        if found is None:
            raise Refused(404, f"there is no network {ascii(name)[:80]} here.")
        if version != VERSION:
            raise Refused(404, f"network {name} has version {VERSION} only.")
        return found

    # ---------------------------------------------------------------- work

    async def _infer(self, request: Request) -> Response:
        began = time.monotonic()
        network = self._network(request)
        try:
            with self._counted(), anyio.fail_after(self.limits.seconds):
                answer = await self._answered(request, network)
        except TimeoutError:
            answer = _error(503, f"no turn came within {self.limits.seconds:g} s.", RETRY)
        except Refused as refused:
            answer = _error(refused.status, refused.sentence, refused.headers)
        self.meters.requests.labels(network.name, str(answer.status_code)).inc()
        self.meters.seconds.labels(network.name).observe(time.monotonic() - began)
        return answer

    async def _answered(self, request: Request, network: Served) -> Response:
        length = request.headers.get(protocol.HEADER_LENGTH)
        try:
            with anyio.fail_after(self.limits.seconds / 2):
                body = await self._body(request)
        except TimeoutError:
            raise Refused(408, "the request did not come in time.", CLOSE) from None
        work = partial(self._work, network, body, length)
        try:
            # beside the loop that hears all others; what has begun is not left
            text, header = await anyio.to_thread.run_sync(work, limiter=network.turns)
        except KnightliteError as error:
            hint = f" Hint: {error.hint}" if error.hint else ""
            return _error(400, f"{error.sentence}{hint}")
        if header is None:
            return Response(text, media_type=JSON)
        headers = {"Inference-Header-Content-Length": str(header)}
        return Response(text, media_type=BINARY, headers=headers)

    def _work(self, network: Served, body: bytes, length: str | None) -> tuple[bytes, int | None]:
        asked = protocol.read_request(body, length)
        began = time.monotonic()
        outputs, frames = network.run(asked)
        self.meters.run_seconds.labels(network.name).observe(time.monotonic() - began)
        self.meters.frames.labels(network.name).inc(frames)
        return protocol.write_response(network.name, VERSION, asked, outputs)

    async def _body(self, request: Request) -> bytes:
        """The whole body, within the limit, whatever it says of its length."""
        coding = request.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise Refused(
                415, f"bodies coded as {ascii(coding)[:40]} are not read: send them plain."
            )
        most = self.limits.body_bytes
        said = request.headers.get("content-length", "0")
        if not protocol.is_count(said) or int(said) > most:
            told = ascii(said)[1:-1][:20]
            raise Refused(413, f"a request may have {most} bytes, not {told}.", CLOSE)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise Refused(413, f"a request may have {most} bytes.", CLOSE)
        return bytes(body)

    def _counted(self) -> _Counted:
        return _Counted(self)


RETRY: Mapping[str, str] = {"retry-after": "1"}
CLOSE: Mapping[str, str] = {"connection": "close"}  # what is left of the body is not read


class _Counted:
    """A request among those that wait or run; Refused where there are enough."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> None:
        server = self._server
        if server.draining:
            raise Refused(503, "the server is ending.", {**RETRY, **CLOSE})
        if server.pending >= server.limits.pending:
            raise Refused(
                503,
                f"{server.pending} requests wait or run already: come back.",
                {**RETRY, **CLOSE},
            )
        server.pending += 1
        server.meters.pending.set(server.pending)

    def __exit__(self, *_: object) -> None:
        self._server.pending -= 1
        self._server.meters.pending.set(self._server.pending)


async def _not_there(request: Request, error: Exception) -> Response:
    """What the router says of addresses and methods, as this protocol says it."""
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address.", 405: "this address takes another method."}
    return _error(error.status_code, words.get(error.status_code, str(error.detail)), error.headers)


def _error(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": sentence}, status_code=status, headers=dict(headers or {}))


def names_of(host: str, more: Sequence[str]) -> frozenset[str]:
    """Names that requests may be addressed to: this machine's, the address, and ``more``."""
    own = {f"[{host}]" if ":" in host else host.lower()} - {"0.0.0.0", "[::]"}
    return LOCAL_NAMES | own | {name.lower() for name in more}
