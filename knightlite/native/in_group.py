"""Run a command whose processes all end with who asked: ``PYTHON in_group.py COMMAND ...``.

A process that is killed cannot end its children, and a compiler starts some of its own: here they
are a group, which Linux ends where its leader's parent has. This file needs no package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

SIGNAL_AT_PARENTS_END = 1  # PR_SET_PDEATHSIG of Linux's prctl


def main(command: list[str]) -> int:
    """Run it; its exit code."""
    parent = os.getppid()
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no ctypes, or no prctl
        import ctypes

        ctypes.CDLL(None).prctl(SIGNAL_AT_PARENTS_END, signal.SIGTERM)
    if os.getppid() != parent:  # it had ended before
        return 1
    return abs(subprocess.run(command, check=False).returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
