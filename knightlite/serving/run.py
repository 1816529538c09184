"""The server from its first byte to its last: opened, bound, and drained at SIGTERM or Ctrl-C."""

from __future__ import annotations

import copy
import os
import signal
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.errors import UnsupportedError, UsageError, unreadable
from knightlite.options import check
from knightlite.options.serve import MIB, ServeOptions
from knightlite.reading import read_text
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from types import FrameType

    from knightlite.serving.application import Server

PACKAGES = ("starlette", "uvicorn", "prometheus_client")
MIN_TOKEN, MAX_TOKEN_BYTES = 16, 4096
CONNECTIONS = 64  # beside requests that wait or run: they bring no body yet


def serve(options: ServeOptions, talk: Talk = SILENT) -> None:
    """Serve until SIGTERM or SIGINT; then answer what was begun, and return.

    UnsupportedError where the packages are missing. UsageError where the address is taken or the
    token is too short. Errors of opening networks: as of ``sim``.
    """
    check(options)
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"serve needs {' and '.join(missing)}, which this Python does not have.",
            "pip install 'knightlite[serve]'",
        )
    import uvicorn

    from knightlite.serving.application import Limits, Server, names_of
    from knightlite.serving.served import Served, sources

    token = None if options.token_file is None else _token(options.token_file)
    networks = {
        source.name: Served(source, options.engine, options.workers, options.frames)
        for source in sources(options.networks)
    }
    limits = Limits(
        options.waiting + options.workers * len(networks), options.body_mib * MIB, options.seconds
    )
    with _bound(options.host, options.port) as listening:
        port = listening.getsockname()[1]
        server = Server(networks, limits, names_of(options.host, options.names), token)
        for name, network in networks.items():
            if network.frame_bytes > limits.body_bytes:
                talk.warn(
                    f"a frame of {name} has {network.frame_bytes} bytes, more than a request may "
                    f"bring: --max-body {-(-network.frame_bytes // MIB) + 1}"
                )
        shown = f"[{options.host}]" if ":" in options.host else options.host
        talk.say(f"serving {', '.join(networks)} at http://{shown}:{port}/v2")
        config = uvicorn.Config(
            server.application(),
            log_config=_logging(),
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=limits.pending + CONNECTIONS,
            timeout_keep_alive=int(min(options.seconds, 30)),
            timeout_graceful_shutdown=int(options.seconds) + 1,
            h11_max_incomplete_event_size=32 << 10,
        )
        _draining(config, server).run(sockets=[listening])
    talk.say("stopped: every request that was begun has its answer.")


def _draining(config: Any, server: Server) -> Any:
    """uvicorn's server, which takes no new work from the signal on and ends this program's way."""
    import uvicorn

    class Draining(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """Drain; at a second Ctrl-C end at once."""
            server.draining = True
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True

    return Draining(config)


def _bound(host: str, port: int) -> socket.socket:
    """The socket that listens; UsageError where there is none to be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise UsageError(
            f"the server cannot listen at {host}, port {port}: {os.strerror(error.errno)}."
            if error.errno is not None and error.errno > 0
            else f"the server cannot listen at {host}, port {port}: {error.strerror}.",
            "--port 0 takes a port that is free",
        ) from error


def _token(path: Path) -> str:
    """The secret in a file, its first line."""
    try:
        text = read_text(path, MAX_TOKEN_BYTES).splitlines()
    except OSError as error:
        raise unreadable("token file", path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the token file {path} cannot be read: it is not UTF-8 text.") from error
    token = text[0].strip() if text else ""
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise UsageError(
            f"the token in {path} must be a line of at least {MIN_TOKEN} printable ASCII letters, "
            f"not of {len(token)}.",
            f"python -c 'import secrets; print(secrets.token_hex(32))' > {path}",
        )
    return token


def _logging() -> dict[str, Any]:
    """uvicorn's own, warnings and errors only."""
    from uvicorn.config import LOGGING_CONFIG

    found = copy.deepcopy(LOGGING_CONFIG)
    for name in ("uvicorn", "uvicorn.error"):
        found["loggers"].setdefault(name, {})["level"] = "WARNING"
    return found
