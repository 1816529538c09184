"""Start a program of the room ``foreign`` in the interpreter that a framework lives in.

paddle2onnx 2 and 1.3.1 cannot live together, and torch is large and talkative: so both frameworks
are called in a child process, in this interpreter or in another one that the user names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knightlite.errors import ModelError, UsageError, from_json, not_there
from knightlite.leftovers import scratch_folder
from knightlite.talk import SILENT, Talk

FOREIGN = Path(__file__).parent.parent / "foreign"
START = FOREIGN / "start.py"
WITH_PARENT = FOREIGN / "with_parent.py"
TIMEOUT_S: float = 1800
EXPORTERS = ("auto", "torchscript", "dynamo")
TRUSTING = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}  # torch's own, where a script says nothing
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "POLYGRAPHY_AUTOINSTALL_DEPS": "0"}


@dataclass(frozen=True, slots=True)
class Conversion:
    """What converting another framework's model may take.

    ``script`` builds the model; the pythons are interpreters (None: the environment variable, then
    this one), ``script_python`` of what the script imports; ``torch_exporter`` is one of EXPORTERS;
    ``trusted``: checkpoints may hold pickled objects; ``open_loops``: recurrent layers are read as
    one step of them (``open_loops.py``); ``talk`` hears what deserves a word.
    """

    script: Path | None = None
    paddle_python: str | None = None
    torch_python: str | None = None
    script_python: str | None = None
    torch_exporter: str = "auto"
    trusted: bool = False
    open_loops: bool = False
    talk: Talk = SILENT


DEFAULT = Conversion()


@dataclass(frozen=True, slots=True)
class Home:
    """Where a framework lives: the option and variable that name it, and how to make one."""

    packages: str
    option: str
    variable: str
    install: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program gave back (None: it gave up or crashed), and the lines it printed."""

    values: Mapping[str, Any] | None
    said: tuple[str, ...]
    code: int

    @property
    def reason(self) -> str:
        """Why there are no values, from what was printed last."""
        if self.code < 0:
            return f"it crashed with signal {-self.code}"
        return self.said[-1].rstrip(".") if self.said else "it gave no reason"


SCRIPT_OPTION, SCRIPT_VARIABLE = "--script-python", "KNIGHTLITE_SCRIPT_PYTHON"


def find(
    home: Home, given: str | None, here: bool, purpose: str, script_python: str | None = None
) -> str:
    """The interpreter for a framework; ``here``: this one has what it takes.

    ``script_python``: the one for everything that a script does, where that is what is done.
    """
    found = chosen((home.option, given), (SCRIPT_OPTION, script_python)) or of_framework(home, None)
    if found is not None:
        return found
    if here:
        return sys.executable
    raise UsageError(
        f"{purpose} needs {home.packages}, which this Python does not have.",
        f"{home.install}; a Python elsewhere is named with {home.option} PATH or {home.variable}",
    )


def of_framework(home: Home, given: str | None) -> str | None:
    """The interpreter that is named for a framework, if one is."""
    return chosen((home.option, given), (home.variable, os.environ.get(home.variable)))


def chosen(*asked: tuple[str, str | None]) -> str | None:
    """The first interpreter that an option or variable names: its own name, and the path or ""."""
    return next((named(source, name) for source, name in asked if name), None)


def named(source: str, name: str) -> str:
    """The path of the interpreter that an option or variable names; UsageError for none."""
    path = Path(name)
    if path.is_dir():
        python = path / "bin" / "python"
        raise UsageError(
            f"{source} {name} is a folder, not a Python interpreter.",
            f"give {python}" if python.exists() else "",
        )
    found = shutil.which(name)
    if found is None:
        if not path.exists():
            raise not_there(f"{source}: the Python interpreter", name, "name one, or leave it out")
        raise UsageError(f"{source}: the Python interpreter {name} is not executable.")
    return os.path.abspath(found)  # not resolved: a venv is known by the link's place


def run(
    python: str, program: str, request: Mapping[str, Any], what: str, trusted: bool = False
) -> Answer:
    """Run ``foreign/PROGRAM.py`` and read its answer; an error that it gives is raised here.

    ``what`` says what is being done, for the sentence about a child that does not finish;
    ``trusted`` as for :func:`environment`.
    """
    with scratch_folder() as folder:
        asked, answer = Path(folder, "request.json"), Path(folder, "answer.json")
        asked.write_text(json.dumps(request), encoding="utf-8")
        try:
            done = subprocess.run(
                command(python, program, asked, answer),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(trusted),
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"{python} did not finish {what} within {TIMEOUT_S} s.") from None
        except OSError as error:
            raise UsageError(f"{python} cannot be started: {error.strerror}.") from None
        said = tuple(_lines(done.stdout))
        if not answer.exists():
            return Answer(None, said, done.returncode)
        found = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in found:
        raise from_json(found["error"])
    return Answer(found["values"], said, done.returncode)


def command(python: str, program: str, asked: Path, answer: Path) -> list[str]:
    """The command line of a program of ``foreign``: files of its request and of its answer."""
    return [python, str(WITH_PARENT), str(START), program, str(asked), str(answer)]


def environment(trusted: bool = False) -> dict[str, str]:
    """The environment of a program; ``trusted``: torch may load pickled objects where asked to."""
    own = {**os.environ, **ENVIRONMENT}
    return {**own, **TRUSTING} if trusted else own


def _lines(noise: bytes) -> list[str]:
    lines = noise.decode(errors="replace").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]
