"""The command line: arguments to ``knightlite.api`` to a printed report, no decisions.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 could not be done, 2 wrong or unsupported
request.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``knightlite`` and ``Knight``."""
    from knightlite.cli.program import run

    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))
