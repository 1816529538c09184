"""The runtime in C as a library: built on first use by the system's compiler, and cached."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from knightlite import leftovers
from knightlite.errors import UsageError
from knightlite.native.compiling import run_compiler

SOURCES = Path(__file__).resolve().parent.parent / "runtime"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O3", "-fPIC", "-shared")
SECONDS = 120
PRIVATE = 0o700


def sources() -> tuple[Path, ...]:
    """The files of the runtime: sources and headers, sorted."""
    return tuple(sorted(path for path in SOURCES.iterdir() if path.suffix in (".c", ".h")))


def find_compiler() -> str | None:
    """The system's C compiler: what ``CC`` names, or the first of the usual names."""
    named = os.environ.get("CC")
    return next(filter(None, map(shutil.which, [named] if named else COMPILERS)), None)


def require_compiler() -> str:
    """As :func:`find_compiler`; UsageError where there is none."""
    found = find_compiler()
    if found is None:
        raise UsageError(
            "the native engine is built on first use, and there is no C compiler.",
            'install one with "apt-get install gcc libc6-dev", or take engine numpy',
        )
    return found


def cache_folder() -> Path:
    """The user's cache of built libraries; UsageError where others could write into it."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "knightlite"
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UsageError(
            f"the cache {folder} of the native engine cannot be made: {error.strerror}.",
            "name a folder of your own in XDG_CACHE_HOME",
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise UsageError(
            f"the cache {folder} of the native engine must be a folder that only you can write.",
            f"chmod 700 {folder}, or name another in XDG_CACHE_HOME",
        )
    return folder


def build_library(flags: Sequence[str] = FLAGS) -> Path:
    """The library of these sources, compiler, flags and processor: from the cache, or built.

    UsageError where it cannot be built. No shell is started; the library is moved into place
    whole, so that others who build it at the same time do no harm.
    """
    compiler = require_compiler()
    path = cache_folder() / f"knl-{fingerprint(compiler, flags)}.so"
    leftovers.sweep(path.parent)
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(
        prefix=f"build{leftovers.mark()}", dir=path.parent.resolve()
    ) as scratch:
        made = Path(scratch) / path.name
        files = [str(item) for item in sources() if item.suffix == ".c"]
        with _told(compiler):
            run_compiler([compiler, *flags, "-o", str(made), *files], scratch, SECONDS)
        os.replace(made, path)
    return path


def fingerprint(compiler: str, flags: Sequence[str]) -> str:
    """Of what makes the objects of the runtime what they are: sources, compiler, flags, processor.

    UsageError where the compiler cannot be run.
    """
    found = hashlib.sha256()
    version = _version(compiler)
    for part in (compiler, version, *flags, platform.machine()):
        found.update(part.encode() + b"\0")
    for path in sources():
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:32]


def _version(compiler: str) -> str:
    with _told(compiler):
        return subprocess.run(
            [compiler, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=True,
        ).stdout  # fmt: skip


@contextlib.contextmanager
def _told(compiler: str) -> Iterator[None]:
    """What goes wrong with a compiler as a sentence."""
    try:
        yield
    except subprocess.CalledProcessError as error:
        told = (error.stderr or "").strip().splitlines()
        why = told[-1] if told else f"it ended in {error.returncode}"
        raise UsageError(
            f"{compiler} could not build the native engine: {why}.", "take engine numpy"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{compiler} could not be run: {error}.", "take engine numpy") from None
