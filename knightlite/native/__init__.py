"""The runtime in C from Python: built on first use, loaded, called as the simulator is."""

from knightlite.native.build import SOURCES, cache_folder, fingerprint
from knightlite.native.compiling import run_compiler
from knightlite.native.headers import known_source
from knightlite.native.machine import NativeMachine
from knightlite.native.operations import unknown

__all__ = [
    "SOURCES",
    "NativeMachine",
    "cache_folder",
    "fingerprint",
    "known_source",
    "run_compiler",
    "unknown",
]
