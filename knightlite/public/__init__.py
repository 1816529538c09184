"""The functions of ``import knightlite``: typed, and light until one is called.

They translate arguments for ``knightlite.api``, where the work is described, and return what it
returns. Files are written where a folder is named (``save_dir``), and nowhere else: no manifest is
kept, unlike on the command line. What a user should know comes as a ``UserWarning``, every error is
a ``KnightliteError`` with ``sentence`` and ``hint``.
"""

from knightlite.public.quantizing import compare_layers, convert, infer, quantize
from knightlite.public.stages import (
    Session,
    compare,
    compile,
    diagnose,
    evaluate,
    explore,
    profile,
    side_by_side,
)

__all__ = [
    "Session",
    "compare",
    "compare_layers",
    "compile",
    "convert",
    "diagnose",
    "evaluate",
    "explore",
    "infer",
    "profile",
    "quantize",
    "side_by_side",
]
