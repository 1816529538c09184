"""Infer functions of a user script in another interpreter, which has what the script imports.

Arrays go through pipes. The process stays from call to call, since importing a framework takes
seconds; it ends with the object, and with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from knightlite import errors
from knightlite.array_pipe import ArrayPipe
from knightlite.errors import DataError, KnightliteError, UsageError
from knightlite.executor import Array, Executor
from knightlite.frontend import interpreter
from knightlite.frontend.interpreter import SCRIPT_OPTION, SCRIPT_VARIABLE, Conversion
from knightlite.frontend.paddle_dygraph import HOME as PADDLE
from knightlite.frontend.pytorch import HOME as TORCH
from knightlite.leftovers import scratch_folder
from knightlite.script_imports import needed_packages
from knightlite.script_loading import ForwardError, is_missing

PROGRAM = "infer_function"
STDERR = 2  # what a script prints is talk
ENDS_S = 10.0  # a process that has closed its pipes ends soon


@dataclass(frozen=True, slots=True)
class _Running:
    """A process, and what it tells where it could not begin (:mod:`knightlite.foreign.start`)."""

    process: subprocess.Popen[bytes]
    pipe: ArrayPipe
    answer: Path


class ScriptProcess:
    """The interpreter ``python``, started by the first call.

    ``trusted``: checkpoints may hold pickled objects, which can run any code.
    """

    def __init__(self, python: str, trusted: bool = False) -> None:
        self.python, self._trusted = python, trusted
        self._open = contextlib.ExitStack()
        self._running: _Running | None = None
        weakref.finalize(self, self._open.close)

    def call(self, script: Path, function: str, executor: Executor | None) -> float | None:
        """As :func:`knightlite.executor.call_infer_function`, there.

        What ``executor.feed`` raises is raised here, once the function has been left.
        """
        try:
            return self._call(script, function, executor)
        except (KeyboardInterrupt, SystemExit, BrokenPipeError):
            self._end()
            raise

    def _call(self, script: Path, function: str, executor: Executor | None) -> float | None:
        running = self._running = self._running or self._start()
        call = {"script": str(script), "function": function}
        with contextlib.suppress(BrokenPipeError):  # there is no answer either
            running.pipe.send({**call, "executor": executor and _fields(executor)})
        failed: BaseException | None = None
        while (received := running.pipe.receive()) is not None:
            message, arrays = received
            if "forward" not in message:
                return _result(message, failed)
            assert executor is not None
            reply: Mapping[str, Any] = {}
            outputs: Sequence[Array] = ()
            try:
                outputs = [] if failed else list(map(np.asarray, executor.forward(*arrays)))
            except KnightliteError as error:  # the script's line is added there
                reply = {"error": errors.as_json(error)}
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                failed = error
            running.pipe.send({"stop": True} if failed else reply, outputs)
        raise self._ended(running, script, function)

    def _start(self) -> _Running:
        folder = Path(self._open.enter_context(scratch_folder()))
        asked, answer = folder / "request.json", folder / "answer.json"
        reading, theirs_writing = os.pipe()
        theirs_reading, writing = os.pipe()
        pipe = ArrayPipe(os.fdopen(reading, "rb"), os.fdopen(writing, "wb"))
        self._open.callback(pipe.close)
        asked.write_text(json.dumps({"reading": theirs_reading, "writing": theirs_writing}))
        noise = STDERR if _is_open(STDERR) else subprocess.DEVNULL
        try:
            process = subprocess.Popen(
                interpreter.command(self.python, PROGRAM, asked, answer),
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
                env=interpreter.environment(self._trusted),
                pass_fds=(theirs_reading, theirs_writing),
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        except OSError as error:
            raise UsageError(f"{self.python} cannot be started: {error.strerror}.") from None
        finally:
            os.close(theirs_reading)
            os.close(theirs_writing)
        self._open.callback(_kill, process)
        return _Running(process, pipe, answer)

    def _ended(self, running: _Running, script: Path, function: str) -> KnightliteError:
        """Why there was no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.process.wait(ENDS_S)
        code = running.process.poll()
        told = running.answer.read_text("utf-8") if running.answer.exists() else ""
        self._end()
        if told and "error" in (said := json.loads(told)):
            return errors.from_json(said["error"])
        how = f"crashed with signal {-code}" if code and code < 0 else f"ended with code {code}"
        return DataError(
            f"{self.python} {how} while it ran {script.name}: {function}.",
            "does the script run by itself there?",
        )

    def _end(self) -> None:
        self._running = None
        self._open.pop_all().close()


def _fields(executor: Executor) -> dict[str, Any]:
    """What the other side makes its executor of."""
    found = {
        item.name: getattr(executor, item.name)
        for item in fields(executor)
        if item.name not in ("inputs", "feed")
    }
    inputs = [[item.name, item.shape, item.element] for item in executor.inputs]
    return {**found, "inputs": inputs}


def _result(message: Mapping[str, Any], failed: BaseException | None) -> float | None:
    """The metric; or what went wrong here, which the script cannot know, or there."""
    if isinstance(failed, ForwardError):
        raise failed.__cause__ or failed
    if failed is not None:
        raise failed
    if "error" in message:
        raise errors.from_json(message["error"])
    metric: float | None = message["metric"]
    return metric


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


# ------------------------------------------------------------------ which interpreter


def script_process(function: str, conversion: Conversion) -> ScriptProcess | None:
    """The interpreter that an infer function of ``conversion.script`` runs in; None: this one.

    The one that is named for scripts; else, where this one lacks what the script imports, that of
    torch or of Paddle, whichever has most of it.
    """
    named = interpreter.chosen(
        (SCRIPT_OPTION, conversion.script_python),
        (SCRIPT_VARIABLE, os.environ.get(SCRIPT_VARIABLE)),
    )
    if named is not None:
        return ScriptProcess(named, conversion.trusted)
    assert conversion.script is not None
    names = needed_packages(conversion.script, function)
    fewest, best = sum(map(is_missing, names)), None
    for home, given in ((TORCH, conversion.torch_python), (PADDLE, conversion.paddle_python)):
        python = interpreter.of_framework(home, given) if fewest else None
        if python is None:
            continue
        what = f"looking for what {conversion.script} imports"
        found = interpreter.run(python, "packages", {"names": names}, what).values
        missing = len(names) if found is None else len(found["missing"])
        if missing < fewest:
            fewest, best = missing, python
    return None if best is None else ScriptProcess(best, conversion.trusted)
