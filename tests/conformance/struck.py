"""A command in processes of its own, sent a signal while it runs; what is left of it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
PATIENCE = 60.0  # seconds in which a stopped command must have ended, on a busy machine
EXITING = 0x4  # PF_EXITING of Linux: what is sent to such a process changes nothing
LEAVING = 10.0  # seconds in which its processes must have
OF_FILES = 0.25  # of all strikes are before an operation on files, the others at any moment
OWN = "KNIGHTLITE_STRUCK"  # a variable by which all processes of a command are known

AT_OPERATION = """
import atexit, os, sys
at, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
kinds = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
         "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp"}
done = 0
def hook(event, arguments):
    global done
    if event in kinds:
        done += 1
        if done == at:
            os.kill(os.getpid(), number)
sys.addaudithook(hook)
atexit.register(lambda: os.write(2, b"\\n%d" % done))
from knightlite.cli import main
main()
"""


@dataclass(frozen=True)
class Measured:
    """An undisturbed command: its seconds, its operations on files and folders, what it prints."""

    seconds: float
    operations: int
    printed: str = ""


@dataclass(frozen=True)
class Strike:
    """A signal at a moment: so many seconds after the start, or before the n-th file operation."""

    number: signal.Signals
    everyone: bool  # its workers too, as a terminal does
    seconds: float
    operation: int = 0

    def __str__(self) -> str:
        when = f"operation {self.operation}" if self.operation else f"{self.seconds:.2f} s"
        return f"{self.number.name} to {'all of it' if self.everyone else 'it'} at {when}"


@dataclass(frozen=True)
class Ended:
    """How a command ended that was to be sent a signal.

    ``hit``: it lived when the signal came; ``seconds`` that it lived, ``orphans`` that live on.
    """

    hit: bool
    code: int
    said: str
    seconds: float
    orphans: tuple[int, ...]


def running(process: subprocess.Popen[bytes]) -> bool:
    """Whether a signal would reach it: it has not ended, and is not about to."""
    if process.poll() is not None:
        return False
    stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
    return not int(stat.rpartition(")")[2].split()[6]) & EXITING


def alive(own: str) -> tuple[int, ...]:
    """The living processes of a command: it has told all of them their name, sessions or not."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):  # no process, or ended meanwhile
            if f"{OWN}={own}\0".encode() not in (entry / "environ").read_bytes():
                continue
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
    return tuple(found)


def printed_of(said: Path) -> Path:
    return said.with_suffix(".out")


def start(
    arguments: Sequence[str], said: Path, operation: int = 0, number: int = 0
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a command in a session of its own, as a terminal does; its name among processes.

    What it says goes to the file ``said``, and what it prints to the one beside it.
    """
    program = ["-c", AT_OPERATION, str(operation), str(int(number))]
    program = program if operation else ["-m", "knightlite"]
    own = f"{os.getpid()}-{time.monotonic_ns()}"
    with said.open("wb") as stream, printed_of(said).open("wb") as printed:
        # no pipes: an orphan would hold them open
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), OWN: own},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=stream,
            start_new_session=True,
        )
    return process, own


def measured(arguments: Sequence[str], said: Path) -> Measured:
    """Run a command to its end, by itself."""
    process, _ = start(arguments, said, sys.maxsize)
    began = time.monotonic()
    code, seconds = process.wait(), time.monotonic() - began
    text = said.read_text(encoding="utf-8")
    assert code == 0, text
    printed = printed_of(said).read_text(encoding="utf-8")
    return Measured(seconds, int(text.splitlines()[-1]), printed)


def strike_of(chance: random.Random, usual: Measured) -> Strike:
    """At any moment of a command's life alike, or between two of its operations on files."""
    number, everyone = chance.choice(SIGNALS), chance.random() < 0.5
    if usual.operations and chance.random() < OF_FILES:
        return Strike(number, False, PATIENCE, chance.randint(1, usual.operations))
    return Strike(number, everyone, chance.uniform(0, usual.seconds))


def struck(arguments: Sequence[str], strike: Strike, said: Path) -> Ended:
    """Run a command until it is sent the signal, or has ended before."""
    process, own = start(arguments, said, strike.operation, strike.number)
    began, hit = time.monotonic(), False
    try:
        process.wait(strike.seconds)
    except subprocess.TimeoutExpired:
        hit = running(process)
        if hit:
            (os.killpg if strike.everyone else os.kill)(process.pid, strike.number)
    try:
        process.wait(PATIENCE)
    finally:
        seconds, ends = time.monotonic() - began, time.monotonic() + LEAVING
        while (orphans := alive(own)) and time.monotonic() < ends:
            time.sleep(0.05)
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)
    text = said.read_text(encoding="utf-8")
    if strike.operation:  # it was, unless it ended by itself before it came so far
        done = text.split()[-1:] if process.returncode == 0 else []
        hit = process.returncode != 0 or int(*done) >= strike.operation
    return Ended(hit, process.returncode, text, seconds, orphans)


def faults_of(ended: Ended, strike: Strike, serves: bool) -> list[str]:
    """What is wrong with how a command ended. ``serves``: it ends well by a signal."""
    found = [f"process {orphan} lives on" for orphan in ended.orphans]
    # Python's own start is not ours: a Ctrl-C before it reaches our first line is told its way
    ours = f"{ROOT / 'knightlite'}{os.sep}" in ended.said
    if ("Traceback" in ended.said and ours) or "Exception ignored" in ended.said:
        found.append(f"says {ended.said!r}")
    codes = {signal.SIGINT: (130, -signal.SIGINT)}.get(strike.number, (-strike.number,))
    codes = (0, *codes) if serves and strike.number != signal.SIGKILL else codes
    if ended.code == 0 and ended.hit and 0 not in codes:
        found.append("goes on as if nothing had been")
    elif ended.code not in (0, *codes) and (ours or "Traceback" not in ended.said):
        found.append(f"exit code {ended.code}, saying {ended.said!r}")
    return found
