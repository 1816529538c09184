"""Folders that every worker of a test run reads: made by the one that asks first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class MadeOnce:
    """Folders under ``root``, one run's own; nobody may change what is in them."""

    root: Path

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder ``name``, which ``make`` has filled; what it raises is raised."""
        made = self.root / name
        with open(self.root / f"{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            if not made.is_dir():
                half_made = self.root / f"{name}.half"
                shutil.rmtree(half_made, ignore_errors=True)
                half_made.mkdir()
                make(half_made)
                half_made.rename(made)
        return made


def of_this_run(factory: pytest.TempPathFactory) -> MadeOnce:
    """Beside the folders of the workers where there are several, else among the one's own."""
    own = factory.getbasetemp()
    return MadeOnce(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
