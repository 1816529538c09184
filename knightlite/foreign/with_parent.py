"""Run a Python file that ends with the process that started it: ``PYTHON with_parent.py FILE ...``.

A process that is killed cannot end its children; Linux does it where they ask for it. Elsewhere the
file just runs. This one must parse under any Python 3 and needs no package.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys

SIGNAL_AT_PARENTS_END = 1  # PR_SET_PDEATHSIG of Linux's prctl


def main(arguments: list[str]) -> None:
    """Run the file as Python would, with what follows it."""
    parent = os.getppid()
    with contextlib.suppress(ImportError, AttributeError, OSError):  # no ctypes, or no prctl
        import ctypes

        ctypes.CDLL(None).prctl(SIGNAL_AT_PARENTS_END, signal.SIGKILL)
    if os.getppid() != parent:  # it had ended before
        sys.exit(1)
    sys.argv[:] = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
