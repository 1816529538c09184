"""Compilers, started so that nothing is left of them: no process, and no temporary file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

IN_GROUP = Path(__file__).with_name("in_group.py")


def run_compiler(command: Sequence[str], folder: str | Path, seconds: float) -> str:
    """What a compiler prints, run in ``folder``, which also takes its temporary files.

    OSError or SubprocessError where it cannot be run, fails or takes too long. However this ends,
    and where this process is killed too, none of the compiler's processes lives on.
    """
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", str(IN_GROUP), *command],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(Path(folder).resolve())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with started:
        try:
            told, wrong = started.communicate(timeout=seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):  # it is no leader yet
                os.killpg(started.pid, signal.SIGKILL)
            started.kill()
            raise
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, list(command), told, wrong)
    return told
