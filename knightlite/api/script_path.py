"""``script-path``: scripts that import Knight's package run outside the tool as well."""

from __future__ import annotations

import subprocess
from pathlib import Path

from knightlite import atomic_write
from knightlite.datafiles import scripts_folder
from knightlite.errors import UsageError
from knightlite.frontend import interpreter

__all__ = ["make_known", "scripts_folder"]

PATH_FILE = "knightlite-scripts.pth"  # as the wheel has it for the Python it is installed in
ASK = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
TIMEOUT_S = 60


def make_known(python: str) -> Path:
    """Let an interpreter find :func:`scripts_folder`: the path file that is written for it.

    What is installed there comes first. UsageError where that is no interpreter.
    """
    program = interpreter.named("--python", python)
    try:
        told = subprocess.run(
            [program, "-I", "-c", ASK],
            capture_output=True,
            text=True,
            check=True,
            timeout=TIMEOUT_S,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        raise UsageError(f"{python} is not a Python interpreter: it gave no answer.") from None
    target = Path(told) / PATH_FILE
    atomic_write.write_text(target, f"{scripts_folder()}\n")
    return target
