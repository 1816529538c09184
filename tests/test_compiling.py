"""Compilers that fail, hang or are left alone: nothing of them lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knightlite.native.compiling import run_compiler

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0  # seconds until a process must have ended, on a busy machine
STARTS_ANOTHER = """
import os, subprocess, sys, time
sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
with open("made", "w") as stream:
    stream.write(str(sleeper.pid))
os.replace("made", "pid")
time.sleep(600)
"""


def compiler(folder: Path, text: str) -> list[str]:
    path = folder / "compiler.py"
    path.write_text(text, encoding="utf-8")
    return [sys.executable, "-S", str(path)]


def ended(process: int) -> bool:
    """Whether a process ends within PATIENCE."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def started(folder: Path) -> int:
    ends = time.monotonic() + PATIENCE
    while not (folder / "pid").exists() and time.monotonic() < ends:
        time.sleep(0.02)
    return int((folder / "pid").read_text())


def test_what_it_prints_and_where_it_puts_temporary_files(tmp_path: Path) -> None:
    says = "import os, sys; print(os.getcwd(), os.environ['TMPDIR'], sys.argv[1])"
    command = compiler(tmp_path, says)
    place = tmp_path.resolve()
    assert run_compiler([*command, "-O2"], tmp_path, PATIENCE) == f"{place} {place} -O2\n"


def test_one_that_fails(tmp_path: Path) -> None:
    command = compiler(tmp_path, "import sys; sys.exit('x.c:1: no')")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_compiler(command, tmp_path, PATIENCE)
    assert (caught.value.returncode, caught.value.stderr) == (1, "x.c:1: no\n")


def test_one_that_takes_too_long(tmp_path: Path) -> None:
    """What it has started ends with it."""
    command = compiler(tmp_path, f"print('x', flush=True){STARTS_ANOTHER}")
    with pytest.raises(subprocess.TimeoutExpired):
        run_compiler(command, tmp_path, 2.0)
    assert not (tmp_path / "pid").exists() or ended(started(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_who_asked_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    command = compiler(tmp_path, STARTS_ANOTHER)
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from knightlite.native.compiling import run_compiler\n"
        f"run_compiler({command!r}, '.', 600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    sleeper = started(tmp_path)
    process.send_signal(number)
    assert process.wait(PATIENCE) != 0
    assert ended(sleeper)
