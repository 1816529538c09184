"""Commands of ours that run beside each other in scratch folders, until time is up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HOME = Path(__file__).resolve().parents[3]  # where knightlite lies
# it ends with this process, however that ends
WITH_PARENT = HOME / "knightlite" / "foreign" / "with_parent.py"
POLL_S = 0.2
MOST_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Job:
    """Commands that follow each other in one folder, as the words behind ``knightlite``."""

    folder: Path
    commands: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``output``: of the last command, None where one failed or time was up: ``why``."""

    output: str | None
    why: str = ""


@dataclass(slots=True)
class _Running:
    """The programs that run now; none begins once they are to end."""

    ending: bool = False
    programs: set[subprocess.Popen[str]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, words: Sequence[str], folder: Path) -> subprocess.Popen[str] | None:
        with self.lock:
            if self.ending:
                return None
            home = str(HOME)
            beside = os.environ.get("PYTHONPATH")
            path = home if not beside else os.pathsep.join((home, beside))
            program = subprocess.Popen(
                [
                    sys.executable,
                    str(WITH_PARENT),
                    str(HOME / "knightlite" / "__main__.py"),
                    *words,
                ],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
            self.programs.add(program)
            return program

    def ended(self, program: subprocess.Popen[str]) -> None:
        with self.lock:
            self.programs.discard(program)

    def end(self) -> None:
        with self.lock:
            self.ending = True
            for program in self.programs:
                program.kill()


def run_all(
    jobs: Sequence[Job], seconds: float, done: Callable[[int], None] = lambda count: None
) -> list[Outcome]:
    """The outcome of every job, in their order; ``done`` is told how many have ended.

    After ``seconds`` those that are not through are stopped.
    """
    running, deadline = _Running(), time.monotonic() + seconds
    workers = max(1, min(MOST_AT_ONCE, len(os.sched_getaffinity(0)), len(jobs)))
    with ThreadPoolExecutor(workers) as pool:
        waiting = [pool.submit(_run, job, running, deadline, seconds) for job in jobs]
        try:
            while not all(item.done() for item in waiting):
                time.sleep(POLL_S)
                done(sum(item.done() for item in waiting))
                if time.monotonic() > deadline:
                    running.end()
        finally:
            running.end()  # Ctrl-C above all
    return [item.result() for item in waiting]


def _run(job: Job, running: _Running, deadline: float, seconds: float) -> Outcome:
    late = Outcome(None, f"not finished within {seconds:g} s")
    output = ""
    for words in job.commands:
        program = running.begin(words, job.folder)
        if program is None:
            return late
        output, talk = program.communicate()
        running.ended(program)
        if program.returncode != 0:
            return late if running.ending else Outcome(None, _sentence(talk))
    return Outcome(output)


def _sentence(talk: str) -> str:
    """What a command said that failed."""
    lines = [line for line in talk.splitlines() if line.startswith("Error: ")]
    return lines[-1].removeprefix("Error: ").rstrip(".") if lines else "it failed without a word"
