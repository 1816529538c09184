"""The command line: arguments to ``knightlite.api`` to a printed report, no decisions.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 could not be done, 2 wrong or unsupported
request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``knightlite`` and ``Knight``."""
    # before numpy is imported: its threads take turns waiting where ONNX Runtime's work
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from knightlite.cli.program import PROGRAM, run

    called = Path(sys.argv[0]).stem
    program = PROGRAM if called == "__main__" else called  # python -m knightlite
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments), program))
