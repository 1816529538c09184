"""What needs a C compiler: skipped without one, with the reason; CI must have one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from knightlite.native.build import SOURCES, find_compiler
from made_once import MadeOnce

SANITIZERS = (
    "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"
)  # fmt: skip
SANITIZED = ("-std=c99", "-g", "-O1", *SANITIZERS)


@cache
def has_compiler() -> bool:
    """Whether the runtime in C can be built here; in CI it must."""
    found = find_compiler() is not None
    assert found or os.environ.get("CI") != "true", "CI has no C compiler"
    return found


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="there is no C compiler")


def needs(*programs: str) -> pytest.MarkDecorator:
    """A test that calls them, which .ci/run installs: skipped where one is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    assert not missing or os.environ.get("CI") != "true", f"CI has no {', '.join(missing)}"
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def needs_header(name: str, package: str) -> pytest.MarkDecorator:
    """The same for a header of the system's, of a Debian package."""
    found = Path("/usr/include", name).is_file()
    assert found or os.environ.get("CI") != "true", f"CI has no {package}"
    return pytest.mark.skipif(not found, reason=f"not installed: {package}")


@dataclass(frozen=True)
class Processor:
    """Another one: its compiler, flags of its own, what runs its programs here, its kernels."""

    preset: str
    compiler: str
    flags: tuple[str, ...]
    emulator: str
    kernels: tuple[str, ...] = ("scalar",)


PROCESSORS = (
    Processor(
        "aarch64",
        "aarch64-linux-gnu-gcc",
        ("-mcpu=cortex-a53",),
        "qemu-aarch64",
        ("scalar", "neon", "neon_dot"),
    ),
    Processor(
        "armhf",
        "arm-linux-gnueabihf-gcc",
        ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4"),
        "qemu-arm",
        ("scalar", "neon"),
    ),
)
crossed = [
    pytest.param(item, id=item.preset, marks=needs(item.compiler, item.emulator))
    for item in PROCESSORS
]


def compile_c(
    target: Path, files: Sequence[Path], *flags: str, compiler: str | None = None
) -> None:
    """Build a program or library; fails with what the compiler says."""
    chosen = compiler or find_compiler()
    assert chosen is not None
    command = [chosen, *flags, f"-I{SOURCES}", "-o", str(target), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr


def runtime_files() -> list[Path]:
    """The sources of the runtime."""
    return sorted(SOURCES.glob("*.c"))


def runtime_objects(made_once: MadeOnce, *flags: str) -> list[Path]:
    """The runtime's sources compiled with these flags, once a run."""
    name = f"objects-{hashlib.sha256(repr(flags).encode()).hexdigest()[:16]}"

    def make(folder: Path) -> None:
        for path in runtime_files():
            compile_c(folder / f"{path.stem}.o", [path], *flags, "-c")

    return sorted(made_once.folder(name, make).iterdir())
