"""Infer functions of user scripts, called here with an executor whose network runs elsewhere.

Request: ``reading`` and ``writing``, file descriptors of an :class:`ArrayPipe`. Each call is a
message of ``script``, ``function`` and ``executor`` (its fields; null: look the function up). While
it runs, ``forward`` sends ``{"forward": true}`` with one array per input and gets one per output.
It ends with ``{"metric"}``, with ``{"error"}``, or with ``{"stopped"}`` where that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from knightlite import errors
from knightlite.array_pipe import ArrayPipe
from knightlite.errors import KnightliteError
from knightlite.executor import Array, Executor, NetworkInput, call_infer_function


class Stop(BaseException):
    """The other side has enough; not an Exception, which scripts catch."""


class Gone(BaseException):
    """The other side has ended."""


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Serve calls until the other side ends."""
    streams = os.fdopen(request["reading"], "rb"), os.fdopen(request["writing"], "wb")
    pipe = ArrayPipe(*streams)
    try:
        while (received := pipe.receive()) is not None:
            pipe.send(_answer(pipe, received[0]))
    except (Gone, BrokenPipeError):
        pass
    return {}


def _answer(pipe: ArrayPipe, call: dict[str, Any]) -> dict[str, Any]:
    script = Path(call["script"])
    try:
        executor = None if call["executor"] is None else _executor(pipe, call["executor"])
        return {"metric": call_infer_function(script, call["function"], executor)}
    except Stop:
        return {"stopped": True}
    except KnightliteError as error:
        return {"error": errors.as_json(error)}


def _executor(pipe: ArrayPipe, fields: dict[str, Any]) -> Executor:
    inputs = tuple(
        NetworkInput(name, tuple(shape), element) for name, shape, element in fields.pop("inputs")
    )

    def feed(*arrays: Array) -> Sequence[Array]:
        pipe.send({"forward": True}, arrays)
        received = pipe.receive()
        if received is None:
            raise Gone
        message, outputs = received
        if "stop" in message:
            raise Stop
        if "error" in message:
            raise errors.from_json(message["error"])
        return outputs

    return Executor(inputs=inputs, feed=feed, **fields)
