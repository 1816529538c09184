"""Bytes of the runtime's code for the processors of a project, where their compilers are.

Of what a project's program links: what it calls, and the operators of the host that its network
has.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from knightlite import leftovers
from knightlite.errors import UsageError
from knightlite.leftovers import scratch_folder
from knightlite.native import SOURCES, cache_folder, fingerprint, run_compiler

SECONDS = 300
# as in the project's Makefile
FLAGS = ("-std=c99", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections", "-O2")
TABLE = "knl_known.c"


@dataclass(frozen=True, slots=True)
class Preset:
    """A processor that a project is built for. ``prefix``: of its compiler and ``size``."""

    name: str
    processor: str
    prefix: str
    flags: tuple[str, ...] = ()
    package: str = ""


PRESETS = (
    Preset("aarch64", "Cortex-A53, Linux", "aarch64-linux-gnu-", ("-mcpu=cortex-a53",),
           "gcc-aarch64-linux-gnu"),
    Preset("armhf", "Cortex-A7, Linux", "arm-linux-gnueabihf-",
           ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4"), "gcc-arm-linux-gnueabihf"),
    Preset("cortex_m", "Cortex-M3, bare metal", "arm-none-eabi-",
           ("-mcpu=cortex-m3", "-mthumb"), "gcc-arm-none-eabi"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CodeSize:
    """What ``size`` says of the runtime as linked; ``compiler`` "": it is not installed."""

    preset: Preset
    compiler: str = ""
    text: int = 0
    data: int = 0
    bss: int = 0


@cache
def code_sizes(table: str) -> tuple[CodeSize, ...]:
    """Of every preset: measured, or not where its compiler is missing or fails.

    ``table``: the source that says which operators of the host there are. What was measured is kept
    in the user's cache, beside the native engine's library: to compile for three processors takes
    ten seconds.
    """
    return tuple(_measured(preset, table) for preset in PRESETS)


def _roots() -> tuple[str, ...]:
    """The linker's options that ask for every function that a project's program calls."""
    sources = sorted((SOURCES / "project" / "src").glob("*.c"))
    text = "".join(path.read_text("ascii") for path in sources)
    return tuple(f"-Wl,-u,{name}" for name in sorted({*re.findall(r"\bknl_\w+(?=\()", text)}))


def _measured(preset: Preset, table: str) -> CodeSize:
    compiler, size = (shutil.which(preset.prefix + name) for name in ("gcc", "size"))
    if compiler is None or size is None:
        return CodeSize(preset)
    try:
        flags = (*FLAGS, *preset.flags, "-r", "-nostdlib", "-Wl,--gc-sections", *_roots())
        key = fingerprint(compiler, (*flags, table))
    except UsageError:
        return CodeSize(preset)
    try:
        kept = cache_folder() / f"size-{key}.txt"
    except UsageError:  # others could write there
        kept = None
    if kept is not None:
        with contextlib.suppress(OSError, ValueError):
            return _told(preset, kept.read_text("ascii"))
    sources = sorted(str(path) for path in SOURCES.glob("*.c") if path.name != TABLE)
    with scratch_folder() as folder:
        try:
            (Path(folder) / TABLE).write_text(table, "ascii")
            command = [compiler, *flags, f"-I{SOURCES}", "-o", "linked.o", TABLE, *sources]
            run_compiler(command, folder, SECONDS)
            version = _run([compiler, "-dumpfullversion"], folder).strip()
            said = _run([size, "linked.o"], folder)
            text = " ".join((*said.splitlines()[-1].split()[:3], version))
            found = _told(preset, text)
        except (OSError, subprocess.SubprocessError, ValueError):
            return CodeSize(preset)
    if kept is not None:
        with contextlib.suppress(OSError):
            _keep(kept, text)
    return found


def _told(preset: Preset, text: str) -> CodeSize:
    """Of bytes of code, data and zeros and the compiler's version; ValueError where it is not."""
    *sizes, version = text.split()
    code, data, bss = map(int, sizes)
    return CodeSize(preset, f"{preset.prefix}gcc {version}", code, data, bss)


def _keep(path: Path, text: str) -> None:
    """Moved into place whole: others may read it at the same time."""
    leftovers.sweep(path.parent)
    handle, name = tempfile.mkstemp(prefix=leftovers.prefix(path.stem), dir=path.parent)
    with open(handle, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(name, path)


def _run(command: Sequence[str], folder: str) -> str:
    return subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=SECONDS, check=True,
    ).stdout  # fmt: skip
