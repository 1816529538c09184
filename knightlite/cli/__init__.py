"""The command line: arguments to ``knightlite.api`` to a printed report, no decisions.

Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 could not be done, 2 wrong or unsupported
request, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``knightlite`` and ``Knight``."""
    try:
        from knightlite.cli import ctrl_c

        ctrl_c.heed()
        code = _run(arguments)
    except BaseException as error:  # while something was imported, or a class was made:
        if not isinstance(error, KeyboardInterrupt) and not _asked():  # a RuntimeError then
            raise
        os.write(2, b"Stopped.\n")
        code = 130
    import signal  # not before the first line that answers a Ctrl-C

    # nothing is left to be put in order: another Ctrl-C ends the process without words
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _asked() -> bool:
    found = sys.modules.get(f"{__name__}.ctrl_c")
    return found is not None and bool(found.asked())


def _run(arguments: Sequence[str] | None) -> int:
    # before numpy is imported: its threads take turns waiting where ONNX Runtime's work
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # a program is a hundred thousand records in no circles: less often is often enough
    gc.set_threshold(100_000, 20, 100)
    if not sys.warnoptions:  # of libraries, with lines of source; what matters is said by us
        warnings.simplefilter("ignore")
    from knightlite.cli.program import PROGRAM, run
    from knightlite.cli.streams import open_streams
    from knightlite.cli.vocabulary import PROGRAMS

    name = os.path.basename(sys.argv[0])
    called = os.path.splitext(name)[0]
    open_streams()
    program = PROGRAM if called == "__main__" else called  # python -m knightlite
    words = list(sys.argv[1:] if arguments is None else arguments)
    if name in PROGRAMS:
        return run([name, *words])
    return run(words, program)
