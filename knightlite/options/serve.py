"""What ``serve`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knightlite.errors import UsageError
from knightlite.options import shared
from knightlite.options.checks import Check, within
from knightlite.options.fields import REQUIRED, like, option
from knightlite.options.kinds import FILE, REAL, REPEATED, whole

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MIB = 1 << 20


def _token_beyond_this_machine(options: ServeOptions) -> None:
    if options.host not in LOOPBACK and options.token_file is None:
        raise UsageError(
            f"on {options.host} other machines reach the server, and nothing says who may use it.",
            "--token-file FILE names a file with a secret that clients send; or leave --host out",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What ``serve`` is asked for.

    ``networks``: ``FILE`` or ``NAME=FILE``, each a ``.cfg`` or ``.tsmodel``. ``workers``: requests
    of one network that run at a time; ``waiting``: requests that wait for them, of all networks.
    ``seconds``: that a request may take, its way in included. ``names``: of the host, beside those
    of this machine, that requests may be addressed to.
    """

    RULES: ClassVar[tuple[Check, ...]] = (_token_beyond_this_machine,)

    networks: tuple[str, ...] = option(
        kind=REPEATED, default=REQUIRED, metavar="[NAME=]FILE...", position=True
    )
    host: str = option(
        "--host",
        help="Address to listen at; any other than this machine's own asks for --token-file.",
        default=LOOPBACK[0],
    )
    port: int = option(
        "--port",
        kind=whole(),
        help="Port to listen at; 0: one that is free, which is said.",
        default=8000,
        check=within(0, 65535, "the port"),
    )
    engine: str = like(shared.ENGINE)
    workers: int = option(
        "-j",
        "--workers",
        kind=whole(),
        help="Requests of one network that run at a time.",
        default=1,
        check=within(1, 256, "workers"),
    )
    waiting: int = option(
        "--queue",
        kind=whole(),
        help="Requests that may wait; more are told to come back (503).",
        default=16,
        check=within(0, 4096, "the queue"),
    )
    frames: int = option(
        "--max-frames",
        kind=whole(),
        help="Frames of one request.",
        default=16,
        check=within(1, 4096, "frames of a request"),
    )
    body_mib: int = option(
        "--max-body",
        kind=whole(),
        help="MiB of a request.",
        default=64,
        metavar="MIB",
        check=within(1, 1024, "MiB of a request"),
    )
    seconds: float = option(
        "--timeout",
        kind=REAL,
        help="Seconds that a request may take, the wait for others included.",
        default=30.0,
        check=within(1, 3600, "seconds of a request"),
    )
    token_file: Path | None = option(
        "--token-file",
        kind=FILE,
        help="File with a secret; requests must bring it as 'Authorization: Bearer SECRET'.",
    )
    names: tuple[str, ...] = option(
        "--allow-host",
        kind=REPEATED,
        help="Name of this server that requests may be addressed to; may be repeated.",
        default=(),
        metavar="NAME",
    )
